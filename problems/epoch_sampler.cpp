#include "slowsde/problems/epoch_sampler.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "slowsde/problems/noise.hpp"
#include "slowsde/problems/permutation.hpp"
#include "slowsde/problems/requirement.hpp"

namespace slowsde {
namespace {

// The permutations of a replica share a stream: those of whole epochs are worker 0's, the orders within
// worker w's shard are worker w + 1's, and the dealing of the samples to the workers has the last address.
constexpr std::uint32_t dealing_address = worker_limit - 1;

bool in_epochs(Sampling sampling) {
  return sampling == Sampling::epoch || sampling == Sampling::fixed_shards;
}

}  // namespace

void SamplingPlan::check() const {
  using detail::require;
  require(samples >= 1, "sampling", "samples >= 1", samples);
  require(workers >= 1, "sampling", "workers >= 1", workers);
  require(workers < static_cast<int>(worker_limit) - 1, "sampling", "workers < 2^16 - 1", workers);
  require(local_batch >= 1, "sampling", "local_batch >= 1", local_batch);
  const std::int64_t global_batch = static_cast<std::int64_t>(workers) * local_batch;
  if (sampling == Sampling::distinct) {
    require(local_batch <= samples, "sampling of distinct samples", "local_batch <= samples", local_batch);
  }
  if (in_epochs(sampling)) {
    require(global_batch <= samples, "sampling in epochs", "workers*local_batch <= samples", global_batch);
  }
}

std::int64_t SamplingPlan::steps_per_epoch() const {
  const std::int64_t global_batch = static_cast<std::int64_t>(workers) * local_batch;
  return std::max<std::int64_t>(1, samples / global_batch);
}

EpochSampler::EpochSampler(const SamplingPlan& plan, std::uint64_t seed) : plan_(plan), seed_(seed) {
  plan.check();
  steps_ = plan.steps_per_epoch();
  drawn_.resize(static_cast<std::size_t>(plan.local_batch));
  if (in_epochs(plan.sampling)) {
    orders_.resize(plan.sampling == Sampling::epoch ? 2 : 2 * static_cast<std::size_t>(plan.workers));
  }
}

const int* EpochSampler::draw(std::uint64_t replica, std::uint32_t worker, std::uint64_t step) {
  if (worker >= static_cast<std::uint32_t>(plan_.workers)) {
    throw std::out_of_range("there is no worker " + std::to_string(worker) + " among " +
                            std::to_string(plan_.workers));
  }
  if (!in_epochs(plan_.sampling)) {
    const MinibatchSampler minibatch{plan_.samples, plan_.local_batch,
                                     plan_.sampling == Sampling::with_replacement};
    minibatch.draw(seed_, replica, worker, step, drawn_.data());
    return drawn_.data();
  }
  const std::uint64_t steps = static_cast<std::uint64_t>(steps_);
  const std::uint64_t epoch = step / steps, within = step % steps;
  const std::uint64_t batch = static_cast<std::uint64_t>(plan_.local_batch);
  if (plan_.sampling == Sampling::epoch) {
    const std::uint64_t batches = within * static_cast<std::uint64_t>(plan_.workers) + worker;
    return order_of_epoch(replica, epoch).data() + batches * batch;
  }
  return order_in_shard(replica, worker, epoch).data() + within * batch;
}

const std::vector<int>& EpochSampler::order_of_epoch(std::uint64_t replica, std::uint64_t epoch) {
  Order& order = orders_[epoch % 2];
  if (order.samples.empty() || order.replica != replica || order.epoch != epoch) {
    const std::uint64_t first = epoch * static_cast<std::uint64_t>(plan_.samples);
    order = {permutation(plan_.samples, {seed_, Stream::shuffle, replica, 0, first}), replica, epoch};
  }
  return order.samples;
}

const std::vector<int>& EpochSampler::order_in_shard(std::uint64_t replica, std::uint32_t worker,
                                                     std::uint64_t epoch) {
  if (owners_.samples.empty() || owners_.replica != replica) {
    owners_ = {permutation(plan_.samples, {seed_, Stream::shuffle, replica, dealing_address, 0}), replica, 0};
  }
  Order& order = orders_[2 * worker + epoch % 2];
  if (order.samples.empty() || order.replica != replica || order.epoch != epoch) {
    std::vector<int> shard;
    for (std::size_t i = worker; i < owners_.samples.size(); i += static_cast<std::size_t>(plan_.workers)) {
      shard.push_back(owners_.samples[i]);
    }
    const std::uint64_t first = epoch * static_cast<std::uint64_t>(plan_.samples);
    shuffle(shard, {seed_, Stream::shuffle, replica, worker + 1, first});
    order = {std::move(shard), replica, epoch};
  }
  return order.samples;
}

}  // namespace slowsde
