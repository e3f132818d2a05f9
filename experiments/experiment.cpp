#include "slowsde/experiments/experiment.hpp"

#include <algorithm>

#include "slowsde/experiments/errors.hpp"
#include "slowsde/experiments/registry.hpp"

namespace slowsde {

Estimate& Estimate::operator+=(const Estimate& next) {
  work += next.work;
  seconds += next.seconds;
  bytes = std::max(bytes, next.bytes);
  for (const std::string& note : next.notes) {
    if (std::find(notes.begin(), notes.end(), note) == notes.end()) notes.push_back(note);
  }
  return *this;
}

const Experiment& begin_experiment(ConfigTable& config, RunContext& context) {
  const Experiment& experiment = *choose(config, "kind", context.registry.experiments, "ensemble");
  if (!experiment.runs_on(context.backend)) {
    throw BackendError("experiments of kind '" + std::string(experiment.name()) +
                       "' do not run on --backend cuda");
  }
  if (context.ranks.launch.several() && !experiment.runs_split()) {
    throw BackendError("experiments of kind '" + std::string(experiment.name()) +
                       "' are not split over several processes");
  }
  config.get<std::string>("title", "");
  config.get<std::string>("figure", "");  // which figure `slowsde plot` draws; empty: that of the kind
  if (experiment.has_seed()) context.seed = config.get<std::uint64_t>("seed", 1);
  return experiment;
}

Estimate estimate_experiment(ConfigTable& config, RunContext& context) {
  return begin_experiment(config, context).estimate(config, context);
}

Result run_experiment(ConfigTable& config, RunContext& context) {
  const Experiment& experiment = begin_experiment(config, context);
  Result result = experiment.run(config, context);
  result.attributes["title"] = config.get<std::string>("title", "");
  result.attributes["kind"] = std::string(experiment.name());
  if (experiment.has_seed()) result.attributes["seed"] = std::to_string(context.seed);
  return result;
}

}  // namespace slowsde
