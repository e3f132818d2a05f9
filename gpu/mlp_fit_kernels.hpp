// The kernels of ensembles of iterates on a multilayer perceptron and of Φ of their states, as functions that
// enqueue them: what mlp_fit_worker.hpp and mlp_fit_flow.hpp compute, bit for bit. All pointers are to device
// memory.
#pragma once

#if defined(SLOWSDE_CUDA)

#include <cuda_runtime_api.h>

#include <cstdint>

#include "slowsde/gpu/group_worker.hpp"
#include "slowsde/gpu/mlp_fit_flow.hpp"
#include "slowsde/gpu/mlp_fit_worker.hpp"

namespace slowsde {

/// One launch of the rounds first_round … last_round − 1 of `replicas` replicas, a block for each worker.
template <class Real>
struct MlpFitLaunch {
  RoundView table;
  std::int64_t first_round = 0, last_round = 0;
  std::uint64_t first_replica = 0;
  std::int64_t replicas = 1;
  const Real* states = nullptr;  ///< (replicas × d)
  Real* ends = nullptr;          ///< (replicas × K × d); the states themselves where a worker is alone
};

/// Gives the blocks of the setup their memory, once before they are launched. Throws DeviceError where it is
/// more than the device has.
template <class Real>
void allow_mlp_fit_memory(const MlpFitSetup<Real>& setup);
void allow_mlp_fit_memory(const MlpFitFlowSetup& setup);

template <class Real>
void enqueue_mlp_fit_rounds(const MlpFitSetup<Real>& setup, const MlpFitLaunch<Real>& launch,
                            cudaStream_t stream);

/// Φ of `count` states, (count × d), in place, a block for each. workspace: (count × setup.workspace()).
void enqueue_mlp_fit_flows(const MlpFitFlowSetup& setup, std::int64_t count, double* states,
                           MlpFitFlowEnd* ends, double* workspace, cudaStream_t stream);

/// The averages of all replicas.
template <class Real>
void enqueue_mlp_fit_meetings(const GroupMeeting<Real>& meeting, std::int64_t replicas, cudaStream_t stream);

}  // namespace slowsde

#endif
