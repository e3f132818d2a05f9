// The named tolerances of the tests. In each of them NaN fails.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

namespace slowsde::test {

/// Equality of bits up to the sign of zero; for random words, integer-valued collectives, reproducibility.
template <class T>
bool exact(T a, T b) {
  return a == b;
}

/// Distance of two doubles in units in the last place; infinite for NaN and for different signs.
inline double ulp_distance(double a, double b) {
  if (std::isnan(a) || std::isnan(b)) return std::numeric_limits<double>::infinity();
  if (a == b) return 0;
  if (std::signbit(a) != std::signbit(b)) return std::numeric_limits<double>::infinity();
  std::int64_t ia, ib;
  std::memcpy(&ia, &a, sizeof a);
  std::memcpy(&ib, &b, sizeof b);
  return std::abs(static_cast<double>(ia - ib));
}

inline bool ulp(double a, double b, double k) { return ulp_distance(a, b) <= k; }

/// |a − b| ≤ tol·max(1, |b|)
inline bool near(double a, double b, double tol) {
  return std::abs(a - b) <= tol * std::fmax(1.0, std::abs(b));
}

/// |a − b| ≤ tol·|b|
inline bool near_relative(double a, double b, double tol) { return std::abs(a - b) <= tol * std::abs(b); }

/// An observed order of convergence within `band` of p, on both sides.
inline bool order(double observed, double p, double band) { return std::abs(observed - p) <= band; }

/// (measured − expected)/se in absolute value; infinite when it is not a number.
inline double zscore(double measured, double expected, double se) {
  const double z = std::abs(measured - expected) / se;
  return std::isnan(z) ? std::numeric_limits<double>::infinity() : z;
}

}  // namespace slowsde::test
