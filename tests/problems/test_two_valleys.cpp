#include "slowsde/problems/two_valleys.hpp"

#include <doctest/doctest.h>

#include <stdexcept>

#include "slowsde/problems/derivatives.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;

TEST_CASE("two samples have λ = a_i/2 and two outputs λ = a_i, with a constant sum") {
  for (const double x : {-2.0, 0.0, 0.5, 3.0}) {
    const Eigen::Vector3d theta(x, 0, 0);
    const double a1 = 1.5 + std::sin(x), a2 = 6.5 - std::sin(x);
    const Eigen::MatrixXd samples = hessian(TwoValleys<2>{}, theta),
                          outputs = hessian(TwoValleys<1>{}, theta);
    CHECK((outputs - Eigen::MatrixXd(Eigen::Vector3d(0, a1, a2).asDiagonal())).norm() <= 1e-13);
    CHECK((2 * samples - outputs).norm() <= 1e-13);
    CHECK(test::near_relative(TwoValleys<2>{}.trace_on_manifold(theta.data()), 4, 1e-15));
    CHECK(test::near_relative(TwoValleys<1>{}.trace_on_manifold(theta.data()), 8, 1e-15));
  }
}

TEST_CASE("SGD's drift ∇tr 𝓗 vanishes by cancellation, not because its parts do") {
  const Eigen::Vector3d theta(0.5, 0, 0);
  const auto drift = [&](double weight1, double weight2) {  // ∂_x⟨∇²L, diag(0, w₁, w₂)⟩
    const Eigen::MatrixXd M = Eigen::Vector3d(0, weight1, weight2).asDiagonal();
    return third_contraction_of_matrix(TwoValleys<1>{}, theta, M)[0];
  };
  CHECK(test::near(drift(1, 1), 0, 1e-14));
  CHECK(test::near_relative(drift(1, 0.5), 0.5 * std::cos(0.5), 1e-13));  // unequal weights: Local SGD moves
  // Other walls have another trace.
  const TwoValleys<1, QuadraticSteepness, SineSteepness> other({1, 2}, {3, 1});
  CHECK(test::near_relative(other.trace_on_manifold(theta.data()), 1 + 2 * 0.25 + 3 + std::sin(0.5), 1e-15));
  CHECK_THROWS_AS((TwoValleys<2>({1.5, 1}, {0.5, -1})), std::invalid_argument);
}
