#include "slowsde/problems/gaussian_mixture.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <stdexcept>

#include "tests/support/tolerance.hpp"

using namespace slowsde;

namespace {

double normal_tail(double z) { return 0.5 * std::erfc(z / std::sqrt(2.0)); }

double distance(const double* a, const double* b, int dim) {
  double square = 0;
  for (int j = 0; j < dim; ++j) square += (a[j] - b[j]) * (a[j] - b[j]);
  return std::sqrt(square);
}

}  // namespace

TEST_CASE("sample i is the same whatever n and the first sample are") {
  const GaussianMixture mixture{.classes = 3, .dim = 5, .separation = 2, .seed = 4};
  const ClassificationData many = mixture.samples(40), few = mixture.samples(6, 30);
  many.check();
  CHECK(many.shape == ImageShape{5, 1, 1});
  for (int i = 0; i < 6; ++i) {
    CHECK(few.labels[static_cast<std::size_t>(i)] == many.labels[static_cast<std::size_t>(30 + i)]);
    for (int j = 0; j < 5; ++j) CHECK(few.sample(i)[j] == many.sample(30 + i)[j]);
  }
  CHECK(GaussianMixture{.classes = 3, .dim = 5, .separation = 2, .seed = 5}.samples(40).x != many.x);
}

TEST_CASE("means have length separation/√2, in other directions for other seeds") {
  const GaussianMixture mixture{.classes = 4, .dim = 7, .separation = 3};
  const auto mu = mixture.means();
  const std::vector<double> zero(7, 0.0);
  for (int c = 0; c < 4; ++c)
    CHECK(test::near(distance(mu.data() + 7 * c, zero.data(), 7), 3 / std::sqrt(2.0), 1e-14));
  CHECK(GaussianMixture{.classes = 4, .dim = 7, .separation = 3, .seed = 2}.means() != mu);
  // With as many directions as these, two are at right angles to some per cent: |μ_0 − μ_1| = 3.
  const GaussianMixture wide{.classes = 2, .dim = 20000, .separation = 3};
  const auto far = wide.means();
  CHECK(std::abs(distance(far.data(), far.data() + 20000, 20000) - 3) < 0.1);
}

TEST_CASE("the nearer mean errs on a share Φ(−|μ_0 − μ_1|/2) of two classes, which are equally frequent") {
  // Two binomial shares; |z| ≤ 4.5 each.
  const int n = 40000;
  const GaussianMixture mixture{.classes = 2, .dim = 6, .separation = 2, .seed = 11};
  const auto mu = mixture.means();
  const ClassificationData data = mixture.samples(n);
  int wrong = 0, ones = 0;
  for (int i = 0; i < n; ++i) {
    const std::vector<double> x(data.sample(i), data.sample(i) + 6);
    const bool nearer_one = distance(x.data(), mu.data() + 6, 6) < distance(x.data(), mu.data(), 6);
    const int label = data.labels[static_cast<std::size_t>(i)];
    wrong += nearer_one != (label == 1);
    ones += label;
  }
  const double gap = distance(mu.data(), mu.data() + 6, 6);
  const auto z = [&](double p) { return test::zscore(wrong, n * p, std::sqrt(n * p * (1 - p))); };
  CHECK(z(normal_tail(gap / 2)) <= 4.5);
  // Wrong theories: the whole distance, noise of variance 2 or ½.
  CHECK(z(normal_tail(gap)) >= 5);
  CHECK(z(normal_tail(gap / 2 / std::sqrt(2.0))) >= 5);
  CHECK(z(normal_tail(gap / 2 * std::sqrt(2.0))) >= 5);
  CHECK(test::zscore(ones, n / 2.0, std::sqrt(n / 4.0)) <= 4.5);
}

TEST_CASE("impossible mixtures are refused by the violated inequality") {
  CHECK_THROWS_WITH_AS((GaussianMixture{.classes = 0}.check()),
                       "Gaussian mixture: classes >= 1 is violated by 0", std::invalid_argument);
  CHECK_THROWS_WITH_AS((GaussianMixture{.dim = 0}.check()), "Gaussian mixture: dim >= 1 is violated by 0",
                       std::invalid_argument);
  CHECK_THROWS_AS((GaussianMixture{.separation = -1}.check()), std::invalid_argument);
  CHECK_THROWS_AS((GaussianMixture{.separation = std::numeric_limits<double>::quiet_NaN()}.check()),
                  std::invalid_argument);
  CHECK_THROWS_WITH_AS(GaussianMixture{}.samples(0), "Gaussian mixture: n >= 1 is violated by 0",
                       std::invalid_argument);
  CHECK_THROWS_WITH_AS(GaussianMixture{}.samples(1, -1), "Gaussian mixture: first >= 0 is violated by -1",
                       std::invalid_argument);
}
