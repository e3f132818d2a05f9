#include "slowsde/gpu/bf16_kernels.hpp"

#include <cuda_bf16.h>

#include "slowsde/gpu/cuda_check.hpp"

namespace slowsde {
namespace {

constexpr unsigned threads = 256;
unsigned blocks_for(std::size_t count) { return static_cast<unsigned>((count + threads - 1) / threads); }

__global__ void to_bf16(const float* from, std::size_t count, std::uint16_t* to) {
  const std::size_t j = static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (j < count) to[j] = __bfloat16_as_ushort(__float2bfloat16_rn(from[j]));
}

__global__ void from_bf16(const std::uint16_t* from, std::size_t count, float* to) {
  const std::size_t j = static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (j < count) to[j] = __bfloat162float(__ushort_as_bfloat16(from[j]));
}

}  // namespace

void enqueue_to_bf16(const float* from, std::size_t count, std::uint16_t* to, cudaStream_t stream) {
  to_bf16<<<blocks_for(count), threads, 0, stream>>>(from, count, to);
  check_launch("launching the rounding to bfloat16");
}

void enqueue_from_bf16(const std::uint16_t* from, std::size_t count, float* to, cudaStream_t stream) {
  from_bf16<<<blocks_for(count), threads, 0, stream>>>(from, count, to);
  check_launch("launching the widening from bfloat16");
}

}  // namespace slowsde
