// The rounds that a learning-rate schedule and a synchronization rule give, and the slow time at which each
// occurs.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "slowsde/optim/learning_rate.hpp"
#include "slowsde/optim/sync_rule.hpp"
#include "slowsde/sde/second_moment.hpp"

namespace slowsde {

/// Slow time t = Σ_k η_k², with Neumaier's compensation: rounded once, not once a step.
class SlowTime {
 public:
  void advance(double eta) {
    const double term = eta * eta, sum = sum_ + term;
    lost_ += sum_ >= term ? (sum_ - sum) + term : (term - sum) + sum_;
    sum_ = sum;
  }
  double value() const { return sum_ + lost_; }

 private:
  double sum_ = 0, lost_ = 0;
};

struct PlannedRound {
  std::int64_t index = 0;        ///< s
  std::int64_t first_step = 0;   ///< k
  std::int64_t local_steps = 0;  ///< H
  double eta = 0;  ///< mean learning rate of the round's steps; H was chosen from that of the first
  double begin = 0, end = 0;  ///< slow time
};

/// Calls visit(round) for every round of an N-step run in order, without storing them. Every step k has its
/// own lr(k): a LearningRate, or any other function of the step.
template <class Rate, class Visit>
void for_each_round(const Rate& lr, const SyncRule& rule, std::int64_t total_steps, Visit&& visit) {
  SlowTime time;
  PlannedRound round;
  for (std::int64_t k = 0; k < total_steps; k += round.local_steps, ++round.index) {
    const double first = lr(k);
    round.first_step = k;
    round.local_steps = rule.local_steps(k, first, total_steps - k);
    round.begin = time.value();
    double excess = 0;  // Σ (lr − first): 0 exactly where the rate is constant
    for (std::int64_t h = 0; h < round.local_steps; ++h) {
      const double eta = lr(k + h);
      excess += eta - first;
      time.advance(eta);
    }
    round.eta = first + excess / static_cast<double>(round.local_steps);
    round.end = time.value();
    visit(static_cast<const PlannedRound&>(round));
  }
}

struct RoundCounts {
  std::int64_t rounds = 0, steps = 0;
  double slow_time = 0;
  /// Communication relative to data-parallel SGD.
  double communication() const { return static_cast<double>(rounds) / static_cast<double>(steps); }
};

RoundCounts count_rounds(const LearningRate& lr, const SyncRule& rule, std::int64_t total_steps);

/// The least N with Σ_{k<N} lr(k)² ≥ t (to a relative 1e-12), where a shape that depends on the total number
/// of steps is given total_steps = N. Throws std::invalid_argument unless t ≥ 0, std::domain_error when N
/// would exceed 2^40.
std::int64_t steps_to_slow_time(LearningRateParams params, double t);

/// The round that is under way at a slow time, for the slow SDEs of a run whose η and H change.
class RoundClock {
 public:
  /// One round for all times.
  explicit RoundClock(const Round& round);
  /// The rounds of (lr, rule, N). `algorithm` gives workers, local_batch and momentum; `slow_time_per_step`
  /// is that of SecondMoment: 1, or 1/(1−β)² with momentum. Consecutive equal rounds are stored once; lookup
  /// is by bisection.
  ///
  /// A round has one η, the mean of its steps', and a moment that depends on η and, through the decay of the
  /// workers' correlation, on ηH. In a round that is long enough for the rate to change, the former is
  /// better taken at the time and the latter over the round: with `rate_change` < ∞ a round is divided into
  /// pieces in which the rate changes by at most that share of its largest, each with its own mean η and the
  /// H that leaves ηH that of the round.
  RoundClock(const LearningRate& lr, const SyncRule& rule, std::int64_t total_steps, const Round& algorithm,
             double slow_time_per_step = 1, double rate_change = std::numeric_limits<double>::infinity());

  /// The round with begin ≤ t < end; the first one before 0, the last one from end() on.
  const Round& operator()(double t) const;
  /// Slow time at the end of the run; infinite for a single round for all times.
  double end() const { return end_; }
  /// Slow times at which η or H changes, 0 first.
  const std::vector<double>& changes() const { return begins_; }

 private:
  std::vector<double> begins_;
  std::vector<Round> rounds_;
  double end_;
};

}  // namespace slowsde
