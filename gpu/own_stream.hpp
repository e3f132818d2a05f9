// A stream of work on the GPU, destroyed with its owner.
#pragma once

#if defined(SLOWSDE_CUDA)

#include <cuda_runtime_api.h>

#include "slowsde/gpu/cuda_check.hpp"

namespace slowsde {

class OwnStream {
 public:
  /// flags: cudaStreamDefault for a stream that the default one, on which DeviceArray copies, waits for and
  /// that waits for it; cudaStreamNonBlocking for one that has nothing to do with it.
  explicit OwnStream(unsigned flags) {
    check_cuda(cudaStreamCreateWithFlags(&stream_, flags), "creating a stream");
  }
  ~OwnStream() { cudaStreamDestroy(stream_); }
  OwnStream(const OwnStream&) = delete;
  OwnStream& operator=(const OwnStream&) = delete;

  operator cudaStream_t() const { return stream_; }
  void wait(const char* what) const { check_cuda(cudaStreamSynchronize(stream_), what); }

 private:
  cudaStream_t stream_ = nullptr;
};

}  // namespace slowsde

#endif
