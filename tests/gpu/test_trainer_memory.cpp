#include "slowsde/gpu/trainer_memory.hpp"

#include <doctest/doctest.h>

#include <memory>
#include <stdexcept>
#include <string>

#include "slowsde/gpu/device_sum.hpp"
#include "slowsde/gpu/layered_steps.hpp"
#include "slowsde/gpu/network_layout.hpp"
#include "tests/gpu/network_cases.hpp"

using namespace slowsde;
using test::NetworkCase;
using test::NetworkSetting;

namespace {

constexpr std::size_t block = std::size_t{227} << 10;

TrainerMemory memory(const NetworkSetting& setting, DevicePath path = DevicePath::automatic,
                     std::size_t block_bytes = block, bool single_precision = true) {
  return trainer_memory(setting.params, setting.task, {.path = path},
                        WorkerShare::of(setting.params.workers, 0, 1), single_precision, block_bytes);
}

NetworkLayout layout_of(const NetworkSetting& setting) {
  std::string why_not;
  return make_network_layout(setting.network, setting.task.loss, setting.task.sampling.local_batch, why_not);
}

}  // namespace

TEST_CASE("a trainer in the blocks' memory takes data, parameters, rows, sums and the steps' numbers") {
  const NetworkSetting setting(test::network_cases()[0], 100);  // 101 images of 64, K = 2, H = 10, SGD
  const double d = 64 * 64 + 64 + 64 * 64 + 64 + 64 * 10 + 10;
  const double data = 101 * (64 + 1) * 4, losses = 2 * 8, numbers = 10 * 8;
  const TrainerMemory single = memory(setting);
  CHECK(single.fused);
  CHECK(single.bytes == data + (1 + 2) * d * 4 + losses + d * 8 + numbers * 4);
  const TrainerMemory full = memory(setting, DevicePath::automatic, 2 * block, false);
  CHECK(full.fused);
  CHECK(full.bytes == data + (1 + 2) * d * 8 + losses + d * 8 + numbers * 8);
}

TEST_CASE("a rule's states are every worker's or one, and a table has the samples of the longest round") {
  const NetworkSetting momentum(test::network_cases()[1], 100);  // K = 3, B = 5, H = 7, epochs
  const double d = 13 * 7 + 7 + 7 * 5 + 5 + 5 * 3 + 3, data = 101 * (13 + 1) * 4;
  CHECK(memory(momentum).bytes == data + (1 + 3 + 3) * d * 4 + (3 + d) * 8 + 7 * 8 * 4 + 7 * 3 * 5 * 4);
  const NetworkSetting short_run(test::network_cases()[1], 4);  // of one round, of 4 steps
  CHECK(memory(momentum).bytes - memory(short_run).bytes == 3 * (8 * 4 + 3 * 5 * 4));
  const NetworkSetting gradients(test::network_cases()[4], 100);  // K = 4, B = 3, shards
  CHECK(memory(gradients).bytes ==
        101 * (6 + 1) * 4 + (1 + 4 + 1) * 21 * 4 + (4 + 21) * 8 + 8 * 4 + 4 * 3 * 4);
}

TEST_CASE("what a block does not hold is counted on either path") {
  const NetworkSetting setting(test::network_cases()[0], 100);
  const NetworkLayout layout = layout_of(setting);
  const double in_blocks = memory(setting).bytes;
  const TrainerMemory fused = memory(setting, DevicePath::fused, 0);
  CHECK(fused.fused);
  CHECK(fused.bytes - in_blocks == 2.0 * (layout.parameter_numbers + layout.work_numbers) * 4);
  const LayeredPlan plan(layout, 0, 2);
  for (const TrainerMemory layered :
       {memory(setting, DevicePath::layered), memory(setting, DevicePath::automatic, 0)}) {
    CHECK(!layered.fused);
    CHECK(layered.bytes - in_blocks == static_cast<double>(plan.numbers) * 4 + 2 * 2 * 16 * 4 +
                                           sizeof(StepInputs<float>) + product_workspace_bytes);
  }
}

TEST_CASE("a rank takes what its own workers do") {
  const NetworkSetting setting(test::network_cases()[4], 100);
  const auto of_rank = [&](int ranks) {
    return trainer_memory(setting.params, setting.task, {}, WorkerShare::of(4, 0, ranks), true, block).bytes;
  };
  CHECK(of_rank(1) - of_rank(2) == 2 * (21 * 4 + 8 + 3 * 4));  // rows, losses, samples
}

#if defined(SLOWSDE_CUDA)

TEST_CASE("between GPUs a message has parameters, states that are averaged, and the loss") {
  struct NoSum final : DeviceSum {
    void sum(float*, std::size_t, std::size_t, cudaStream_t) override {}
  };
  NetworkSetting setting(test::network_cases()[1], 100);  // heavy ball, averaged
  const double d = 13 * 7 + 7 + 7 * 5 + 5 + 5 * 3 + 3;
  const auto more = [&](bool bf16) {
    const DeviceTrainerParams device{.device_sum = std::make_shared<NoSum>(), .bf16 = bf16};
    return trainer_memory(setting.params, setting.task, device, WorkerShare::of(3, 0, 1), true, block).bytes -
           memory(setting).bytes;
  };
  CHECK(more(false) == (2 * d + 2) * 4);
  CHECK(more(true) == (2 * d + 2) * 4 + 2 * d * 2);
  setting.params.buffers = BufferPolicy::kept;
  CHECK(more(false) == (d + 2) * 4);
  setting.params.buffers = BufferPolicy::averaged;
  setting.params.exchange = Exchange::gradients;
  CHECK(more(false) == (d + 2) * 4);
}

#endif

TEST_CASE("what the device does not train is refused") {
  const NetworkSetting setting({.name = "too many layers", .widths = std::vector<int>(26, 3)}, 10);
  CHECK_THROWS_AS(memory(setting), std::invalid_argument);
}
