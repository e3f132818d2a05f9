#include "slowsde/problems/label_flip.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <vector>

#include "tests/support/tolerance.hpp"

using namespace slowsde;

namespace {

constexpr int classes = 5, draws = 60000;

// How often each class is the label of a visit whose sample has `label`.
template <class Draw>
std::array<double, classes> counts(Draw draw) {
  std::array<double, classes> count{};
  for (int k = 0; k < draws; ++k) ++count[static_cast<std::size_t>(draw(static_cast<std::uint64_t>(k)))];
  return count;
}

// Largest |z| of the counts against probability `own` for class `label` and `other` for each of the rest.
double largest_z(const std::array<double, classes>& count, int label, double own, double other) {
  double largest = 0;
  for (int c = 0; c < classes; ++c) {
    const double p = c == label ? own : other;
    largest = std::max(
        largest, test::zscore(count[static_cast<std::size_t>(c)], draws * p, std::sqrt(draws * p * (1 - p))));
  }
  return largest;
}

int draw(const LabelFlip& flip, int label, std::uint64_t k) {
  return flip.draw(label, classes, 9, k % 11, static_cast<std::uint32_t>(k % 4), k);
}

}  // namespace

TEST_CASE("a label is flipped with probability p, to each other class with p/(C−1)") {
  // 4·5 frequencies: |z| below 4.5 in all fails by chance once in 7000.
  for (const double p : {0.1, 0.6})
    for (const int label : {0, 3}) {
      const auto count = counts([&](std::uint64_t k) { return draw({p}, label, k); });
      CHECK(largest_z(count, label, 1 - p, p / (classes - 1)) <= 4.5);
      // Wrong theories: the new label may be the old one; the others share it by C.
      CHECK(largest_z(count, label, 1 - p + p / classes, p / classes) >= 5);
      CHECK(largest_z(count, label, 1 - p, p / classes) >= 5);
      // A mutant that moves to the next class, and one that draws once for all visits.
      const auto next = counts(
          [&](std::uint64_t k) { return draw({p}, label, k) == label ? label : (label + 1) % classes; });
      CHECK(largest_z(next, label, 1 - p, p / (classes - 1)) >= 5);
      const auto once = counts([&](std::uint64_t) { return draw({p}, label, 0); });
      CHECK(largest_z(once, label, 1 - p, p / (classes - 1)) >= 5);
    }
}

TEST_CASE("p = 0 keeps every label and p = 1 none") {
  for (std::uint64_t k = 0; k < 2000; ++k) {
    for (int label = 0; label < classes; ++label) {
      REQUIRE(draw({0}, label, k) == label);
      const int other = draw({1}, label, k);
      REQUIRE(other != label);
      REQUIRE(other >= 0);
      REQUIRE(other < classes);
    }
  }
}

TEST_CASE("a visit's flip depends on its whole address") {
  // Of 400 visits about half are flipped: two equal sequences would have probability below 1e-100.
  const auto sequence = [](std::uint64_t seed, std::uint64_t replica, std::uint32_t worker,
                           std::uint64_t first) {
    std::vector<int> labels;
    for (std::uint64_t k = 0; k < 400; ++k)
      labels.push_back(LabelFlip{0.5}.draw(1, classes, seed, replica, worker, first + k));
    return labels;
  };
  const auto base = sequence(1, 2, 3, 0);
  CHECK(sequence(1, 2, 3, 0) == base);
  CHECK(sequence(2, 2, 3, 0) != base);
  CHECK(sequence(1, 3, 3, 0) != base);
  CHECK(sequence(1, 2, 4, 0) != base);
  CHECK(sequence(1, 2, 3, 400) != base);
}

TEST_CASE("where the softmax is the flipped labels' distribution, a visit's gradient has Σ = ∇²L") {
  // One sample whose parameters are its logits f: the gradient is π − e_label, and ∇²L = diag π − ππᵀ for
  // whatever labels. The logits are those with π = q. 15 entries; |z| below 4.5 fails once in 10000.
  const double p = 0.3;
  const int label = 2;
  const auto hessian = [](const std::array<double, classes>& pi, int a, int b) {
    return (a == b ? pi[static_cast<std::size_t>(a)] : 0.0) -
           pi[static_cast<std::size_t>(a)] * pi[static_cast<std::size_t>(b)];
  };
  const auto worst = [&](double own, double other, double& mean_z) {
    std::array<double, classes> pi;
    pi.fill(other);
    pi[label] = own;
    double largest = 0;
    mean_z = 0;
    for (int a = 0; a < classes; ++a) {
      for (int b = 0; b <= a; ++b) {
        double first = 0, second = 0, mean = 0, square = 0;
        for (int k = 0; k < draws; ++k) {
          const int seen = draw({p}, label, static_cast<std::uint64_t>(k));
          const double ga = pi[static_cast<std::size_t>(a)] - (seen == a);
          const double gb = pi[static_cast<std::size_t>(b)] - (seen == b);
          first += ga * gb / draws;
          second += ga * gb * ga * gb / draws;
          mean += ga / draws;
          square += ga * ga / draws;
        }
        const double se = std::sqrt((second - first * first) / draws);
        largest = std::max(largest, test::zscore(first, hessian(pi, a, b), se));
        mean_z = std::max(mean_z, test::zscore(mean, 0, std::sqrt((square - mean * mean) / draws)));
      }
    }
    return largest;
  };
  double mean_z = 0;
  CHECK(worst(1 - p, p / (classes - 1), mean_z) <= 4.5);
  CHECK(mean_z <= 4.5);
  // Not at the minimum: as if the flipped label were any class, and nearly interpolating the clean labels.
  CHECK(worst(1 - p + p / classes, p / classes, mean_z) >= 5);
  CHECK(mean_z >= 5);
  CHECK(worst(0.96, 0.01, mean_z) >= 5);
  CHECK(mean_z >= 5);
}

TEST_CASE("impossible flips are refused by the violated inequality") {
  CHECK_NOTHROW(LabelFlip{0}.check(1));
  CHECK_NOTHROW(LabelFlip{1}.check(2));
  CHECK_THROWS_WITH_AS(LabelFlip{0.1}.check(1), "label flips: classes >= 2 is violated by 1",
                       std::invalid_argument);
  CHECK_THROWS_WITH_AS(LabelFlip{-0.1}.check(3), "label flips: 0 <= p <= 1 is violated by -0.1",
                       std::invalid_argument);
  CHECK_THROWS_AS(LabelFlip{1.1}.check(3), std::invalid_argument);
  CHECK_THROWS_AS(LabelFlip{std::numeric_limits<double>::quiet_NaN()}.check(3), std::invalid_argument);
}
