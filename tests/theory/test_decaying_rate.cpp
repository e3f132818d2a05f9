// ctest-labels: theory
// A decaying learning rate: the second moment follows the η and H of the round under way, on t = Σ η_k².
#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "slowsde/optim/finite_step_moment.hpp"
#include "slowsde/problems/valley.hpp"
#include "slowsde/sde/closed_forms.hpp"
#include "tests/support/ensemble.hpp"

using namespace slowsde;
using namespace slowsde::test;

namespace {

constexpr int K = 4;
constexpr double x0 = 1.5, t = 4;
using RuleOf = std::function<std::shared_ptr<const SyncRule>(double peak)>;

/// Cosine from the peak to a twentieth of it, long enough for slow time t.
LocalSgd cosine(double peak, const RuleOf& rule) {
  LearningRateParams lr{.shape = LearningRateShape::cosine, .peak = peak, .end = peak / 20};
  lr.total_steps = steps_to_slow_time(lr, t);
  LocalSgd algorithm;
  algorithm.workers = K;
  algorithm.lr = LearningRate(lr);
  algorithm.rule = rule(peak);
  algorithm.total_steps = lr.total_steps;
  return algorithm;
}

double ode_over_rounds(const LocalSgd& algorithm) {
  const RoundClock clock(algorithm.lr, *algorithm.rule, algorithm.total_steps, {.eta = 1, .workers = K});
  double x = x0;
  for (std::size_t s = 0; s < clock.changes().size(); ++s) {
    const double begin = clock.changes()[s],
                 end = s + 1 < clock.changes().size() ? clock.changes()[s + 1] : clock.end();
    x = valley_ode(valley_curvature(), FiniteStepMoment(), 1, clock(begin), x, end - begin);
  }
  return x;
}

/// The same at one learning rate with the H that the rule gives it.
double ode_at(double eta, const LocalSgd& algorithm) {
  const Round round{
      .eta = eta, .local_steps = algorithm.rule->local_steps(0, eta, algorithm.total_steps), .workers = K};
  const double end = RoundClock(algorithm.lr, *algorithm.rule, algorithm.total_steps, round).end();
  return valley_ode(valley_curvature(), FiniteStepMoment(), 1, round, x0, end);
}

void check(const RuleOf& rule, std::uint64_t seed) {
  std::vector<Measured> right, peak_rate, rms_rate, no_local_steps;
  for (double peak : {0.1, 0.05, 0.025}) {
    const LocalSgd algorithm = cosine(peak, rule);
    const double end = 2 * t;  // later than the run's end, where it is recorded then
    const auto moments = iterate_moments<NoiseKind::label>(
        Valley{}, algorithm, {x0, 0}, {end}, {.replicas = 8000, .seed = seed++}, 1,
        [](const double* zeta, double* x) { *x = zeta[0]; });
    REQUIRE(moments.points[0].steps == algorithm.total_steps);
    const Measured x = moments.last();
    const double rms = std::sqrt(moments.points[0].t / static_cast<double>(algorithm.total_steps));
    right.push_back(x - ode_over_rounds(algorithm));
    peak_rate.push_back(x - ode_at(peak, algorithm));
    rms_rate.push_back(x - ode_at(rms, algorithm));
    no_local_steps.push_back(x - valley_sgd(x0, 1, {.eta = peak, .workers = K}, moments.points[0].t));
    MESSAGE("peak ", peak, ": x ", x.mean, " +- ", x.se, ", less the model of the rounds ",
            right.back().mean);
  }
  const auto limit = [](const std::vector<Measured>& d) { return extrapolate(d[0], d[1], d[2]); };
  MESSAGE("limits: right ", limit(right).mean, " +- ", limit(right).se, ", peak ",
          z_of_wrong(limit(peak_rate)), " SE, rms ", z_of_wrong(limit(rms_rate)), " SE, ψ ≡ 0 ",
          z_of_wrong(limit(no_local_steps)), " SE");
  CHECK(z_of(limit(right)) <= 4);
  CHECK(z_of_wrong(limit(no_local_steps)) >= 10);
  // at the smallest rate, beyond what is left of the right model there
  for (const auto& wrong : {peak_rate, rms_rate}) {
    CHECK(z_of_wrong(limit(wrong)) >= 10);
    CHECK(std::abs(wrong[2].mean) >= 5 * std::abs(right[2].mean));
  }
}

}  // namespace

// |z| ≤ 4 in two comparisons: one false alarm in 8000 runs

TEST_CASE("cosine with constant H: the round's own η enters the second moment, not the peak or rms") {
  check([](double peak) { return std::make_shared<ConstantRule>(std::llround(0.4 / peak)); }, 331);
}

TEST_CASE("cosine with H = (α/η)²: the round's own H enters the second moment") {
  check([](double) { return std::make_shared<PowerRule>(PowerRuleParams{.alpha = 0.1, .base_steps = 1}); },
        341);
}
