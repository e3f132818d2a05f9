// ctest-labels: theory
// Iterates of the valley against measurements published by others, and against the slow ODEs.
#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <vector>

#include "slowsde/experiments/wrong_moments.hpp"
#include "slowsde/optim/finite_step_moment.hpp"
#include "slowsde/optim/psi_moment.hpp"
#include "slowsde/optim/qsr_moment.hpp"
#include "slowsde/optim/sgd_moment.hpp"
#include "slowsde/problems/valley.hpp"
#include "slowsde/sde/closed_forms.hpp"
#include "tests/support/ensemble.hpp"
#include "tests/support/valley_oracle.hpp"

using namespace slowsde;
using namespace slowsde::test;

namespace {

Measured x_of_iterates(const ValleyMeasurement& setting, std::size_t replicas, std::uint64_t seed) {
  return mean_at_end<NoiseKind::label>(
      Valley{}, local_sgd(setting.round(), setting.t), {valley_oracle_start, 0}, setting.t,
      {.replicas = replicas, .seed = seed}, [](const double* zeta) { return zeta[0]; });
}

double ode(const SecondMoment& moment, const ValleyMeasurement& setting) {
  return valley_ode(valley_curvature(), moment, 1, setting.round(), valley_oracle_start, setting.t);
}

}  // namespace

// |z| ≤ 4 in eight comparisons: one false alarm in 2000 runs

TEST_CASE("the iterates reproduce the published means of the valley, and no simpler theory does") {
  const std::size_t replicas[] = {30000, 12000, 4800};
  for (std::size_t s = 0; s < 3; ++s) {
    const ValleyMeasurement& published = valley_oracle[s];
    const Measured x = x_of_iterates(published, replicas[s], 201 + s);
    CAPTURE(s);
    MESSAGE("x = ", x.mean, " +- ", x.se, ", published ", published.mean);
    CHECK(z_of(x - Measured{published.mean, published.standard_error}) <= 4);

    CHECK(near(ode(FiniteStepMoment(), published), published.finite_step, 6e-5));
    if (published.psi > 0) CHECK(near(ode(PsiMoment(), published), published.psi, 6e-5));
    if (published.qsr > 0) CHECK(near(ode(QsrMoment(), published), published.qsr, 6e-5));

    CHECK(z_of_wrong(x - ode(SgdMoment(), published)) >= 5);  // ψ ≡ 0; at H = 1: no finite step
    CHECK(z_of_wrong(x - ode(QsrMoment(), published)) >= 5);  // ψ ≡ 1, which is B_loc for B
    CHECK(z_of_wrong(x - ode(PsiMoment(), published)) >= 5);  // η too large for it at all three
  }
}

TEST_CASE("at ηH = 1 the iterates reproduce the published series and tend to the ψ ODE as η → 0") {
  const std::size_t replicas[] = {120000, 60000, 30000, 10000};
  std::vector<Measured> x;
  for (std::size_t s = 0; s < 4; ++s) {
    const ValleyMeasurement& published = valley_eta_H_one[s];
    x.push_back(x_of_iterates(published, replicas[s], 211 + s));
    CAPTURE(published.eta);
    MESSAGE("x = ", x[s].mean, " +- ", x[s].se, ", published ", published.mean);
    CHECK(z_of(x[s] - Measured{published.mean, published.standard_error}) <= 4);
  }
  const Measured limit = extrapolate(x[1], x[2], x[3]);
  const ValleyMeasurement& setting = valley_eta_H_one[3];
  MESSAGE("limit ", limit.mean, " +- ", limit.se, ", ψ ", ode(PsiMoment(), setting));
  CHECK(z_of(limit - ode(PsiMoment(), setting)) <= 4);
  CHECK(z_of_wrong(limit - ode(wrong_psi(1, 1), setting)) >= 5);    // K for K − 1
  CHECK(z_of_wrong(limit - ode(wrong_psi(0, 0.5), setting)) >= 5);  // ψ(ηHλ) for ψ(2ηHλ)
  CHECK(z_of_wrong(limit - ode(SgdMoment(), setting)) >= 5);        // ψ ≡ 0
  CHECK(z_of_wrong(limit - ode(QsrMoment(), setting)) >= 5);        // ψ ≡ 1
  CHECK(order(std::log2((ode(PsiMoment(), setting) - x[0].mean) / (ode(PsiMoment(), setting) - x[1].mean)), 1,
              0.1));  // weak order 1
}
