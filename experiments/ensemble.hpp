// The experiment `ensemble`: iterates and any set of SDE models on one slow-time axis, with standard errors.
#pragma once

#include "slowsde/experiments/experiment.hpp"

namespace slowsde {

/// Reads [problem], [start], [noise], [run], [[iterates]] and [[models]]. Every series is a set of
/// independent replicas; its moments are reduced pack by pack in the order of the packs, so that the bits of
/// the result depend neither on the number of threads nor on `run.chunk`.
class EnsembleExperiment final : public Experiment {
 public:
  std::string_view name() const override { return "ensemble"; }
  std::string_view summary() const override {
    return "iterates beside their SDE models on one slow-time axis";
  }
  bool runs_on(Backend) const override { return true; }
  Result run(ConfigTable& config, RunContext& context) const override;
  Estimate estimate(ConfigTable& config, const RunContext& context) const override;
};

}  // namespace slowsde
