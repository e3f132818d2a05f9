#include "slowsde/optim/worker_spread.hpp"

#include <doctest/doctest.h>

#include <Eigen/Dense>
#include <limits>
#include <vector>

#include "slowsde/problems/random_address.hpp"
#include "slowsde/sde/statistics.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;

namespace {

template <class Real>
using Matrix = Eigen::Matrix<Real, Eigen::Dynamic, Eigen::Dynamic>;

template <class Real>
std::vector<const Real*> columns(const Matrix<Real>& theta) {
  std::vector<const Real*> pointers;
  for (Eigen::Index w = 0; w < theta.cols(); ++w) pointers.push_back(theta.col(w).data());
  return pointers;
}

/// θ_w = centre + L ξ_w: (d × K)
Eigen::MatrixXd cloud(const Eigen::MatrixXd& L, int K, std::uint64_t replica) {
  Eigen::MatrixXd xi(L.cols(), K);
  for (Eigen::Index i = 0; i < xi.size(); ++i)
    xi(i % xi.rows(), i / xi.rows()) =
        normal_at(5, Stream::initial, replica, 0, static_cast<std::uint64_t>(i));
  return (L * xi).array() + 7;
}

Eigen::MatrixXd factor(int d, int rank) {
  Eigen::MatrixXd L(d, rank);
  for (int i = 0; i < d; ++i)
    for (int j = 0; j < rank; ++j)
      L(i, j) = normal_at(6, Stream::initial, 0, 0, static_cast<std::uint64_t>(i * rank + j)) / (1 + j);
  return L;
}

}  // namespace

TEST_CASE("trace, eigenvalues and top direction are those of the dense sample covariance") {
  for (const int d : {1, 2, 30, 1200})
    for (const int K : {2, 3, 8}) {
      CAPTURE(d);
      CAPTURE(K);
      const Eigen::MatrixXd theta = cloud(factor(d, std::min(d, 5)), K, 0);
      const auto spread = worker_spread<double>(columns<double>(theta), d);
      const Eigen::MatrixXd X = theta.colwise() - theta.rowwise().mean();
      const Eigen::MatrixXd V = X * X.transpose() / (K - 1);
      CHECK(spread.workers == K);
      CHECK(test::near_relative(spread.trace, V.trace(), 1e-12));
      CHECK(spread.eigenvalues.size() == std::min(K - 1, d));
      CHECK(test::near_relative(spread.eigenvalues.sum(), V.trace(), 1e-12));
      CHECK(spread.top_eigenvalue == spread.eigenvalues[0]);
      CHECK(test::near(spread.top_direction.norm(), 1, 1e-12));
      CHECK((V * spread.top_direction - spread.top_eigenvalue * spread.top_direction).norm() <=
            1e-10 * spread.top_eigenvalue);
      CHECK(test::near_relative(variance_along<double>(columns<double>(theta), spread.top_direction),
                                spread.top_eigenvalue, 1e-10));
      if (d <= 30) {
        const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> eigen(V);
        CHECK(test::near_relative(spread.top_eigenvalue, eigen.eigenvalues()[d - 1], 1e-10));
      }
    }
}

TEST_CASE("the spread is an unbiased estimate of the covariance for every K; with 1/K it is not") {
  const int d = 20;
  const Eigen::MatrixXd L = factor(d, 4);
  const Eigen::VectorXd v = Eigen::VectorXd::Unit(d, 3);
  for (const int K : {2, 4}) {
    Moments trace, along, top;
    for (std::uint64_t replica = 0; replica < 4000; ++replica) {
      const Eigen::MatrixXd theta = cloud(L, K, replica);
      const auto spread = worker_spread<double>(columns<double>(theta), d);
      trace.add(spread.trace);
      along.add(variance_along<double>(columns<double>(theta), v));
      top.add(spread.top_eigenvalue);
    }
    const Eigen::MatrixXd V = L * L.transpose();
    CHECK(test::zscore(trace.mean, V.trace(), trace.standard_error()) <= 4);
    CHECK(test::zscore(along.mean, v.dot(V * v), along.standard_error()) <= 4);
    const double biased = 1 - 1.0 / K;
    CHECK(test::zscore(biased * trace.mean, V.trace(), biased * trace.standard_error()) >= 5);
    CHECK(test::zscore(biased * along.mean, v.dot(V * v), biased * along.standard_error()) >= 5);
    // what the documentation says of the top eigenvalue
    const double largest = Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd>(V).eigenvalues()[d - 1];
    CHECK(top.mean > largest + (K == 2 ? 5 : 1) * top.standard_error());
  }
}

TEST_CASE("parameters in single precision, workers that agree, and parameters that are not finite") {
  const int d = 700, K = 4;
  const Eigen::MatrixXd theta = cloud(factor(d, 3), K, 1);
  const Matrix<float> single = theta.cast<float>();
  const Eigen::MatrixXd rounded = single.cast<double>();
  CHECK(worker_spread<float>(columns<float>(single), d).trace ==
        worker_spread<double>(columns<double>(rounded), d).trace);
  CHECK(variance_along<float>(columns<float>(single), theta.col(0)) ==
        variance_along<double>(columns<double>(rounded), theta.col(0)));

  // θ + 1e-7 steps around 1e3: deviations survive the subtraction of the mean
  Eigen::MatrixXd close = Eigen::MatrixXd::Constant(d, K, 1024);
  close(5, 0) += 0x1p-20;
  close(5, 1) -= 0x1p-20;
  CHECK(worker_spread<double>(columns<double>(close), d).trace == 2 * 0x1p-40 / 3);

  const Eigen::MatrixXd same = Eigen::MatrixXd::Constant(d, K, 0.1);
  const auto none = worker_spread<double>(columns<double>(same), d);
  CHECK(none.trace == 0);
  CHECK(none.top_eigenvalue == 0);
  CHECK(none.top_direction.isZero(0));

  Eigen::MatrixXd broken = theta;
  broken(3, 2) = std::numeric_limits<double>::infinity();
  const auto undefined = worker_spread<double>(columns<double>(broken), d);
  CHECK(std::isnan(undefined.trace));
  CHECK(std::isnan(undefined.top_eigenvalue));

  CHECK_THROWS_WITH_AS(worker_spread<double>(columns<double>(theta.leftCols(1)), d),
                       "worker spread: K >= 2 is violated by 1", std::invalid_argument);
  CHECK_THROWS_AS(worker_spread<double>(columns<double>(theta), 0), std::invalid_argument);
}
