#if defined(SLOWSDE_CUDA)

#include <algorithm>

#include "slowsde/gpu/block_memory.hpp"
#include "slowsde/gpu/cuda_check.hpp"
#include "slowsde/gpu/device_array.hpp"
#include "slowsde/gpu/trainer_kernels.hpp"
#include "slowsde/gpu/worker_steps.hpp"

namespace slowsde {
namespace {

/// As many threads as the widest layer's forward pass has tiles (2 × 4 of a dense layer, 4 × 4 of a
/// convolution) or channels and samples (group norm), in whole warps.
int threads_for(const NetworkLayout& layout) {
  int tiles = 0;
  const int columns = (layout.batch + 3) / 4;
  for (int l = 0; l < layout.layers; ++l) {
    const NetworkLayout::Layer& layer = layout.layer[l];
    if (layer.kind == LayerKind::dense) tiles = std::max(tiles, (layer.outputs + 1) / 2 * columns);
    if (layer.kind == LayerKind::convolution)
      tiles = std::max(tiles, (layer.channels_out + 3) / 4 * layer.positions_out() * columns);
    if (layer.kind == LayerKind::group_norm) tiles = std::max(tiles, layer.channels_in * layout.batch);
  }
  return std::clamp((tiles + 31) / 32 * 32, 64, most_fused_threads);
}

template <class Real>
class FusedWorkers final : public WorkerSteps<Real> {
 public:
  FusedWorkers(const WorkerTask<Real>& task, int threads, std::size_t most, cudaStream_t stream)
      : task_(task),
        stream_(stream),
        placement_(place_in_block(task.layout, task.vectors, sizeof(Real), most)),
        without_state_(place_in_block(task.layout, 0, sizeof(Real), most)),
        parameters_(numbers_outside(placement_.parameters, task.layout.parameter_numbers)),
        work_(numbers_outside(placement_.work, task.layout.work_numbers)) {
    steps_.layout = task.layout;
    steps_.first_worker = task.first_worker;
    steps_.workers = task.workers;
    steps_.state = task.state;
    steps_.parameters = parameters_.data();
    steps_.work = work_.data();
    steps_.end = task.rows;
    steps_.losses = task.losses;
    steps_.threads = threads > 0 ? threads : threads_for(task.layout);
  }

  const char* name() const override { return "fused"; }
  void take(const StepRange<Real>& range) override { enqueue(range, false); }
  void gradients(const StepRange<Real>& range) override { enqueue(range, true); }

 private:
  std::size_t numbers_outside(bool in_block, int numbers) const {
    return in_block ? 0 : static_cast<std::size_t>(task_.workers) * static_cast<std::size_t>(numbers);
  }

  void enqueue(const StepRange<Real>& range, bool gradients) {
    FusedSteps<Real> steps = steps_;
    steps.source = range.source;
    steps.step = range.step;
    steps.steps = range.steps;
    steps.numbers = range.numbers;
    steps.start = range.start ? range.start : task_.rows;
    steps.start_stride = range.start ? 0 : task_.layout.dim;
    steps.gradients = gradients;
    steps.placement = gradients ? without_state_ : placement_;
    if (task_.layout.dense() && placement_.network())
      enqueue_fused_steps<Real, true>(steps, task_.formula, stream_);
    else
      enqueue_fused_steps<Real, false>(steps, task_.formula, stream_);
  }

  WorkerTask<Real> task_;
  cudaStream_t stream_;
  BlockPlacement placement_, without_state_;
  DeviceArray<Real> parameters_, work_;  // of the workers whose blocks do not keep them
  FusedSteps<Real> steps_;
};

}  // namespace

template <class Real>
std::unique_ptr<WorkerSteps<Real>> make_fused_workers(const WorkerTask<Real>& task, int threads,
                                                      bool anywhere, cudaStream_t stream) {
  const std::size_t most = most_block_bytes();
  if (!anywhere && !place_in_block(task.layout, 0, sizeof(Real), most).network()) return nullptr;
  return std::make_unique<FusedWorkers<Real>>(task, threads, most, stream);
}

template std::unique_ptr<WorkerSteps<float>> make_fused_workers(const WorkerTask<float>&, int, bool,
                                                                cudaStream_t);
template std::unique_ptr<WorkerSteps<double>> make_fused_workers(const WorkerTask<double>&, int, bool,
                                                                 cudaStream_t);

}  // namespace slowsde

#endif
