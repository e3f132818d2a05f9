#include "slowsde/problems/noise_covariance.hpp"

#include <doctest/doctest.h>

#include <Eigen/Dense>
#include <cmath>
#include <stdexcept>

#include "slowsde/problems/curved_valley.hpp"
#include "slowsde/problems/diagonal_network.hpp"
#include "slowsde/problems/matrix_sensing.hpp"
#include "slowsde/problems/two_valleys.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;
using Eigen::MatrixXd;
using Eigen::VectorXd;

namespace {

// Covariance of J_iᵀ(r_i − ε) by enumeration: every sample with every sign pattern of ε = (±σ, …, ±σ), whose
// covariance is that of N(0, σ²I).
template <class P>
MatrixXd enumerated(const P& problem, const VectorXd& theta, double sigma) {
  const int d = dimension(problem), C = outputs_per_sample(problem), n = problem.samples();
  const int patterns = 1 << C;
  MatrixXd g = MatrixXd::Zero(d, n * patterns);
  VectorXd eps(C), scratch(problem.scratch_size());
  for (int i = 0; i < n; ++i)
    for (int k = 0; k < patterns; ++k) {
      for (int c = 0; c < C; ++c) eps[c] = (k >> c & 1) != 0 ? sigma : -sigma;
      problem.add_sample_gradient(theta.data(), i, eps.data(), g.col(i * patterns + k).data(),
                                  scratch.data());
    }
  g.colwise() -= VectorXd(g.rowwise().mean());
  return g * g.transpose() / g.cols();
}

template <class Check>
void for_problems(Check check) {
  check(TwoValleys<1>{});
  check(TwoValleys<2>{});
  check(DiagonalNetwork(SparseRegression{7, 11, 2, 5}.generate()));
  check(MatrixSensing(RandomSensing{{4, 3, 1, 9}, 6}.generate(), 2));
}

}  // namespace

TEST_CASE("label and minibatch noise have the covariance of the gradients they draw, on Γ and off it") {
  for_problems([](const auto& problem) {
    const std::vector<double> start = problem.default_start();
    VectorXd theta = Eigen::Map<const VectorXd>(start.data(), dimension(problem));
    for (const double away : {0.0, 0.1}) {
      for (int j = 0; j < theta.size(); ++j) theta[j] += away * std::sin(3.0 * j + 1);
      const MatrixXd label = noise_covariance(problem, {NoiseKind::label, 0.7}, theta);
      const MatrixXd minibatch = noise_covariance(problem, {NoiseKind::minibatch, 0.7}, theta);
      const double scale = label.norm();
      CHECK((label - enumerated(problem, theta, 0.7)).norm() <= 1e-12 * scale);
      CHECK((minibatch - enumerated(problem, theta, 0.0)).norm() <= 1e-12 * scale);
      const MatrixXd on_manifold = 0.49 * hessian(problem, theta);
      if (away == 0.0) {
        CHECK((label - on_manifold).norm() <= 1e-12 * scale);  // Σ = σ²∇²L
        CHECK(minibatch.norm() <= 1e-12 * scale);
      } else {
        CHECK((label - on_manifold).norm() > 1e-3 * scale);  // on Γ only
      }
    }
  });
}

TEST_CASE("Gaussian noise has Σ = S Sᵀ, and noise that a problem lacks is refused") {
  const VectorXd theta = Eigen::Vector2d(0.3, -0.2);
  const MatrixXd sigma = noise_covariance(CurvedValley<>{}, {NoiseKind::gaussian}, theta);
  CHECK((sigma - (Eigen::Matrix2d() << 1, 0.6, 0.6, 0.8).finished()).norm() <= 1e-15);
  CHECK_THROWS_AS(noise_covariance(CurvedValley<>{}, {NoiseKind::label}, theta), std::invalid_argument);
  const VectorXd start = Eigen::Vector3d(0.5, 0, 0);
  CHECK_THROWS_AS(noise_covariance(TwoValleys<2>{}, {NoiseKind::gaussian}, start), std::invalid_argument);
}
