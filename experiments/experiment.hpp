// An experiment: what a configuration of its kind means, what it will cost, and how it is run.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "slowsde/experiments/config.hpp"
#include "slowsde/experiments/ranks.hpp"
#include "slowsde/experiments/result.hpp"

namespace slowsde {

class Progress;
struct Registry;
class RunJournal;

/// What a run is given beside its configuration. Results may depend on the seed alone.
struct RunContext {
  const Registry& registry;
  Progress& progress;
  int threads = 1;
  std::uint64_t seed = 1;
  Backend backend = Backend::cpu;
  bool measure = false;           ///< estimates may run a little of the experiment to see how long it takes
  Ranks ranks = {};               ///< the processes that the run is split over
  RunJournal* journal = nullptr;  ///< where finished pieces are kept and looked for, if anywhere
  std::string scope = {};         ///< of this experiment within the run: the beginning of its pieces' keys
};

/// What a run is expected to cost on this machine.
struct Estimate {
  double work = 0;     ///< units that the run will add to Progress
  double seconds = 0;  ///< 0: not known
  double bytes = 0;    ///< memory at the most
  std::vector<std::string> notes;

  /// One run after the other: work and seconds add up, of the bytes the larger counts.
  Estimate& operator+=(const Estimate& next);
};

/// One kind of experiment. Objects are immutable: all that changes is in the configuration and the context.
class Experiment {
 public:
  virtual ~Experiment() = default;
  virtual std::string_view name() const = 0;     ///< as `kind` in a configuration
  virtual std::string_view summary() const = 0;  ///< one line for `slowsde list`

  /// Reads every key that run() reads (in the same ways, so that values are validated and defaults recorded)
  /// and computes nothing that takes time unless context.measure allows it. Throws ConfigError. Must not call
  /// finish(): its caller does, because of what is read here a sweep only knows the whole after its last
  /// point.
  virtual Estimate estimate(ConfigTable& config, const RunContext& context) const = 0;

  /// Runs; adds Estimate::work to context.progress in all. Replicas that diverge are counted in the Result,
  /// never averaged in.
  virtual Result run(ConfigTable& config, RunContext& context) const = 0;

  /// Whether the key `seed` belongs to this kind; not so for a container whose parts have their own.
  virtual bool has_seed() const { return true; }

  /// Whether run() can be split over several processes.
  virtual bool runs_split() const { return false; }

  /// Whether run() can use the backend; a container leaves the question to what it holds.
  virtual bool runs_on(Backend backend) const { return backend == Backend::cpu; }
};

/// The experiment that `kind` (default "ensemble") names. Reads also `title` and, where the kind has one,
/// `seed` (default 1), which becomes the context's.
const Experiment& begin_experiment(ConfigTable& config, RunContext& context);

/// begin_experiment, then estimate: all that can be wrong with a configuration is found here, except for keys
/// that nobody reads, for which finish() is left to the caller.
Estimate estimate_experiment(ConfigTable& config, RunContext& context);

/// Runs the experiment and sets the attributes `title`, `kind` and `seed` of the result. Call
/// estimate_experiment and finish() first.
Result run_experiment(ConfigTable& config, RunContext& context);

}  // namespace slowsde
