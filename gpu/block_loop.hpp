// Loops over consecutive indices of which a block shares one block of random numbers.
#pragma once

#include <cstdint>

#include "slowsde/problems/host_device.hpp"

namespace slowsde {

/// step(index / Size, index mod Size) for the indices first … first + count − 1 in this order, after
/// load(index / Size). Whole blocks are loaded once and unrolled: there the second argument is known when the
/// loop is compiled, so that what depends on it is no choice.
template <std::uint64_t Size, class Load, class Step>
SLOWSDE_HD SLOWSDE_INLINE void for_each_in_blocks(std::uint64_t first, std::uint64_t count, Load load,
                                                  Step step) {
  const std::uint64_t end = first + count;
  const auto single = [&](std::uint64_t index) {
    load(index / Size);
    step(index / Size, index % Size);
  };
  std::uint64_t index = first;
  for (; index < end && index % Size != 0; ++index) single(index);
  for (; index + Size <= end; index += Size) {
    const std::uint64_t block = index / Size;
    load(block);
    SLOWSDE_UNROLL(4)
    for (std::uint64_t slot = 0; slot < Size; ++slot) step(block, slot);
  }
  for (; index < end; ++index) single(index);
}

}  // namespace slowsde
