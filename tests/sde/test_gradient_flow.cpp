#include "slowsde/sde/gradient_flow.hpp"

#include <doctest/doctest.h>

#include "slowsde/problems/random_address.hpp"
#include "slowsde/problems/valley.hpp"
#include "tests/support/manifold_problems.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;

namespace {

double random(std::uint64_t index) { return normal_at(5, Stream::initial, 0, 0, index); }

/// Φ to the last digits that the explicit steppers reach.
GradientFlowOptions sharp() {
  GradientFlowOptions options;
  options.tolerance = 1e-13;
  options.switch_distance = 1e-5;
  return options;
}

/// A random start some distance from the manifold.
template <int d>
Eigen::Matrix<double, d, 1> start(const Eigen::Matrix<double, d, 1>& on, double spread, std::uint64_t which) {
  Eigen::Matrix<double, d, 1> x = on;
  for (int i = 0; i < d; ++i) x[i] += spread * random(16 * which + static_cast<std::uint64_t>(i));
  return x;
}

/// Runs `law(flow, point on Γ)` over problems and points.
template <class Law>
void over_problems(Law law) {
  law(GradientFlow<Valley>(Valley{}, sharp()), Eigen::Vector2d(0.8, 0.0));
  law(GradientFlow<test::CurvedValleyForTest>(test::CurvedValleyForTest{}, sharp()),
      Eigen::Vector2d(-0.7, 0.245));
  law(GradientFlow<test::CircleForTest>(test::CircleForTest{}, sharp()), Eigen::Vector2d(0.6, 0.8));
  law(GradientFlow<test::SphereForTest<3>>(test::SphereForTest<3>{}, sharp()),
      Eigen::Vector3d(2.0 / 3, 1.0 / 3, -2.0 / 3));
  law(GradientFlow<test::TwoValleysForTest<true>>(test::TwoValleysForTest<true>{}, sharp()),
      Eigen::Vector3d(0.4, 0.0, 0.0));
}

/// Σ_k μ_k ∂²f/∂u_k² over the eigenpairs of M, each by the central stencil of order 6.
template <class F, class Vector, class Matrix>
Vector second_difference(F f, const Vector& x, const Matrix& M, double h) {
  const Eigen::SelfAdjointEigenSolver<Matrix> eigen(M);
  Vector result = Vector::Zero();
  for (int k = 0; k < x.size(); ++k) {
    const Vector u = eigen.eigenvectors().col(k);
    Vector sum = -49.0 / 18 * f(x);
    const double weight[3] = {1.5, -0.15, 1.0 / 90};
    for (int j = 1; j <= 3; ++j) sum += weight[j - 1] * (f(x + j * h * u) + f(x - j * h * u));
    result += eigen.eigenvalues()[k] / (h * h) * sum;
  }
  return result;
}

}  // namespace

TEST_CASE("Φ by our stepper, by odeint and in closed form agree") {
  over_problems([](const auto& flow, const auto& on) {
    for (std::uint64_t which = 0; which < 6; ++which) {
      const auto x = start(on, 0.25, which);
      const auto stepped = flow.stepped(x), reference = flow.reference(x);
      REQUIRE(stepped.converged);
      REQUIRE(reference.converged);
      CHECK(stepped.residual <= 1e-12);
      CHECK(stepped.distance <= 1e-5);
      CHECK(stepped.steps > 3);
      CHECK((stepped.point - reference.point).norm() <= 2e-11);
      if constexpr (requires { flow.closed_form(x); })
        CHECK((stepped.point - flow.closed_form(x).point).norm() <= 2e-11);
    }
  });
  // The circle's flow is radial, and the sphere's.
  const Eigen::Vector2d x(0.3, -1.1);
  CHECK((GradientFlow<test::CircleForTest>()(x).point - x.normalized()).norm() <= 1e-10);
}

TEST_CASE("Newton's projection is not Φ: along Γ it errs by the square of the distance") {
  const GradientFlow<Valley> flow(Valley{}, sharp());
  double error[2];
  for (int level = 0; level < 2; ++level) {
    const Eigen::Vector2d x(0.8, level == 0 ? 0.1 : 0.05);
    const auto newton = project_to_manifold(flow.geometry(), x);
    REQUIRE(newton.converged);
    error[level] = (newton.point - flow(x).point).norm();
  }
  CHECK(error[0] > 1e-3);
  CHECK(test::order(std::log2(error[0] / error[1]), 2, 0.1));
}

TEST_CASE("Φ is constant along the gradient flow and the identity on Γ") {
  over_problems([](const auto& flow, const auto& on) {
    CHECK((flow.stepped(on).point - on).norm() <= 1e-14);
    auto x = start(on, 0.2, 7);
    const auto end = flow.stepped(x);
    // An independent integrator: 400 classical Runge–Kutta steps of the flow.
    const auto rate = [&](const auto& y) {
      auto g = y;
      gradient(flow.geometry().problem(), y.data(), g.data());
      return decltype(g)(-g);
    };
    const double h = 2e-3;
    for (int step = 0; step < 400; ++step) {
      const auto k1 = rate(x);
      const auto k2 = rate(decltype(x)(x + 0.5 * h * k1));
      const auto k3 = rate(decltype(x)(x + 0.5 * h * k2));
      const auto k4 = rate(decltype(x)(x + h * k3));
      x += h / 6 * (k1 + 2 * k2 + 2 * k3 + k4);
    }
    CHECK((flow.stepped(x).point - end.point).norm() <= 1e-10);
    CHECK((x - end.point).norm() > 1e-3);  // it had not arrived
  });
}

TEST_CASE("the handover to the expansion costs the cube of the distance") {
  double error[3];
  const Eigen::Vector2d x(-0.7, 0.6);
  const auto exact = GradientFlow<test::CurvedValleyForTest>(test::CurvedValleyForTest{}, sharp())(x).point;
  for (int level = 0; level < 3; ++level) {
    GradientFlowOptions options = sharp();
    options.switch_distance = 0.08 / (1 << level);
    const auto result = GradientFlow<test::CurvedValleyForTest>(test::CurvedValleyForTest{}, options)(x);
    REQUIRE(result.converged);
    error[level] = (result.point - exact).norm() / std::pow(result.distance, 3);
  }
  for (double e : error) {  // the error over distance³ is a constant of the problem
    CHECK(e < 1);
    CHECK(e > 1e-3);
  }
}

TEST_CASE("a lane's Φ does not depend on its neighbours, and lanes agree with single points") {
  over_problems([](const auto& flow, const auto& on) {
    constexpr int d = std::decay_t<decltype(on)>::RowsAtCompileTime;
    using Point = Eigen::Matrix<double, d, 1>;
    constexpr int W = 8;
    Pack<double, W> together[d], alone[d];
    for (int l = 0; l < W; ++l) {
      const Point x = start(on, 0.03 * (l + 1), static_cast<std::uint64_t>(20 + l));
      for (int i = 0; i < d; ++i) together[i].set(l, x[i]);
    }
    const Pack<double, W> x0[3] = {together[0], together[1], together[d - 1]};
    const auto report = flow.lanes(together);
    for (int l = 0; l < W; ++l) {
      CHECK(report.converged[l]);
      const Point x = start(on, 0.03 * (l + 1), static_cast<std::uint64_t>(20 + l));
      REQUIRE(x0[0][l] == x[0]);
      const auto single = flow.stepped(x);
      for (int i = 0; i < d; ++i) CHECK(test::near(together[i][l], single.point[i], 1e-11));
      // the same lane among others: itself everywhere, and one neighbour that diverges
      for (int i = 0; i < d; ++i) {
        alone[i] = Pack<double, W>(x[i]);
        alone[i].set((l + 1) % W, 1e200);
      }
      const auto other = flow.lanes(alone);
      CHECK_FALSE(other.converged[(l + 1) % W]);
      for (int i = 0; i < d; ++i) CHECK(test::exact(alone[i][l], together[i][l]));
    }
  });
}

TEST_CASE("a flow that cannot arrive says so") {
  GradientFlowOptions options;
  options.max_steps = 3;
  const Eigen::Vector2d x(0.5, 0.5);
  CHECK_FALSE(GradientFlow<Valley>(Valley{}, options).stepped(x).converged);
  CHECK_FALSE(GradientFlow<Valley>(Valley{}, options).reference(x).converged);
  CHECK_FALSE(GradientFlow<Valley>().stepped(Eigen::Vector2d(std::nan(""), 0.5)).converged);
  options.tolerance = 0;
  CHECK_THROWS_WITH_AS(GradientFlow<Valley>(Valley{}, options),
                       "gradient flow: tolerance > 0 is violated by 0", std::invalid_argument);
}

TEST_CASE("the first derivative of Φ on Γ is the projection on the tangent space") {
  over_problems([](const auto& flow, const auto& on) {
    constexpr int d = std::decay_t<decltype(on)>::RowsAtCompileTime;
    using Point = Eigen::Matrix<double, d, 1>;
    const auto P = flow.geometry().frame(on).tangent_projector();
    const double h = 1e-3;
    for (int j = 0; j < d; ++j) {
      const Point e = Point::Unit(j);
      const auto phi = [&](double s) { return Point(flow.stepped(on + s * e).point); };
      const Point derivative = (8 * (phi(h) - phi(-h)) - (phi(2 * h) - phi(-2 * h))) / (12 * h);
      CHECK((derivative - P.col(j)).norm() <= 1e-9);
    }
  });
}

TEST_CASE("the second derivative of Φ on Γ, in every block") {
  over_problems([](const auto& flow, const auto& on) {
    constexpr int d = std::decay_t<decltype(on)>::RowsAtCompileTime;
    using Point = Eigen::Matrix<double, d, 1>;
    using Matrix = Eigen::Matrix<double, d, d>;
    Matrix M;
    for (int i = 0; i < d; ++i)
      for (int j = 0; j <= i; ++j) M(i, j) = M(j, i) = random(static_cast<std::uint64_t>(100 + 10 * i + j));
    const auto p = flow.geometry().at(on);
    const Point exact = flow.geometry().phi_second_derivative(p, M);
    const Point measured =
        second_difference([&](const Point& x) { return Point(flow.stepped(x).point); }, on, M, 0.012);
    // roundoff of the stepper, 1e-13, over h²
    CHECK((exact - measured).norm() <= 1e-8 * exact.norm());
  });
  // Wrong forms on the curved valley: tangent–normal pairs counted once, and no normal–normal term.
  const GradientFlow<test::CurvedValleyForTest> flow(test::CurvedValleyForTest{}, sharp());
  const Eigen::Vector2d on(-0.7, 0.245);
  const auto p = flow.geometry().at(on);
  Eigen::Matrix2d M;
  M << 1, 0.6, 0.6, 0.8;
  const Eigen::Vector2d measured = second_difference(
      [&](const Eigen::Vector2d& x) { return Eigen::Vector2d(flow(x).point); }, on, M, 0.012);
  const Eigen::Vector2d t = p.V.col(0), n = p.V.col(1);
  const Eigen::Matrix2d cross = t.dot(M * n) * (t * n.transpose() + n * t.transpose());
  const Eigen::Matrix2d normal = n.dot(M * n) * n * n.transpose();
  const auto geometry = flow.geometry();
  CHECK((geometry.phi_second_derivative(p, M) - measured).norm() <= 1e-8 * measured.norm());
  CHECK((geometry.phi_second_derivative(p, M - 0.5 * cross) - measured).norm() > 0.05 * measured.norm());
  CHECK((geometry.phi_second_derivative(p, M - normal) - measured).norm() > 0.05 * measured.norm());
}
