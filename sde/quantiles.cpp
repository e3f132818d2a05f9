#include "slowsde/sde/quantiles.hpp"

#include <algorithm>
#include <boost/math/distributions/binomial.hpp>

#include "slowsde/problems/requirement.hpp"

namespace slowsde {

QuantileRanks quantile_ranks(std::uint64_t n, double p) {
  detail::require(n >= 1, "quantile", "n >= 1", static_cast<double>(n));
  detail::require(p > 0 && p < 1, "quantile", "0 < p < 1", p);
  const double position = p * static_cast<double>(n - 1);
  QuantileRanks ranks;
  ranks.below = static_cast<std::uint64_t>(position);
  ranks.above = std::min(ranks.below + 1, n - 1);
  ranks.weight = position - static_cast<double>(ranks.below);

  // N values lie below the quantile. x_k (from 0) is not above it if N > k, and above it if N ≤ k.
  const boost::math::binomial_distribution<> N(static_cast<double>(n), p);
  constexpr double tail = 0.025;
  // From beyond where Boost, which rounds outwards, puts the end, to the last place that has it.
  auto low = static_cast<std::int64_t>(quantile(N, tail)) + 1;
  while (low >= 0 && cdf(N, static_cast<double>(low)) > tail) --low;
  ranks.lower = low;
  const auto last = static_cast<std::int64_t>(n - 1);
  auto high = std::max<std::int64_t>(static_cast<std::int64_t>(quantile(complement(N, tail))) - 2, 0);
  while (high <= last && cdf(complement(N, static_cast<double>(high))) > tail) ++high;
  ranks.upper = high <= last ? high : -1;
  return ranks;
}

std::vector<QuantileEstimate> quantile_estimates(std::vector<double> values,
                                                 const std::vector<double>& probabilities) {
  std::erase_if(values, [](double x) { return !std::isfinite(x); });
  std::sort(values.begin(), values.end());
  std::vector<QuantileEstimate> estimates;
  for (const double p : probabilities)
    estimates.push_back(quantile_of_sorted(values.size(), p, [&](std::uint64_t k) { return values[k]; }));
  return estimates;
}

}  // namespace slowsde
