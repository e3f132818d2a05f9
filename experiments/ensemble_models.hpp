// The models of an ensemble: what one entry of [[models]] says, and how it is run.
#pragma once

#include <concepts>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "slowsde/experiments/algorithm_config.hpp"
#include "slowsde/experiments/experiment_problem.hpp"
#include "slowsde/experiments/registry.hpp"

namespace slowsde {

/// A second-moment model as the registry knows it: made for the algorithm and the noise of a series.
struct MomentEntry {
  std::function<std::shared_ptr<const SecondMoment>(const LocalSgd&, const GradientNoise&)> make;
};

/// Adds a second-moment model of the user's, a default-constructible M: `moment = "name"` in [[models]].
template <std::derived_from<SecondMoment> M>
void add_moment(Registry& registry, std::string name, std::string summary = "a theory of the user's") {
  registry.moments.add(std::move(name), std::move(summary),
                       std::make_shared<MomentEntry>(MomentEntry{[](const LocalSgd&, const GradientNoise&) {
                         return std::make_shared<const M>();
                       }}));
}

/// One entry of [[models]].
struct ModelConfig {
  std::string name, of, theory;
  int replicas = 1;
  double dt = 0;
  SlowRun slow;                  ///< of a slow theory
  ConventionalRun conventional;  ///< of the conventional SDE
  double steps_per_slow_time = 0;
};

/// A model made ready: simulate(batch, record) runs `width` trajectories from batch·width on and says how far
/// from Γ a step ended at most.
struct ModelRun {
  bool deterministic = false;
  bool project = true;  ///< whether Φ is to be applied to what is recorded
  int width = 1;
  // What a GPU may run in place of simulate.
  std::optional<ConventionalRun> conventional;
  std::optional<SlowRun> slow;
  std::function<DistanceToManifold(std::size_t batch, const RecordStates& record)> simulate;
};

/// Theories that `models.theory` may name, with a line each.
std::vector<std::pair<std::string, std::string>> theory_catalogue();

ModelConfig read_model(ConfigTable table, const Registry& registry,
                       const std::vector<AlgorithmConfig>& iterates, const GradientNoise& noise,
                       int default_replicas);

/// The same for one algorithm, with its name and the default second moment of slow theories given.
ModelConfig read_model_of(ConfigTable table, const Registry& registry, const AlgorithmConfig& algorithm,
                          const std::string& name, const GradientNoise& noise, int default_replicas,
                          const std::string& slow_moment);

/// Binds a model to its problem, start and record times. The problem must outlive the run.
ModelRun prepare_model(const ModelConfig& model, const ExperimentProblem& problem, const GradientNoise& noise,
                       const std::vector<double>& start, const std::vector<double>& times,
                       std::uint64_t seed);

/// Units of progress of one trajectory.
double model_work(const ModelConfig& model, const std::vector<double>& times,
                  const ExperimentProblem& problem);

}  // namespace slowsde
