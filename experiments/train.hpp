// The experiment `train`: networks trained by any optimizer and synchronization rule, measured as they go.
#pragma once

#include "slowsde/experiments/experiment.hpp"

namespace slowsde {

/// Reads [data], [network], [train], [measure] and [[runs]]. Each run is trained from `replicas` starts; all
/// that is measured is the average of the workers, except what compares it with them. The result has the
/// schema of an ensemble, with a series for each run.
class TrainExperiment final : public Experiment {
 public:
  std::string_view name() const override { return "train"; }
  std::string_view summary() const override {
    return "networks under optimizers and synchronization rules: accuracy, sharpness, communication";
  }
  Result run(ConfigTable& config, RunContext& context) const override;
  /// CUDA: the trainings are on the GPU, what is measured of them on the CPU.
  bool runs_on(Backend) const override { return true; }
  /// The workers are dealt to the processes; what is measured is the same on all of them.
  bool runs_split() const override { return true; }
  Estimate estimate(ConfigTable& config, const RunContext& context) const override;
};

}  // namespace slowsde
