#include "slowsde/problems/epoch_sampler.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "slowsde/problems/noise.hpp"
#include "slowsde/problems/random_address.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;

namespace {

constexpr std::uint64_t seed = 11;

std::vector<int> batch(EpochSampler& sampler, std::uint64_t replica, std::uint32_t worker,
                       std::uint64_t step) {
  const int* drawn = sampler.draw(replica, worker, step);
  return {drawn, drawn + sampler.plan().local_batch};
}

// All visits of one epoch, in the order of the steps and of the workers within a step.
std::vector<int> visits(EpochSampler& sampler, std::uint64_t replica, std::uint64_t epoch) {
  std::vector<int> all;
  const auto steps = static_cast<std::uint64_t>(sampler.steps_per_epoch());
  for (std::uint64_t s = 0; s < steps; ++s) {
    for (int w = 0; w < sampler.plan().workers; ++w) {
      const auto one = batch(sampler, replica, static_cast<std::uint32_t>(w), epoch * steps + s);
      all.insert(all.end(), one.begin(), one.end());
    }
  }
  return all;
}

bool distinct(std::vector<int> values) {
  std::sort(values.begin(), values.end());
  return std::adjacent_find(values.begin(), values.end()) == values.end();
}

const std::array modes{Sampling::with_replacement, Sampling::distinct, Sampling::epoch,
                       Sampling::fixed_shards};

}  // namespace

TEST_CASE("in an epoch every sample is visited once over all workers, or left out of it") {
  for (const Sampling mode : {Sampling::epoch, Sampling::fixed_shards}) {
    for (const auto& [n, K, B] : {std::array{24, 4, 3}, {24, 1, 24}, {24, 24, 1}, {29, 4, 3}, {7, 2, 2}}) {
      CAPTURE(n);
      EpochSampler sampler({mode, n, K, B}, seed);
      CHECK(sampler.steps_per_epoch() == n / (K * B));
      for (const std::uint64_t epoch : {0, 1, 2, 1000000}) {
        const std::vector<int> all = visits(sampler, 3, epoch);
        CHECK(static_cast<int>(all.size()) == n / (K * B) * K * B);
        CHECK(distinct(all));
        CHECK(*std::min_element(all.begin(), all.end()) >= 0);
        CHECK(*std::max_element(all.begin(), all.end()) < n);
      }
      // Shards of one sample have one order.
      if (n > 7 && K < n) CHECK(visits(sampler, 3, 0) != visits(sampler, 3, 1));
      if (n > 7) CHECK(visits(sampler, 3, 0) != visits(sampler, 4, 0));
      EpochSampler other({mode, n, K, B}, seed + 1);
      if (n > 7) CHECK(visits(sampler, 3, 0) != visits(other, 3, 0));
    }
  }
}

TEST_CASE("the batches do not depend on the order in which they are asked for") {
  for (const Sampling mode : modes) {
    const SamplingPlan plan{mode, 23, 3, 2};
    EpochSampler jumping(plan, seed);
    for (std::uint64_t k = 0; k < 400; ++k) {
      const std::uint64_t replica = integer_at(1, Stream::probe, 0, 0, 3 * k, 3);
      const std::uint32_t worker = integer_at(1, Stream::probe, 0, 0, 3 * k + 1, 3);
      const std::uint64_t step = integer_at(1, Stream::probe, 0, 0, 3 * k + 2, 14);
      EpochSampler fresh(plan, seed);
      REQUIRE(batch(jumping, replica, worker, step) == batch(fresh, replica, worker, step));
    }
  }
}

TEST_CASE("the union of the workers' batches depends on the global batch alone") {
  EpochSampler one({Sampling::epoch, 50, 1, 12}, seed), three({Sampling::epoch, 50, 3, 4}, seed),
      twelve({Sampling::epoch, 50, 12, 1}, seed);
  for (const std::uint64_t epoch : {0, 1, 5}) {
    CHECK(visits(one, 0, epoch) == visits(three, 0, epoch));
    CHECK(visits(one, 0, epoch) == visits(twelve, 0, epoch));
  }
}

TEST_CASE("a worker with a fixed shard keeps its samples, which are nobody else's, and reorders them") {
  const int n = 26, K = 4, B = 2;  // shards of 7, 7, 6 and 6
  EpochSampler sampler({Sampling::fixed_shards, n, K, B}, seed);
  CHECK(sampler.steps_per_epoch() == 3);
  std::set<int> seen;
  std::size_t sizes = 0;
  for (std::uint32_t w = 0; w < K; ++w) {
    std::set<int> shard;
    std::set<std::vector<int>> orders;
    for (std::uint64_t epoch = 0; epoch < 60; ++epoch) {
      std::vector<int> order;
      for (std::uint64_t s = 0; s < 3; ++s) {
        for (const int i : batch(sampler, 0, w, 3 * epoch + s)) order.push_back(i);
      }
      shard.insert(order.begin(), order.end());
      orders.insert(order);
    }
    CHECK(shard.size() == (w < 2 ? 7u : 6u));  // 60 epochs of 7 visit the one left out
    CHECK(orders.size() > 50);
    sizes += shard.size();
    seen.insert(shard.begin(), shard.end());
  }
  CHECK(sizes == static_cast<std::size_t>(n));
  CHECK(seen.size() == static_cast<std::size_t>(n));
}

TEST_CASE("batches outside epochs are those of the minibatch sampler") {
  for (const bool replacement : {true, false}) {
    EpochSampler sampler({replacement ? Sampling::with_replacement : Sampling::distinct, 9, 2, 5}, seed);
    CHECK(sampler.steps_per_epoch() == 1);
    const MinibatchSampler minibatch{9, 5, replacement};
    for (std::uint64_t step = 0; step < 40; ++step) {
      std::vector<int> expected(5);
      minibatch.draw(seed, 8, 1, step, expected.data());
      CHECK(batch(sampler, 8, 1, step) == expected);
    }
  }
}

TEST_CASE("two workers' batches of a step are correlated by −1/(n−1), and without replacement less varied") {
  // The sum of all z_i − z̄ is zero, so distinct samples i ≠ j have E[z_i z_j] = −s²/(n−1), s² the
  // population's variance, and a mean of B of them has variance s²(n−B)/((n−1)B). One epoch a draw; |z| ≤ 4.5
  // four times.
  const int n = 6, K = 3, B = 2, draws = 20000;
  const double s2 = (n * n - 1) / 12.0, mean = 0.5 * (n - 1);
  struct Moments {
    double covariance, covariance_se, variance, variance_se;
  };
  const auto moments = [&](Sampling mode, std::uint64_t epoch_of_draw) {
    EpochSampler sampler({mode, n, K, B}, seed);
    double c1 = 0, c2 = 0, v1 = 0, v2 = 0;
    for (int k = 0; k < draws; ++k) {
      double m[2];
      for (std::uint32_t w = 0; w < 2; ++w) {
        const auto one = batch(sampler, 0, w, static_cast<std::uint64_t>(k) * epoch_of_draw);
        m[w] = 0.5 * (one[0] + one[1]) - mean;
      }
      c1 += m[0] * m[1] / draws;
      c2 += m[0] * m[1] * m[0] * m[1] / draws;
      v1 += m[0] * m[0] / draws;
      v2 += m[0] * m[0] * m[0] * m[0] / draws;
    }
    return Moments{c1, std::sqrt((c2 - c1 * c1) / draws), v1, std::sqrt((v2 - v1 * v1) / draws)};
  };
  const double distinct_variance = s2 * (n - B) / ((n - 1.0) * B);
  const Moments epoch = moments(Sampling::epoch, 1);
  CHECK(test::zscore(epoch.covariance, -s2 / (n - 1), epoch.covariance_se) <= 4.5);
  CHECK(test::zscore(epoch.variance, distinct_variance, epoch.variance_se) <= 4.5);
  const Moments independent = moments(Sampling::with_replacement, 1);
  CHECK(test::zscore(independent.covariance, 0, independent.covariance_se) <= 4.5);
  CHECK(test::zscore(independent.variance, s2 / B, independent.variance_se) <= 4.5);
  // Wrong theories: independent workers, n for n − 1, each other's variance.
  CHECK(test::zscore(epoch.covariance, 0, epoch.covariance_se) >= 5);
  CHECK(test::zscore(epoch.covariance, -s2 / n, epoch.covariance_se) >= 5);
  CHECK(test::zscore(epoch.variance, s2 / B, epoch.variance_se) >= 5);
  CHECK(test::zscore(independent.variance, distinct_variance, independent.variance_se) >= 5);
  CHECK(test::zscore(independent.covariance, -s2 / (n - 1), independent.covariance_se) >= 5);
}

TEST_CASE("every sample is left out of an epoch equally often") {
  // 2 of 10 are left out: each with probability 1/5. Of 10 frequencies the largest |z| exceeds 4.5 once in
  // 15000.
  const int n = 10, epochs = 5000;
  const auto left_out_z = [&](double expected, auto epoch_of) {
    EpochSampler sampler({Sampling::epoch, n, 2, 2}, seed);
    std::vector<int> count(n, 0);
    for (int e = 0; e < epochs; ++e) {
      for (const int i : visits(sampler, 0, epoch_of(e))) ++count[static_cast<std::size_t>(i)];
    }
    double largest = 0;
    for (const int visited : count) {
      const double se = std::sqrt(epochs * expected * (1 - expected));
      largest = std::max(largest, test::zscore(epochs - visited, epochs * expected, se));
    }
    return largest;
  };
  const auto fresh = [](int e) { return static_cast<std::uint64_t>(e); };
  CHECK(left_out_z(0.2, fresh) <= 4.5);
  CHECK(left_out_z(0.25, fresh) >= 5);                                // relative to those visited
  CHECK(left_out_z(0.2, [](int) { return std::uint64_t{0}; }) >= 5);  // never reshuffled
}

TEST_CASE("an epoch of ImageNet at a global batch of 4096 is 312 steps") {
  CHECK(SamplingPlan{Sampling::epoch, 1281167, 16, 256}.steps_per_epoch() == 312);
  CHECK(SamplingPlan{Sampling::with_replacement, 1281167, 16, 256}.steps_per_epoch() == 312);
}

TEST_CASE("impossible plans are refused by the violated inequality") {
  const auto message = [](const SamplingPlan& plan) -> std::string {
    try {
      const EpochSampler sampler(plan, seed);
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "";
  };
  CHECK(message({Sampling::epoch, 12, 3, 4}) == "");
  CHECK(message({Sampling::epoch, 11, 3, 4}) ==
        "sampling in epochs: workers*local_batch <= samples is violated by 12");
  CHECK(message({Sampling::fixed_shards, 11, 3, 4}) ==
        "sampling in epochs: workers*local_batch <= samples is violated by 12");
  CHECK(message({Sampling::epoch, 100, 65534, 65536}) ==
        "sampling in epochs: workers*local_batch <= samples is violated by 4294836224");
  CHECK(message({Sampling::distinct, 3, 3, 4}) ==
        "sampling of distinct samples: local_batch <= samples is violated by 4");
  CHECK(message({Sampling::with_replacement, 3, 3, 4}) == "");
  CHECK(message({Sampling::epoch, 0, 1, 1}) == "sampling: samples >= 1 is violated by 0");
  CHECK(message({Sampling::epoch, 1, 0, 1}) == "sampling: workers >= 1 is violated by 0");
  CHECK(message({Sampling::epoch, 1, 65535, 1}) == "sampling: workers < 2^16 - 1 is violated by 65535");
  CHECK(message({Sampling::epoch, 1, 1, 0}) == "sampling: local_batch >= 1 is violated by 0");
  EpochSampler sampler({Sampling::epoch, 12, 3, 4}, seed);
  CHECK_THROWS_WITH_AS(sampler.draw(0, 3, 0), "there is no worker 3 among 3", std::out_of_range);
}
