#include "slowsde/problems/permutation.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <stdexcept>
#include <utility>

#include "tests/support/tolerance.hpp"

using namespace slowsde;

namespace {

// Largest z over the 4! orders of their frequencies among `draws`, each expected with probability 1/24.
template <class Draw>
double largest_z(int draws, Draw draw) {
  std::map<std::vector<int>, int> count;
  std::vector<int> order{0, 1, 2, 3};
  do {
    count[order] = 0;
  } while (std::next_permutation(order.begin(), order.end()));
  for (int k = 0; k < draws; ++k) ++count[draw(k)];
  double largest = 0;
  for (const auto& [key, times] : count) {
    const double se = std::sqrt(draws / 24.0 * (23 / 24.0));
    largest = std::max(largest, test::zscore(times, draws / 24.0, se));
  }
  return largest;
}

}  // namespace

TEST_CASE("every order is equally likely; shuffles that look alike are rejected") {
  // Once in 6000 the largest of 24 normals exceeds 4.5.
  constexpr int draws = 48000;
  CHECK(largest_z(draws, [](int k) {
          return permutation(4, {.seed = 7, .first = static_cast<std::uint64_t>(k) * 4});
        }) <= 4.5);
  // Each place swaps with any other: 4⁴ paths do not divide into 24 orders.
  const auto any_place = [](int k) {
    std::vector<int> order{0, 1, 2, 3};
    for (std::uint32_t j = 0; j < 4; ++j) {
      std::swap(order[j],
                order[integer_at(7, Stream::shuffle, 0, 0, static_cast<std::uint64_t>(k) * 4 + j, 4)]);
    }
    return order;
  };
  CHECK(largest_z(draws, any_place) >= 5);
  // Each place swaps with a later one: cycles only, no value stays.
  const auto later_place = [](int k) {
    std::vector<int> order{0, 1, 2, 3};
    for (std::uint32_t j = 0; j < 3; ++j) {
      const auto word = static_cast<std::uint64_t>(k) * 4 + j;
      std::swap(order[j], order[j + 1 + integer_at(7, Stream::shuffle, 0, 0, word, 3 - j)]);
    }
    return order;
  };
  CHECK(largest_z(draws, later_place) >= 5);
}

TEST_CASE("a permutation holds every number once and depends on its whole address") {
  const PermutationAddress address{.seed = 3, .replica = 2, .worker = 1, .first = 5};
  for (const int n : {0, 1, 2, 17, 1000}) {
    std::vector<int> order = permutation(n, address);
    std::sort(order.begin(), order.end());
    std::vector<int> all(static_cast<std::size_t>(n));
    std::iota(all.begin(), all.end(), 0);
    CHECK(order == all);
  }
  CHECK_THROWS_WITH_AS(permutation(-1, address), "permutation: n >= 0 is violated by -1",
                       std::invalid_argument);
  const std::vector<int> order = permutation(20, address);
  CHECK(permutation(20, address) == order);
  for (const PermutationAddress& other :
       {PermutationAddress{.seed = 4, .replica = 2, .worker = 1, .first = 5},
        PermutationAddress{.seed = 3, .replica = 3, .worker = 1, .first = 5},
        PermutationAddress{.seed = 3, .replica = 2, .worker = 2, .first = 5},
        PermutationAddress{.seed = 3, .replica = 2, .worker = 1, .first = 6},
        PermutationAddress{.seed = 3, .stream = Stream::sample, .replica = 2, .worker = 1, .first = 5}}) {
    CHECK(permutation(20, other) != order);
  }
}

TEST_CASE("place j swaps by word first + j of the stream") {
  const std::uint64_t first = 6;  // in the middle of a block of four words
  std::vector<int> order(11);
  std::iota(order.begin(), order.end(), 0);
  for (std::uint32_t j = 0; j + 1 < 11; ++j) {
    std::swap(order[j], order[j + integer_at(9, Stream::shuffle, 1, 2, first + j, 11 - j)]);
  }
  CHECK(permutation(11, {9, Stream::shuffle, 1, 2, first}) == order);
}
