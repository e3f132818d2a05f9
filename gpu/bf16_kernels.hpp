// Between float and bfloat16 on the device, whose bits are passed as 16-bit words.
#pragma once

#if defined(SLOWSDE_CUDA)

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

namespace slowsde {

/// to[j] = the bfloat16 nearest to from[j].
void enqueue_to_bf16(const float* from, std::size_t count, std::uint16_t* to, cudaStream_t stream);
void enqueue_from_bf16(const std::uint16_t* from, std::size_t count, float* to, cudaStream_t stream);

}  // namespace slowsde

#endif
