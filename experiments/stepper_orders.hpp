// The experiment `stepper-orders`: every stepper on every class of noise, expected orders beside measured
// ones.
#pragma once

#include "slowsde/experiments/experiment.hpp"

namespace slowsde {

/// Reads [run] weak_trajectories, strong_trajectories. Leaves the differences of successive levels with their
/// standard errors, the fitted orders and the verdicts along a dimension `pair`.
class StepperOrdersExperiment final : public Experiment {
 public:
  std::string_view name() const override { return "stepper-orders"; }
  std::string_view summary() const override {
    return "weak and strong orders of every stepper on every class of noise";
  }
  Result run(ConfigTable& config, RunContext& context) const override;
  Estimate estimate(ConfigTable& config, const RunContext& context) const override;
};

}  // namespace slowsde
