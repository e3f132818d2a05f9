// Claims about heavy ball: v ← βv + g, θ ← θ − ηv, with the workers' buffers kept, averaged or reset at an
// average. η_e = η/(1−β), and slow time is η_e² per step.
#include <array>
#include <cmath>
#include <string>
#include <vector>

#include "slowsde/experiments/builtin_claims.hpp"
#include "slowsde/experiments/claim_measurements.hpp"
#include "slowsde/experiments/wrong_moments.hpp"
#include "slowsde/optim/effective_rate_moment.hpp"
#include "slowsde/optim/finite_step_moment.hpp"
#include "slowsde/optim/heavy_ball_moment.hpp"
#include "slowsde/optim/psi_moment.hpp"
#include "slowsde/problems/circle.hpp"
#include "slowsde/problems/valley.hpp"
#include "slowsde/sde/closed_forms.hpp"

namespace slowsde {
namespace {

constexpr int K = 4;
constexpr double x0 = 1.5;

/// η for a given η_e.
constexpr double raw(double effective, double beta) { return effective * (1 - beta); }

LocalSgd heavy_ball(const Round& round, double t, BufferPolicy buffers) {
  const double eta_e = round.eta / (1 - round.momentum);
  LocalSgd algorithm = local_sgd(round, 1);
  algorithm.momentum = round.momentum;
  algorithm.buffers = buffers;
  algorithm.total_steps = std::llround(t / (eta_e * eta_e));
  return algorithm;
}

/// A slow time beyond any run: what is recorded then is recorded at the end.
constexpr double at_end = 1e6;

Measured valley_end(ClaimRun& run, const Round& round, double t, double sigma, BufferPolicy buffers,
                    std::size_t replicas) {
  return mean_at_end<NoiseKind::label>(
      Valley{}, heavy_ball(round, t, buffers), {x0, 0}, at_end,
      {.replicas = replicas, .seed = run.next_seed(), .sigma = sigma, .threads = run.threads()},
      [](const double* zeta) { return zeta[0]; });
}

Measured ode(const SecondMoment& moment, const Round& round, double t) {
  return Measured::exact(valley_ode(valley_curvature(), moment, 1, round, x0, t));
}

// --- the limit η → 0

template <class Steps>
Measured limit(ClaimRun& run, double largest, double t, double beta, Steps steps, std::size_t quick) {
  const auto at = [&](double eta_e) {
    const Round round{.eta = raw(eta_e, beta), .local_steps = steps(eta_e), .workers = K, .momentum = beta};
    return valley_end(run, round, t, 1, BufferPolicy::kept, run.replicas(quick));
  };
  const double eta_e = run.full() ? largest / 2 : largest;
  const Measured first = at(eta_e), second = at(eta_e / 2);
  return extrapolate(first, second, at(eta_e / 4));
}

std::vector<Comparison> small_rates(ClaimRun& run) {
  constexpr double t = 2.048, eta_H = 0.4;
  const Measured sgd = limit(
      run, 0.08, t, 0.9, [](double) { return std::int64_t{1}; }, 3200);
  const Measured local = limit(
      run, 0.04, t, 0.5, [&](double eta_e) { return std::llround(eta_H / eta_e); }, 1600);
  const auto valley_at = [&](double slow_time) {
    return Measured::exact(valley_sgd(x0, 1, {.eta = 0.1, .workers = K}, slow_time));
  };
  const Round effective{.eta = 0.02, .local_steps = std::llround(eta_H / 0.02), .workers = K};
  Round slower = effective;
  slower.eta = raw(slower.eta, 0.5);
  const Measured of_psi = ode(PsiMoment(), effective, t);
  return {
      {.quantity = "E x of SGD with heavy ball β = 0.9 at t = η_e²k = 2.048, B = 4, η → 0",
       .prediction = "SGD's slow SDE at η_e = η/(1−β)",
       .measured = sgd,
       .predicted = valley_at(t),
       .effect = std::abs(x0 - valley_at(t).mean),
       .least_n = 3200,
       .rivals = {{"slow time η²k", valley_at(0.01 * t)},
                  {"slow time ηη_e·k, as if the buffer averaged the noise", valley_at(0.1 * t)},
                  {"slow time η_e²k/(1+β)", valley_at(t / 1.9)}}},
      {.quantity = "E x of Local SGD with heavy ball β = 0.5 at t = 2.048, K = 4, η_eH = 0.4, η → 0",
       .prediction = "ODE with 1 + (K−1)ψ(2η_eHλ)",
       .measured = local,
       .predicted = of_psi,
       .effect = std::abs(of_psi.mean - valley_at(t).mean),
       .least_n = 1600,
       .rivals = {
           {"ψ(2ηHλ)", ode(PsiMoment(), slower, t)}, {"ψ ≡ 0", valley_at(t)}, {"ψ ≡ 1", valley_at(K * t)}}}};
}

// --- finite η and H. The linearised second moment is exact as the noise vanishes at fixed (noise)²·t; what
// the ODE leaves out (transients, the buffers' lag, higher moments) is of relative order σ².

constexpr BufferPolicy policies[] = {BufferPolicy::averaged, BufferPolicy::kept, BufferPolicy::reset};
const char* policy_name(BufferPolicy buffers) {
  return buffers == BufferPolicy::averaged ? "averaged" : buffers == BufferPolicy::kept ? "kept" : "reset";
}

constexpr Round practical{.eta = 0.02, .local_steps = 8, .workers = K, .momentum = 0.8};

/// value(moment) of the right model, and of wrong ones as rivals.
template <class Value>
Comparison against_wrong_moments(std::string quantity, std::string prediction, BufferPolicy buffers,
                                 Measured measured, std::size_t least_n, Value value) {
  const HeavyBallMoment right(buffers);
  std::vector<Rival> rivals = {
      {"η_e in the finite-step moment", value(EffectiveRateMoment<FiniteStepMoment>())},
      {"η_e in ψ", value(EffectiveRateMoment<PsiMoment>())},
      {"H + 1", value(heavy_ball_of(buffers, 1, 0))},
      {"K for K − 1", value(heavy_ball_of(buffers, 0, 1))}};
  for (const BufferPolicy other : policies)
    if (other != buffers)
      rivals.push_back({std::string("buffers ") + policy_name(other), value(HeavyBallMoment(other))});
  return {.quantity = std::move(quantity) + ", buffers " + policy_name(buffers),
          .prediction = std::move(prediction),
          .measured = measured,
          .predicted = value(right),
          .effect = std::abs(rivals[0].predicted.mean - value(right).mean),
          .least_n = least_n,
          .rivals = std::move(rivals)};
}

std::vector<Comparison> on_the_valley(ClaimRun& run) {
  constexpr double sigma2_t = 2.56;
  std::vector<Comparison> comparisons;
  for (const BufferPolicy buffers : policies) {
    const auto at = [&](double sigma2) {
      return valley_end(run, practical, sigma2_t / sigma2, std::sqrt(sigma2), buffers, run.replicas(3200));
    };
    const double largest = run.full() ? 1.0 / 16 : 1.0 / 8;
    const Measured first = at(largest), second = at(largest / 2);
    comparisons.push_back(
        against_wrong_moments("E x where σ²t = 2.56, σ → 0, η = 0.02, β = 0.8, K = 4, H = 8",
                              "ODE with the moment of the recursion in (displacement, buffer)", buffers,
                              extrapolate(first, second, at(largest / 4)), 3200,
                              [&](const SecondMoment& moment) { return ode(moment, practical, sigma2_t); }));
  }
  return comparisons;
}

// On the circle B_loc takes the place of 1/σ².
constexpr double correlation = 0.8, t_per_sample = 1;

/// The angle at the end of a run, and its variance, each in its own units of slow time: E φ and Var
/// φ·K/(t/B_loc).
struct Turned {
  Measured mean, spread;
};

Turned circle(ClaimRun& run, int local_batch, BufferPolicy buffers, std::size_t replicas) {
  Round round = practical;
  round.local_batch = local_batch;
  const LocalSgd algorithm = heavy_ball(round, t_per_sample * local_batch, buffers);
  const IterateOptions options{.replicas = replicas, .seed = run.next_seed(), .threads = run.threads()};
  const auto angles = iterate_moments<NoiseKind::gaussian>(
      Circle{.correlation = correlation}, algorithm, {1, 0}, {at_end}, options, 1,
      [](const double* zeta, double* phi) { *phi = std::atan2(zeta[1], zeta[0]); });
  const std::int64_t H = round.local_steps;
  const auto passed = [&](std::int64_t k) {
    return buffers == BufferPolicy::reset ? 1 - std::pow(round.momentum, static_cast<double>(H - k % H)) : 1;
  };
  Moments squares;
  for (const double phi : angles.sample) {
    const double deviation = phi - angles.last().mean;
    squares.add(deviation * deviation);
  }
  return {mean_without_noise(angles.sample, total_noise(algorithm, options, passed)),
          K / t_per_sample * Measured::of(squares)};
}

std::vector<Comparison> on_the_circle(ClaimRun& run) {
  std::vector<Comparison> comparisons;
  for (const BufferPolicy buffers : policies) {
    const int smallest = run.full() ? 8 : 4;
    const Turned first = circle(run, smallest, buffers, run.replicas(3200)),
                 second = circle(run, 2 * smallest, buffers, run.replicas(3200)),
                 third = circle(run, 4 * smallest, buffers, run.replicas(3200));
    comparisons.push_back(against_wrong_moments(
        "E φ [rad] on the circle where t/B_loc = 1, B_loc → ∞, η = 0.02, β = 0.8, K = 4, H = 8",
        "−(c·t/B)·2c_ij of the pair of tangent and normal", buffers,
        extrapolate(first.mean, second.mean, third.mean), 3200, [](const SecondMoment& moment) {
          return Measured::exact(-correlation * t_per_sample / K * 2 * moment.coefficient(0, 2, practical));
        }));
    const double weight = HeavyBallMoment(buffers).diffusion_weight(practical),
                 passed = HeavyBallMoment(BufferPolicy::reset).diffusion_weight(practical);
    comparisons.push_back(
        {.quantity = std::string("Var φ·B/t on the circle, buffers ") + policy_name(buffers),
         .prediction = buffers == BufferPolicy::reset ? "mean over a round of (1−β^h)²" : "1",
         .measured = extrapolate(second.spread, third.spread),
         .predicted = Measured::exact(weight),
         .effect = 1 - passed,
         .least_n = 3200,
         .rivals = {{buffers == BufferPolicy::reset ? "1" : "what reset buffers let through",
                     Measured::exact(buffers == BufferPolicy::reset ? 1 : passed)},
                    {"B_loc for B", Measured::exact(K * weight)}}});
  }
  return comparisons;
}

// --- what the naive substitution η → η_e costs

/// A worker's E y²·K/η_e on the valley's line x = 0, where outputs are linear, λ = 1, and the moment exact.
Measured stationary_moment(ClaimRun& run, const Round& round, BufferPolicy buffers, std::size_t replicas) {
  constexpr std::int64_t warm = 20, rounds = 80;  // e^{−2η_eHλ} = e^{−2} of a start is left after a round
  LocalSgd algorithm = heavy_ball(round, 1, buffers);
  algorithm.total_steps = (warm + rounds) * round.local_steps;
  const Measured squares = means_inside_rounds<NoiseKind::label>(
      Valley{}, algorithm, {0, 0}, warm,
      {.replicas = replicas, .seed = run.next_seed(), .threads = run.threads()}, 1,
      [](const Pack<double>* theta, Pack<double>* square) { *square = theta[1] * theta[1]; })[0];
  return (K * (1 - round.momentum) / round.eta) * squares;
}

Comparison order_of_substitution(ClaimRun& run, std::string quantity, BufferPolicy buffers,
                                 const std::vector<Round>& rounds) {
  const EffectiveRateMoment<FiniteStepMoment> naive;
  std::vector<double> h;
  std::vector<Measured> measured, predicted;
  for (const Round& round : rounds) {
    h.push_back(static_cast<double>(round.local_steps) * (1 - round.momentum));
    const double substituted = naive.coefficient(1, 1, round);
    const Measured relative =
        (1 / substituted) * stationary_moment(run, round, buffers, run.replicas(1600)) - 1;
    measured.push_back(-1.0 * relative);
    predicted.push_back(Measured::exact(1 - HeavyBallMoment(buffers).coefficient(1, 1, round) / substituted));
  }
  return {.quantity = std::move(quantity),
          .prediction = "the exact recursion's at the same settings; −1 as H(1−β) → ∞",
          .measured = exponent(h, measured),
          .predicted = exponent(h, predicted),
          .effect = 0.5,
          .least_n = 1600,
          .rivals = {{"the substitution has no error of this order: −2", Measured::exact(-2)},
                     {"−1/2", Measured::exact(-0.5)},
                     {"an error that does not vanish: 0", Measured::exact(0)}}};
}

std::vector<Comparison> substitution(ClaimRun& run) {
  const auto round = [](std::int64_t H, double beta) {  // η_eH = 1
    return Round{
        .eta = raw(1.0 / static_cast<double>(H), beta), .local_steps = H, .workers = K, .momentum = beta};
  };
  return {order_of_substitution(
              run, "exponent in H of the moment's error with η_e for η, β = 0.9, η_eH = 1, buffers averaged",
              BufferPolicy::averaged, {round(20, 0.9), round(40, 0.9), round(80, 0.9), round(160, 0.9)}),
          order_of_substitution(
              run, "exponent in 1−β of the moment's error with η_e for η, H = 40, η_eH = 1, buffers kept",
              BufferPolicy::kept, {round(40, 0.9375), round(40, 0.875), round(40, 0.75), round(40, 0.5)})};
}

}  // namespace

void add_momentum_claims(Registry& registry) {
  registry.add_claim("heavy-ball-limit",
                     {.statement = "as η → 0 heavy ball has the slow SDE of plain (Local) SGD at η/(1−β)",
                      .source = "Wang et al. 2024; for Local SGD this project",
                      .comparisons = 2,
                      .measure = small_rates});
  registry.add_claim(
      "heavy-ball-valley",
      {.statement = "at finite η and H heavy ball drifts as the exact second moments for kept, "
                    "averaged and reset buffers say",
       .source = "this project",
       .comparisons = 3,
       .measure = on_the_valley});
  registry.add_claim("heavy-ball-circle",
                     {.statement = "heavy ball's cross terms and its diffusion are those of the treatment of "
                                   "the buffers at an average",
                      .source = "this project",
                      .comparisons = 6,
                      .measure = on_the_circle});
  registry.add_claim("heavy-ball-substitution",
                     {.statement = "η/(1−β) put for η into the theory without momentum is off by "
                                   "O(1/(H(1−β)))",
                      .source = "this project",
                      .comparisons = 2,
                      .measure = substitution});
}

}  // namespace slowsde
