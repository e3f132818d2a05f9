#include "slowsde/gpu/mlp_fit_kernels.hpp"

#include <algorithm>
#include <string>

#include "slowsde/gpu/cuda_block.hpp"
#include "slowsde/gpu/cuda_check.hpp"

namespace slowsde {
namespace {

constexpr int most_threads = 256, meeting_threads = 256;

/// As many threads as the widest layer has activations in a step, in whole warps, and enough to move the
/// parameters. The bits do not depend on it.
template <class Real>
int threads_for(const MlpFitSetup<Real>& setup) {
  int widest = 0;
  for (int l = 0; l < setup.layers; ++l) widest = std::max(widest, setup.layer[l].outputs);
  return std::clamp((setup.visits * widest + 31) / 32 * 32, 128, most_threads);
}

/// Block r·K + w is worker w of replica r. Dynamic shared memory: the setup's numbers.
template <class Real>
__global__ void __launch_bounds__(most_threads)
    mlp_fit_rounds(const __grid_constant__ MlpFitSetup<Real> setup,
                   const __grid_constant__ MlpFitLaunch<Real> launch) {
  extern __shared__ __align__(16) unsigned char mlp_fit_memory[];
  const std::int64_t group = blockIdx.x, r = group / setup.workers, w = group - r * setup.workers;
  const std::int64_t d = setup.dim;
  const CudaBlock block;
  MlpFitWorker<CudaBlock, Real> worker(block, setup, launch.first_replica + static_cast<std::uint64_t>(r),
                                       static_cast<std::uint32_t>(w),
                                       reinterpret_cast<Real*>(mlp_fit_memory));
  worker.run(launch.table, launch.first_round, launch.last_round, launch.states + r * d,
             launch.ends + group * d);
}

template <class Real>
__global__ void __launch_bounds__(meeting_threads)
    mlp_fit_meetings(const __grid_constant__ GroupMeeting<Real> meeting, std::int64_t replicas) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < replicas * meeting.dim) meeting(i / meeting.dim, static_cast<int>(i % meeting.dim));
}

/// Block i is state i. Dynamic shared memory: the setup's numbers.
__global__ void __launch_bounds__(most_threads)
    mlp_fit_flows(const __grid_constant__ MlpFitFlowSetup setup, double* states, MlpFitFlowEnd* ends,
                  double* workspace) {
  extern __shared__ __align__(16) unsigned char mlp_fit_memory[];
  const std::int64_t i = blockIdx.x;
  const CudaBlock block;
  MlpFitFlow<CudaBlock> flow(block, setup, reinterpret_cast<double*>(mlp_fit_memory),
                             workspace + i * static_cast<std::int64_t>(setup.workspace()));
  const MlpFitFlowEnd end = flow.run(states + i * setup.dim);
  if (threadIdx.x == 0) ends[i] = end;
}

template <class Kernel>
void allow_memory(Kernel kernel, std::size_t bytes) {
  check_cuda(
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes)),
      ("giving " + std::to_string(bytes) + " bytes of shared memory to a block").c_str());
}

}  // namespace

template <class Real>
void allow_mlp_fit_memory(const MlpFitSetup<Real>& setup) {
  allow_memory(mlp_fit_rounds<Real>, setup.bytes());
}

void allow_mlp_fit_memory(const MlpFitFlowSetup& setup) { allow_memory(mlp_fit_flows, setup.bytes()); }

void enqueue_mlp_fit_flows(const MlpFitFlowSetup& setup, std::int64_t count, double* states,
                           MlpFitFlowEnd* ends, double* workspace, cudaStream_t stream) {
  mlp_fit_flows<<<static_cast<unsigned>(count), most_threads, setup.bytes(), stream>>>(setup, states, ends,
                                                                                       workspace);
  check_launch("launching the gradient flows of an ensemble of networks");
}

template <class Real>
void enqueue_mlp_fit_rounds(const MlpFitSetup<Real>& setup, const MlpFitLaunch<Real>& launch,
                            cudaStream_t stream) {
  const auto blocks = static_cast<unsigned>(launch.replicas * setup.workers);
  mlp_fit_rounds<Real>
      <<<blocks, static_cast<unsigned>(threads_for(setup)), setup.bytes(), stream>>>(setup, launch);
  check_launch("launching the rounds of an ensemble of networks");
}

template <class Real>
void enqueue_mlp_fit_meetings(const GroupMeeting<Real>& meeting, std::int64_t replicas, cudaStream_t stream) {
  const auto blocks = static_cast<unsigned>((replicas * meeting.dim + meeting_threads - 1) / meeting_threads);
  mlp_fit_meetings<Real><<<blocks, meeting_threads, 0, stream>>>(meeting, replicas);
  check_launch("launching the averages of an ensemble of networks");
}

template void allow_mlp_fit_memory(const MlpFitSetup<float>&);
template void allow_mlp_fit_memory(const MlpFitSetup<double>&);
template void enqueue_mlp_fit_rounds(const MlpFitSetup<float>&, const MlpFitLaunch<float>&, cudaStream_t);
template void enqueue_mlp_fit_rounds(const MlpFitSetup<double>&, const MlpFitLaunch<double>&, cudaStream_t);
template void enqueue_mlp_fit_meetings(const GroupMeeting<float>&, std::int64_t, cudaStream_t);
template void enqueue_mlp_fit_meetings(const GroupMeeting<double>&, std::int64_t, cudaStream_t);

}  // namespace slowsde
