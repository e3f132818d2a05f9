#if defined(SLOWSDE_CUDA)

#include <algorithm>

#include "slowsde/gpu/cuda_check.hpp"
#include "slowsde/gpu/trainer_kernels.hpp"
#include "slowsde/gpu/worker_steps.hpp"

namespace slowsde {
namespace {

/// As many threads as the widest layer's forward product has tiles of 2 × 4, in whole warps.
int threads_for(const MlpLayout& layout) {
  int tiles = 0;
  for (int l = 0; l < layout.layers; ++l)
    tiles = std::max(tiles, (layout.layer[l].outputs + 1) / 2 * ((layout.batch + 3) / 4));
  return std::clamp((tiles + 31) / 32 * 32, 64, most_fused_threads);
}

template <class Real>
class FusedWorkers final : public WorkerSteps<Real> {
 public:
  FusedWorkers(const WorkerTask<Real>& task, int threads, bool state_in_block, cudaStream_t stream)
      : task_(task), stream_(stream) {
    steps_.layout = task.layout;
    steps_.first_worker = task.first_worker;
    steps_.workers = task.workers;
    steps_.state = task.state;
    steps_.state_in_block = state_in_block;
    steps_.end = task.rows;
    steps_.losses = task.losses;
    steps_.threads = threads > 0 ? threads : threads_for(task.layout);
  }

  const char* name() const override { return "fused"; }
  void take(const StepRange<Real>& range) override { enqueue(range, false); }
  void gradients(const StepRange<Real>& range) override { enqueue(range, true); }

 private:
  void enqueue(const StepRange<Real>& range, bool gradients) {
    FusedSteps<Real> steps = steps_;
    steps.source = range.source;
    steps.step = range.step;
    steps.steps = range.steps;
    steps.numbers = range.numbers;
    steps.start = range.start ? range.start : task_.rows;
    steps.start_stride = range.start ? 0 : task_.layout.dim;
    steps.gradients = gradients;
    enqueue_fused_steps(steps, task_.formula, stream_);
  }

  WorkerTask<Real> task_;
  cudaStream_t stream_;
  FusedSteps<Real> steps_;
};

}  // namespace

template <class Real>
std::unique_ptr<WorkerSteps<Real>> make_fused_workers(const WorkerTask<Real>& task, int threads,
                                                      cudaStream_t stream, std::string& why_not) {
  int device = 0, most = 0;
  check_cuda(cudaGetDevice(&device), "asking for the device");
  check_cuda(cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device),
             "asking for a block's shared memory");
  FusedSteps<Real> steps;
  steps.layout = task.layout;
  const std::size_t plain = steps.bytes(task.vectors);
  steps.state_in_block = true;
  const std::size_t with_state = steps.bytes(task.vectors);
  if (plain > static_cast<std::size_t>(most)) {
    why_not = "a worker needs " + std::to_string(plain) + " bytes of shared memory, a block has " +
              std::to_string(most);
    return nullptr;
  }
  return std::make_unique<FusedWorkers<Real>>(task, threads, with_state <= static_cast<std::size_t>(most),
                                              stream);
}

template std::unique_ptr<WorkerSteps<float>> make_fused_workers(const WorkerTask<float>&, int, cudaStream_t,
                                                                std::string&);
template std::unique_ptr<WorkerSteps<double>> make_fused_workers(const WorkerTask<double>&, int, cudaStream_t,
                                                                 std::string&);

}  // namespace slowsde

#endif
