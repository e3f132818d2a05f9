#include "slowsde/optim/schedule_drift.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "slowsde/problems/requirement.hpp"

namespace slowsde {
namespace {

template <class T>
void require(bool holds, const char* inequality, T value) {
  detail::require(holds, "schedule drift", inequality, value);
}

}  // namespace

RateTable::RateTable(std::vector<double> rates) : rates_(std::move(rates)) {
  require(!rates_.empty(), "steps >= 1", rates_.size());
  SlowTime time;
  for (const double eta : rates_) {
    require(eta >= 0 && std::isfinite(eta), "0 <= lr < infinity", eta);
    largest_ = std::max(largest_, eta);
    time.advance(eta);
  }
  slow_time_ = time.value();
}

namespace {

std::vector<double> table_of(const LearningRate& lr, std::int64_t total_steps) {
  require(total_steps >= 1, "total_steps >= 1", total_steps);
  std::vector<double> rates(static_cast<std::size_t>(total_steps));
  for (std::int64_t k = 0; k < total_steps; ++k) rates[static_cast<std::size_t>(k)] = lr(k);
  return rates;
}

}  // namespace

RateTable::RateTable(const LearningRate& lr, std::int64_t total_steps)
    : RateTable(table_of(lr, total_steps)) {}

void DriftSpectrum::check() const {
  require(!eigenvalues.empty(), "number of eigenvalues >= 1", eigenvalues.size());
  require(weights.empty() || weights.size() == eigenvalues.size(),
          "number of weights = number of eigenvalues", weights.size());
  double sum = 0;
  for (std::size_t i = 0; i < eigenvalues.size(); ++i) {
    require(eigenvalues[i] > 0 && std::isfinite(eigenvalues[i]), "0 < eigenvalue < infinity", eigenvalues[i]);
    require(weight(i) >= 0 && std::isfinite(weight(i)), "0 <= weight < infinity", weight(i));
    sum += weight(i);
  }
  require(sum > 0, "sum of the weights > 0", sum);
}

double DriftSpectrum::largest() const { return *std::max_element(eigenvalues.begin(), eigenvalues.end()); }

double drift_multiplier(const DriftSpectrum& spectrum, const SecondMoment& moment, const Round& round) {
  if (round.local_steps == 1) return 1;
  Round sgd = round;
  sgd.workers = 1;  // c does not depend on the batch
  sgd.local_steps = 1;
  double sum = 0, weights = 0;
  for (std::size_t i = 0; i < spectrum.eigenvalues.size(); ++i) {
    const double lambda = spectrum.eigenvalues[i], w = spectrum.weight(i);
    sum += w * (moment.coefficient(lambda, lambda, round) / moment.coefficient(lambda, lambda, sgd));
    weights += w;
  }
  return sum / weights;
}

double ScheduleDrift::extra_drift(int workers) const {
  if (workers == 1) return 0;
  return (regularization - counts.slow_time) / ((workers - 1) * counts.slow_time);
}

bool detail::changes_much(const RateTable& rates, const PlannedRound& round) {
  double least = rates(round.first_step), most = least;
  for (std::int64_t h = 1; h < round.local_steps; ++h) {
    const double eta = rates(round.first_step + h);
    least = std::min(least, eta);
    most = std::max(most, eta);
  }
  return most - least > 0.2 * most;
}

ScheduleDrift schedule_drift(const RateTable& rates, const SyncRule& rule, const DriftSpectrum& spectrum,
                             const SecondMoment& moment, const DriftSetting& setting) {
  return schedule_drift(rates, rule, spectrum, moment, setting, [](const PlannedRound&, double) {});
}

RoundCounts count_rounds(const RateTable& rates, const SyncRule& rule) {
  RoundCounts counts;
  for_each_round(rates, rule, rates.steps(), [&](const PlannedRound& round) {
    ++counts.rounds;
    counts.steps += round.local_steps;
    counts.slow_time = round.end;
  });
  return counts;
}

void AlphaTarget::check() const {
  require(extra_drift > 0 && extra_drift < 1, "0 < extra_drift < 1", extra_drift);
  require(communication > 0 && communication <= 1, "0 < communication <= 1", communication);
  require(largest_share > 0 && largest_share <= 1, "0 < largest_share <= 1", largest_share);
}

AlphaPoint at_alpha(const RateTable& rates, PowerRuleParams rule, double alpha, const DriftSpectrum& spectrum,
                    const SecondMoment& moment, const DriftSetting& setting) {
  rule.alpha = alpha;
  AlphaPoint point{.alpha = alpha,
                   .drift = schedule_drift(rates, PowerRule(rule), spectrum, moment, setting)};
  point.extra_drift = point.drift.extra_drift(setting.workers);
  point.communication = point.drift.counts.communication();
  return point;
}

AlphaRange alpha_range(const RateTable& rates, const PowerRuleParams& rule, double largest_share) {
  // At the largest rate a round of H steps takes the slow time η²H; the rule asks for H = (α/η)^γ. So α = η
  // H^{1/γ}, with H from H_base (and a hundredth of that α, where only the tail of a schedule notices) to the
  // bound.
  const double eta = rates.largest(), inverse = 1 / rule.gamma;
  require(eta > 0, "largest lr > 0", eta);
  const double base = static_cast<double>(rule.base_steps);
  const double most = std::max(2 * base, largest_share * rates.slow_time() / (eta * eta));
  return {0.01 * eta * std::pow(base, inverse), eta * std::pow(most, inverse)};
}

AlphaAnswer find_alpha(const RateTable& rates, PowerRuleParams rule, const DriftSpectrum& spectrum,
                       const SecondMoment& moment, const DriftSetting& setting, const AlphaTarget& target) {
  target.check();
  rule.check();
  spectrum.check();
  const auto point = [&](double alpha) { return at_alpha(rates, rule, alpha, spectrum, moment, setting); };
  const auto serves = [&](const AlphaPoint& p) {
    return p.extra_drift >= target.extra_drift && p.communication <= target.communication;
  };
  // by how much the worse of the two targets is missed, relative to it
  const auto miss = [&](const AlphaPoint& p) {
    return std::max(1 - p.extra_drift / target.extra_drift, p.communication / target.communication - 1);
  };
  const AlphaRange range = alpha_range(rates, rule, target.largest_share);
  constexpr int points = 64;
  const double ratio = std::pow(range.high / range.low, 1.0 / points);
  AlphaAnswer answer;
  double low = 0;  // fails, or 0
  AlphaPoint high;
  for (int i = 0; i <= points && !answer.feasible; ++i) {
    AlphaPoint p = point(i == points ? range.high : range.low * std::pow(ratio, i));
    answer.feasible = serves(p);
    if (answer.feasible) {
      high = std::move(p);
    } else {
      low = p.alpha;
      if (i == 0 || miss(p) < miss(answer.best)) answer.best = std::move(p);
    }
  }
  if (!answer.feasible) return answer;
  while (low > 0 && high.alpha > low * (1 + 1e-4)) {
    AlphaPoint middle = point(std::sqrt(low * high.alpha));
    if (serves(middle))
      high = std::move(middle);
    else
      low = middle.alpha;
  }
  // three digits, upwards
  const double unit = std::pow(10.0, std::floor(std::log10(high.alpha)) - 2);
  char digits[32];
  std::snprintf(digits, sizeof digits, "%.2e", std::ceil(high.alpha / unit * (1 - 1e-12)) * unit);
  AlphaPoint rounded = point(std::strtod(digits, nullptr));
  answer.best = serves(rounded) ? std::move(rounded) : std::move(high);
  return answer;
}

}  // namespace slowsde
