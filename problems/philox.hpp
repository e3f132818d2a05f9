// Philox4x32-10 (Salmon, Moraes, Dror & Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011): a
// keyed bijection of 128-bit counters, the generator of cuRAND and Random123. It has no state, so a draw is a
// function of its address alone.
#pragma once

#include <array>
#include <cstdint>

#include "slowsde/problems/host_device.hpp"

namespace slowsde {

struct Philox4x32 {
  static constexpr std::uint32_t multiplier[2] = {0xD2511F53u, 0xCD9E8D57u};
  static constexpr std::uint32_t weyl[2] = {0x9E3779B9u, 0xBB67AE85u};
  static constexpr int rounds = 10;

  using Counter = std::array<std::uint32_t, 4>;
  using Key = std::array<std::uint32_t, 2>;

  /// The four words at counter c under key k.
  SLOWSDE_HD static Counter words(Counter c, Key k) {
    const std::uint32_t m0 = 0xD2511F53u, m1 = 0xCD9E8D57u;
    for (int round = 0; round < rounds; ++round) {
      const std::uint64_t p0 = static_cast<std::uint64_t>(m0) * c[0];
      const std::uint64_t p1 = static_cast<std::uint64_t>(m1) * c[2];
      c = {static_cast<std::uint32_t>(p1 >> 32) ^ c[1] ^ k[0], static_cast<std::uint32_t>(p1),
           static_cast<std::uint32_t>(p0 >> 32) ^ c[3] ^ k[1], static_cast<std::uint32_t>(p0)};
      k[0] += 0x9E3779B9u;
      k[1] += 0xBB67AE85u;
    }
    return c;
  }
};

}  // namespace slowsde
