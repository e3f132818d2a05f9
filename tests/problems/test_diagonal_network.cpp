#include "slowsde/problems/diagonal_network.hpp"

#include <doctest/doctest.h>

#include <Eigen/Dense>
#include <cmath>
#include <stdexcept>

#include "slowsde/problems/least_squares_adaptor.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;

TEST_CASE("the generated regression is noiseless, sparse, standardised and a function of its seed") {
  const SparseRegression recipe{60, 90, 7, 3};
  const RegressionData data = recipe.generate();
  int entries = 0;
  for (const double b : data.coefficients) {
    CHECK((b == 0 || std::abs(b) == 1));
    entries += b != 0;
  }
  CHECK(entries == 7);
  double sum = 0, square = 0;
  for (const double x : data.inputs) {
    sum += x;
    square += x * x;
  }
  const double n = static_cast<double>(data.inputs.size());
  CHECK(test::zscore(sum / n, 0, 1 / std::sqrt(n)) <= 4);
  CHECK(test::zscore(square / n, 1, std::sqrt(2 / n)) <= 4);
  CHECK(test::zscore(square / n, 2, std::sqrt(2 / n)) >= 5);  // not another variance
  for (std::size_t i = 0; i < 60; ++i) {
    double y = 0;
    for (std::size_t j = 0; j < 90; ++j) y += data.inputs[i * 90 + j] * data.coefficients[j];
    CHECK(test::near(data.targets[i], y, 1e-13));
  }
  CHECK(recipe.generate().inputs == data.inputs);
  CHECK(SparseRegression{60, 90, 7, 4}.generate().inputs != data.inputs);
}

TEST_CASE(
    "with 500 features the start is a dense interpolator, 𝓗 = JᵀJ/n has rank n and trace 4Σ m_j(u_j² + "
    "v_j²)") {
  const DiagonalNetwork network(SparseRegression{100, 500, 10, 1}.generate());
  CHECK(network.dim() == 1000);
  const std::vector<double> start = network.default_start();
  const Eigen::VectorXd theta = Eigen::Map<const Eigen::VectorXd>(start.data(), 1000);
  const LeastSquaresModelOf<DiagonalNetwork> model(network);
  Eigen::VectorXd r;
  Eigen::MatrixXd J;
  model.residual(theta, r);
  model.jacobian(theta, J);
  CHECK(r.cwiseAbs().maxCoeff() <= 1e-12);
  CHECK(test::near_relative(J.squaredNorm() / 100, network.trace_on_manifold(start.data()), 1e-12));
  const Eigen::VectorXd lambda =
      Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd>(J * J.transpose() / 100, Eigen::EigenvaluesOnly)
          .eigenvalues();
  CHECK(lambda[0] > 1e-3 * lambda[99]);
  // The start is far from the sparse interpolator: Σ m_j|β_j| is larger than β*'s.
  double weighted = 0, sparse = 0;
  const std::vector<double> beta = network.coefficients(start.data());
  for (std::size_t j = 0; j < 500; ++j) {
    weighted += network.second_moments()[j] * std::abs(beta[j]);
    sparse += network.second_moments()[j] * std::abs(network.data().coefficients[j]);
  }
  CHECK(weighted > 1.5 * sparse);
  // Among the θ of one β the trace is least, 4Σ m_j|β_j|, where u_j v_j = 0.
  CHECK(network.trace_on_manifold(start.data()) > 4 * weighted);
}

TEST_CASE("impossible regressions are refused") {
  CHECK_THROWS_WITH_AS((SparseRegression{0, 5, 1, 1}.generate()),
                       "sparse regression: samples >= 1 is violated by 0", std::invalid_argument);
  CHECK_THROWS_AS((SparseRegression{5, 0, 0, 1}.generate()), std::invalid_argument);
  CHECK_THROWS_AS((SparseRegression{5, 5, 6, 1}.generate()), std::invalid_argument);
  CHECK_THROWS_AS((SparseRegression{1 << 16, 1 << 16, 6, 1}.generate()), std::invalid_argument);
  RegressionData data = SparseRegression{5, 3, 1, 1}.generate();
  data.targets[0] += 1;  // more samples than features and no exact solution
  CHECK_THROWS_AS(DiagonalNetwork(data).default_start(), std::invalid_argument);
  data.targets.pop_back();
  CHECK_THROWS_AS(DiagonalNetwork{data}, std::invalid_argument);
}
