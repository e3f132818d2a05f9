#include "slowsde/problems/circle.hpp"

#include <doctest/doctest.h>

#include <stdexcept>

#include "tests/support/tolerance.hpp"

using namespace slowsde;

TEST_CASE("in the frame (normal, tangent) the noise is [[1, c], [c, 1]], at any radius and angle") {
  for (const double c : {-1.0, 0.0, 0.6, 1.0})
    for (const double angle : {0.0, 1.0, 4.0})
      for (const double radius : {0.5, 1.0, 2.0}) {
        const double n[2] = {std::cos(angle), std::sin(angle)}, t[2] = {-n[1], n[0]};
        const double x[2] = {radius * n[0], radius * n[1]};
        double S[4];
        Circle{c}.noise_factor(x, S);
        const auto covariance = [&](const double* a, const double* b) {  // aᵀS Sᵀb
          return (a[0] * S[0] + a[1] * S[2]) * (b[0] * S[0] + b[1] * S[2]) +
                 (a[0] * S[1] + a[1] * S[3]) * (b[0] * S[1] + b[1] * S[3]);
        };
        CHECK(test::near(covariance(n, n), 1, 1e-14));
        CHECK(test::near(covariance(t, t), 1, 1e-14));
        CHECK(test::near(covariance(n, t), c, 1e-14));
      }
}

TEST_CASE("a correlation beyond ±1 is refused") {
  CHECK_NOTHROW(Circle{-1.0}.check());
  CHECK_THROWS_WITH_AS(Circle{1.5}.check(), "circle: |correlation| <= 1 is violated by 1.5",
                       std::invalid_argument);
  CHECK_THROWS_AS(Circle{std::nan("")}.check(), std::invalid_argument);
}
