#include "slowsde/gpu/step_table.hpp"

#include <algorithm>

namespace slowsde {

StepTable::StepTable(const NetworkTask& task, std::uint64_t replica, const WorkerShare& share)
    : task_(task), replica_(replica), share_(share), sampler_(task.sampling, task.seed) {
  task.data->check();
  task.recipe.check(*task.data);
}

bool StepTable::needed() const {
  return task_.sampling.sampling == Sampling::epoch || task_.sampling.sampling == Sampling::fixed_shards;
}

std::int64_t StepTable::at_once() const {
  constexpr std::int64_t entries = std::int64_t{1} << 24, most = std::int64_t{1} << 16;
  const std::int64_t per_step = static_cast<std::int64_t>(share_.count) * task_.sampling.local_batch;
  return needed() ? std::clamp<std::int64_t>(entries / per_step, 1, most) : most;
}

BatchSource StepTable::source() const {
  BatchSource source;
  source.inputs = task_.data->shape.size();
  source.classes = task_.data->classes;
  source.samples = task_.sampling.samples;
  source.batch = task_.sampling.local_batch;
  source.replacement = task_.sampling.sampling == Sampling::with_replacement;
  source.table_worker = static_cast<std::uint32_t>(share_.first);
  source.table_workers = static_cast<std::uint32_t>(share_.count);
  source.flip = task_.recipe.flip;
  source.augmentation = task_.recipe.augmentation;
  source.shape = task_.data->shape;
  source.on = task_.recipe.target.on;
  source.off = task_.recipe.target.off;
  source.label_sigma = task_.recipe.target.label_sigma;
  source.seed = task_.seed;
  source.replica = replica_;
  return source;
}

const std::vector<int>& StepTable::rows(std::int64_t first, std::int64_t steps) {
  rows_.clear();
  if (!needed()) return rows_;
  rows_.reserve(static_cast<std::size_t>(steps * share_.count * task_.sampling.local_batch));
  for (std::int64_t k = first; k < first + steps; ++k)
    for (int w = 0; w < share_.count; ++w) {
      const int* chosen = sampler_.draw(replica_, static_cast<std::uint32_t>(share_.first + w),
                                        static_cast<std::uint64_t>(k));
      rows_.insert(rows_.end(), chosen, chosen + task_.sampling.local_batch);
    }
  return rows_;
}

}  // namespace slowsde
