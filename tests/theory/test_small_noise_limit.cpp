// ctest-labels: theory
// σ → 0 at fixed σ²t and fixed η: the linearised second moment becomes exact, so the finite-step formula has
// no error left, while the formulas of η → 0 keep theirs. Everything that the slow ODE leaves out (noise of
// x, transients, rounds of finite length, higher moments) is of relative order σ².
#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "slowsde/optim/finite_step_moment.hpp"
#include "slowsde/optim/psi_moment.hpp"
#include "slowsde/optim/sgd_moment.hpp"
#include "slowsde/problems/valley.hpp"
#include "slowsde/sde/closed_forms.hpp"
#include "tests/support/ensemble.hpp"
#include "tests/support/wrong_moments.hpp"

using namespace slowsde;
using namespace slowsde::test;

namespace {

constexpr double x0 = 1.5, sigma2_t = 4, sigma2[] = {1.0 / 8, 1.0 / 16, 1.0 / 32};

/// Mean of x where σ²t = 4, for the three σ².
std::vector<Measured> iterates(const Round& round, std::uint64_t seed) {
  std::vector<Measured> x;
  for (double s2 : sigma2)
    x.push_back(mean_at_end<NoiseKind::label>(Valley{}, local_sgd(round, sigma2_t / s2), {x0, 0},
                                              sigma2_t / s2,
                                              {.replicas = 16000, .seed = seed++, .sigma = std::sqrt(s2)},
                                              [](const double* zeta) { return zeta[0]; }));
  return x;
}

double ode(const SecondMoment& moment, const Round& round) {
  return valley_ode(valley_curvature(), moment, 1, round, x0, sigma2_t);
}

void accept_finite_step(const Round& round, std::uint64_t seed,
                        const std::vector<std::pair<std::string, double>>& wrong) {
  const std::vector<Measured> x = iterates(round, seed);
  const Measured limit = extrapolate(x[0], x[1], x[2]);
  const double exact = ode(FiniteStepMoment(), round);
  MESSAGE("H = ", round.local_steps, ": ", x[0].mean, " ", x[1].mean, " ", x[2].mean, " -> ", limit.mean,
          " +- ", limit.se, ", finite-step ", exact);
  CHECK(z_of(limit - exact) <= 3);
  CHECK(z_of(x[0] - exact) >= 5);  // at the largest σ the remainder is there
  for (const auto& [name, value] : wrong) {
    CAPTURE(name);
    MESSAGE(name, " ", value, ": ", z_of_wrong(limit - value), " SE");
    CHECK(z_of_wrong(limit - value) >= 10);
  }
}

}  // namespace

// two comparisons at 3 SE: one false alarm in 190 runs

TEST_CASE("SGD: as σ → 0 at fixed σ²t the finite-step ODE is exact at ηλ = 0.65, and that of η → 0 is not") {
  const Round round{.eta = 0.2, .local_steps = 1, .workers = 4};
  accept_finite_step(round, 221,
                     {{"SGD as η → 0", ode(SgdMoment(), round)},
                      {"ψ at H = 1", ode(PsiMoment(), round)},
                      {"H + 1", ode(finite_step_of(1), round)}});
}

TEST_CASE("Local SGD: as σ → 0 at fixed σ²t the finite-step ODE is exact at ηH = 1, and ψ's is not") {
  const Round round{.eta = 0.2, .local_steps = 5, .workers = 4};
  accept_finite_step(round, 231,
                     {{"ψ", ode(PsiMoment(), round)},
                      {"ψ ≡ 0", ode(finite_step_of(-4), round)},
                      {"H + 1", ode(finite_step_of(1), round)},
                      {"H − 1", ode(finite_step_of(-1), round)},
                      {"K for K − 1", ode(finite_step_with_K(), round)}});
}
