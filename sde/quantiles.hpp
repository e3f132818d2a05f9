// Quantiles of an ensemble with intervals that assume nothing of its distribution.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "slowsde/problems/host_device.hpp"

namespace slowsde {

/// An integer that orders as finite doubles do, so that every sort of it gives the same; what is not finite
/// comes after all of them.
SLOWSDE_HD inline std::uint64_t ordered_key(double x) {
  constexpr std::uint64_t sign = std::uint64_t{1} << 63;
  if (!(std::abs(x) <= std::numeric_limits<double>::max())) return ~std::uint64_t{0};
  std::uint64_t bits = 0;
  std::memcpy(&bits, &x, sizeof x);
  return (bits & sign) != 0 ? ~bits : bits | sign;
}

/// The finite number of a key.
inline double of_ordered_key(std::uint64_t key) {
  constexpr std::uint64_t sign = std::uint64_t{1} << 63;
  const std::uint64_t bits = (key & sign) != 0 ? key & ~sign : ~key;
  double x = 0;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

struct QuantileEstimate {
  double value = std::numeric_limits<double>::quiet_NaN();
  double lower = std::numeric_limits<double>::quiet_NaN();  ///< the 95 % interval; NaN where the sample is
  double upper = std::numeric_limits<double>::quiet_NaN();  ///< too small to bound it on that side

  bool operator==(const QuantileEstimate&) const = default;
};

/// Which order statistics, counted from 0, the p-quantile of n values is made of.
struct QuantileRanks {
  std::uint64_t below = 0, above = 0;  ///< around the position p(n − 1)
  double weight = 0;                   ///< of `above`
  /// The interval [x_lower, x_upper] holds the p-quantile of any continuous distribution with a probability
  /// of at least 0.95: the number of values below it is binomial (n, p). −1: there is no such value.
  std::int64_t lower = -1, upper = -1;
};

/// Throws std::invalid_argument unless n ≥ 1 and 0 < p < 1.
QuantileRanks quantile_ranks(std::uint64_t n, double p);

/// Of n values of which at(k) is the (k+1)-th smallest; NaN where there are none.
template <class At>
QuantileEstimate quantile_of_sorted(std::uint64_t n, double p, At at) {
  QuantileEstimate estimate;
  if (n == 0) return estimate;
  const QuantileRanks ranks = quantile_ranks(n, p);
  const double below = at(ranks.below);
  estimate.value = ranks.above == ranks.below ? below : below + ranks.weight * (at(ranks.above) - below);
  if (ranks.lower >= 0) estimate.lower = at(static_cast<std::uint64_t>(ranks.lower));
  if (ranks.upper >= 0) estimate.upper = at(static_cast<std::uint64_t>(ranks.upper));
  return estimate;
}

/// Of the finite ones among `values`, for each probability. The values are sorted.
std::vector<QuantileEstimate> quantile_estimates(std::vector<double> values,
                                                 const std::vector<double>& probabilities);

}  // namespace slowsde
