#include "slowsde/sde/statistics.hpp"

#include <doctest/doctest.h>

#include <boost/math/distributions/normal.hpp>
#include <limits>
#include <stdexcept>

#include "slowsde/problems/random_address.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;
using namespace slowsde::test;

namespace {

std::vector<double> normals(std::size_t n, std::uint64_t replica, double shift = 0, double scale = 1) {
  std::vector<double> x(n);
  for (std::size_t i = 0; i < n; ++i) x[i] = shift + scale * normal_at(77, Stream::initial, replica, 0, i);
  return x;
}

}  // namespace

TEST_CASE("Welford's recursion gives the two-pass moments, also far from the origin") {
  for (const double offset : {0.0, 1e8}) {
    Moments m;
    double mean = 0, squares = 0;
    const std::vector<double> x = {1, 4, -2, 7, 0.5, 3};
    for (const double v : x) m.add(offset + v);
    for (const double v : x) mean += v / 6;
    for (const double v : x) squares += (v - mean) * (v - mean);
    CHECK(near_relative(m.mean, offset + mean, 1e-14));
    CHECK(near_relative(m.variance(), squares / 5, 1e-7));
    CHECK(near_relative(m.standard_error(), std::sqrt(squares / 30), 1e-7));
  }
}

TEST_CASE("merged parts have the moments of the whole, and an empty part changes no bit") {
  const auto x = normals(1000, 1, 3);
  Moments whole;
  std::vector<Moments> parts(7);
  for (std::size_t i = 0; i < x.size(); ++i) {
    whole.add(x[i]);
    parts[i * i % 7].add(x[i]);  // some parts stay empty
  }
  const Moments merged = merge_in_order(parts);
  CHECK(merged.count == 1000);
  CHECK(near_relative(merged.mean, whole.mean, 1e-14));
  CHECK(near_relative(merged.variance(), whole.variance(), 1e-13));
  Moments with_empty = whole;
  with_empty.merge({});
  CHECK(exact(with_empty.mean, whole.mean));
  CHECK(exact(with_empty.squares, whole.squares));
  Moments from_empty;
  from_empty.merge(whole);
  CHECK(exact(from_empty.mean, whole.mean));
  CHECK(merge_in_order({}).count == 0);
}

TEST_CASE(
    "values that are not finite are counted and never averaged; too few values have no standard error") {
  Moments m;
  m.add(2);
  CHECK(std::isnan(m.standard_error()));
  m.add(std::numeric_limits<double>::infinity());
  m.add(std::numeric_limits<double>::quiet_NaN());
  m.add(4);
  CHECK(m.count == 2);
  CHECK(m.diverged == 2);
  CHECK(exact(m.mean, 3.0));
  Moments other;
  other.add(-std::numeric_limits<double>::infinity());
  m.merge(other);
  CHECK(m.diverged == 3);
  CHECK(exact(m.mean, 3.0));
}

TEST_CASE("quantiles interpolate between order statistics") {
  CHECK(exact(quantile({3, 1, 2}, 0), 1.0));
  CHECK(exact(quantile({3, 1, 2}, 0.5), 2.0));
  CHECK(exact(quantile({3, 1, 2}, 0.75), 2.5));
  CHECK(exact(quantile({3, 1, 2}, 1), 3.0));
  CHECK_THROWS_AS(quantile({}, 0.5), std::invalid_argument);
  CHECK_THROWS_AS(quantile({1}, 1.5), std::invalid_argument);
  CHECK_THROWS_AS(quantile({1, std::nan("")}, 0.5), std::invalid_argument);
}

TEST_CASE("the Kolmogorov law has its tabulated quantiles") {
  // Q(1.2239) = 0.10, Q(1.3581) = 0.05, Q(1.6276) = 0.01; at n = 10^12 Stephens' factor is √n
  const auto tail = [](double lambda) { return KolmogorovSmirnov{lambda * 1e-6, 1e12}.p_value(); };
  CHECK(near_relative(tail(1.2238479), 0.10, 1e-5));
  CHECK(near_relative(tail(1.3580986), 0.05, 1e-5));
  CHECK(near_relative(tail(1.6276236), 0.01, 1e-5));
  CHECK(near_relative(tail(0.8275736), 0.50, 1e-5));
  CHECK(near_relative(tail(1 - 1e-9), tail(1 + 1e-9), 1e-7));  // both series
  CHECK(near_relative(KolmogorovSmirnov{0, 1e12}.threshold(0.05), 1.3580986e-6, 1e-5));
}

TEST_CASE("Kolmogorov-Smirnov accepts equal laws and rejects a shift and a scale") {
  const auto a = normals(4000, 2), b = normals(3000, 3);
  const boost::math::normal law;
  const auto distribution = [&](double x) { return boost::math::cdf(law, x); };
  CHECK(kolmogorov_smirnov(a, b).p_value() > 1e-4);
  CHECK(kolmogorov_smirnov(a, distribution).p_value() > 1e-4);
  const double five_se = 5.7e-7;  // two-sided probability of 5 standard errors
  // D = 0.12 and 0.11 against a threshold of 0.066 whose distance has the standard deviation 0.012
  for (const auto& wrong : {normals(3000, 3, 0.3), normals(3000, 3, 0, 1.6)}) {
    CHECK(kolmogorov_smirnov(a, wrong).p_value() < five_se);
    CHECK(kolmogorov_smirnov(a, wrong).distance > kolmogorov_smirnov(a, wrong).threshold(five_se));
    CHECK(kolmogorov_smirnov(wrong, distribution).p_value() < five_se);
  }
  CHECK(near(kolmogorov_smirnov({1, 2, 2}, {2, 2, 3}).distance, 1.0 / 3, 1e-15));
  CHECK_THROWS_AS(kolmogorov_smirnov(a, std::vector<double>{}), std::invalid_argument);
  CHECK_THROWS_AS(kolmogorov_smirnov(a, std::vector<double>{1, std::nan("")}), std::invalid_argument);
}
