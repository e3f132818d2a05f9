// What the slow SDE expects of a synchronization rule over a learning-rate schedule: how many times faster
// than SGD it drifts toward flat minima in each round, and how much of that adds up.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "slowsde/optim/round_plan.hpp"
#include "slowsde/optim/sync_rule.hpp"
#include "slowsde/sde/second_moment.hpp"

namespace slowsde {

/// Learning rates of all steps of a run, and whatever a schedule was made of.
class RateTable {
 public:
  /// Throws std::invalid_argument unless there is a step and every rate is finite and ≥ 0.
  explicit RateTable(std::vector<double> rates);
  /// lr(0), …, lr(N−1).
  RateTable(const LearningRate& lr, std::int64_t total_steps);

  double operator()(std::int64_t k) const { return rates_[static_cast<std::size_t>(k)]; }
  std::int64_t steps() const { return static_cast<std::int64_t>(rates_.size()); }
  double largest() const { return largest_; }
  double slow_time() const { return slow_time_; }  ///< Σ η_k²

 private:
  std::vector<double> rates_;
  double largest_ = 0, slow_time_ = 0;
};

/// Nonzero eigenvalues of the Hessian 𝓗 with the weights w_i of their contributions to the drift.
///
/// With label noise Σ = σ²𝓗 the slow SDE of Local SGD descends Σ_i [λ_i + (K−1)F(2ηHλ_i)/(2ηH)], F' = ψ (Gu
/// et al. 2023, corollary for label noise): its drift is −(σ²/4B) Σ_i m(λ_i)∇λ_i with m(λ) = 1 +
/// (K−1)ψ(2ηHλ), SGD's is −(σ²/4B) Σ_i ∇λ_i. Along a direction u the drift is therefore multiplied by Σ w_i
/// m(λ_i)/Σ w_i with w_i = ⟨u, ∇λ_i⟩, which a spectrum alone does not tell. The default w_i = λ_i, an
/// eigenvalue's part of tr 𝓗, is exact where all eigenvalues fall at the same relative rate.
struct DriftSpectrum {
  std::vector<double> eigenvalues;
  std::vector<double> weights;  ///< empty: the eigenvalues themselves

  /// Throws std::invalid_argument: no eigenvalue, one that is not > 0, weights that are not as many, negative
  /// or all 0.
  void check() const;
  double weight(std::size_t i) const { return weights.empty() ? eigenvalues[i] : weights[i]; }
  double largest() const;
};

/// m = Σ_i w_i c_ii(round)/c⁰_ii / Σ_i w_i, where c⁰ is the same model's coefficient of SGD (H = 1) with the
/// round's η, β and global batch: for the slow SDE 1 + (K−1)ψ(2ηHλ_i) [Gu et al. 2023, Theorem 3.2], K in the
/// limit of the Quadratic Synchronization Rule [Gu et al. 2024]. A round of one step is SGD and has m = 1
/// exactly; ψ itself, which knows H through ηH alone, leaves ψ(2ηλ) there. Throws what the model throws.
double drift_multiplier(const DriftSpectrum& spectrum, const SecondMoment& moment, const Round& round);

/// What the learning rate has to be multiplied by, and who shares the work.
struct DriftSetting {
  int workers = 1;       ///< K
  double momentum = 0;   ///< β, for a moment that knows it
  double eta_scale = 1;  ///< η of the theory / learning rate
};

/// Sums over a run.
struct ScheduleDrift {
  RoundCounts counts;          ///< slow_time: Σ η_k² of the theory's η
  double regularization = 0;   ///< Σ_k η_k² m_k
  std::int64_t longest = 0;    ///< largest H
  double largest_share = 0;    ///< of the slow time, in one round
  double drifting_share = 0;   ///< of the slow time, in rounds within which η changes by more than a fifth
  double late_multiplier = 1;  ///< mean of m over the last tenth of the slow time
  double mean_multiplier() const { return regularization / counts.slow_time; }
  /// (Σ η²m − Σ η²)/((K−1) Σ η²): 0 for SGD, 1 where every round is in the limit of long rounds.
  double extra_drift(int workers) const;
};

/// Calls visit(planned round, m) for all rounds and returns the sums. H is chosen from the learning rate, m
/// from eta_scale times it. Rounds without slow time have m = 1.
template <class Visit>
ScheduleDrift schedule_drift(const RateTable& rates, const SyncRule& rule, const DriftSpectrum& spectrum,
                             const SecondMoment& moment, const DriftSetting& setting, Visit&& visit);
ScheduleDrift schedule_drift(const RateTable& rates, const SyncRule& rule, const DriftSpectrum& spectrum,
                             const SecondMoment& moment, const DriftSetting& setting);

/// The rounds alone.
RoundCounts count_rounds(const RateTable& rates, const SyncRule& rule);

/// The question "which α?": the least one whose run has at least `extra_drift` of the possible extra drift at
/// no more than `communication` of data-parallel SGD's.
struct AlphaTarget {
  double extra_drift = 0.9;     ///< x
  double communication = 0.25;  ///< y
  /// The power rule is the limit α → 0 of the process that it follows, with error Õ(α²) (Gu et al. 2024,
  /// Theorem 3.1): α goes up to where one round takes this part of the run's slow time, and the least α is
  /// the best.
  double largest_share = 0.01;

  /// Throws std::invalid_argument naming the violated inequality.
  void check() const;
};

struct AlphaPoint {
  double alpha = 0;
  ScheduleDrift drift;
  double extra_drift = 0, communication = 0;
};

struct AlphaAnswer {
  bool feasible = false;
  AlphaPoint best;  ///< the answer; if there is none, the point that misses the two targets by least
};

/// Scans α on a geometric grid and bisects between the last that fails and the first that does not. `rule`
/// gives γ, H_base, H_max and w; its α is not used. The answer has three digits, rounded up where that still
/// serves.
AlphaAnswer find_alpha(const RateTable& rates, PowerRuleParams rule, const DriftSpectrum& spectrum,
                       const SecondMoment& moment, const DriftSetting& setting, const AlphaTarget& target);

/// One point for a given α.
AlphaPoint at_alpha(const RateTable& rates, PowerRuleParams rule, double alpha, const DriftSpectrum& spectrum,
                    const SecondMoment& moment, const DriftSetting& setting);

/// The range of α that find_alpha looks at: from where hardly any round exceeds H_base to the bound of the
/// target.
struct AlphaRange {
  double low = 0, high = 0;
};
AlphaRange alpha_range(const RateTable& rates, const PowerRuleParams& rule, double largest_share);

// ---------------------------------------------------------------------------------------------------------

namespace detail {

/// Whether η changes by more than a fifth within a round.
bool changes_much(const RateTable& rates, const PlannedRound& round);

}  // namespace detail

template <class Visit>
ScheduleDrift schedule_drift(const RateTable& rates, const SyncRule& rule, const DriftSpectrum& spectrum,
                             const SecondMoment& moment, const DriftSetting& setting, Visit&& visit) {
  const double square = setting.eta_scale * setting.eta_scale;
  ScheduleDrift sum;
  const double late = 0.9 * square * rates.slow_time();
  double late_time = 0, late_sum = 0;
  double extra = 0;  // Σ η²(m − 1), so that SGD's is exactly that of its slow time
  for_each_round(rates, rule, rates.steps(), [&](const PlannedRound& planned) {
    const double time = square * (planned.end - planned.begin);
    double m = 1;
    if (time > 0) {
      const Round round{.eta = setting.eta_scale * planned.eta,
                        .local_steps = planned.local_steps,
                        .workers = setting.workers,
                        .momentum = setting.momentum};
      m = drift_multiplier(spectrum, moment, round);
    }
    extra += time * (m - 1);
    const double after = square * planned.end - late;
    if (after > 0) {
      late_time += after < time ? after : time;
      late_sum += (after < time ? after : time) * m;
    }
    ++sum.counts.rounds;
    sum.counts.steps += planned.local_steps;
    sum.counts.slow_time = square * planned.end;
    sum.longest = planned.local_steps > sum.longest ? planned.local_steps : sum.longest;
    sum.largest_share = time > sum.largest_share ? time : sum.largest_share;
    if (detail::changes_much(rates, planned)) sum.drifting_share += time;
    visit(planned, m);
  });
  sum.regularization = sum.counts.slow_time + extra;
  if (late_time > 0) sum.late_multiplier = late_sum / late_time;
  if (sum.counts.slow_time > 0) {
    sum.largest_share /= sum.counts.slow_time;
    sum.drifting_share /= sum.counts.slow_time;
  }
  return sum;
}

}  // namespace slowsde
