#include "slowsde/experiments/ensemble.hpp"

#include <string>
#include <vector>

#include "slowsde/experiments/ensemble_engine.hpp"
#include "slowsde/experiments/registry.hpp"

namespace slowsde {
namespace {

EnsemblePlan read_plan(ConfigTable& config, const Registry& registry) {
  EnsemblePlan plan = read_ensemble_plan(config, registry, {"x0"});
  plan.run.set_slow_time(config.table("run").positive<double>("slow_time"));
  for (ConfigTable& table : config.tables("iterates")) {
    plan.iterates.push_back(read_algorithm(table, registry.rules, plan.run.slow_time));
    const AlgorithmConfig& added = plan.iterates.back();
    check_algorithm(plan, added, table);
    for (std::size_t j = 0; j + 1 < plan.iterates.size(); ++j)
      table.check("name", plan.iterates[j].name != added.name, "is taken by an earlier series");
  }
  if (plan.iterates.empty()) throw config.error("an ensemble needs at least one [[iterates]]");
  for (ConfigTable& table : config.tables("models")) {
    plan.models.push_back(read_model(table, registry, plan.iterates, plan.noise, plan.run.replicas));
    const ModelConfig& added = plan.models.back();
    check_model(plan, added, table);
    bool taken = false;
    for (const AlgorithmConfig& other : plan.iterates) taken = taken || other.name == added.name;
    for (std::size_t j = 0; j + 1 < plan.models.size(); ++j)
      taken = taken || plan.models[j].name == added.name;
    table.check("name", !taken, "is taken by an earlier series");
  }
  return plan;
}

}  // namespace

Result EnsembleExperiment::run(ConfigTable& config, RunContext& context) const {
  EnsemblePlan plan = read_plan(config, context.registry);
  const std::vector<std::string> start_warnings = prepare_start(plan);
  return ensemble_result(plan, run_plan(plan, context), start_warnings);
}

Estimate EnsembleExperiment::estimate(ConfigTable& config, const RunContext& context) const {
  return estimate_plan(read_plan(config, context.registry), context);
}

}  // namespace slowsde
