// The experiment `worker-cloud`: how the workers of Local SGD spread within a round, measured beside theory.
#pragma once

#include "slowsde/experiments/experiment.hpp"

namespace slowsde {

/// A perceptron whose targets are its outputs at random parameters, hence on Γ, under minibatches with label
/// noise. Reads [network] widths, samples, init_gain; [noise] sigma; [algorithm] workers, local_batch, lr,
/// local_steps; [run] replicas, warm_rounds, rounds. Of every local step h = 1 … H it leaves the own moment
/// C_h = E δ_w δ_wᵀ and the cross moment D_h = E δ_w δ_w'ᵀ of the workers' displacement δ from Γ, in units of
/// σ²: along the eigenvectors of ∇²L with the largest, the middle and the least eigenvalue, and their trace;
/// beside them, for h = 0 … H, what `round_moments` says with and without minibatch sampling.
class WorkerCloudExperiment final : public Experiment {
 public:
  std::string_view name() const override { return "worker-cloud"; }
  std::string_view summary() const override {
    return "the workers' own and cross second moments inside a round, beside theory";
  }
  Result run(ConfigTable& config, RunContext& context) const override;
  Estimate estimate(ConfigTable& config, const RunContext& context) const override;
};

}  // namespace slowsde
