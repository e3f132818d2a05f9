// Which of this process's GPUs the calling thread works on.
#pragma once

#if defined(SLOWSDE_CUDA)

#include <cuda_runtime_api.h>

#include "slowsde/gpu/cuda_check.hpp"

namespace slowsde {

/// Makes a GPU the calling thread's current one: that with the given number, modulo how many this process
/// sees. Throws DeviceError where there is none.
class CurrentGpu {
 public:
  explicit CurrentGpu(int number) {
    int count = 0;
    check_cuda(cudaGetDeviceCount(&count), "counting the GPUs");
    if (count == 0) throw DeviceError("CUDA: there is no GPU");
    number_ = number % count;
    set();
  }
  void set() const { check_cuda(cudaSetDevice(number_), "choosing the GPU"); }

 private:
  int number_ = 0;
};

}  // namespace slowsde

#endif
