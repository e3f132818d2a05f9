#include "slowsde/problems/random_address.hpp"

#include <Random123/philox.h>
#include <doctest/doctest.h>

#include <cmath>
#include <set>
#include <stdexcept>
#include <vector>

#include "slowsde/problems/normal_pack.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;

namespace {

template <class Real>
std::vector<double> draw(int replicas, int blocks) {
  std::vector<double> values;
  for (int first = 0; first < replicas; first += native_width<Real>) {
    const RandomPack<Real> random(7, Stream::gradient, static_cast<std::uint64_t>(first));
    for (int block = 0; block < blocks; ++block) {
      Pack<Real> out[1][normals_per_block<Real>];
      random.template normals<1>(3, static_cast<std::uint64_t>(block), out);
      for (const auto& pack : out[0])
        for (int l = 0; l < native_width<Real>; ++l) values.push_back(pack[l]);
    }
  }
  return values;
}

/// z-scores of the first four moments and of a tail probability of n standard normals.
std::vector<double> moment_z(const std::vector<double>& x) {
  const double n = static_cast<double>(x.size());
  double m[5] = {}, tail = 0;
  for (const double v : x) {
    double power = 1;
    for (int k = 1; k <= 4; ++k) m[k] += power *= v;
    tail += std::abs(v) > 3;
  }
  const double p = std::erfc(3 / std::sqrt(2.0));
  // Var X = 1, Var X² = 2, Var X³ = 15, Var X⁴ = 96
  return {m[1] / std::sqrt(n), (m[2] - n) / std::sqrt(2 * n), m[3] / std::sqrt(15 * n),
          (m[4] - 3 * n) / std::sqrt(96 * n), (tail - n * p) / std::sqrt(n * p * (1 - p))};
}

}  // namespace

TEST_CASE("the words are Random123's Philox4x32-10 at the documented counter and key") {
  for (std::uint64_t trial = 0; trial < 1000; ++trial) {
    const std::uint64_t seed = trial * 0x9E3779B97F4A7C15ull + 1, block = seed ^ (seed >> 7);
    const std::uint64_t replica = (seed >> 5) % replica_limit;
    const std::uint32_t worker = static_cast<std::uint32_t>(seed >> 40) % worker_limit;
    const auto words = random_words(seed, Stream::brownian, replica, worker, block);
    const r123::Philox4x32 oracle;
    const auto expected =
        oracle({{static_cast<std::uint32_t>(block), static_cast<std::uint32_t>(block >> 32),
                 static_cast<std::uint32_t>(replica),
                 static_cast<std::uint32_t>(replica >> 32) | (worker << 8) | (4u << 24)}},
               {{static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)}});
    for (std::size_t j = 0; j < 4; ++j) REQUIRE(test::exact(words[j], expected[j]));
  }
}

TEST_CASE("a pack draws what its lanes would draw alone") {
  const std::uint64_t seed = 99, block = (std::uint64_t{5} << 33) + 12;
  const std::uint64_t first = (std::uint64_t{3} << 32) + 64;
  const RandomPack<double> random(seed, Stream::label, first);
  Pack<double> out[4][2];
  random.normals<4>(10, block, out);
  for (std::uint32_t g = 0; g < 4; ++g)
    for (std::size_t j = 0; j < 2; ++j)
      for (int l = 0; l < 8; ++l) {
        const double alone =
            normal_at(seed, Stream::label, first + static_cast<std::uint64_t>(l), 10 + g, 2 * block + j);
        REQUIRE(test::exact(out[g][j][l], alone));
      }
  for (std::uint64_t index : {0, 1, 6, 7}) {
    const auto d = random.integers(2, index, 40);
    const RandomPack<float> narrow(seed, Stream::label, first);
    const auto f = narrow.integers(2, index, 40);
    for (int l = 0; l < 8; ++l) {
      const auto expected =
          integer_at(seed, Stream::label, first + static_cast<std::uint64_t>(l), 2, index, 40);
      REQUIRE(static_cast<std::uint32_t>(d[l]) == expected);
      REQUIRE(static_cast<std::uint32_t>(f[l]) == expected);
    }
  }
}

TEST_CASE("Box–Muller of the pack is the textbook's with its angle counted from −π/4") {
  for (std::uint64_t block = 0; block < 2000; ++block) {
    const auto w = random_words(1, Stream::label, 0, 0, block);
    const auto a = (static_cast<std::uint64_t>(w[0]) << 32) | w[1],
               b = (static_cast<std::uint64_t>(w[2]) << 32) | w[3];
    const long double u = static_cast<long double>(a >> 12) * 0x1p-52L + 0x1p-53L;
    const long double f = static_cast<long double>((b << 2) >> 12) * 0x1p-52L - 0.5L;
    const long double angle =
        (static_cast<long double>(b >> 62) + f) * 1.57079632679489661923132169163975144L;
    const long double radius = std::sqrt(-2 * std::log(u));
    // Stated bound: 4 ulp of the radius.
    const double bound = static_cast<double>(radius) * 4 * 0x1p-52;
    REQUIRE(std::abs(normal_at(1, Stream::label, 0, 0, 2 * block) -
                     static_cast<double>(radius * std::cos(angle))) <= bound);
    REQUIRE(std::abs(normal_at(1, Stream::label, 0, 0, 2 * block + 1) -
                     static_cast<double>(radius * std::sin(angle))) <= bound);
  }
}

TEST_CASE("moments and tails are those of the standard normal, and a scaled or uniform law is rejected") {
  for (auto values : {draw<double>(512, 1000), draw<float>(512, 500)}) {
    for (const double z : moment_z(values)) CHECK(std::abs(z) <= 4.5);
    auto scaled = values;
    for (auto& v : scaled) v *= 1.01;
    CHECK(std::abs(moment_z(scaled)[1]) >= 5);
    auto uniform = values;
    for (auto& v : uniform) v = std::sqrt(12.0) * (0.5 * std::erfc(v / std::sqrt(2.0)) - 0.5);
    CHECK(std::abs(moment_z(uniform)[3]) >= 5);
  }
}

TEST_CASE("neighbouring addresses are uncorrelated, and the same noise in two workers is noticed") {
  constexpr int n = 20000;
  const auto correlation = [](auto first, auto second) {
    double sum = 0;
    for (std::uint64_t k = 0; k < n; ++k) sum += first(k) * second(k);
    return sum / std::sqrt(static_cast<double>(n));
  };
  const auto base = [](std::uint64_t k) { return normal_at(3, Stream::label, 5, 2, k); };
  CHECK(std::abs(correlation(base, [](std::uint64_t k) { return normal_at(3, Stream::label, 5, 3, k); })) <=
        4.5);
  CHECK(std::abs(correlation(base, [](std::uint64_t k) { return normal_at(3, Stream::label, 6, 2, k); })) <=
        4.5);
  CHECK(std::abs(correlation(base, [](std::uint64_t k) { return normal_at(4, Stream::label, 5, 2, k); })) <=
        4.5);
  CHECK(std::abs(correlation(
            base, [](std::uint64_t k) { return normal_at(3, Stream::brownian, 5, 2, k); })) <= 4.5);
  CHECK(std::abs(correlation(
            base, [](std::uint64_t k) { return normal_at(3, Stream::label, 5, 2, k + 1); })) <= 4.5);
  CHECK(std::abs(correlation(base, base)) >= 5);
}

TEST_CASE("uniforms and integers cover their range evenly") {
  std::vector<int> count(40);
  for (std::uint64_t k = 0; k < 40000; ++k) ++count[integer_at(1, Stream::sample, 0, 0, k, 40)];
  double chi2 = 0;
  for (const int c : count) chi2 += (c - 1000.0) * (c - 1000.0) / 1000;
  CHECK(std::abs(chi2 - 39) <= 4.5 * std::sqrt(2 * 39.0));
  double sum = 0;
  for (std::uint64_t k = 0; k < 40000; ++k) {
    const double u = uniform_at(1, Stream::sample, 0, 0, k);
    REQUIRE(u > 0);
    REQUIRE(u < 1);
    sum += u;
  }
  CHECK(std::abs(sum - 20000) <= 4.5 * std::sqrt(40000 / 12.0));
}

TEST_CASE("addresses out of range are refused") {
  CHECK_NOTHROW(check_address(replica_limit, worker_limit));
  CHECK_THROWS_AS(check_address(replica_limit + 1, 1), std::out_of_range);
  CHECK_THROWS_AS(check_address(1, worker_limit + 1), std::out_of_range);
}
