// How much memory of a GPU a training takes, counted without one.
#pragma once

#include <cstddef>

#include "slowsde/gpu/device_trainer.hpp"

namespace slowsde {

struct TrainerMemory {
  bool fused = false;  ///< the path that is taken
  double bytes = 0;
};

/// Of one rank's trainer, which has the workers of `share`; what CUDA's context takes is not among it.
/// block_bytes: shared memory that a block may have. Throws what check_device_task does.
TrainerMemory trainer_memory(const TrainerParams& params, const NetworkTask& task,
                             const DeviceTrainerParams& device, const WorkerShare& share,
                             bool single_precision, std::size_t block_bytes);

/// Of the current GPU; where there is none, of compute capability 9.0.
std::size_t shared_memory_of_block();

}  // namespace slowsde
