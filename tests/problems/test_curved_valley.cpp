#include "slowsde/problems/curved_valley.hpp"

#include <doctest/doctest.h>

#include <stdexcept>

#include "slowsde/problems/derivatives.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;

TEST_CASE("on the floor ∇²L = a·(−b', 1)ᵀ(−b', 1), and the constant noise has S Sᵀ = Σ") {
  const CurvedValley<> problem;
  for (const double x : {-1.1, 0.0, 0.5}) {
    const Eigen::Vector2d theta(x, 0.5 * x * x), normal(-x, 1);
    const double a = 2 + std::sin(x);
    CHECK((hessian(problem, theta) - a * normal * normal.transpose()).norm() <= 1e-14);
    CHECK(test::near_relative(problem.trace_on_manifold(theta.data()), a * (1 + x * x), 1e-15));
    Eigen::Matrix<double, 2, 2, Eigen::RowMajor> S;
    problem.noise_factor(theta.data(), S.data());
    Eigen::Matrix2d sigma;
    sigma << 1, 0.6, 0.6, 0.8;
    CHECK((S * S.transpose() - sigma).norm() <= 1e-15);
  }
}

TEST_CASE("a covariance that is not positive semidefinite is refused by its eigenvalue") {
  CHECK_THROWS_WITH_AS((CurvedValley<>({1, 2, 2, 1})),
                       "covariance: Sigma positive semidefinite (least eigenvalue >= 0) is violated by -1",
                       std::invalid_argument);
  CHECK_THROWS_AS((CurvedValley<>({1, 0.6, 0.5, 1})), std::invalid_argument);  // not symmetric
  CHECK_THROWS_AS((CurvedValley<>({1, 0, 0, 1}, {1, 2})), std::invalid_argument);
  CHECK_NOTHROW((CurvedValley<>({1, 1, 1, 1})));  // singular
}
