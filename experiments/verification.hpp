// The verification suite: every claim measured, judged against its predictions within one budget of false
// alarms, and reported as a table, as JSON and as NetCDF.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "slowsde/experiments/claim.hpp"
#include "slowsde/experiments/registry.hpp"
#include "slowsde/experiments/result.hpp"

namespace slowsde {

class Progress;

/// The probability that a suite whose predictions are all right reports any of them refuted.
inline constexpr double false_alarm_budget = 1e-3;

struct JudgedComparison {
  Comparison comparison;
  Judgement judgement;
};

/// A claim is confirmed when all its comparisons are, refuted when one is.
struct JudgedClaim {
  std::string name, statement, source, config;
  Verdict verdict = Verdict::inconclusive;
  double seconds = 0;
  std::vector<JudgedComparison> comparisons{};
};

struct Verification {
  Effort effort = Effort::quick;
  std::uint64_t seed = 1;
  double critical = 0;  ///< the z of the whole suite's budget, whatever part of it was run
  std::vector<JudgedClaim> claims{};

  int count(Verdict verdict) const;
  /// 0: all confirmed, 1: one refuted, 3: none refuted but not all confirmed.
  int exit_status() const;
};

/// Measures the claims whose names match `filter` (ECMAScript, anywhere in the name; empty: all). The same
/// seed gives the same numbers for any number of threads. Throws std::invalid_argument for a filter that is
/// no regular expression or matches nothing, std::logic_error when a claim returns another number of
/// comparisons than it declares.
Verification verify(const Registry& registry, Effort effort, const std::string& filter, std::uint64_t seed,
                    int threads, Progress& progress);

/// The table: a line for each comparison, the rivals below it where `rivals`.
std::string verification_table(const Verification& verification, bool rivals);
std::string verification_json(const Verification& verification);
/// Dimensions comparison and rival; NaN where a comparison has fewer rivals.
Result verification_result(const Verification& verification);

}  // namespace slowsde
