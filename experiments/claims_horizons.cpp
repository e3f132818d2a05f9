// Claims about how long which theory holds: the conventional SDE for O(1/η) steps, where SGD and Local SGD do
// not differ, and the slow SDE for O(1/η²), where they do.
#include <algorithm>
#include <array>
#include <cmath>

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

/// The same of the conventional SDE of SGD.
Means sde(ClaimRun& run, double eta, int batch, std::size_t trajectories) {
  const Valley valley;
  const ConventionalSde<Valley, LabelNoise> equation(valley, LabelNoise{sigma}, eta, batch);
  EnsembleOptions options;
  options.trajectories = trajectories;
  options.seed = run.next_seed();
  options.output_times = {tau};
  options.max_step = 0.02;
  options.threads = run.threads();
  const auto moments = ensemble_moments<Pack<double>, BrownianPath>(
      PlatenWeak2{}, equation, options,
      [](std::size_t, double* x) { std::copy(off_manifold.begin(), off_manifold.end(), x); }, 2,
      [eta](const double* x, double* values) {
        values[0] = x[0];
        values[1] = x[1] * x[1] / eta;
      });
  return {Measured::of(moments.at(0, 0)), Measured::of(moments.at(0, 1))};
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
      limit(run, [&](double eta) { return iterates(run, eta, 1, n).x - sde(run, eta, K, n).x; });
  Measured energy, of_local_batch;
  {
    const double eta = run.full() ? 0.0125 : 0.025;
    const Means at_eta = iterates(run, 2 * eta, 1, n), at_half = iterates(run, eta, 1, n);
    energy = extrapolate(at_eta.energy - sde(run, 2 * eta, K, n).energy,
                         at_half.energy - sde(run, eta, K, n).energy);
    of_local_batch = at_half.energy - sde(run, eta, 1, n).energy;
  }
  const double gap = std::abs(slow_gap());
  return {{.quantity = "difference of E x, Local SGD (K = 4, ηH = 0.5) less SGD, after 2/η steps, η → 0",
           .prediction = "0",
           .measured = apart,
           .predicted = Measured::exact(0),
           .effect = gap,
           .margin = 0.05 * gap,  // a twentieth of what 4/η² steps make of it
           .least_n = 16000,
           .rivals = {{"the difference after 4/η² steps", Measured::exact(slow_gap())}}},
          {.quantity = "E x of SGD less that of its conventional SDE after 2/η steps, η → 0",
           .prediction = "0",
           .measured = error,
           .predicted = Measured::exact(0),
           .effect = gap,
           .margin = 0.05 * gap,
           .least_n = 16000,
           .rivals = {{"the slow drift after 4/η² steps",
                       Measured::exact(valley_sgd(x0, sigma, {.eta = 0.1, .workers = K}, time) - x0)}}},
          {.quantity = "E y²/η of SGD less that of its conventional SDE after 2/η steps, η → 0",
           .prediction = "0",
           .measured = energy,
           .predicted = Measured::exact(0),
           .effect = std::abs(of_local_batch.mean),
           .least_n = 16000,
           .rivals = {{"the noise of B_loc for B", Measured::exact(energy.mean - of_local_batch.mean)}}}};
}

std::vector<Comparison> long_runs(ClaimRun& run) {
  const std::size_t n = run.replicas(1600);
  const Measured apart = limit(run, [&](double eta) {
    return x_at_slow_time(run, eta, local_steps(eta), n) - x_at_slow_time(run, eta, 1, n);
  });
  const Measured sgd = limit(run, [&](double eta) { return x_at_slow_time(run, eta, 1, n); });
  const Round round{.eta = 0.1, .local_steps = 5, .workers = K};
  const Measured right = Measured::exact(slow_gap()),
                 drifted = Measured::exact(valley_sgd(x0, sigma, round, time));
  return {{.quantity = "difference of E x, Local SGD (K = 4, ηH = 0.5) less SGD, after 4/η² steps, η → 0",
           .prediction = "the slow SDEs",
           .measured = apart,
           .predicted = right,
           .effect = std::abs(right.mean),
           .least_n = 1600,
           .rivals = {{"no difference, as after O(1/η) steps", Measured::exact(0)},
                      {"ψ ≡ 1", Measured::exact(valley_qsr(x0, sigma, round, time) - drifted.mean)}}},
          {.quantity = "E x of SGD after 4/η² steps, η → 0",
           .prediction = "the slow SDE",
           .measured = sgd,
           .predicted = drifted,
           .effect = std::abs(x0 - drifted.mean),
           .least_n = 1600,
           // From a point of Γ the conventional SDE has no drift along it at leading order.
           .rivals = {{"no drift, as the conventional SDE's leading order has it", Measured::exact(x0)}}}};
}

}  // namespace

void add_horizon_claims(Registry& registry) {
  registry.add_claim(
      "short-runs",
      {.statement = "over O(1/η) steps SGD, Local SGD and the conventional SDE agree to leading order",
       .source = "Gu et al. 2023, Theorem 3.1; Li, Tai & E 2019",
       .comparisons = 3,
       .measure = short_runs});
  registry.add_claim(
      "long-runs",
      {.statement = "over O(1/η²) steps SGD drifts along the manifold and Local SGD parts from it as the "
                    "slow SDEs say",
       .source = "Gu et al. 2023, Theorems 3.2 and 3.3",
       .comparisons = 2,
       .measure = long_runs});
}

}  // namespace slowsde
