#include "slowsde/sde/parallel.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <numeric>
#include <vector>

namespace {

// Σ over slots in the order of the indices: its last bits depend on the order, so equality shows that it is
// fixed.
double ordered_sum(int threads, std::size_t count) {
  std::vector<double> slot(count);
  slowsde::parallel_for(
      threads, count, [&](std::size_t i) { slot[i] = std::sin(1.0 + 7.0 * double(i)) / (1.0 + double(i)); });
  return std::accumulate(slot.begin(), slot.end(), 0.0);
}

}  // namespace

TEST_CASE("each index is run exactly once, for any number of threads") {
  for (const int threads : {1, 2, 3, 5, 17}) {
    for (const std::size_t count : {0u, 1u, 2u, 7u, 1000u}) {
      std::vector<std::atomic<int>> runs(count);
      slowsde::parallel_for(threads, count, [&](std::size_t i) { ++runs[i]; });
      for (const auto& r : runs) CHECK(r == 1);
    }
  }
}

TEST_CASE("a reduction over the slots has the same bits for any number of threads") {
  const double reference = ordered_sum(1, 1013);
  for (const int threads : {2, 5, 8}) CHECK(ordered_sum(threads, 1013) == reference);
}

TEST_CASE("the exception of the lowest failing index is the one that is seen") {
  for (const int threads : {1, 2, 5}) {
    for (int repetition = 0; repetition < 20; ++repetition) {
      std::size_t seen = 0;
      try {
        slowsde::parallel_for(threads, 200, [&](std::size_t i) {
          if (i == 40)
            std::this_thread::sleep_for(std::chrono::microseconds(300));  // the others fail earlier in time
          if (i >= 40) throw i;
        });
      } catch (std::size_t i) {
        seen = i;
      }
      CHECK(seen == 40);
    }
  }
}

TEST_CASE("indices below the failing one have all been run") {
  std::vector<std::atomic<int>> runs(100);
  CHECK_THROWS_AS(slowsde::parallel_for(4, 100,
                                        [&](std::size_t i) {
                                          if (i == 60) throw std::runtime_error("60");
                                          ++runs[i];
                                        }),
                  std::runtime_error);
  for (std::size_t i = 0; i < 60; ++i) CHECK(runs[i] == 1);
}

TEST_CASE("fewer than one thread is refused with the value") {
  CHECK_THROWS_WITH_AS(slowsde::parallel_for(0, 3, [](std::size_t) {}), "threads = 0 must be >= 1",
                       std::invalid_argument);
}
