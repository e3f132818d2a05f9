// A suite: several experiments as the parts of one run.
#pragma once

#include "slowsde/experiments/experiment.hpp"

namespace slowsde {

/// Runs the elements of `parts` one after the other, each into a directory of its name within the run
/// directory:
///
///     kind = "suite"
///     [[parts]]
///     name = "digits"
///     config = "digits.toml"     # the part's configuration; other keys here replace the file's
///
/// A part may be of any kind, with `seed` and `title` of its own.
class Suite : public Experiment {
 public:
  std::string_view name() const override { return "suite"; }
  std::string_view summary() const override {
    return "several experiments, each into a directory of its own";
  }
  Estimate estimate(ConfigTable& config, const RunContext& context) const override;
  Result run(ConfigTable& config, RunContext& context) const override;
  bool runs_on(Backend) const override { return true; }
  bool has_seed() const override { return false; }
};

}  // namespace slowsde
