// What the passes layer by layer run on on a GPU: batched products by cuBLAS, functions of one index by
// kernels.
#pragma once

#include <cublas_v2.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "slowsde/gpu/batched_product.hpp"
#include "slowsde/gpu/cuda_check.hpp"
#include "slowsde/gpu/device_array.hpp"

namespace slowsde {

inline void check_cublas(cublasStatus_t status, const char* what) {
  if (status != CUBLAS_STATUS_SUCCESS)
    throw DeviceError(std::string("cuBLAS: ") + what + ": " + cublasGetStatusString(status));
}

template <class Function>
__global__ void each(Function f, std::int64_t count) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < count) f(i);
}

/// Products by cuBLAS and functions by kernels, one after the other on a stream.
class CublasMachine {
 public:
  explicit CublasMachine(cudaStream_t stream) : workspace_(product_workspace_bytes) {
    check_cublas(cublasCreate(&handle_), "creating a handle");
    use(stream);
  }
  ~CublasMachine() { cublasDestroy(handle_); }
  CublasMachine(const CublasMachine&) = delete;
  CublasMachine& operator=(const CublasMachine&) = delete;

  /// Enqueues on another stream from now on.
  void use(cudaStream_t stream) {
    stream_ = stream;
    check_cublas(cublasSetStream(handle_, stream), "setting the stream");
    // Its own workspace, so that nothing is allocated while work is captured; a new stream resets it.
    check_cublas(cublasSetWorkspace(handle_, workspace_.data(), workspace_.size()), "setting the workspace");
  }

  template <class Function>
  void for_each(std::int64_t count, const Function& f) {
    constexpr unsigned threads = 256;
    each<<<static_cast<unsigned>((count + threads - 1) / threads), threads, 0, stream_>>>(f, count);
    check_launch("launching a function of the passes");
  }

  void multiply(const BatchedProduct<float>& p) {
    const float one = 1, old = p.accumulate ? 1 : 0;
    check_cublas(cublasSgemmStridedBatched(handle_, op(p.transpose_a), op(p.transpose_b), p.m, p.n, p.k, &one,
                                           p.a, p.row_a, p.stride_a, p.b, p.row_b, p.stride_b, &old, p.c,
                                           p.row_c, p.stride_c, p.count),
                 "multiplying");
  }
  void multiply(const BatchedProduct<double>& p) {
    const double one = 1, old = p.accumulate ? 1 : 0;
    check_cublas(cublasDgemmStridedBatched(handle_, op(p.transpose_a), op(p.transpose_b), p.m, p.n, p.k, &one,
                                           p.a, p.row_a, p.stride_a, p.b, p.row_b, p.stride_b, &old, p.c,
                                           p.row_c, p.stride_c, p.count),
                 "multiplying");
  }

 private:
  static cublasOperation_t op(bool transposed) { return transposed ? CUBLAS_OP_T : CUBLAS_OP_N; }

  cudaStream_t stream_ = nullptr;
  DeviceArray<unsigned char> workspace_;
  cublasHandle_t handle_ = nullptr;
};

}  // namespace slowsde
