#include "slowsde/problems/symmetric_eigen.hpp"

#include <doctest/doctest.h>

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "tests/support/tolerance.hpp"

using namespace slowsde;

namespace {

struct Eigenpairs {
  Eigen::VectorXd lambda;
  Eigen::MatrixXd V;
};

Eigenpairs eigenpairs(const Eigen::MatrixXd& A) {
  const int d = static_cast<int>(A.rows());
  Eigenpairs result{Eigen::VectorXd(d), Eigen::MatrixXd(d, d)};
  symmetric_eigen(d, A.data(), result.lambda.data(), result.V.data());
  return result;
}

Eigen::MatrixXd symmetric(int d) {
  std::srand(static_cast<unsigned>(d));
  const Eigen::MatrixXd B = Eigen::MatrixXd::Random(d, d);
  return B + B.transpose();
}

}  // namespace

TEST_CASE("eigenpairs of every size, those solved on the stack and larger ones") {
  for (int d = 1; d <= 12; ++d) {
    CAPTURE(d);
    const Eigen::MatrixXd A = symmetric(d);
    const auto [lambda, V] = eigenpairs(A);
    CHECK((A * V - V * lambda.asDiagonal()).norm() <= 1e-13 * A.norm());
    CHECK((V.transpose() * V - Eigen::MatrixXd::Identity(d, d)).norm() <= 1e-13 * d);
    CHECK(std::is_sorted(lambda.begin(), lambda.end()));
  }
}

TEST_CASE("known eigenvalues, and only the lower triangle is read") {
  for (const int d : {2, 3, 9}) {
    CAPTURE(d);
    // The path's Laplacian without its ends: 2 − 2 cos(kπ/(d+1)).
    Eigen::MatrixXd A = Eigen::MatrixXd::Zero(d, d);
    A.diagonal().setConstant(2);
    A.diagonal(-1).setConstant(-1);
    A.triangularView<Eigen::StrictlyUpper>().setConstant(1e6);
    const Eigen::VectorXd lambda = eigenpairs(A).lambda;
    for (int k = 1; k <= d; ++k)
      CHECK(test::near_relative(lambda[k - 1], 2 - 2 * std::cos(k * std::acos(-1.0) / (d + 1)), 1e-13));
  }
}
