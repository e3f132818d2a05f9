// A block of CUDA threads as an executor of phases.
#pragma once

#include "slowsde/problems/host_device.hpp"

namespace slowsde {

struct CudaBlock {
  template <class Phase>
  SLOWSDE_HD void run([[maybe_unused]] Phase&& phase) const {
#if defined(__CUDA_ARCH__)
    phase(static_cast<int>(threadIdx.x), static_cast<int>(blockDim.x));
    __syncthreads();
#endif
  }
};

}  // namespace slowsde
