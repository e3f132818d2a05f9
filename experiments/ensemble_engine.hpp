// What runs ensembles: the iterates and models of a plan, their moments at the record times, and the Result
// they leave. The experiments `ensemble` and `sync-rules` are two ways to write such a plan.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "slowsde/experiments/algorithm_config.hpp"
#include "slowsde/experiments/ensemble_models.hpp"
#include "slowsde/experiments/experiment.hpp"
#include "slowsde/experiments/experiment_problem.hpp"
#include "slowsde/optim/local_sgd.hpp"
#include "slowsde/sde/quantiles.hpp"
#include "slowsde/sde/statistics.hpp"

namespace slowsde {

/// [run], the same for all series of a plan.
struct EnsembleRun {
  int replicas = 1, outputs = 2, samples = 0, chunk = 1;
  int segment = 0;  ///< replicas that a GPU has at once where their states come to the host; 0: by the memory
  double slow_time = 1;
  bool project = true, single_precision = false;
  std::vector<std::string> observables;
  std::vector<double> quantiles;  ///< probabilities, increasing
  std::vector<double> times;      ///< `outputs` of them, from 0 to slow_time

  void set_slow_time(double T);
};

/// What an ensemble is to run.
struct EnsemblePlan {
  std::shared_ptr<const ExperimentProblem> problem;
  EnsembleRun run;
  GradientNoise noise;
  std::vector<double> start;        ///< θ₀ of the iterates
  std::vector<double> model_start;  ///< Φ(θ₀), from where the slow models begin
  std::vector<AlgorithmConfig> iterates;
  std::vector<ModelConfig> models;
};

/// Reads [problem], [run] but for its length, [noise] and [start]. `start` stays empty where the problem's
/// own is asked for, which may take a training.
EnsemblePlan read_ensemble_plan(ConfigTable& config, const Registry& registry,
                                const std::vector<std::string>& default_observables);
/// Checks an algorithm of the plan's against its noise. `table` is an error's place.
void check_algorithm(const EnsemblePlan& plan, const AlgorithmConfig& algorithm, const ConfigTable& table);
/// Checks that the plan's problem can be asked for a model. `table` is an error's place.
void check_model(const EnsemblePlan& plan, const ModelConfig& model, const ConfigTable& table);

/// Finds the starts; returns warnings where they are not where a theory wants them.
std::vector<std::string> prepare_start(EnsemblePlan& plan);

/// Moments of every observable at every record point, and what else a series leaves.
struct EnsembleSeries {
  std::string name, of;  ///< of: the iterates that a model models
  bool is_model = false, deterministic = false;
  std::vector<RecordPoint> points;
  std::vector<Moments> cells;               ///< (points × observables)
  std::vector<double> distance;             ///< (points): worst residual of the projection
  std::vector<std::uint64_t> diverged;      ///< (points)
  std::vector<std::uint64_t> replicas;      ///< (points): those that did not diverge
  std::vector<double> samples;              ///< (observables × kept), at the last point; NaN where diverged
  std::vector<QuantileEstimate> quantiles;  ///< (points × observables × probabilities)
  std::uint64_t unconverged = 0;            ///< projections that did not converge
  double path_distance = 0;                 ///< slow models: how far from Γ a step ended at most
};

/// How far an observable went from the first record point to the last: iterates over model.
struct ChangeRatio {
  double value = 0;
  double half_width = 0;  ///< of the 95 % interval: delta method, Student's t of the smaller ensemble
};

/// m: index of the observable. NaN where the model did not move, and no width where a mean has no error.
ChangeRatio change_ratio(const EnsembleSeries& iterates, const EnsembleSeries& model, std::size_t m);

/// Runs all iterates of a prepared plan, then all of its models. All iterates draw from one seed: the same
/// replica of two algorithms shares its noise.
std::vector<EnsembleSeries> run_plan(const EnsemblePlan& plan, RunContext& context);

/// The variables, warnings, regime report and summary of a plan's series.
Result ensemble_result(const EnsemblePlan& plan, const std::vector<EnsembleSeries>& all,
                       const std::vector<std::string>& start_warnings);

/// Expected cost of run_plan.
Estimate estimate_plan(EnsemblePlan plan, const RunContext& context);

/// A number as summaries show it: six significant digits.
std::string short_number(double x);

}  // namespace slowsde
