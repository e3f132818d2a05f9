// The experiment `mlmc`: an expectation of a slow SDE by multilevel and by plain Monte Carlo, the error that
// each has over repetitions against what it cost.
#pragma once

#include "slowsde/experiments/experiment.hpp"

namespace slowsde {

/// Reads [problem], [start], [noise], [algorithm] (as an entry of [[iterates]]), [model] (as an entry of
/// [[models]]) and [run]: observable, slow_time, targets, reference_target, repetitions, coarsest_steps,
/// pilot, max_levels. Of every repetition it leaves estimate, standard error, bias bound, cost and levels,
/// for both methods; the reference is a multilevel estimate at its own, smaller target.
class MultilevelExperiment final : public Experiment {
 public:
  std::string_view name() const override { return "mlmc"; }
  std::string_view summary() const override {
    return "a slow SDE's expectation by multilevel and plain Monte Carlo: error against cost";
  }
  Result run(ConfigTable& config, RunContext& context) const override;
  Estimate estimate(ConfigTable& config, const RunContext& context) const override;
};

}  // namespace slowsde
