// Shared memory of a block on the current GPU.
#pragma once

#if defined(SLOWSDE_CUDA)

#include <cstddef>

#include "slowsde/gpu/cuda_check.hpp"

namespace slowsde {

/// The most that a kernel may ask for.
inline std::size_t most_block_bytes() {
  int device = 0, bytes = 0;
  check_cuda(cudaGetDevice(&device), "asking for the device");
  check_cuda(cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device),
             "asking for a block's shared memory");
  return static_cast<std::size_t>(bytes);
}

}  // namespace slowsde

#endif
