#include "slowsde/problems/sphere.hpp"

#include <doctest/doctest.h>

#include <stdexcept>

#include "slowsde/problems/derivatives.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;

TEST_CASE("∇²L = 2xxᵀ on the sphere in any dimension") {
  const auto check = [](auto problem) {
    constexpr int d = decltype(problem)::dim;
    Eigen::VectorXd x = Eigen::VectorXd::LinSpaced(d, -0.4, 1.0);
    x.normalize();
    CHECK((hessian(problem, x) - 2 * x * x.transpose()).norm() <= 1e-14);
    std::vector<double> S(static_cast<std::size_t>(d) * d);
    problem.noise_factor(x.data(), S.data());
    for (int i = 0; i < d; ++i)
      for (int j = 0; j < d; ++j)
        CHECK(test::exact(S[static_cast<std::size_t>(i * d + j)], i == j ? problem.noise : 0.0));
  };
  check(Sphere<2>{0.3});
  check(Sphere<3>{});
  check(Sphere<10>{2});
}

TEST_CASE("negative or infinite noise is refused") {
  CHECK_NOTHROW(Sphere<3>{0}.check());
  CHECK_THROWS_WITH_AS(Sphere<3>{-1}.check(), "sphere: 0 <= noise < infinity is violated by -1",
                       std::invalid_argument);
  CHECK_THROWS_AS(Sphere<3>{HUGE_VAL}.check(), std::invalid_argument);
}
