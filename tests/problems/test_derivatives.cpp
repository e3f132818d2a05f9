#include "slowsde/problems/derivatives.hpp"

#include <doctest/doctest.h>

#include "slowsde/problems/valley.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;

namespace {

/// The valley as a bare loss: the derived quantities of both must agree.
struct BareValley {
  static constexpr int dim = 2;
  template <class T>
  T loss(const T* x) const {
    return 0.5 * (1.0 + x[0] * x[0]) * x[1] * x[1];
  }
};
static_assert(Problem<BareValley> && GeneralLoss<BareValley> && !LeastSquaresProblem<BareValley>);
static_assert(Problem<Valley> && LeastSquaresProblem<Valley> && HasSampleGradient<Valley> &&
              HasClosedPhi<Valley>);

}  // namespace

TEST_CASE("derivatives of the valley have their closed forms, from a loss and from a reverse pass") {
  const Eigen::Vector2d x(0.8, -0.3), u(0.6, 1.1);
  const double a = 1 + x[0] * x[0];
  const auto check = [&](const auto& problem) {
    CHECK(test::near(loss(problem, x.data()), 0.5 * a * x[1] * x[1], 1e-15));
    Eigen::Vector2d g;
    gradient(problem, x.data(), g.data());
    CHECK(test::near(g[0], x[0] * x[1] * x[1], 1e-15));
    CHECK(test::near(g[1], a * x[1], 1e-15));
    const Eigen::MatrixXd h = hessian(problem, x);
    CHECK(test::near(h(0, 0), x[1] * x[1], 1e-15));
    CHECK(test::near(h(0, 1), 2 * x[0] * x[1], 1e-15));
    CHECK(test::near(h(1, 1), a, 1e-15));
    // ∂_xxx = 0, ∂_xxy = 2y, ∂_xyy = 2x, ∂_yyy = 0
    const Eigen::VectorXd t = third_contraction(problem, x, Eigen::VectorXd(u));
    CHECK(test::near(t[0], 2 * u[0] * u[1] * 2 * x[1] + u[1] * u[1] * 2 * x[0], 1e-14));
    CHECK(test::near(t[1], u[0] * u[0] * 2 * x[1] + 2 * u[0] * u[1] * 2 * x[0], 1e-14));
  };
  check(BareValley{});
  check(Valley{});
}

TEST_CASE("the third contraction is the derivative of ⟨∇²L, M⟩") {
  const Valley problem;
  Eigen::Matrix2d M;
  M << 0.7, -0.4, -0.4, 1.3;
  for (const Eigen::Vector2d& x :
       {Eigen::Vector2d(0, 0), Eigen::Vector2d(1e-8, 1e-8), Eigen::Vector2d(1.2, -0.7)}) {
    const Eigen::VectorXd t = third_contraction_of_matrix(problem, x, M);
    for (int j = 0; j < 2; ++j) {
      const double step = 1e-4;
      const Eigen::VectorXd e = step * Eigen::VectorXd::Unit(2, j);
      const double up = hessian(problem, x + e).cwiseProduct(M).sum();
      const double down = hessian(problem, x - e).cwiseProduct(M).sum();
      CHECK(test::near(t[j], (up - down) / (2 * step), 1e-7));
    }
  }
}
