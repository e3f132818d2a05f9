// The samples of consecutive steps where they come from permutations, which are drawn on the host: one number
// for each sample of each local step, as BatchSource reads them.
#pragma once

#include <cstdint>
#include <vector>

#include "slowsde/gpu/batch_source.hpp"
#include "slowsde/optim/network_oracle.hpp"
#include "slowsde/optim/trainer.hpp"

namespace slowsde {

class StepTable {
 public:
  /// For the workers of `share`. Throws std::invalid_argument as EpochSampler and BatchRecipe::check do.
  StepTable(const NetworkTask& task, std::uint64_t replica, const WorkerShare& share);

  /// The source of the task's batches, without its pointers.
  BatchSource source() const;
  bool needed() const;
  /// The most steps to ask for at once.
  std::int64_t at_once() const;
  /// (steps × workers of the share × B) from step `first` on; empty where samples are drawn on the device.
  /// Valid until the next call.
  const std::vector<int>& rows(std::int64_t first, std::int64_t steps);

 private:
  NetworkTask task_;
  std::uint64_t replica_;
  WorkerShare share_;
  EpochSampler sampler_;
  std::vector<int> rows_;
};

}  // namespace slowsde
