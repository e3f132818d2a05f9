// Random permutations with an address.
#pragma once

#include <cstdint>
#include <vector>

#include "slowsde/problems/random_address.hpp"

namespace slowsde {

/// Where a permutation's random words are: word `first` + j of (seed, stream, replica, worker) is the draw of
/// place j.
struct PermutationAddress {
  std::uint64_t seed = 1;
  Stream stream = Stream::shuffle;
  std::uint64_t replica = 0;
  std::uint32_t worker = 0;
  std::uint64_t first = 0;
};

/// Shuffles `values` by the algorithm of Fisher and Yates: place j = 0, 1, … swaps with a place chosen
/// uniformly from j … n−1. Every order is equally likely up to the bias of `integer_at`, below n/2³² per
/// draw.
void shuffle(std::vector<int>& values, const PermutationAddress& address);

/// A random order of 0 … n−1. Throws std::invalid_argument for n < 0.
std::vector<int> permutation(int n, const PermutationAddress& address);

}  // namespace slowsde
