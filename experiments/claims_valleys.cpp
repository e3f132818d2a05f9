// Claims on valleys with label noise, whose slow SDEs are ODEs in one variable x.
#include <cmath>
#include <functional>
#include <memory>

#include "slowsde/experiments/builtin_claims.hpp"
#include "slowsde/experiments/claim_measurements.hpp"
#include "slowsde/experiments/wrong_moments.hpp"
#include "slowsde/optim/finite_step_moment.hpp"
#include "slowsde/optim/psi_moment.hpp"
#include "slowsde/optim/qsr_moment.hpp"
#include "slowsde/optim/sgd_moment.hpp"
#include "slowsde/problems/two_valleys.hpp"
#include "slowsde/problems/valley.hpp"
#include "slowsde/sde/closed_forms.hpp"

namespace slowsde {
namespace {

constexpr int K = 4;
constexpr double x0 = 1.5, t = 2;

Measured x_at_end(ClaimRun& run, const Round& round, std::size_t replicas) {
  return mean_at_end<NoiseKind::label>(
      Valley{}, local_sgd(round, t), {x0, 0}, t,
      {.replicas = replicas, .seed = run.next_seed(), .threads = run.threads()},
      [](const double* zeta) { return zeta[0]; });
}

/// E x as η → 0, free of the terms in η and η², with H(η) local steps.
template <class Steps>
Measured limit(ClaimRun& run, double eta, Steps steps, std::size_t quick) {
  const auto at = [&](double e) {
    return x_at_end(run, {.eta = e, .local_steps = std::llround(steps(e)), .workers = K},
                    run.replicas(quick));
  };
  const Measured first = at(eta), second = at(eta / 2);
  return extrapolate(first, second, at(eta / 4));
}

Measured ode(const SecondMoment& moment, const Round& round) {
  return Measured::exact(valley_ode(valley_curvature(), moment, 1, round, x0, t));
}

std::vector<Comparison> drift_ratio(ClaimRun& run) {
  const double eta_H = 0.4, alpha2 = 0.1024, smallest = 0.02;
  const Round round{.eta = smallest, .local_steps = std::llround(eta_H / smallest), .workers = K};
  const Round many{.eta = smallest, .local_steps = round.local_steps, .workers = K, .local_batch = 1};
  const Measured sgd = limit(
      run, 0.08, [](double) { return 1.0; }, 3200);
  const Measured local = limit(
      run, 0.08, [&](double eta) { return eta_H / eta; }, 3200);
  const Measured qsr = limit(
      run, 0.08, [&](double eta) { return alpha2 / (eta * eta); }, 1600);
  const Measured of_sgd = ode(SgdMoment(), many), of_psi = ode(PsiMoment(), round),
                 of_qsr = ode(QsrMoment(), many);
  return {{.quantity = "E x of SGD at t = 2, B = 4",
           .prediction = "x0 exp(−σ²t/2B)",
           .measured = sgd,
           .predicted = of_sgd,
           .effect = std::abs(x0 - of_sgd.mean),
           .least_n = 3000,
           .rivals = {{"the drift of QSR", of_qsr}, {"no drift", Measured::exact(x0)}}},
          {.quantity = "E x of Local SGD at t = 2, K = 4, ηH = 0.4",
           .prediction = "ODE with 1 + (K−1)ψ(2ηHλ)",
           .measured = local,
           .predicted = of_psi,
           .effect = std::abs(of_sgd.mean - of_psi.mean),
           .least_n = 3000,
           .rivals = {{"ψ ≡ 0", of_sgd},
                      {"ψ ≡ 1", of_qsr},
                      {"K for K − 1", ode(wrong_psi(1, 1), round)},
                      {"ψ(ηHλ) for ψ(2ηHλ)", ode(wrong_psi(0, 0.5), round)}}},
          {.quantity = "E x of Local SGD at t = 2, K = 4, α² = η²H = 0.1",
           .prediction = "x0 exp(−Kσ²t/2B)",
           .measured = qsr,
           .predicted = of_qsr,
           .effect = std::abs(of_sgd.mean - of_qsr.mean),
           .least_n = 1500,
           .rivals = {{"ψ ≡ 0", of_sgd},
                      {"the drift at ηH = 0.4", of_psi},
                      {"K + 1 for K", Measured::exact(x0 * std::exp(-(K + 1) * t / (2 * K)))}}}};
}

// --- σ → 0 at fixed σ²t and η: the linearised second moment becomes exact. What the slow ODE leaves out
// (noise of x, transients, rounds of finite length, higher moments) is of relative order σ².

constexpr double sigma2_t = 4;

Measured small_noise_limit(ClaimRun& run, const Round& round) {
  const auto at = [&](double sigma2) {
    return mean_at_end<NoiseKind::label>(Valley{}, local_sgd(round, sigma2_t / sigma2), {x0, 0},
                                         sigma2_t / sigma2,
                                         {.replicas = run.replicas(6400),
                                          .seed = run.next_seed(),
                                          .sigma = std::sqrt(sigma2),
                                          .threads = run.threads()},
                                         [](const double* zeta) { return zeta[0]; });
  };
  const double largest = run.full() ? 1.0 / 16 : 1.0 / 8;
  const Measured first = at(largest), second = at(largest / 2);
  return extrapolate(first, second, at(largest / 4));
}

std::vector<Comparison> finite_step(ClaimRun& run) {
  const auto ode = [](const SecondMoment& moment, const Round& round) {
    return Measured::exact(valley_ode(valley_curvature(), moment, 1, round, x0, sigma2_t));
  };
  const auto compare = [&](const char* quantity, const Round& round, std::vector<Rival> rivals) {
    const Measured right = ode(FiniteStepMoment(), round);
    return Comparison{.quantity = quantity,
                      .prediction = "ODE with the finite-step moment",
                      .measured = small_noise_limit(run, round),
                      .predicted = right,
                      .effect = std::abs(right.mean - ode(PsiMoment(), round).mean),
                      .least_n = 6400,
                      .rivals = std::move(rivals)};
  };
  const Round sgd{.eta = 0.2, .local_steps = 1, .workers = K},
      few{.eta = 0.2, .local_steps = 5, .workers = K}, many{.eta = 0.2, .local_steps = 40, .workers = K};
  return {compare("E x of SGD where σ²t = 4, σ → 0, η = 0.2 (ηλ = 0.65)", sgd,
                  {{"SGD as η → 0", ode(SgdMoment(), sgd)},
                   {"ψ at H = 1", ode(PsiMoment(), sgd)},
                   {"H + 1", ode(finite_step_of(1), sgd)}}),
          compare("E x of Local SGD where σ²t = 4, σ → 0, η = 0.2, K = 4, H = 5", few,
                  {{"ψ", ode(PsiMoment(), few)},
                   {"ψ ≡ 0", ode(finite_step_of(-4), few)},
                   {"H + 1", ode(finite_step_of(1), few)},
                   {"H − 1", ode(finite_step_of(-1), few)},
                   {"K for K − 1", ode(finite_step_with_K(), few)}}),
          compare("E x of Local SGD where σ²t = 4, σ → 0, η = 0.2, K = 4, H = 40", many,
                  {{"ψ", ode(PsiMoment(), many)},
                   {"ψ ≡ 1 as η → 0", ode(QsrMoment(), many)},
                   {"K for K − 1", ode(finite_step_with_K(), many)}})};
}

// --- a decaying learning rate

/// Cosine from the peak to a twentieth of it, long enough for slow time 4.
LocalSgd cosine(double peak, std::shared_ptr<const SyncRule> rule) {
  LearningRateParams lr{.shape = LearningRateShape::cosine, .peak = peak, .end = peak / 20};
  lr.total_steps = steps_to_slow_time(lr, 4);
  LocalSgd algorithm;
  algorithm.workers = K;
  algorithm.lr = LearningRate(lr);
  algorithm.rule = std::move(rule);
  algorithm.total_steps = lr.total_steps;
  return algorithm;
}

/// The ODE with the η and H of the round under way.
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

/// Measured less modelled x, as the peak → 0: 0 for a right model.
Comparison decaying(ClaimRun& run, const char* quantity,
                    const std::function<std::shared_ptr<const SyncRule>(double)>& rule) {
  std::vector<Measured> right, at_peak, at_rms, no_local_steps;
  const double largest = run.full() ? 0.05 : 0.1;
  double effect = 0;
  for (const double peak : {largest, largest / 2, largest / 4}) {
    const LocalSgd algorithm = cosine(peak, rule(peak));
    // Recorded at a time beyond the run, which is then its end.
    const auto moments = iterate_moments<NoiseKind::label>(
        Valley{}, algorithm, {x0, 0}, {8.0},
        {.replicas = run.replicas(3200), .seed = run.next_seed(), .threads = run.threads()}, 1,
        [](const double* zeta, double* x) { *x = zeta[0]; });
    const Measured x = moments.last();
    const double t_end = moments.points[0].t, sgd = valley_sgd(x0, 1, {.eta = peak, .workers = K}, t_end);
    right.push_back(x - ode_over_rounds(algorithm));
    at_peak.push_back(x - ode_at(peak, algorithm));
    at_rms.push_back(x - ode_at(std::sqrt(t_end / static_cast<double>(algorithm.total_steps)), algorithm));
    no_local_steps.push_back(x - sgd);
    effect = std::abs(ode_over_rounds(algorithm) - ode_at(peak, algorithm));
  }
  const auto limit = [](const std::vector<Measured>& d) { return extrapolate(d[0], d[1], d[2]); };
  const Measured zero = limit(right);
  // A wrong model differs from the right one by a number, not by chance.
  const auto rival = [&](const std::vector<Measured>& d) {
    return Measured::exact(zero.mean - limit(d).mean);
  };
  return {.quantity = quantity,
          .prediction = "the η and H of the round under way in the finite-step moment, t = Σ η²",
          .measured = zero,
          .predicted = Measured::exact(0),
          .effect = effect,
          .least_n = 3200,
          .rivals = {{"the peak learning rate", rival(at_peak)},
                     {"the root-mean-square learning rate", rival(at_rms)},
                     {"ψ ≡ 0", rival(no_local_steps)}}};
}

std::vector<Comparison> decaying_rate(ClaimRun& run) {
  return {decaying(run, "measured less predicted E x, cosine lr, t = 4, H = 0.4/peak",
                   [](double peak) { return std::make_shared<ConstantRule>(std::llround(0.4 / peak)); }),
          decaying(run, "measured less predicted E x, cosine lr, t = 4, H = (0.1/η)²", [](double) {
            return std::make_shared<PowerRule>(PowerRuleParams{.alpha = 0.1, .base_steps = 1});
          })};
}

// --- two valleys whose trace of ∇²L is constant along Γ

constexpr double start = 0.5, time = 4;

template <int Samples>
std::vector<Comparison> two_valleys(ClaimRun& run) {
  constexpr double alpha2 = 0.1024, eta_H = 0.24 * Samples;
  const auto limit = [&](auto steps, std::size_t quick) {
    const auto at = [&](double eta) {
      const Round round{.eta = eta, .local_steps = std::llround(steps(eta)), .workers = K};
      return mean_at_end<NoiseKind::label>(
          TwoValleys<Samples>(), local_sgd(round, time), {start, 0, 0}, time,
          {.replicas = run.replicas(quick), .seed = run.next_seed(), .threads = run.threads()},
          [](const double* zeta) { return zeta[0] - start; });
    };
    const double largest = run.full() ? 0.04 : 0.08;
    const Measured first = at(largest), second = at(largest / 2);
    return extrapolate(first, second, at(largest / 4));
  };
  const Round round{.eta = 0.02, .local_steps = std::llround(eta_H / 0.02), .workers = K};
  const auto ode = [&](const SecondMoment& moment) {
    return Measured::exact(valley_ode(two_valleys_curvature(Samples), moment, 1, round, start, time) - start);
  };
  const Measured moved = ode(PsiMoment());
  std::vector<Rival> rivals = {{"ψ ≡ 0 or ψ ≡ 1: it stands still", Measured::exact(0)},
                               {"ψ(ηHλ) for ψ(2ηHλ)", ode(wrong_psi(0, 0.5))},
                               {"K for K − 1", ode(wrong_psi(1, 1))}};
  if (Samples > 1) rivals.push_back({"1/n dropped inside ψ", ode(wrong_psi(0, Samples))});
  const std::vector<Rival> moving = {
      {"the drift of Local SGD", moved},
      {"the drift of Local SGD with half of H: ψ(ηHλ) for ψ(2ηHλ)", ode(wrong_psi(0, 0.5))}};
  const std::string setting = Samples > 1 ? ", n = 2, C = 1" : ", n = 1, C = 2";
  return {{.quantity = "change of E x by Local SGD, t = 4, K = 4, ηH = " +
                       std::string(Samples > 1 ? "0.48" : "0.24") + setting,
           .prediction = "ODE with ψ for each eigenvalue",
           .measured = limit([&](double eta) { return eta_H / eta; }, 1600),
           .predicted = moved,
           .effect = std::abs(moved.mean),
           .least_n = 1600,
           .rivals = std::move(rivals)},
          {.quantity = "change of E x by SGD, t = 4" + setting,
           .prediction = "0: the trace is constant",
           .measured = limit([](double) { return 1.0; }, 800),
           .predicted = ode(SgdMoment()),
           .effect = std::abs(moved.mean),
           .margin = 0.1 * std::abs(moved.mean),
           .least_n = 800,
           .rivals = moving},
          {.quantity = "change of E x under QSR, t = 4, K = 4, α² = 0.1" + setting,
           .prediction = "0: the trace is constant",
           .measured = limit([&](double eta) { return alpha2 / (eta * eta); }, 1600),
           .predicted = ode(QsrMoment()),
           .effect = std::abs(moved.mean),
           .margin = 0.1 * std::abs(moved.mean),
           .least_n = 1600,
           .rivals = moving}};
}

}  // namespace

void add_valley_claims(Registry& registry) {
  registry.add_claim(
      "drift-ratio",
      {.statement = "Local SGD drifts toward flat minima 1 + (K−1)ψ(2ηHλ) times as fast as SGD, and K times "
                    "under the Quadratic Synchronization Rule",
       .source = "Gu et al. 2023, Theorem 3.3; Gu et al. 2024, Theorem 3.1",
       .comparisons = 3,
       .measure = drift_ratio,
       .config = "drift-multiplier.toml"});
  registry.add_claim(
      "finite-step",
      {.statement = "at finite η and H the second moment is the finite-step one, from H = 1 to "
                    "ηH ≫ 1, and that of η → 0 is not",
       .source = "this project",
       .comparisons = 3,
       .measure = finite_step});
  registry.add_claim(
      "decaying-rate",
      {.statement = "with a decaying learning rate the drift multiplier is that of the current η "
                    "and H",
       .source = "Gu et al. 2023, Theorem 3.3; Gu et al. 2024, Section 3",
       .comparisons = 2,
       .measure = decaying_rate,
       .config = "decaying-lr.toml"});
  registry.add_claim(
      "several-eigenvalues-outputs",
      {.statement = "each eigenvalue has its own ψ: at constant trace SGD and QSR stand still and "
                    "Local SGD moves (two outputs)",
       .source = "Gu et al. 2023, Theorem 3.3",
       .comparisons = 3,
       .measure = two_valleys<1>});
  registry.add_claim(
      "several-eigenvalues-samples",
      {.statement = "each eigenvalue has its own ψ: at constant trace SGD and QSR stand still and "
                    "Local SGD moves (two samples)",
       .source = "Gu et al. 2023, Theorem 3.3",
       .comparisons = 3,
       .measure = two_valleys<2>});
}

}  // namespace slowsde
