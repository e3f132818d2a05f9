// Claims about how long which theory holds: the conventional SDE for O(1/η) steps, where SGD and Local SGD do
// not differ, and the slow SDE for O(1/η²), where they do.
#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "slowsde/experiments/builtin_claims.hpp"
#include "slowsde/experiments/claim_measurements.hpp"
#include "slowsde/problems/valley.hpp"
#include "slowsde/sde/closed_forms.hpp"
#include "slowsde/sde/conventional_sde.hpp"

namespace slowsde {
namespace {

constexpr int K = 4;
constexpr double tau = 2, sigma = 1, time = 4, x0 = 1.2;
constexpr std::array<double, 2> off_manifold{x0, 0.8}, on_manifold{x0, 0};

/// E x and E y²/η after ηk = τ.
struct Means {
  Measured x, energy;
};

Means iterates(ClaimRun& run, double eta, std::int64_t H, std::size_t replicas) {
  LocalSgd algorithm = local_sgd({.eta = eta, .local_steps = H, .workers = K}, 1);
  algorithm.total_steps = std::llround(tau / eta);
  // Recorded at a time beyond the run, which is then its end.
  const auto moments = iterate_moments<NoiseKind::label>(Valley{}, algorithm, off_manifold, {2 * tau * eta},
                                                         {.replicas = replicas,
                                                          .seed = run.next_seed(),
                                                          .sigma = sigma,
                                                          .project = false,
                                                          .threads = run.threads()},
                                                         2, [eta](const double* theta, double* values) {
                                                           values[0] = theta[0];
                                                           values[1] = theta[1] * theta[1] / eta;
                                                         });
  return {moments.last(0), moments.last(1)};
}

struct Equation {
  double eta;
  int batch = K;
  double end = tau;  ///< of the SDE's time ηk
  double step = 0.02;
  double noise = sigma;
};

/// Moments of observe(X, values) of the conventional SDE of SGD.
template <class Observe>
std::array<Measured, 2> conventional(ClaimRun& run, const Equation& e, const std::array<double, 2>& start,
                                     std::size_t trajectories, Observe observe) {
  const Valley valley;
  const ConventionalSde<Valley, LabelNoise> equation(valley, LabelNoise{e.noise}, e.eta, e.batch);
  EnsembleOptions options;
  options.trajectories = trajectories;
  options.seed = run.next_seed();
  options.output_times = {e.end};
  options.max_step = e.step;
  options.threads = run.threads();
  const auto moments = ensemble_moments<Pack<double>, BrownianPath>(
      PlatenWeak2{}, equation, options,
      [&](std::size_t, double* x) { std::copy(start.begin(), start.end(), x); }, 2, observe);
  return {Measured::of(moments.at(0, 0)), Measured::of(moments.at(0, 1))};
}

Means sde(ClaimRun& run, const Equation& e, std::size_t trajectories) {
  const auto [x, energy] =
      conventional(run, e, off_manifold, trajectories, [&](const double* state, double* values) {
        values[0] = state[0];
        values[1] = state[1] * state[1] / e.eta;
      });
  return {x, energy};
}

/// E x of Φ of the conventional SDE after 4/η² steps from a point of Γ.
Measured sde_at_slow_time(ClaimRun& run, double eta, std::size_t trajectories) {
  return conventional(run, {.eta = eta, .end = time / eta, .step = 0.05}, on_manifold, trajectories,
                      [](const double* state, double* values) {
                        double zeta[2];
                        Valley().phi(state, zeta);
                        values[0] = zeta[0];
                        values[1] = 0;
                      })[0];
}

Measured x_at_slow_time(ClaimRun& run, double eta, std::int64_t H, std::size_t replicas) {
  return mean_at_end<NoiseKind::label>(
      Valley{}, local_sgd({.eta = eta, .local_steps = H, .workers = K}, time), on_manifold, time,
      {.replicas = replicas, .seed = run.next_seed(), .sigma = sigma, .threads = run.threads()},
      [](const double* zeta) { return zeta[0]; });
}

/// f(η) at three learning rates, extrapolated to η = 0.
template <class F>
Measured limit(ClaimRun& run, F f) {
  const double largest = run.full() ? 0.05 : 0.1;
  const Measured first = f(largest), second = f(largest / 2);
  return extrapolate(first, second, f(largest / 4));
}

std::int64_t local_steps(double eta) { return std::llround(0.5 / eta); }

/// What the slow SDEs say of the difference of E x at slow time 4.
double slow_gap() {
  const Round round{.eta = 0.1, .local_steps = 5, .workers = K};
  return valley_local_sgd(x0, sigma, round, time) - valley_sgd(x0, sigma, round, time);
}

std::vector<Comparison> short_runs(ClaimRun& run) {
  const std::size_t n = run.replicas(16000);
  const Measured apart = limit(run, [&](double eta) {
    return iterates(run, eta, local_steps(eta), n).x - iterates(run, eta, 1, n).x;
  });
  const Measured error =
      limit(run, [&](double eta) { return iterates(run, eta, 1, n).x - sde(run, {.eta = eta}, n).x; });
  const double eta = run.full() ? 0.0125 : 0.025;
  const std::size_t of_energy = run.replicas(64000);
  const Means at_eta = iterates(run, 2 * eta, 1, of_energy), at_half = iterates(run, eta, 1, of_energy),
              right = sde(run, {.eta = eta}, of_energy);
  const Measured energy_apart =
      extrapolate(iterates(run, 2 * eta, local_steps(2 * eta), of_energy).energy - at_eta.energy,
                  iterates(run, eta, local_steps(eta), of_energy).energy - at_half.energy);
  const Measured energy = extrapolate(at_eta.energy - sde(run, {.eta = 2 * eta}, of_energy).energy,
                                      at_half.energy - right.energy);
  // Were another equation that of SGD, SGD less the right one would be it less the right one.
  const Equation wrong_batch{.eta = eta, .batch = 1},
      wrong_noise{.eta = eta, .noise = sigma * std::sqrt(0.02)}, early{.eta = eta, .end = tau / 10};
  const Means with_local_batch = sde(run, wrong_batch, n), with_small_noise = sde(run, wrong_noise, n),
              soon = sde(run, early, n);
  const Round round{.eta = 0.1, .local_steps = 5, .workers = K};
  const double gap = std::abs(slow_gap()), scale = std::abs((with_local_batch.energy - right.energy).mean);
  const auto vanishes = [](std::string quantity, const Measured& measured, double effect, double share,
                           std::vector<Rival> rivals) {
    return Comparison{.quantity = std::move(quantity),
                      .prediction = "0",
                      .measured = measured,
                      .predicted = Measured::exact(0),
                      .effect = effect,
                      .margin = share * effect,
                      .least_n = 16000,
                      .rivals = std::move(rivals)};
  };
  return {
      vanishes("difference of E x, Local SGD (K = 4, ηH = 0.5) less SGD, after 2/η steps, η → 0", apart, gap,
               0.05,  // a twentieth of what 4/η² steps make of it
               {{"the difference after 4/η² steps", Measured::exact(slow_gap())},
                {"the same with ψ ≡ 1",
                 Measured::exact(valley_qsr(x0, sigma, round, time) - valley_sgd(x0, sigma, round, time))}}),
      vanishes("difference of E y²/η of θ̄, Local SGD (K = 4, ηH = 0.5) less SGD, after 2/η steps, η → 0",
               energy_apart, scale, 0.1,
               {{"one worker's noise: B_loc for B", with_local_batch.energy - right.energy},
                {"averages take the noise away", Measured::exact(0) - right.energy}}),
      vanishes("E x of SGD less that of its conventional SDE after 2/η steps, η → 0", error, gap, 0.01,
               {{"the slow drift after 4/η² steps", Measured::exact(valley_sgd(x0, sigma, round, time) - x0)},
                {"a tenth of the time: 0.2/η steps", soon.x - right.x}}),
      vanishes("E y²/η of SGD less that of its conventional SDE after 2/η steps, η → 0", energy, scale, 0.1,
               {{"the noise of B_loc for B", with_local_batch.energy - right.energy},
                {"noise of size dt for √dt", with_small_noise.energy - right.energy}})};
}

std::vector<Comparison> long_runs(ClaimRun& run) {
  const std::size_t n = run.replicas(1600);
  const Measured local =
      limit(run, [&](double eta) { return x_at_slow_time(run, eta, local_steps(eta), n); });
  const Measured sgd = limit(run, [&](double eta) { return x_at_slow_time(run, eta, 1, n); });
  const Measured conventional = limit(run, [&](double eta) { return sde_at_slow_time(run, eta, n); });
  const Round round{.eta = 0.1, .local_steps = 5, .workers = K};
  const Measured right = Measured::exact(slow_gap()),
                 drifted = Measured::exact(valley_sgd(x0, sigma, round, time)),
                 of_qsr = Measured::exact(valley_qsr(x0, sigma, round, time));
  return {
      {.quantity = "difference of E x, Local SGD (K = 4, ηH = 0.5) less SGD, after 4/η² steps, η → 0",
       .prediction = "the slow SDEs",
       .measured = local - sgd,
       .predicted = right,
       .effect = std::abs(right.mean),
       .least_n = 1600,
       .rivals = {{"no difference, as after O(1/η) steps", Measured::exact(0)}, {"ψ ≡ 1", of_qsr - drifted}}},
      {.quantity = "E x of SGD after 4/η² steps, η → 0",
       .prediction = "the slow SDE",
       .measured = sgd,
       .predicted = drifted,
       .effect = std::abs(x0 - drifted.mean),
       .least_n = 1600,
       .rivals = {{"no drift along the manifold", Measured::exact(x0)},
                  {"the drift of Local SGD", drifted + right}}},
      {.quantity = "E x of SGD less that of its conventional SDE after 4/η² steps, η → 0",
       .prediction = "0: both have SGD's slow SDE",
       .measured = sgd - conventional,
       .predicted = Measured::exact(0),
       .effect = std::abs(right.mean),
       .margin = 0.1 * std::abs(right.mean),
       .least_n = 1600,
       .rivals = {{"the conventional SDE does not drift", drifted - Measured::exact(x0)},
                  {"it drifts as Local SGD does", Measured::exact(0) - right}}},
      {.quantity = "E x of Local SGD (K = 4, ηH = 0.5) less that of the same conventional SDE after 4/η² "
                   "steps, η → 0",
       .prediction = "the slow SDEs of Local SGD and SGD: the conventional SDE misses the difference",
       .measured = local - conventional,
       .predicted = right,
       .effect = std::abs(right.mean),
       .least_n = 1600,
       .rivals = {{"no difference, as after O(1/η) steps", Measured::exact(0)},
                  {"ψ ≡ 1", of_qsr - drifted}}}};
}

}  // namespace

void add_horizon_claims(Registry& registry) {
  registry.add_claim(
      "short-runs",
      {.statement = "over O(1/η) steps SGD, Local SGD and the conventional SDE agree to leading order",
       .source = "Gu et al. 2023, Theorem 3.1; Li, Tai & E 2019",
       .comparisons = 4,
       .measure = short_runs,
       .config = "when.toml"});
  registry.add_claim(
      "long-runs",
      {.statement = "over O(1/η²) steps SGD drifts along the manifold and Local SGD parts from it as the "
                    "slow SDEs say, while the conventional SDE, which is the same for both, stays with SGD",
       .source = "Gu et al. 2023, Section 3.1 and Theorems 3.2 and 3.3",
       .comparisons = 4,
       .measure = long_runs,
       .config = "when.toml"});
}

}  // namespace slowsde
