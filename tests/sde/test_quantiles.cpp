#include "slowsde/sde/quantiles.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <boost/math/distributions/binomial.hpp>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <vector>

#include "slowsde/problems/random_address.hpp"
#include "slowsde/sde/statistics.hpp"

using namespace slowsde;

TEST_CASE("keys order as the numbers do, what is not finite comes last, and they lead back") {
  constexpr double inf = std::numeric_limits<double>::infinity(),
                   nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<double> ascending = {
      -std::numeric_limits<double>::max(), -2, -1e-310, -0.0, 0.0, 5e-324, 1, std::nextafter(1, 2),
      std::numeric_limits<double>::max()};
  for (std::size_t i = 0; i < ascending.size(); ++i) {
    CHECK(of_ordered_key(ordered_key(ascending[i])) == ascending[i]);
    if (i > 0) CHECK(ordered_key(ascending[i - 1]) < ordered_key(ascending[i]));
    for (const double odd : {inf, -inf, nan, -nan}) CHECK(ordered_key(ascending[i]) < ordered_key(odd));
  }
}

TEST_CASE("the interval of a quantile is the narrowest with a probability of 2.5 % on either side") {
  // The number N of values below the quantile is binomial; x_k, counted from 0, is above it if N <= k.
  for (const std::uint64_t n : {1u, 2u, 5u, 6u, 10u, 73u, 74u, 1000u, 123457u})
    for (const double p : {0.05, 0.25, 0.5, 0.95}) {
      CAPTURE(n);
      CAPTURE(p);
      const QuantileRanks ranks = quantile_ranks(n, p);
      const boost::math::binomial_distribution<> N(static_cast<double>(n), p);
      const auto above = [&](std::int64_t k) { return k < 0 ? 0.0 : cdf(N, static_cast<double>(k)); };
      CHECK(above(ranks.lower) <= 0.025);
      CHECK(above(ranks.lower + 1) > 0.025);
      const std::int64_t last = static_cast<std::int64_t>(n) - 1,
                         upper = ranks.upper < 0 ? last + 1 : ranks.upper;
      CHECK(1 - above(upper - 1) > 0.025);
      if (ranks.upper >= 0)
        CHECK(1 - above(upper) <= 0.025 + 1e-12);
      else
        CHECK(1 - above(last) > 0.025);
    }
  // Tables of the sign test: of ten values the second and the ninth bound the median, of five none do.
  CHECK(quantile_ranks(10, 0.5).lower == 1);
  CHECK(quantile_ranks(10, 0.5).upper == 8);
  CHECK(quantile_ranks(5, 0.5).lower == -1);
  CHECK(quantile_ranks(5, 0.5).upper == -1);
  // 10^8 replicas: p n -+ 1.96 sqrt(n p (1 - p)) to the neighbouring rank
  const QuantileRanks many = quantile_ranks(100000000, 0.5);
  CHECK(std::abs(static_cast<double>(many.lower) - (5e7 - 9799.8)) <= 2);
  CHECK(std::abs(static_cast<double>(many.upper) - (5e7 + 9799.8)) <= 2);
  CHECK_THROWS_AS(quantile_ranks(0, 0.5), std::invalid_argument);
  CHECK_THROWS_AS(quantile_ranks(3, 0), std::invalid_argument);
  CHECK_THROWS_AS(quantile_ranks(3, 1), std::invalid_argument);
}

TEST_CASE("estimates are those of the finite values, in any order") {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  std::vector<double> values;
  for (int i = 0; i <= 100; ++i) values.push_back((i * 37) % 101);
  std::vector<double> with_gaps = values;
  with_gaps.insert(with_gaps.begin() + 5, nan);
  with_gaps.push_back(std::numeric_limits<double>::infinity());
  const auto estimates = quantile_estimates(with_gaps, {0.1, 0.5, 0.999});
  REQUIRE(estimates.size() == 3);
  CHECK(estimates[0].value == doctest::Approx(10).epsilon(1e-12));
  CHECK(estimates[1].value == 50);
  CHECK(estimates[2].value == doctest::Approx(quantile(values, 0.999)).epsilon(1e-14));
  CHECK(estimates[1].lower == 40);
  CHECK(estimates[1].upper == 60);
  CHECK(std::isnan(estimates[2].upper));
  const auto none = quantile_estimates({nan, nan}, {0.5});
  REQUIRE(none.size() == 1);
  CHECK(std::isnan(none[0].value));
}

TEST_CASE(
    "intervals hold the quantile as often as the binomial law says, which is 95 times in 100 or a little "
    "more") {
  constexpr int samples = 2000, n = 200;
  constexpr double p = 0.3;
  const QuantileRanks ranks = quantile_ranks(n, p);
  const boost::math::binomial_distribution<> below(n, p);
  const double exact =
      cdf(below, static_cast<double>(ranks.upper)) - cdf(below, static_cast<double>(ranks.lower));
  CHECK(exact >= 0.95);
  CHECK(exact <= 0.97);
  int held = 0;
  for (int s = 0; s < samples; ++s) {
    std::vector<double> values;
    for (int i = 0; i < n; i += 2) {
      const auto words =
          random_words(11, Stream::probe, static_cast<std::uint64_t>(s), 0, static_cast<std::uint64_t>(i));
      for (const auto word : {words[0], words[1]}) values.push_back((word + 0.5) / 4294967296.0);
    }
    const QuantileEstimate estimate = quantile_estimates(values, {p})[0];
    held += estimate.lower <= p && p <= estimate.upper ? 1 : 0;
  }
  const double share = static_cast<double>(held) / samples, se = std::sqrt(exact * (1 - exact) / samples);
  CHECK(std::abs(share - exact) <= 3 * se);
}

TEST_CASE("far out, where few values decide, an interval may end before the value that is interpolated") {
  const QuantileRanks low = quantile_ranks(20, 0.001);
  CHECK(low.lower == -1);
  CHECK(low.upper == 0);
  CHECK(low.weight > 0);
  const QuantileRanks high = quantile_ranks(10, 0.999);
  CHECK(high.lower == 9);
  CHECK(high.upper == -1);
}
