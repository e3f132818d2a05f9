#include "slowsde/problems/noise.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/support/tolerance.hpp"

using namespace slowsde;

namespace {

constexpr std::uint64_t seed = 20240;

struct Moments {
  std::vector<double> frequency;  // mean number of times that sample i is drawn: (n)
  double variance = 0, se = 0;    // of the batch mean of z_i = i, with the standard error of the variance
  double most_frequent_z = 0;     // largest z of a frequency against B/n
};

// Statistics of `draws` minibatches, drawn by whole packs.
template <class Draw>
Moments moments(int n, int B, int packs, Draw draw) {
  constexpr int W = native_width<double>;
  Moments m;
  m.frequency.assign(static_cast<std::size_t>(n), 0.0);
  const double mean = 0.5 * (n - 1);
  double s2 = 0, s4 = 0;
  std::vector<double> squares(static_cast<std::size_t>(n), 0.0);
  std::vector<IndexPack<W>> index(static_cast<std::size_t>(B));
  const double draws = static_cast<double>(packs) * W;
  for (int k = 0; k < packs; ++k) {
    const RandomPack<double> random(seed, Stream::sample, static_cast<std::uint64_t>(k) * W);
    draw(random, k, index.data());
    for (int l = 0; l < W; ++l) {
      std::vector<int> count(static_cast<std::size_t>(n), 0);
      double sum = 0;
      for (int b = 0; b < B; ++b) {
        const int i = index[static_cast<std::size_t>(b)][l];
        if (i < 0 || i >= n) throw std::out_of_range("no sample " + std::to_string(i));
        ++count[static_cast<std::size_t>(i)];
        sum += i - mean;
      }
      for (std::size_t i = 0; i < count.size(); ++i) {
        m.frequency[i] += count[i] / draws;
        squares[i] += count[i] * count[i] / draws;
      }
      const double z = sum / B * (sum / B);
      s2 += z;
      s4 += z * z;
    }
  }
  m.variance = s2 / draws;
  m.se = std::sqrt((s4 / draws - m.variance * m.variance) / draws);
  for (std::size_t i = 0; i < squares.size(); ++i) {
    const double spread = squares[i] - m.frequency[i] * m.frequency[i];
    const double se = std::sqrt(std::max(spread, 1e-12) / draws);
    m.most_frequent_z =
        std::max(m.most_frequent_z, test::zscore(m.frequency[i], static_cast<double>(B) / n, se));
  }
  return m;
}

Moments moments(const MinibatchSampler& sampler, int packs) {
  return moments(sampler.samples, sampler.batch, packs, [&](const auto& random, int k, auto* out) {
    sampler.draw(random, 3, static_cast<std::uint64_t>(k % 5), out);
  });
}

}  // namespace

TEST_CASE("every sample is drawn equally often and a batch mean has variance 1/B or (n−B)/((n−1)B)") {
  // 4 settings with one variance and one largest of 12 frequencies each: |z| < 4.5 fails by chance once in
  // 3000.
  const int n = 12, packs = 20000;
  const double population = (n * n - 1) / 12.0;  // variance of z_i = i
  for (const int B : {2, 5})
    for (const bool replacement : {true, false}) {
      CAPTURE(B);
      CAPTURE(replacement);
      const MinibatchSampler sampler{n, B, replacement};
      const Moments m = moments(sampler, packs);
      CHECK(m.most_frequent_z <= 4.5);
      CHECK(test::zscore(m.variance, population * sampler.variance_factor(), m.se) <= 4.5);
      // Wrong theories: the other way of drawing, n for n − 1, and the sample variance for the population's.
      const MinibatchSampler other{n, B, !replacement};
      CHECK(test::zscore(m.variance, population * other.variance_factor(), m.se) >= 5);
      const double n_for_n_minus_1 = replacement ? (n - 1.0) / n / B : (n - B) / (1.0 * n * B);
      CHECK(test::zscore(m.variance, population * n_for_n_minus_1, m.se) >= 5);
    }
}

TEST_CASE(
    "Floyd's algorithm without its replacement of duplicates, or with a range short by one, is rejected") {
  const int n = 12, B = 5, packs = 20000;
  const double population = (n * n - 1) / 12.0;
  const MinibatchSampler sampler{n, B, false};
  const auto integer = [](const auto& random, int k, int b, int m) {
    return random.integers(3, static_cast<std::uint64_t>(k % 5 * 5 + b), static_cast<std::uint32_t>(m));
  };
  const Moments keeps_duplicates = moments(n, B, packs, [&](const auto& random, int k, auto* out) {
    for (int b = 0; b < B; ++b) out[b] = integer(random, k, b, n - B + b + 1);
  });
  CHECK(keeps_duplicates.most_frequent_z >= 5);
  CHECK(test::zscore(keeps_duplicates.variance, population * sampler.variance_factor(),
                     keeps_duplicates.se) >= 5);
  const Moments short_range = moments(n, B, packs, [&](const auto& random, int k, auto* out) {
    detail::draw_integers(
        n, B, false, [&](int b, int m) { return integer(random, k, b, std::max(m - 1, 1)); }, out);
  });
  CHECK(short_range.most_frequent_z >= 5);
}

TEST_CASE("a batch drawn without replacement holds no sample twice, and all of them when B = n") {
  for (const int B : {1, 3, 7}) {
    const MinibatchSampler sampler{7, B, false};
    for (std::uint64_t step = 0; step < 200; ++step) {
      std::vector<int> index(static_cast<std::size_t>(B));
      sampler.draw(seed, 11, 2, step, index.data());
      std::sort(index.begin(), index.end());
      CHECK(std::adjacent_find(index.begin(), index.end()) == index.end());
      CHECK(index.front() >= 0);
      CHECK(index.back() < 7);
    }
  }
}

TEST_CASE("lane l of a pack draws what replica l draws alone, in either precision") {
  const auto compare = [](auto real, bool replacement) {
    using Real = decltype(real);
    const MinibatchSampler sampler{40, 6, replacement};
    const RandomPack<Real> random(seed, Stream::sample, 32);
    for (std::uint64_t step = 0; step < 50; ++step) {
      IndexPack<native_width<Real>> packed[6];
      sampler.draw(random, 5, step, packed);
      for (int l = 0; l < native_width<Real>; ++l) {
        int alone[6];
        sampler.draw(seed, static_cast<std::uint64_t>(32 + l), 5, step, alone);
        for (int b = 0; b < 6; ++b) CHECK(test::exact(packed[b][l], alone[b]));
      }
    }
  };
  for (const bool replacement : {true, false}) {
    compare(double{}, replacement);
    compare(float{}, replacement);
  }
}

TEST_CASE("impossible noise is refused by the violated inequality") {
  const auto message = [](GradientNoise noise, int n) -> std::string {
    try {
      noise.check(n);
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "";
  };
  CHECK(message({NoiseKind::label, 0.3, true, 8}, 4) == "");
  CHECK(message({NoiseKind::gaussian, 0.0, false, 8}, 1) == "");
  CHECK(message({NoiseKind::label, -0.5, true, 1}, 4) ==
        "noise: 0 <= label_sigma < infinity is violated by -0.5");
  CHECK(message({NoiseKind::label, std::nan(""), true, 1}, 4) != "");
  CHECK(message({NoiseKind::label, 1.0, true, 0}, 4) == "noise: batch >= 1 is violated by 0");
  CHECK(message({NoiseKind::minibatch, 0.0, false, 5}, 4) ==
        "minibatch without replacement: batch <= samples is violated by 5");
  CHECK(message({NoiseKind::minibatch, 0.0, true, 1}, 0) == "minibatch: samples >= 1 is violated by 0");
}
