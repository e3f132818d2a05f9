// ctest-labels: theory
// Gradient noise that does not commute with 𝓗: the pairs i ≠ j of the slow drift, which label noise (Σ = σ²𝓗)
// never tests, against moments that are computed without an eigenbasis.
#include <doctest/doctest.h>

#include <Eigen/Dense>
#include <cmath>

#include "slowsde/optim/finite_step_moment.hpp"
#include "slowsde/optim/sgd_moment.hpp"
#include "slowsde/sde/dense_geometry.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;
using Eigen::Matrix2d;

namespace {

constexpr Round few{.eta = 0.05, .local_steps = 12, .workers = 4, .local_batch = 2};

/// L = ½yᵀN(x)y over Γ = {y = 0} with a normal Hessian N that turns along Γ, and noise S in y that does not
/// commute with it: pairs i ≠ j of different eigenvalues carry a good part of the drift.
struct TurningValley {
  static constexpr int dim = 3, noise_dim = 2;
  template <class T>
  T loss(const T* z) const {
    using std::cos;
    using std::sin;
    const T a = 2.0 + sin(z[0]), b = 0.7 * z[0], c = 5.0 + cos(z[0]);
    return 0.5 * (a * z[1] * z[1] + 2.0 * b * z[1] * z[2] + c * z[2] * z[2]);
  }
  template <class T>
  void noise_factor(const T*, T* S) const {
    for (int k = 0; k < 6; ++k) S[k] = T(0.0);
    S[2] = T(1.0);
    S[4] = T(0.6);
    S[5] = T(0.5);
  }
  static Matrix2d hessian(double x) {
    return (Matrix2d() << 2 + std::sin(x), 0.7 * x, 0.7 * x, 5 + std::cos(x)).finished();
  }
  static Matrix2d slope(double x) { return (Matrix2d() << std::cos(x), 0.7, 0.7, -std::sin(x)).finished(); }
  static Matrix2d noise() { return (Matrix2d() << 1, 0.6, 0.6, 0.36 + 0.25).finished(); }
};

/// mean_h C_h/η of Local SGD's recursion in matrices, run to its fixed point.
Matrix2d brute_force_moment(const Matrix2d& N, const Matrix2d& noise, const Round& round) {
  const Matrix2d I = Matrix2d::Identity(), T = I - round.eta * N;
  Matrix2d start = Matrix2d::Zero(), mean = start;
  for (int s = 0; s < 20000; ++s) {
    Matrix2d C = start, D = start;
    mean.setZero();
    for (std::int64_t h = 0; h < round.local_steps; ++h) {
      mean += C / static_cast<double>(round.local_steps);
      C = T * C * T + round.eta * round.eta / round.local_batch * noise;
      D = T * D * T;
    }
    start = C / round.workers + (1 - 1.0 / round.workers) * D;
  }
  return mean / round.eta;
}

}  // namespace

TEST_CASE("with noise that does not commute with 𝓗 the pairs i ≠ j are those of the matrix recursion") {
  const DenseGeometry<TurningValley> geometry({}, {.tangent_threshold = 1e-9});
  const FiniteStepMoment finite;
  const SgdMoment sgd;
  for (const double x : {-0.8, 0.4, 1.3}) {
    CAPTURE(x);
    const Eigen::Vector3d zeta(x, 0, 0);
    const auto p = geometry.at(zeta);
    // −½ ∇³L[Ā] along Γ is −½ ⟨N'(x), Ā⟩
    const auto velocity = [&](const Matrix2d& A) {
      return -0.5 * TurningValley::slope(x).cwiseProduct(A).sum();
    };
    for (const std::int64_t H : {1, 12}) {
      Round round = few;
      round.local_steps = H;
      const double expected =
          velocity(brute_force_moment(TurningValley::hessian(x), TurningValley::noise(), round));
      CHECK(test::near_relative(geometry.slow_drift(p, finite, round)[0], expected, 1e-9));
      // wrong: the diagonal alone
      auto diagonal = geometry.second_moment(p, finite, round);
      diagonal.A = Eigen::Matrix3d(diagonal.A.diagonal().asDiagonal());
      CHECK(std::abs(geometry.slow_drift(p, diagonal)[0] - expected) > 0.02 * std::abs(expected));
    }
    // SGD as η → 0: Ā solves NĀ + ĀN = Σ/B
    const Matrix2d N = TurningValley::hessian(x);
    const Eigen::Matrix3d lyapunov = (Eigen::Matrix3d() << 2 * N(0, 0), 2 * N(0, 1), 0, N(0, 1),
                                      N(0, 0) + N(1, 1), N(0, 1), 0, 2 * N(0, 1), 2 * N(1, 1))
                                         .finished();
    const Matrix2d noise = TurningValley::noise() / few.global_batch();
    const Eigen::Vector3d a =
        lyapunov.partialPivLu().solve(Eigen::Vector3d(noise(0, 0), noise(0, 1), noise(1, 1)));
    const Matrix2d A = (Matrix2d() << a[0], a[1], a[1], a[2]).finished();
    CHECK(test::near_relative(geometry.slow_drift(p, sgd, few)[0], velocity(A), 1e-10));
  }
}
