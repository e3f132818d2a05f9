// Sorting numbers that lie on a GPU.
#pragma once

#include <cstddef>
#include <cstdint>

namespace slowsde {

/// Ascending, by Thrust. `keys` are on the current device. Throws DeviceError.
void sort_on_device(std::uint64_t* keys, std::size_t count);

}  // namespace slowsde
