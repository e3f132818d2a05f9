#include "slowsde/problems/ellipsoid.hpp"

#include <doctest/doctest.h>

#include <stdexcept>

#include "slowsde/problems/derivatives.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;

TEST_CASE("∇²L = 2(Ax)(Ax)ᵀ on Γ and S Sᵀ = Σ") {
  const Ellipsoid<3> problem({1, 2.5, 0.4}, {1, 0.2, 0, 0.2, 0.5, -0.3, 0, -0.3, 0.9});
  const std::vector<double> start = problem.default_start();
  Eigen::Vector3d x(start[0], 1.3 * start[1], -0.4 * start[2]);
  problem.phi(x.data(), x.data());
  const Eigen::Vector3d a(1, 2.5, 0.4), Ax = a.cwiseProduct(x);
  CHECK(test::near(x.dot(Ax), 1, 1e-14));
  CHECK((hessian(problem, x) - 2 * Ax * Ax.transpose()).norm() <= 1e-13);
  CHECK(test::near_relative(problem.trace_on_manifold(x.data()), 2 * Ax.squaredNorm(), 1e-14));
  Eigen::Matrix<double, 3, 3, Eigen::RowMajor> S;
  problem.noise_factor(x.data(), S.data());
  const Eigen::Map<const Eigen::Matrix3d> sigma(problem.covariance().data());
  CHECK((S * S.transpose() - sigma).norm() <= 1e-15);
}

TEST_CASE("Φ of an ellipsoid with curvatures 1 and 100 reaches Γ from near the origin and from far away") {
  const Ellipsoid<2> problem({1, 100}, {1, 0, 0, 1});
  for (const double scale : {1e-3, 0.1, 1.0, 20.0}) {
    const double x[2] = {scale, -0.7 * scale};
    double end[2];
    problem.phi(x, end);
    CHECK(test::near(end[0] * end[0] + 100 * end[1] * end[1], 1, 1e-13));
    // The flow conserves ln|x₁|/a₁ − ln|x₂|/a₂.
    CHECK(test::near(100 * std::log(end[0] / x[0]), std::log(end[1] / x[1]), 1e-12));
  }
}

TEST_CASE("flat directions and covariances that are none are refused") {
  CHECK_THROWS_WITH_AS((Ellipsoid<2>({1, 0}, {1, 0, 0, 1})),
                       "ellipsoid: 0 < curvature < infinity is violated by 0", std::invalid_argument);
  CHECK_THROWS_AS((Ellipsoid<2>({1, 1}, {1, 2, 2, 1})), std::invalid_argument);
}
