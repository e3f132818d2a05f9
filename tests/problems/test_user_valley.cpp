#include "slowsde/problems/user_valley.hpp"

#include <doctest/doctest.h>

#include <stdexcept>

#include "slowsde/problems/derivatives.hpp"
#include "slowsde/problems/valley.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;

namespace {

struct Quartic {  // a user's own a(x), without parameters and hence without check()
  template <class T>
  T operator()(const T& x) const {
    return 1.0 + x * x * x * x;
  }
};

}  // namespace

TEST_CASE("a = 1 + x² is the valley") {
  for (const double x : {0.0, 1e-8, -1.3}) {
    const double theta[2] = {x, 0.7}, eps[1] = {0.4};
    CHECK(test::near_relative(loss(UserValley<>{}, theta), loss(Valley{}, theta), 1e-15));
    double a[2] = {0, 0}, b[2] = {0, 0}, none[1];
    UserValley<>{}.add_sample_gradient(theta, 0, eps, a, none);
    Valley{}.add_sample_gradient(theta, 0, eps, b, none);
    for (int j = 0; j < 2; ++j) CHECK(test::near(a[j], b[j], 1e-15));
  }
}

TEST_CASE("∇²L = diag(0, a) on Γ and ½∂_x of its trace is half the third derivative: for any a") {
  const auto check = [](const auto& problem, double x, double a, double slope) {
    const Eigen::Vector2d theta(x, 0);
    const Eigen::MatrixXd h = hessian(problem, theta);
    CHECK(test::near(h(0, 0), 0, 1e-15));
    CHECK(test::near(h(0, 1), 0, 1e-15));
    CHECK(test::near_relative(h(1, 1), a, 1e-14));
    CHECK(test::near_relative(problem.trace_on_manifold(theta.data()), a, 1e-15));
    const Eigen::VectorXd third = third_contraction(problem, theta, Eigen::VectorXd::Unit(2, 1));
    CHECK(test::near(third[0], slope, 1e-13));  // ∂_xyy L = a'
    CHECK(test::near(third[1], 0, 1e-15));
  };
  const double x = 0.6;
  check(UserValley<Quartic>{}, x, 1 + x * x * x * x, 4 * x * x * x);
  check(UserValley<SineSteepness>{{3, -2}}, x, 3 - 2 * std::sin(x), -2 * std::cos(x));
  check(UserValley<QuadraticSteepness>{{2, 0.5}}, x, 2 + 0.5 * x * x, x);
  check(UserValley<ExponentialSteepness>{{0.5, -1}}, x, 0.5 * std::exp(-x), -0.5 * std::exp(-x));
}

TEST_CASE("walls that are not steep everywhere are refused") {
  CHECK_THROWS_WITH_AS((UserValley<SineSteepness>{{1, -1}}),
                       "sine steepness: mean - |amplitude| > 0 is violated by 0", std::invalid_argument);
  CHECK_THROWS_AS((UserValley<QuadraticSteepness>{{0, 1}}), std::invalid_argument);
  CHECK_THROWS_AS((UserValley<QuadraticSteepness>{{1, -1}}), std::invalid_argument);
  CHECK_THROWS_AS((UserValley<ExponentialSteepness>{{-1, 1}}), std::invalid_argument);
  CHECK_THROWS_AS((UserValley<SineSteepness>{{std::nan(""), 1}}), std::invalid_argument);
}
