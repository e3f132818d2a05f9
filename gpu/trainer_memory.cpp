#include "slowsde/gpu/trainer_memory.hpp"

#include <algorithm>
#include <cstdint>
#include <string>

#include "slowsde/gpu/block_memory.hpp"
#include "slowsde/gpu/displacement.hpp"
#include "slowsde/gpu/layered_steps.hpp"
#include "slowsde/gpu/network_layout.hpp"
#include "slowsde/gpu/step_table.hpp"
#include "slowsde/gpu/worker_steps.hpp"
#include "slowsde/optim/round_plan.hpp"
#include "slowsde/optim/update_formula.hpp"

namespace slowsde {
namespace {

std::int64_t longest_round(const TrainerParams& params) {
  std::int64_t longest = 1;
  if (params.exchange == Exchange::parameters)
    for_each_round(params.lr, *params.rule, params.total_steps,
                   [&](const PlannedRound& round) { longest = std::max(longest, round.local_steps); });
  return longest;
}

template <class Real>
TrainerMemory memory_of(const TrainerParams& params, const NetworkTask& task,
                        const DeviceTrainerParams& device, const WorkerShare& share,
                        std::size_t block_bytes) {
  std::string why_not;
  const NetworkLayout layout =
      make_network_layout(*task.network, task.loss, task.sampling.local_batch, why_not);
  const double K = share.count, d = layout.dim, B = task.sampling.local_batch;
  const int vectors = params.update->state_vectors();
  TrainerMemory memory;
  const auto take = [&](double count, std::size_t size) {
    memory.bytes += count * static_cast<double>(size);
  };
  take(static_cast<double>(task.data->x.size()), sizeof(float));
  take(static_cast<double>(task.data->labels.size()), sizeof(int));
  take(d + K * d, sizeof(Real));                                                       // θ, rows
  take((params.exchange == Exchange::gradients ? 1 : K) * vectors * d, sizeof(Real));  // buffers
  take(K + d, sizeof(double));                                                         // losses, sum
  if (device.device_sum) {                                                             // a message
    const bool states = params.exchange == Exchange::parameters && params.buffers == BufferPolicy::averaged;
    const double parts = states ? 1 + vectors : 1;
    take(parts * d + LossHalves::count, sizeof(float));
    if (device.bf16) take(parts * d, sizeof(std::uint16_t));
  }

  const StepTable table(task, 0, share);
  const auto steps = static_cast<double>(std::min(table.at_once(), longest_round(params)));
  take(steps, sizeof(UpdateNumbers<Real>));
  if (table.needed()) take(steps * K * B, sizeof(int));

  memory.fused =
      device.path == DevicePath::fused || (device.path == DevicePath::automatic &&
                                           place_in_block(layout, 0, sizeof(Real), block_bytes).network());
  if (memory.fused) {
    const BlockPlacement placement = place_in_block(layout, vectors, sizeof(Real), block_bytes);
    if (!placement.parameters) take(K * layout.parameter_numbers, sizeof(Real));
    if (!placement.work) take(K * layout.work_numbers, sizeof(Real));
  } else {
    const LayeredPlan plan(layout, static_cast<std::uint32_t>(share.first), share.count);
    take(1, sizeof(StepInputs<Real>));
    take(static_cast<double>(plan.chosen()), sizeof(int));
    take(static_cast<double>(plan.numbers), sizeof(Real));
    take(1, product_workspace_bytes);
  }
  return memory;
}

}  // namespace

TrainerMemory trainer_memory(const TrainerParams& params, const NetworkTask& task,
                             const DeviceTrainerParams& device, const WorkerShare& share,
                             bool single_precision, std::size_t block_bytes) {
  check_device_task(params, task);
  return single_precision ? memory_of<float>(params, task, device, share, block_bytes)
                          : memory_of<double>(params, task, device, share, block_bytes);
}

std::size_t shared_memory_of_block() {
#if defined(SLOWSDE_CUDA)
  int count = 0;
  if (cudaGetDeviceCount(&count) == cudaSuccess && count > 0) return most_block_bytes();
#endif
  return std::size_t{227} << 10;
}

}  // namespace slowsde
