#include "slowsde/problems/covariance_factor.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <stdexcept>

#include "tests/support/tolerance.hpp"

using namespace slowsde;

namespace {

// Largest entry of |S Sᵀ − Σ|; NaN where S has one.
double defect(const std::vector<double>& sigma, int d) {
  const std::vector<double> S = covariance_factor(sigma, d);
  double worst = 0;
  for (int i = 0; i < d; ++i)
    for (int j = 0; j < d; ++j) {
      double sum = 0;
      for (int k = 0; k < d; ++k)
        sum += S[static_cast<std::size_t>(i * d + k)] * S[static_cast<std::size_t>(j * d + k)];
      const double error = std::abs(sum - sigma[static_cast<std::size_t>(i * d + j)]);
      if (!(error <= worst)) worst = error;
    }
  return worst;
}

}  // namespace

TEST_CASE("S Sᵀ = Σ for regular, singular and vanishing covariances") {
  CHECK(defect({2.25}, 1) <= 1e-16);
  CHECK(defect({1, 0.6, 0.6, 0.8}, 2) <= 1e-15);
  CHECK(defect({0.1, 0.3, 0.3, 0.9}, 2) <= 1e-15);               // rank 1, its second pivot is rounding
  CHECK(defect({0, 0, 0, 0, 2, 1, 0, 1, 3}, 3) <= 1e-15);        // a direction without noise
  CHECK(defect({4, 2, -6, 2, 1, -3, -6, -3, 9.5}, 3) <= 1e-14);  // a zero pivot in the middle
  CHECK(defect({0, 0, 0, 0}, 2) == 0);
  CHECK(test::exact(covariance_factor({4, 2, 2, 2}, 2)[1], 0.0));  // lower triangular
}

TEST_CASE("what is no covariance is refused") {
  CHECK_THROWS_AS(covariance_factor({-1e-3}, 1), std::invalid_argument);
  CHECK_THROWS_AS(covariance_factor({1, 1.001, 1.001, 1}, 2), std::invalid_argument);
  CHECK_THROWS_AS(covariance_factor({1, 0.5, 0.4, 1}, 2), std::invalid_argument);
  CHECK_THROWS_AS(covariance_factor({1, 0, 0}, 2), std::invalid_argument);
  CHECK_THROWS_AS(covariance_factor({std::nan("")}, 1), std::invalid_argument);
}
