// One replica of one training run, and what it leaves.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "slowsde/experiments/train_plan.hpp"

namespace slowsde {

struct TrainedReplica {
  std::vector<double> values;          ///< (records × observables); NaN where not measured
  std::vector<double> nodes, weights;  ///< (spectra × nodes): Ritz values; weights sum to d; NaN where unused
  std::vector<double> parameters;      ///< (d): the last average, where it is asked for
  std::int64_t diverged_from = -1;     ///< record from which on it had diverged; −1: never
  bool lanczos_converged = true;

  /// As a piece of a run's journal, and back.
  std::string bytes() const;
  static TrainedReplica of(std::string_view bytes);
};

/// Nodes that one spectrum has room for.
int spectrum_nodes(const TrainPlan& plan);

/// Work of one replica of a run in passes of one sample: forward 1, gradient 3, a Hessian-vector product 8.
double training_work(const TrainPlan& plan, const TrainRun& run);
double measuring_work(const TrainPlan& plan, const TrainRun& run);

/// Trains and measures; calls add(work) now and then, in all the two works above, also when it diverges. A
/// replica has diverged when a parameter of the average or the loss of a batch is not finite or a parameter
/// exceeds 10⁶ times the larger of 1 and the start's largest. Bits depend on the plan, the seed and the
/// replica, not on `threads`.
TrainedReplica train_replica(const TrainPlan& plan, const TrainRun& run, std::uint64_t seed,
                             std::uint64_t replica, int threads, const std::function<void(double)>& add);

/// Seconds of training and of measuring one replica on one thread, from a little of each.
double replica_seconds(const TrainPlan& plan, const TrainRun& run, std::uint64_t seed);

}  // namespace slowsde
