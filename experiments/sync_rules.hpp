// The experiment `sync-rules`: every synchronization rule under every learning-rate schedule with the same
// budget of steps, measured, predicted and compared in pairs.
#pragma once

#include "slowsde/experiments/experiment.hpp"

namespace slowsde {

/// Reads [problem], [start], [noise] and [run] (with `total_steps` in place of `slow_time`, and `compare`) as
/// an ensemble does; a schedule may have `total_steps` of its own; [algorithm] (`workers`, `local_batch`,
/// `momentum`), [theory] (the keys of a model),
/// [[schedules]] (`name`, `lr`) and [[rules]] (`name`, `rule`). Each schedule is an ensemble of the rules and
/// of a model of each (by default the slow SDE with the second moment `sampling`); the ensembles are stacked
/// along `point` like those of a sweep. All runs draw from one seed, so that differences of two rules are
/// taken replica by replica. Added to the ensembles' variables:
///
///   schedule (point), rule (rule), first_rule, second_rule (pair)
///   final_predicted, final_measured, final_se, final_half_width, total_communication,
///   longest_round, longest_round_change (point, rule)
///   predicted_gap, measured_gap, gap_se, gap_half_width, verdict, long_rounds (point, pair)
///   grid_step, grid_lr (point, grid), grid_local_steps (point, rule, grid)
class SyncRulesExperiment final : public Experiment {
 public:
  std::string_view name() const override { return "sync-rules"; }
  std::string_view summary() const override {
    return "synchronization rules at one budget of steps, measured, predicted and compared in pairs";
  }
  bool runs_on(Backend) const override { return true; }
  Result run(ConfigTable& config, RunContext& context) const override;
  Estimate estimate(ConfigTable& config, const RunContext& context) const override;
};

}  // namespace slowsde
