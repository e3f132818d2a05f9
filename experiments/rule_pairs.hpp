// Pairs of algorithms compared in one observable: is a measured difference the one that a theory predicts?
#pragma once

#include <string_view>
#include <vector>

namespace slowsde {

/// What a pair of algorithms says of a theory.
enum class PairVerdict {
  ordered,  ///< the predicted gap exceeds z SE, and the measured one has its sign beyond its 95 % interval
  contradicted,  ///< the predicted gap exceeds z SE, and the measured one does not confirm its sign
  unpredicted,   ///< the predicted gap is within z SE, but the measured one is not, nor is their difference
  tie,           ///< the predicted gap is within z SE, and nothing else was measured
  unknown,       ///< fewer than two replicas finished both, or nothing varies
};

std::string_view pair_verdict_name(PairVerdict verdict);

/// An algorithm in one observable at its end.
struct RuleOutcome {
  double predicted = 0;
  std::vector<double> measured;  ///< one value per replica; NaN where it diverged
};

/// Gap = first − second. Replicas of the same number are compared with each other: they may share noise.
struct PairComparison {
  double predicted_gap = 0, measured_gap = 0;
  double se = 0;          ///< of the mean of the replicas' differences
  double half_width = 0;  ///< of its 95 % interval, Student's t
  int replicas = 0;       ///< that finished both
  PairVerdict verdict = PairVerdict::unknown;
};

/// Throws std::invalid_argument unless both have the same number of replicas and z > 0.
PairComparison compare_pair(const RuleOutcome& first, const RuleOutcome& second, double z = 5);

/// The 97.5 % quantile of Student's t; NaN for less than one degree of freedom.
double student_quantile(int degrees_of_freedom);

}  // namespace slowsde
