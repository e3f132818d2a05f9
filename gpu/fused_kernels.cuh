// The fused kernels: a block of threads for each worker, for all steps of a round.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "slowsde/gpu/cuda_block.hpp"
#include "slowsde/gpu/cuda_check.hpp"
#include "slowsde/gpu/network_steps.hpp"
#include "slowsde/gpu/trainer_kernels.hpp"
#include "slowsde/gpu/with_formula.hpp"

namespace slowsde {
namespace detail {

static_assert(sizeof(FusedSteps<double>) <= 4096, "what a kernel of any device takes by value");

/// Copies `count` numbers by all threads of the block.
template <class Real>
__device__ void copy_by_block(const Real* from, std::int64_t count, Real* to) {
  for (std::int64_t j = threadIdx.x; j < count; j += blockDim.x) to[j] = from[j];
  __syncthreads();
}

/// Where one worker's parts are.
template <class Real>
struct WorkerPlaces {
  Real *parameters, *work, *state;
};

template <bool only_dense, class Real>
__device__ WorkerPlaces<Real> places_of(const FusedSteps<Real>& s, std::int64_t w) {
  extern __shared__ __align__(32) unsigned char memory[];
  Real* const parameters = reinterpret_cast<Real*>(memory);
  const std::int64_t own = s.layout.parameter_numbers, work = s.layout.work_numbers;
  // Without a choice for dense layers, so that the compiler knows that all of it is shared memory.
  if constexpr (only_dense) {
    return {parameters, parameters + own, parameters + own + work};
  } else {
    const BlockPlacement& at = s.placement;
    Real* const second = parameters + (at.parameters ? own : 0);
    return {at.parameters ? parameters : s.parameters + w * own, at.work ? second : s.work + w * work,
            second + (at.work ? work : 0)};
  }
}

template <bool only_dense, class Formula, class Real>
__global__ void __launch_bounds__(most_fused_threads)
    fused_steps(const __grid_constant__ FusedSteps<Real> s) {
  const std::int64_t w = blockIdx.x, d = s.layout.dim, state_size = Formula::vectors * d;
  const WorkerPlaces<Real> places = places_of<only_dense>(s, w);
  Real* const own = s.state + w * state_size;
  Real* state = own;
  if (Formula::vectors > 0 && s.placement.state) {
    state = places.state;
    copy_by_block(own, state_size, state);
  }
  const double loss = network_local_steps<Formula, only_dense>(
      CudaBlock{}, s.layout, s.source, s.first_worker + static_cast<std::uint32_t>(w), s.step, s.steps,
      s.numbers, s.start + w * s.start_stride, state, d, s.end + w * d, places.parameters, places.work);
  if (Formula::vectors > 0 && s.placement.state) copy_by_block(state, state_size, own);
  if (threadIdx.x == 0) s.losses[w] += loss;
}

template <bool only_dense, class Real>
__global__ void __launch_bounds__(most_fused_threads)
    fused_gradients(const __grid_constant__ FusedSteps<Real> s) {
  const std::int64_t w = blockIdx.x;
  const CudaBlock block;
  const WorkerPlaces<Real> places = places_of<only_dense>(s, w);
  NetworkBlock<Real, CudaBlock, only_dense> network(block, s.layout, s.source,
                                                    s.first_worker + static_cast<std::uint32_t>(w),
                                                    places.parameters, places.work);
  network.load(s.start + w * s.start_stride);
  double loss = 0;
  Real* const g_out = s.end + w * s.layout.dim;
  network.step(s.step, loss, [g_out](Real&, Real g, int j) { g_out[j] = g; });
  if (threadIdx.x == 0) s.losses[w] += loss;
}

template <class Real>
void launch_fused(void (*kernel)(FusedSteps<Real>), const FusedSteps<Real>& steps, cudaStream_t stream) {
  const std::size_t bytes = steps.placement.bytes;
  check_cuda(
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes)),
      ("giving " + std::to_string(bytes) + " bytes of shared memory to a worker's block").c_str());
  kernel<<<static_cast<unsigned>(steps.workers), static_cast<unsigned>(steps.threads), bytes, stream>>>(
      steps);
  check_launch("launching the fused steps");
}

}  // namespace detail

template <class Real, bool only_dense>
void enqueue_fused_steps(const FusedSteps<Real>& steps, UpdateFormula formula, cudaStream_t stream) {
  if (steps.gradients) {
    detail::launch_fused<Real>(detail::fused_gradients<only_dense, Real>, steps, stream);
    return;
  }
  with_formula(formula, [&]<class Formula>(Formula) {
    detail::launch_fused<Real>(detail::fused_steps<only_dense, Formula, Real>, steps, stream);
  });
}

}  // namespace slowsde
