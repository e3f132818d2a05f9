// Which samples each worker visits at each step, with replacement or in epochs that are sharded over the
// workers.
#pragma once

#include <cstdint>
#include <vector>

namespace slowsde {

/// How the samples of a step are chosen. With n samples, K workers and B_loc per worker, an epoch is
/// ⌊n/(K·B_loc)⌋ steps.
enum class Sampling {
  /// B_loc independent samples for every worker and step.
  with_replacement,
  /// B_loc different samples for every worker and step, independently of all other steps and workers.
  distinct,
  /// One permutation of all samples per epoch, the same for all workers. At step s of the epoch worker w
  /// takes its places (s·K + w)·B_loc … + B_loc: no sample is visited twice in an epoch, by whatever worker,
  /// and the union of the workers' batches at a step depends on K·B_loc alone, so that K workers which
  /// average
  /// every step see the batches of one worker with the global batch.
  epoch,
  /// Worker w owns the samples at the places ≡ w (mod K) of one permutation for the whole run and visits them
  /// in an order of its own, drawn anew for every epoch: data that never leave their worker.
  fixed_shards,
};

/// The parameters of an EpochSampler.
///
/// The samples that do not fill the last step of an epoch are left out of it (others in the next one, which
/// has a new permutation). So every batch has B_loc samples and its noise the covariance Σ/B_loc, and an
/// epoch is a whole number of steps.
struct SamplingPlan {
  Sampling sampling = Sampling::epoch;
  int samples = 1;      ///< n
  int workers = 1;      ///< K
  int local_batch = 1;  ///< B_loc

  /// Throws std::invalid_argument unless n, K, B_loc ≥ 1; B_loc ≤ n where a batch has distinct samples; and
  /// K·B_loc ≤ n in the modes with epochs that are permutations; K < 2¹⁶.
  void check() const;

  /// ⌊n/(K·B_loc)⌋, at least 1: with replacement an epoch is a unit of time only.
  std::int64_t steps_per_epoch() const;
};

/// The samples of (replica, worker, step): a pure function of them, the seed and the plan. Permutations are
/// kept from call to call, two epochs of one replica at a time; that changes the cost of a call and nothing
/// else. Not to be shared by threads.
class EpochSampler {
 public:
  /// Throws std::invalid_argument as SamplingPlan::check does.
  EpochSampler(const SamplingPlan& plan, std::uint64_t seed);

  const SamplingPlan& plan() const { return plan_; }
  std::int64_t steps_per_epoch() const { return steps_; }

  /// The B_loc samples of worker w at step k. The pointer is valid until the next call. Addressed by
  /// (seed, Stream::sample, replica, w) with replacement and for distinct samples, as MinibatchSampler, and
  /// by (seed, Stream::shuffle, replica) otherwise. Throws std::out_of_range for a worker ≥ K.
  const int* draw(std::uint64_t replica, std::uint32_t worker, std::uint64_t step);

 private:
  struct Order {
    std::vector<int> samples;
    std::uint64_t replica = 0, epoch = 0;
  };

  const std::vector<int>& order_of_epoch(std::uint64_t replica, std::uint64_t epoch);
  const std::vector<int>& order_in_shard(std::uint64_t replica, std::uint32_t worker, std::uint64_t epoch);

  SamplingPlan plan_;
  std::uint64_t seed_;
  std::int64_t steps_;
  std::vector<int> drawn_;     // with replacement and for distinct samples: (B_loc)
  std::vector<Order> orders_;  // epoch e of worker w is in slot 2w + e%2; w = 0 for whole epochs
  Order owners_;               // fixed shards: the permutation that deals out the samples
};

}  // namespace slowsde
