#include "slowsde/gpu/block_loop.hpp"

#include <doctest/doctest.h>

#include <vector>

using slowsde::for_each_in_blocks;

TEST_CASE("every index comes once and in order, with its block loaded, and a whole block is loaded once") {
  constexpr std::uint64_t size = 4;
  for (const std::uint64_t first : {0u, 1u, 3u, 4u, 6u})
    for (const std::uint64_t count : {0u, 1u, 2u, 3u, 4u, 5u, 8u, 13u}) {
      CAPTURE(first);
      CAPTURE(count);
      std::vector<std::uint64_t> seen, loads;
      for_each_in_blocks<size>(
          first, count, [&](std::uint64_t block) { loads.push_back(block); },
          [&](std::uint64_t block, std::uint64_t slot) {
            CHECK(loads.back() == block);
            CHECK(slot < size);
            seen.push_back(block * size + slot);
          });
      REQUIRE(seen.size() == count);
      for (std::uint64_t i = 0; i < count; ++i) CHECK(seen[i] == first + i);
      const std::uint64_t begin = (first + size - 1) / size, end = (first + count) / size;
      const std::uint64_t whole = end > begin ? end - begin : 0;
      CHECK(loads.size() == count - whole * (size - 1));  // singles load for themselves
    }
}
