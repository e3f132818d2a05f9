// Claims about what local steps change, on the flat valley: the drift and not the diffusion, and, as η
// decays, as much of it as the rule for H keeps.
#include <cmath>
#include <cstdint>
#include <functional>
#include <memory>
#include <numbers>
#include <string>
#include <utility>
#include <vector>

#include "slowsde/experiments/builtin_claims.hpp"
#include "slowsde/experiments/claim_measurements.hpp"
#include "slowsde/experiments/flat_valley.hpp"
#include "slowsde/optim/psi_moment.hpp"
#include "slowsde/optim/qsr_moment.hpp"
#include "slowsde/optim/sgd_moment.hpp"
#include "slowsde/sde/psi.hpp"

namespace slowsde {
namespace {

constexpr int K = 4;
constexpr double t = 1;
constexpr FlatValley valley;

using Rule = std::shared_ptr<const SyncRule>;
using Observable = FlatValley::Observable;

/// Runs of several rules on the same gradient noise.
class Runs {
 public:
  Runs(const std::vector<Rule>& rules, double eta, double start, const IterateOptions& options) {
    LocalSgd algorithm = local_sgd({.eta = eta, .workers = K}, t);
    for (const Rule& rule : rules) {
      algorithm.rule = rule;
      x_.push_back(iterate_moments<NoiseKind::gaussian>(valley.problem(), algorithm, {start, 0}, {t}, options,
                                                        1,
                                                        [](const double* zeta, double* x) { *x = zeta[0]; })
                       .sample);
    }
    noise_ = total_noise(algorithm, options);
  }
  /// E f of a rule.
  Measured mean(std::size_t rule, const Observable& f) const {
    std::vector<double> values;
    for (const double x : x_[rule]) values.push_back(f(x));
    return mean_without_noise(values, noise_);
  }
  /// E f of a rule less that of another.
  Measured difference(std::size_t rule, std::size_t other, const Observable& f) const {
    std::vector<double> values;
    for (std::size_t r = 0; r < x_[rule].size(); ++r) values.push_back(f(x_[rule][r]) - f(x_[other][r]));
    return mean_without_noise(values, noise_);
  }

 private:
  std::vector<std::vector<double>> x_;  // (rules × replicas)
  TotalNoise noise_;
};

constexpr int rates = 3;
/// 2^{−first}, half and a quarter of it; half as large in the full suite.
double rate(const ClaimRun& run, int first, int level) {
  return std::ldexp(1.0, -first - level - (run.full() ? 1 : 0));
}

Measured limit(const std::vector<Measured>& levels) { return extrapolate(levels[0], levels[1], levels[2]); }

// --- drift and diffusion

std::vector<Comparison> larger_drift(ClaimRun& run) {
  const double eta_H = 1, x0 = 0;
  const std::size_t n = run.replicas(4800);
  const Observable trace = FlatValley::trace;
  const Observable square = [x0](double x) { return 2 - 2 * std::cos(x - x0); };
  std::vector<Measured> local, spread, gap;
  for (int level = 0; level < rates; ++level) {
    const double eta = rate(run, 3, level);
    const Runs runs(
        {std::make_shared<ConstantRule>(std::llround(eta_H / eta)), std::make_shared<ParallelRule>()}, eta,
        x0, {.replicas = n, .seed = run.next_seed(), .threads = run.threads()});
    local.push_back(runs.mean(0, trace));
    spread.push_back(runs.mean(0, square));
    gap.push_back(runs.difference(0, 1, trace));
  }

  const Round round{.eta = 1.0 / 32, .local_steps = 32, .workers = K};
  const auto model = [&](const SecondMoment& moment, const Observable& f,
                         FlatValley::Strengths strengths = {}) {
    return Measured::exact(valley.slow_mean(moment, round, x0, t, f, strengths));
  };
  const PsiMoment psi_moment;
  const SgdMoment sgd;
  const double larger = 1 + (K - 1) * psi(2 * eta_H * FlatValley::trace(x0));
  // What sets Local SGD apart, were it not the drift: as much less noise as it has more drift.
  const FlatValley::Strengths quieter{1 / larger, 1};
  const auto rivals = [&](const Observable& f) {
    return std::vector<Rival>{{"the drift alone", model(psi_moment, f, {0, 1})},
                              {"the diffusion alone", model(psi_moment, f, {1, 0})},
                              {"SGD", model(sgd, f)},
                              {"SGD's drift and a smaller diffusion", model(sgd, f, quieter)},
                              {"this drift and a smaller diffusion", model(psi_moment, f, quieter)}};
  };
  const Measured predicted_gap = model(psi_moment, trace) - model(sgd, trace);
  return {{.quantity = "E tr ∇²L of Local SGD at t = 1, K = 4, ηH = 1, η → 0",
           .prediction = "Kolmogorov's equation of the slow SDE",
           .measured = limit(local),
           .predicted = model(psi_moment, trace),
           .effect = std::abs(predicted_gap.mean),
           .least_n = 4800,
           .rivals = rivals(trace)},
          {.quantity = "E 2(1 − cos(x − x0)) of Local SGD at t = 1, K = 4, ηH = 1, η → 0",
           .prediction = "Kolmogorov's equation of the slow SDE",
           .measured = limit(spread),
           .predicted = model(psi_moment, square),
           .effect = std::abs((model(psi_moment, square) - model(sgd, square)).mean),
           .least_n = 4800,
           .rivals = rivals(square)},
          {.quantity = "E tr ∇²L of Local SGD less SGD's at t = 1, K = 4, ηH = 1, η → 0",
           .prediction = "Kolmogorov's equations of the slow SDEs",
           .measured = limit(gap),
           .predicted = predicted_gap,
           .effect = std::abs(predicted_gap.mean),
           .least_n = 4800,
           .rivals = {
               {"no difference", Measured::exact(0)},
               {"a smaller diffusion, and nothing else", model(sgd, trace, quieter) - model(sgd, trace)}}}};
}

// --- H ∝ 1/η^γ

std::vector<Comparison> rules(ClaimRun& run) {
  const double x0 = 0, alpha = 0.25;
  const std::size_t n = run.replicas(1600);
  const std::vector<Rule> all = {
      std::make_shared<ConstantRule>(4),
      std::make_shared<PowerRule>(PowerRuleParams{.alpha = 0.5, .gamma = 1, .base_steps = 1}),
      std::make_shared<PowerRule>(PowerRuleParams{.alpha = alpha, .gamma = 2, .base_steps = 1}),
      // (α/η)³ exceeds the steps of the run: one average, at its end
      std::make_shared<PowerRule>(PowerRuleParams{.alpha = 0.5, .gamma = 3, .base_steps = 1}),
      std::make_shared<ParallelRule>()};
  std::vector<std::vector<Measured>> beyond_sgd(4);
  for (int level = 0; level < rates; ++level) {
    const Runs runs(all, rate(run, 4, level), x0,
                    {.replicas = n, .seed = run.next_seed(), .threads = run.threads()});
    for (std::size_t r = 0; r < beyond_sgd.size(); ++r)
      beyond_sgd[r].push_back(runs.difference(r, 4, FlatValley::trace));
  }

  const Round half{.eta = 1.0 / 32, .local_steps = 16, .workers = K};
  const double sgd = valley.slow_mean(SgdMoment(), half, x0, t);
  const auto beyond = [&](double mean) { return Measured::exact(mean - sgd); };
  const Measured kept = beyond(valley.slow_mean(PsiMoment(), half, x0, t)),
                 full = beyond(valley.slow_mean(QsrMoment(), half, x0, t)),
                 quadratic = beyond(valley.quasi_static_mean(half, alpha * alpha, x0, t)),
                 once = beyond(valley.quasi_static_mean(half, t, x0, t)), lost = Measured::exact(0);
  const auto compare = [&](std::size_t rule, const char* name, const char* prediction, const Measured& right,
                           std::vector<Rival> rivals, double margin = 0) {
    return Comparison{.quantity = "E tr ∇²L at t = 1, K = 4, η → 0, less SGD's: " + std::string(name),
                      .prediction = prediction,
                      .measured = limit(beyond_sgd[rule]),
                      .predicted = right,
                      .effect = std::abs(kept.mean),
                      .margin = margin,
                      .least_n = 1600,
                      .rivals = std::move(rivals)};
  };
  return {compare(0, "H = 4", "0: ψ(2ηHλ) → 0", lost,
                  {{"the effect at ηH = 1/2 is kept", kept}, {"K times the drift", full}},
                  0.05 * std::abs(kept.mean)),
          compare(1, "H = 1/(2η)", "1 + (K−1)ψ(2ηHλ) times the drift", kept,
                  {{"it is lost", lost}, {"K times the drift", full}}),
          compare(2, "H = (1/4η)²", "the quasi-static process: K times the drift up to O(α²)", quadratic,
                  {{"it is lost", lost}, {"the effect at ηH = 1/2", kept}}),
          compare(3, "H = (1/2η)³, one average at the end", "the quasi-static process of one round", once,
                  {{"K times the drift, as if averaging could wait", full},
                   {"H = (1/4η)²", quadratic},
                   {"it is lost", lost}})};
}

}  // namespace

void add_flat_valley_claims(Registry& registry) {
  registry.add_claim(
      "larger-drift",
      {.statement =
           "Local SGD differs from SGD by a larger drift toward flat minima, not by a smaller diffusion, "
           "and both terms are at work",
       .source = "Gu et al. 2023, Section 3.3",
       .comparisons = 3,
       .measure = larger_drift,
       .config = "why.toml"});
  registry.add_claim(
      "rules",
      {.statement =
           "as η decays, constant H loses the extra drift, H ∝ 1/η keeps it, H ∝ 1/η² makes the drift "
           "K times SGD's, and H ∝ 1/η³ averages so rarely that it is biased",
       .source = "Gu et al. 2024, Sections 2 and 3",
       .comparisons = 4,
       .measure = rules,
       .config = "decaying-lr.toml"});
}

}  // namespace slowsde
