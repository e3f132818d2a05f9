// The words of every random address are those of cuRAND's generator, whose own header runs here on the host.
#define QUALIFIERS static inline __host__ __device__
#include <cuda_runtime_api.h>
#include <curand_kernel.h>
#include <doctest/doctest.h>

#include <cstdint>

#include "slowsde/problems/philox.hpp"
#include "slowsde/problems/random_address.hpp"

using namespace slowsde;

namespace {

/// Something of all bits.
std::uint64_t scattered(std::uint64_t n) {
  n = (n + 1) * 0x9E3779B97F4A7C15ull;
  return n ^ (n >> 29);
}

/// Seed, subsequence and block of four are key, upper and lower half of the counter.
curandStatePhilox4_32_10_t generator_at(std::uint64_t seed, std::uint64_t subsequence, std::uint64_t block) {
  curandStatePhilox4_32_10_t state;
  curand_init(seed, subsequence, 4 * block, &state);
  return state;
}

}  // namespace

TEST_CASE("the words at a counter are cuRAND's at that subsequence and offset") {
  for (std::uint64_t trial = 0; trial < 1000; ++trial) {
    const std::uint64_t seed = scattered(trial), subsequence = scattered(seed), block = scattered(~seed) >> 2;
    curandStatePhilox4_32_10_t state = generator_at(seed, subsequence, block);
    for (std::uint64_t next = 0; next < 3; ++next) {
      const std::uint64_t at = block + next;
      const Philox4x32::Counter words = Philox4x32::words(
          {static_cast<std::uint32_t>(at), static_cast<std::uint32_t>(at >> 32),
           static_cast<std::uint32_t>(subsequence), static_cast<std::uint32_t>(subsequence >> 32)},
          {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)});
      const uint4 expected = curand4(&state);
      REQUIRE(words == Philox4x32::Counter{expected.x, expected.y, expected.z, expected.w});
    }
  }
}

TEST_CASE("an address is a subsequence of cuRAND's: stream, worker and replica; its block is the offset") {
  for (std::uint64_t trial = 0; trial < 1000; ++trial) {
    const std::uint64_t seed = scattered(trial), block = scattered(seed) >> 2;
    const std::uint64_t replica = scattered(block) % replica_limit;
    const std::uint32_t worker = static_cast<std::uint32_t>(scattered(replica) % worker_limit);
    const auto words = random_words(seed, Stream::label, replica, worker, block);
    const std::uint64_t subsequence =
        replica | static_cast<std::uint64_t>(worker) << 40 | static_cast<std::uint64_t>(Stream::label) << 56;
    curandStatePhilox4_32_10_t state = generator_at(seed, subsequence, block);
    const uint4 expected = curand4(&state);
    REQUIRE(words[0] == expected.x);
    REQUIRE(words[1] == expected.y);
    REQUIRE(words[2] == expected.z);
    REQUIRE(words[3] == expected.w);
  }
}
