// ctest-labels: theory
#include "slowsde/sde/closed_forms.hpp"

#include <doctest/doctest.h>

#include <cmath>

#include "slowsde/optim/finite_step_moment.hpp"
#include "slowsde/optim/psi_moment.hpp"
#include "slowsde/optim/qsr_moment.hpp"
#include "slowsde/optim/sgd_moment.hpp"
#include "slowsde/problems/valley.hpp"
#include "tests/support/tolerance.hpp"
#include "tests/support/valley_oracle.hpp"

using namespace slowsde;
using test::near_relative;
using test::valley_eta_H_one;
using test::valley_oracle;
using test::valley_oracle_start;

namespace {

double ode(const SecondMoment& moment, const test::ValleyMeasurement& m) {
  return valley_ode(valley_curvature(), moment, 1, m.round(), valley_oracle_start, m.t);
}

}  // namespace

TEST_CASE("the slow ODEs of the valley have the published values") {
  CHECK(std::abs(valley_sgd(valley_oracle_start, 1, valley_oracle[0].round(), 4) -
                 test::valley_oracle_sgd_ode) <= 5e-5);
  for (const auto& m : valley_oracle) {
    CHECK(std::abs(ode(FiniteStepMoment(), m) - m.finite_step) <= 5.1e-5);
    if (m.psi > 0)
      CHECK(std::abs(valley_local_sgd(valley_oracle_start, 1, m.round(), m.t) - m.psi) <= 5.1e-5);
    if (m.qsr > 0) CHECK(std::abs(valley_qsr(valley_oracle_start, 1, m.round(), m.t) - m.qsr) <= 5.1e-5);
  }
  for (const auto& m : valley_eta_H_one)
    CHECK(std::abs(valley_local_sgd(valley_oracle_start, 1, m.round(), m.t) - m.psi) <= 5.1e-7);
}

TEST_CASE("the published iterates converge to the ψ ODE with weak order 1 in η, and refute wrong theories") {
  const double limit = valley_local_sgd(valley_oracle_start, 1, valley_eta_H_one[0].round(), 2);
  const auto error = [&](int k) { return limit - valley_eta_H_one[k].mean; };
  for (int k = 1; k < 4; ++k) CHECK(test::order(std::log2(error(k - 1) / error(k)), 1, 0.06));
  // Richardson's limit of the last two, and its standard error
  const double extrapolated = 2 * valley_eta_H_one[3].mean - valley_eta_H_one[2].mean;
  const double se = std::sqrt(5.0) * 6e-5;
  CHECK(std::abs(extrapolated - limit) <= 3 * se);
  Round wrong = valley_eta_H_one[0].round();
  const auto refuted = [&](double x) { return std::abs(extrapolated - x) >= 5 * se; };
  CHECK(refuted(valley_sgd(valley_oracle_start, 1, wrong, 2)));  // ψ ≡ 0
  CHECK(refuted(valley_qsr(valley_oracle_start, 1, wrong, 2)));  // ψ ≡ 1
  wrong.eta /= 2;
  CHECK(refuted(valley_local_sgd(valley_oracle_start, 1, wrong, 2)));  // ψ(ηHλ)
  wrong = valley_eta_H_one[0].round();
  const double K_for_K_minus_1 = valley_local_sgd(
      valley_oracle_start, 1, {.eta = wrong.eta, .local_steps = 10, .workers = 9}, 2 * 9.0 / 8);
  CHECK(refuted(K_for_K_minus_1));
}

TEST_CASE("the finite-step ODE is nearer to the published iterates than the papers'") {
  for (const auto& m : valley_eta_H_one)
    CHECK(std::abs(ode(FiniteStepMoment(), m) - m.mean) < 0.25 * std::abs(ode(PsiMoment(), m) - m.mean));
  for (const auto& m : {valley_oracle[0], valley_oracle[2]})
    CHECK(std::abs(ode(FiniteStepMoment(), m) - m.mean) < 0.25 * std::abs(ode(PsiMoment(), m) - m.mean));
}

TEST_CASE("the general valley ODE agrees with the valley's closed forms for every model") {
  for (const auto& m : valley_oracle) {
    const Round round = m.round();
    CHECK(near_relative(ode(SgdMoment(), m), valley_sgd(valley_oracle_start, 1, round, m.t), 1e-10));
    CHECK(near_relative(ode(QsrMoment(), m), valley_qsr(valley_oracle_start, 1, round, m.t), 1e-10));
    CHECK(near_relative(ode(PsiMoment(), m), valley_local_sgd(valley_oracle_start, 1, round, m.t), 1e-10));
  }
}

TEST_CASE("σ, B and t enter only as σ²t/B") {
  const Round round{.eta = 0.05, .local_steps = 20, .workers = 4, .local_batch = 1};
  Round batch = round;
  batch.local_batch = 3;
  const double x = valley_local_sgd(1.5, 1, round, 2);
  CHECK(near_relative(valley_local_sgd(1.5, 0.5, round, 8), x, 1e-10));
  CHECK(near_relative(valley_local_sgd(1.5, 1, batch, 6), x, 1e-10));
  CHECK(valley_local_sgd(1.5, 1, round, 0) == 1.5);
}

TEST_CASE("the valley's flow end by Lambert's W agrees with the problem's Φ by Newton's iteration") {
  for (double x : {-2.0, -0.3, 1e-3, 0.7, 1.5, 4.0})
    for (double y : {-1.2, 0.0, 0.05, 2.0}) {
      const double start[] = {x, y};
      double end[2];
      Valley().phi(start, end);
      const double xi = valley_flow_end(x, y);
      CHECK(near_relative(xi, end[0], 1e-12));
      CHECK(std::abs(std::log(xi / x) + (xi * xi - x * x + y * y) / 2) <= 1e-12);
    }
  CHECK(valley_flow_end(0, 1) == 0);
}

TEST_CASE("two valleys of constant trace: SGD and QSR stand still, Local SGD moves toward equal curvatures") {
  const Round round{.eta = 0.1, .local_steps = 4, .workers = 6};
  for (int samples : {1, 2}) {
    const auto curvatures = two_valleys_curvature(samples);
    for (double x : {-1.0, 0.3, 2.0})
      CHECK(near_relative(curvatures[0](x).value + curvatures[1](x).value, 8.0 / samples, 1e-14));
    CHECK(test::near(valley_ode(curvatures, SgdMoment(), 1, round, 0.5, 10), 0.5, 1e-12));
    CHECK(test::near(valley_ode(curvatures, QsrMoment(), 1, round, 0.5, 10), 0.5, 1e-12));
    // F is convex: tr F(2ηH𝓗) falls where the eigenvalues come together, toward x = π/2
    const double moved = valley_ode(curvatures, PsiMoment(), 1, round, 0.5, 10);
    CHECK(moved > 0.55);
    CHECK(moved < std::acos(0.0));
  }
  CHECK(valley_ode(two_valleys_curvature(1), PsiMoment(), 1, round, 0.5, 10) !=
        valley_ode(two_valleys_curvature(2), PsiMoment(), 1, round, 0.5, 10));
}

TEST_CASE("circle: the cross terms turn the mean angle 1 + (K−1)ψ(2ηH) times as fast as SGD's") {
  const Round sgd{.eta = 0.1, .local_batch = 2},
      local{.eta = 0.1, .local_steps = 10, .workers = 4, .local_batch = 2};
  CHECK(near_relative(circle_mean_angle(0.5, sgd, 3), -0.75, 1e-15));
  // 𝓗 = 2nnᵀ turns with the circle, so ∂_t∂_n∂_tL = 2, and the ordered pairs (n, t), (t, n) give
  // −½·2·2·c_nt·c/B
  const double c = PsiMoment().coefficient(0, 2, local);
  CHECK(near_relative(circle_mean_angle(0.5, local, 3), -0.5 * 3 / 8.0 * 2 * c, 1e-14));
}

TEST_CASE("sphere: the mean direction of SGD shrinks with half the rate (d−1)ν²/B") {
  CHECK(near_relative(sphere_sgd_mean(3, 0.5, {.eta = 0.1, .workers = 2}, 4), std::exp(-0.5), 1e-15));
  CHECK(sphere_sgd_mean(1, 0.5, {.eta = 0.1}, 4) == 1);
}
