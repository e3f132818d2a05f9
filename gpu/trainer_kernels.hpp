// Kernels of the device trainer, as functions that enqueue them. All pointers are to device memory.
#pragma once

#if defined(SLOWSDE_CUDA)

#include <cuda_runtime_api.h>

#include <cstdint>

#include "slowsde/gpu/batch_source.hpp"
#include "slowsde/gpu/network_layout.hpp"
#include "slowsde/optim/update_formula.hpp"

namespace slowsde {

/// Local steps of the workers first_worker + w, w < workers, one block of threads each.
template <class Real>
struct FusedSteps {
  NetworkLayout layout;
  BatchSource source;
  std::uint32_t first_worker = 0;
  int workers = 1;
  std::uint64_t step = 0;                        ///< k
  std::int64_t steps = 1;                        ///< H
  const UpdateNumbers<Real>* numbers = nullptr;  ///< (H)
  const Real* start = nullptr;                   ///< θ of worker w at start + w·start_stride
  std::int64_t start_stride = 0;
  Real* state = nullptr;     ///< (workers × vectors × d)
  BlockPlacement placement;  ///< what a block keeps in shared memory
  /// (workers × layout.parameter_numbers), (workers × layout.work_numbers), where a block does not keep them.
  Real *parameters = nullptr, *work = nullptr;
  Real* end = nullptr;  ///< (workers × d): θ at the end, or with `gradients` the gradients of the one step
  double* losses = nullptr;  ///< (workers): the sum of the batches' losses is added
  bool gradients = false;
  int threads = 128;  ///< of a block
};

/// Most threads that a block of the fused steps may have.
inline constexpr int most_fused_threads = 256;

/// only_dense: for layouts of dense layers alone with all of the network in the block. Throws DeviceError
/// where the block's memory is more than the device has.
template <class Real, bool only_dense>
void enqueue_fused_steps(const FusedSteps<Real>& steps, UpdateFormula formula, cudaStream_t stream);

/// sum[j] = Σ_w rows[w·stride + j], j < d, in double precision and in an order of its own.
template <class Real>
void enqueue_sum_of_rows(const Real* rows, int count, std::int64_t stride, std::int64_t d, double* sum,
                         cudaStream_t stream);

/// to[c·stride + j] = sum[j]/divisor for the copies c < count.
template <class From, class Real>
void enqueue_divided(const From* sum, double divisor, std::int64_t d, Real* to, int count,
                     std::int64_t stride, cudaStream_t stream);

/// to[j] = this rank's part of the displacement from start[j], see displacement.hpp.
template <class Real>
void enqueue_part_of_displacement(const double* own_sum, int own_workers, int workers, const Real* start,
                                  std::int64_t d, float* to, cudaStream_t stream);

/// Displaces theta[j] by displacement[j].
template <class Real>
void enqueue_displaced(const float* displacement, std::int64_t d, Real* theta, cudaStream_t stream);

/// One step of a rule on d parameters; state: (vectors × d).
template <class Real>
void enqueue_update(UpdateFormula formula, const UpdateNumbers<Real>& numbers, std::int64_t d, const Real* g,
                    Real* theta, Real* state, cudaStream_t stream);

}  // namespace slowsde

#endif
