// What a configuration of kind `train` says: data, network, runs and what is measured.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "slowsde/experiments/config.hpp"
#include "slowsde/experiments/experiment.hpp"
#include "slowsde/experiments/registry.hpp"
#include "slowsde/gpu/device_trainer.hpp"
#include "slowsde/optim/cost_model.hpp"
#include "slowsde/optim/network_trainer.hpp"
#include "slowsde/optim/predicted_spread.hpp"
#include "slowsde/problems/batch_assembly.hpp"
#include "slowsde/problems/classification_data.hpp"
#include "slowsde/problems/network.hpp"
#include "slowsde/problems/network_gradient.hpp"

namespace slowsde {

/// When a run is measured: the first round end at or after a number of steps asked for, and what the plan of
/// rounds says of it without any training.
struct TrainRecordPoint {
  std::int64_t steps = 0;
  double t = 0;  ///< Σ η²
  std::int64_t rounds = 0;
  double bytes = 0;    ///< sent by each worker so far
  double eta = 0;      ///< mean of the last round's steps; at the start lr(0)
  double H = 0;        ///< of the last round; at the start of the first
  double seconds = 0;  ///< wall clock by the cost model; NaN without one
};

/// One entry of [[runs]].
struct TrainRun {
  std::string name;
  TrainerParams trainer;
  SamplingPlan sampling;
  std::vector<TrainRecordPoint> points;

  int local_batch() const { return sampling.local_batch; }
  /// Whether workers that part from each other have a theory: not with an update rule that is not linear in
  /// the gradient, nor with shards of data that stay with a worker.
  bool divergence_predicted() const {
    return trainer.workers > 1 && SpreadResponse::offered(trainer) &&
           sampling.sampling != Sampling::fixed_shards;
  }
};

/// [measure]
struct TrainMeasures {
  int records = 11;                 ///< evenly over the steps, the start and the end among them
  int gap_samples = 500;            ///< training samples for L(mean) − mean L(workers); 0: not measured
  int sharpness_every = 1;          ///< trace and λ_max at every so many records and at the last; 0: never
  int sharpness_samples = 0;        ///< training samples in the Hessian; 0: all
  int trace_products = 30;          ///< Hessian-vector products for a trace (Hutch++)
  double lambda_tolerance = 1e-4;   ///< relative residual of λ_max
  std::vector<double> spectrum_at;  ///< fractions of the steps, at the next record
  int spectrum_probes = 4;
  int spectrum_steps = 40;
  int divergence_vectors =
      0;                    ///< noise vectors behind predicted_divergence at every record; 0: no prediction
  bool parameters = false;  ///< keep each replica's last average

  bool sharpness_at(int record) const {
    return sharpness_every > 0 && (record % sharpness_every == 0 || record == records - 1);
  }
  /// Index into spectrum_at of the spectrum that is due at a record, or −1.
  int spectrum_due(int record) const;
};

/// [cost]: the machine that a run is imagined on.
struct TrainCost {
  CostModel model;             ///< its workers and bytes are a run's
  double bits_per_second = 0;  ///< 0: no cost model
};

struct TrainPlan {
  TrainTest data;
  std::unique_ptr<Network> network;
  LossKind loss = LossKind::cross_entropy;
  std::vector<double> gain;  ///< of the initial weights, per weighted layer
  BatchRecipe recipe;
  int replicas = 1;
  bool single_precision = true;
  Backend backend = Backend::cpu;  ///< of the trainings
  DeviceTrainerParams device;
  Ranks ranks;  ///< the processes that share the workers
  TrainMeasures measures;
  TrainCost cost;
  std::vector<TrainRun> runs;
  std::vector<std::string> observables;

  int sharpness_samples() const {
    return measures.sharpness_samples > 0 ? measures.sharpness_samples : data.train.count();
  }
  /// θ_0 of a replica; the same for all runs, so that their differences are paired.
  std::vector<double> start(std::uint64_t seed, std::uint64_t replica) const;
};

/// An observable of a training.
struct TrainObservable {
  const char *name, *units, *long_name;
};
const std::vector<TrainObservable>& train_observables();

/// Reads the tables [data], [network], [train], [measure], [cost] and [[runs]]. With the backend cuda, throws
/// ConfigError for a run that the device trainer does not do.
TrainPlan read_train_plan(ConfigTable& config, const RunContext& context);

/// How the trainings of all runs and seeds share the threads.
struct TrainTeams {
  int at_once = 1;       ///< trainings
  int threads_each = 1;  ///< that share a training's workers
};

/// `several`: processes, which all do the same training. These and the trainings on a GPU, which one alone
/// keeps busy and whose memory is one's, come one after the other.
TrainTeams train_teams(Backend backend, bool several, int threads, std::size_t trainings);

/// What the gradients of a run depend on.
NetworkTask task_of(const TrainPlan& plan, const TrainRun& run, std::uint64_t seed);

}  // namespace slowsde
