// A sweep: one experiment at every point of a grid of values of its keys.
#pragma once

#include "slowsde/experiments/experiment.hpp"

namespace slowsde {

/// Runs the base experiment at each point and stacks the results along a leading dimension `point`:
///
///     kind = "sweep"
///     [sweep]
///     base = "x.toml"            # or `experiment = "KIND"` and the base's own tables in this file
///     zip = false                # false: every combination, the first key slowest; true: the values side by
///     side seeds = "per-point"        # per-point: seed + index of the point; same: one seed, common random
///     numbers
///     [[sweep.over]]
///     key = "iterates.1.rule.local_steps"
///     values = [1, 10, 100]
///     name = "H"                 # of the coordinate variable; default: the key
///     units = "1"
///
/// Variables that some points lack, or that are shorter there, are filled with NaN; text variables that are
/// the same at all points are kept without the new dimension. A key `seed` that is swept over is used as it
/// is.
class Sweep : public Experiment {
 public:
  std::string_view name() const override { return "sweep"; }
  std::string_view summary() const override {
    return "one experiment at every point of a grid of values of its keys";
  }
  Estimate estimate(ConfigTable& config, const RunContext& context) const override;
  Result run(ConfigTable& config, RunContext& context) const override;
  bool runs_on(Backend) const override { return true; }
};

/// The results of the points along a new leading dimension `point`. Throws std::invalid_argument if there is
/// none, or if a variable has different dimensions at different points.
Result stack_points(const std::vector<Result>& points);

}  // namespace slowsde
