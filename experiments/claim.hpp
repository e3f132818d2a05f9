// A claim of the theory as a prediction that could have failed: what was measured, what was predicted, which
// wrong theories the measurement would have told from the right one, and the verdict.
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "slowsde/sde/statistics.hpp"

namespace slowsde {

/// A mean, or a combination of independent ones, with its standard error and the number of replicas behind
/// it. An exact value has the standard error 0.
struct Measured {
  double mean = 0, se = 0;
  std::uint64_t n = 0;  ///< the least of a combination's

  static Measured exact(double value) { return {value, 0, 0}; }
  /// NaN when a replica diverged: the mean of the others would be biased.
  static Measured of(const Moments& moments);
  /// The same of few values: the standard error is as much greater as makes the normal distribution's z in
  /// the far tail (probability 1e-5 on a side) that of Student's t.
  static Measured of_few(const Moments& moments);

  friend Measured operator+(Measured a, Measured b);
  friend Measured operator-(Measured a, Measured b);
  friend Measured operator*(double c, Measured a) { return {c * a.mean, std::abs(c) * a.se, a.n}; }
  friend Measured operator-(Measured a, double b) { return {a.mean - b, a.se, a.n}; }
};

/// Without the term of first order in a parameter h, from values at h and h/2.
Measured extrapolate(Measured at_h, Measured at_half);
/// Without the terms of first and second order, from values at h, h/2 and h/4.
Measured extrapolate(Measured at_h, Measured at_half, Measured at_quarter);

/// d ln|error|/d ln h by least squares over the levels; 0 where the error changes its sign: it has no order.
Measured exponent(const std::vector<double>& h, const std::vector<Measured>& error);
/// The same of errors that have noise in common; their correlations: (levels × levels), row-major.
Measured exponent(const std::vector<double>& h, const std::vector<Measured>& error,
                  const std::vector<double>& correlation);

/// A wrong theory and what it predicts of the same quantity.
struct Rival {
  std::string name;
  Measured predicted;
};

/// One number that a claim stands or falls with.
struct Comparison {
  std::string quantity;    ///< with units and setting: "E φ at slow time 1, K = 4, ηH = 0.8"
  std::string prediction;  ///< how the prediction was computed
  Measured measured;
  Measured predicted;
  /// The size of what is claimed, which is positive where there is anything to claim: the standard error of
  /// measured − predicted has to be at most a fifth of it.
  double effect = 0;
  /// 0: the two have to agree within the errors. Positive: an equivalence, the interval of the difference has
  /// to lie within ±margin, which is stated before anything is measured.
  double margin = 0;
  std::uint64_t least_n = 0;  ///< replicas below which nothing is confirmed; 0 where nothing is drawn
  std::vector<Rival> rivals{};
};

enum class Verdict {
  confirmed,
  refuted,       ///< measurement and prediction differ
  inconclusive,  ///< they agree, but so few replicas or so large an error would let wrong theories pass
};
std::string_view verdict_name(Verdict verdict);

/// A wrong theory is rejected from this many standard errors on.
inline constexpr double rejection = 5;

/// Throws std::logic_error where a comparison could be confirmed without having been at risk: no least number
/// of replicas for a measurement with an error, or fewer than two wrong theories.
void require_risk(std::string_view claim, const Comparison& comparison);

/// |a − b| in standard errors; infinite when the two differ without any error, NaN when a value is not
/// finite.
double distance_in_errors(const Measured& a, const Measured& b);

struct Judgement {
  Verdict verdict = Verdict::inconclusive;
  double z = 0;                ///< |measured − predicted|/SE
  std::vector<double> rivals;  ///< the same of each rival
  std::string reason;          ///< why it is not confirmed; empty if it is
};

/// Refuted when |measured − predicted| > critical·SE (for an equivalence: when the interval of ± critical·SE
/// about the difference lies outside ±margin) or when a number is not finite; otherwise inconclusive when
/// n < least_n, the effect is not positive, SE > effect/5, a rival is nearer than `rejection` (for an
/// equivalence: than the margin and `rejection` errors), or an equivalence's interval is not within ±margin;
/// confirmed else.
Judgement judge(const Comparison& comparison, double critical);

/// Two-sided Bonferroni: the z that `comparisons` right predictions all stay within with probability of at
/// least 1 − false_alarms.
double critical_z(double false_alarms, int comparisons);

enum class Effort {
  quick,  ///< minutes
  full,   ///< more replicas, smaller learning rates
};

/// What a claim is given to measure with.
class ClaimRun {
 public:
  ClaimRun(std::string_view claim, std::uint64_t seed, Effort effort, int threads);

  int threads() const { return threads_; }
  bool full() const { return effort_ == Effort::full; }
  /// `quick` replicas, or `factor` times as many in the full suite.
  std::size_t replicas(std::size_t quick, std::size_t factor = 4) const {
    return full() ? factor * quick : quick;
  }
  /// A seed of its own for every call, from the claim's name and the suite's seed.
  std::uint64_t next_seed();

 private:
  std::uint64_t state_;
  Effort effort_;
  int threads_;
};

/// An entry of the suite.
struct Claim {
  std::string statement;  ///< one sentence
  std::string source;     ///< paper and equation
  int comparisons = 1;    ///< how many measure() returns: each has its share of the false-alarm budget
  std::function<std::vector<Comparison>(ClaimRun& run)> measure;
  std::string config{};  ///< the shipped configuration whose figure shows it; empty if there is none
};

}  // namespace slowsde
