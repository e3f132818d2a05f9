#include "slowsde/experiments/rule_pairs.hpp"

#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

#include "slowsde/sde/statistics.hpp"

namespace slowsde {

std::string_view pair_verdict_name(PairVerdict verdict) {
  switch (verdict) {
    case PairVerdict::ordered:
      return "ordered as predicted";
    case PairVerdict::contradicted:
      return "contradicted";
    case PairVerdict::unpredicted:
      return "gap not predicted";
    case PairVerdict::tie:
      return "tie";
    case PairVerdict::unknown:
      break;
  }
  return "unknown";
}

double student_quantile(int degrees_of_freedom) {
  if (degrees_of_freedom < 1) return std::numeric_limits<double>::quiet_NaN();
  return boost::math::quantile(boost::math::students_t(degrees_of_freedom), 0.975);
}

PairComparison compare_pair(const RuleOutcome& first, const RuleOutcome& second, double z) {
  if (first.measured.size() != second.measured.size())
    throw std::invalid_argument("compare_pair: equal numbers of replicas are violated by " +
                                std::to_string(first.measured.size()) + " and " +
                                std::to_string(second.measured.size()));
  if (!(z > 0)) throw std::invalid_argument("compare_pair: z > 0 is violated by " + std::to_string(z));
  Moments gaps;
  for (std::size_t r = 0; r < first.measured.size(); ++r) gaps.add(first.measured[r] - second.measured[r]);
  PairComparison pair;
  pair.predicted_gap = first.predicted - second.predicted;
  pair.replicas = static_cast<int>(gaps.count);
  pair.measured_gap = gaps.count == 0 ? std::numeric_limits<double>::quiet_NaN() : gaps.mean;
  pair.se = gaps.standard_error();
  pair.half_width = student_quantile(pair.replicas - 1) * pair.se;
  if (pair.se == 0 && pair.measured_gap == 0 && pair.predicted_gap == 0)
    pair.verdict = PairVerdict::tie;  // the same run twice
  if (!(pair.se > 0) || !std::isfinite(pair.predicted_gap)) return pair;
  const double predicted = pair.predicted_gap, measured = pair.measured_gap;
  if (std::abs(predicted) > z * pair.se)
    pair.verdict = std::copysign(measured, measured * predicted) > pair.half_width
                       ? PairVerdict::ordered
                       : PairVerdict::contradicted;
  else
    pair.verdict = std::abs(measured) > z * pair.se && std::abs(measured - predicted) > z * pair.se
                       ? PairVerdict::unpredicted
                       : PairVerdict::tie;
  return pair;
}

}  // namespace slowsde
