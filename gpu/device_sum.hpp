// The sum over the GPUs of a training: one call for each round.
#pragma once

#include <cstddef>

#if defined(SLOWSDE_CUDA)
#include <cuda_runtime_api.h>

namespace slowsde {

/// One rank's end. All ranks make the same calls in the same order.
class DeviceSum {
 public:
  virtual ~DeviceSum() = default;
  /// values ← Σ over the ranks of their values, (count) in device memory; done when it returns. The first
  /// `coarse` of them travel as bfloat16, half the bytes at 8 bits of precision. Throws LostRank.
  virtual void sum(float* values, std::size_t count, std::size_t coarse, cudaStream_t stream) = 0;
};

}  // namespace slowsde
#else
namespace slowsde {
class DeviceSum;
}
#endif
