// The local steps of all workers of one GPU: what the device trainer's paths have in common.
#pragma once

#if defined(SLOWSDE_CUDA)

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <memory>

#include "slowsde/gpu/batch_source.hpp"
#include "slowsde/gpu/network_layout.hpp"
#include "slowsde/optim/update_formula.hpp"

namespace slowsde {

/// What every step needs; pointers are to device memory.
template <class Real>
struct WorkerTask {
  NetworkLayout layout;
  UpdateFormula formula = UpdateFormula::sgd;
  int vectors = 0;  ///< of the rule's state
  std::uint32_t first_worker = 0;
  int workers = 1;
  Real* state = nullptr;     ///< (workers × vectors × d)
  Real* rows = nullptr;      ///< (workers × d): θ_w, or gradients
  double* losses = nullptr;  ///< (workers): sums of the batches' losses
};

/// Consecutive steps.
template <class Real>
struct StepRange {
  BatchSource source;
  std::uint64_t step = 0;
  std::int64_t steps = 1;
  const UpdateNumbers<Real>* numbers = nullptr;  ///< (steps), device memory
  const Real* start = nullptr;  ///< the average that the workers start from; null: they go on from their rows
};

template <class Real>
class WorkerSteps {
 public:
  virtual ~WorkerSteps() = default;
  virtual const char* name() const = 0;
  /// Enqueues the steps; the rows hold the workers' parameters afterwards.
  virtual void take(const StepRange<Real>& range) = 0;
  /// Enqueues one step's gradients at range.start into the rows.
  virtual void gradients(const StepRange<Real>& range) = 0;
};

/// Null where a worker's network does not fit into a block's shared memory, unless `anywhere`: what does not
/// fit is in device memory then. threads: 0 chooses.
template <class Real>
std::unique_ptr<WorkerSteps<Real>> make_fused_workers(const WorkerTask<Real>& task, int threads,
                                                      bool anywhere, cudaStream_t stream);

template <class Real>
std::unique_ptr<WorkerSteps<Real>> make_layered_workers(const WorkerTask<Real>& task, cudaStream_t stream);

}  // namespace slowsde

#endif
