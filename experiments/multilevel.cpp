#include "slowsde/experiments/multilevel.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "slowsde/experiments/ensemble_models.hpp"
#include "slowsde/experiments/problem_entry.hpp"
#include "slowsde/experiments/progress.hpp"
#include "slowsde/experiments/registry.hpp"
#include "slowsde/sde/multilevel_monte_carlo.hpp"

namespace slowsde {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

struct Plan {
  std::unique_ptr<ExperimentProblem> problem;
  ModelConfig model;
  MultilevelOptions options;  ///< all but target and seed
  std::vector<double> start;  ///< empty: the problem's own
  std::vector<double> targets;
  std::vector<std::string> observable;
  double reference_target = 0;
  int repetitions = 1;
};

Plan read_plan(ConfigTable& config, const RunContext& context) {
  Plan plan;
  ConfigTable problem = config.table("problem");
  const auto& entry = choose(problem, "name", context.registry.problems);
  plan.problem = problem.checked([&] { return entry->make(problem); });
  ConfigTable start = config.table("start");
  if (start.has("point")) {
    plan.start = start.list<double>("point");
    start.check("point", plan.start.size() == static_cast<std::size_t>(plan.problem->dim()),
                "must have " + std::to_string(plan.problem->dim()) + " components, the problem's dimension");
  }
  const GradientNoise noise = read_noise(config.table("noise"), plan.problem->noise_kinds());

  ConfigTable run = config.table("run");
  plan.options.end_time = run.positive<double>("slow_time");
  plan.targets = run.list<double>("targets");
  run.check("targets", !plan.targets.empty(), "must hold at least one target");
  for (const double target : plan.targets) run.check("targets", target > 0, "must be > 0");
  const double least = *std::min_element(plan.targets.begin(), plan.targets.end());
  plan.reference_target = run.positive<double>("reference_target", 0.2 * least);
  plan.repetitions = run.at_least<int>("repetitions", 2, 32);
  plan.observable = {run.get<std::string>("observable", "x0")};
  run.checked("observable", [&] { plan.problem->check_observables(plan.observable); });
  plan.options.coarsest_steps = static_cast<std::uint64_t>(run.at_least<int>("coarsest_steps", 1, 1));
  plan.options.pilot = static_cast<std::uint64_t>(run.at_least<int>("pilot", 2, 128));
  plan.options.max_levels = run.at_least<int>("max_levels", 3, 12);
  plan.options.threads = context.threads;

  ConfigTable algorithm_table = config.table("algorithm");
  const AlgorithmConfig algorithm =
      read_algorithm(algorithm_table, context.registry.rules, plan.options.end_time);
  algorithm_table.checked([&] { noise.check(plan.problem->samples(), algorithm.algorithm.local_batch); });
  ConfigTable model_table = config.table("model");
  plan.model = read_model(model_table, context.registry, {algorithm}, noise, plan.repetitions);
  model_table.check("theory", plan.model.theory == "slow-sde", "must be slow-sde");
  model_table.checked("theory", [&] { plan.problem->check_slow(plan.model.slow); });
  plan.model.slow.start = plan.problem->start();
  model_table.check("theory", !plan.problem->deterministic(plan.model.slow),
                    "is an ordinary differential equation here: it has no noise along the manifold");
  plan.options.weak_order = plan.model.slow.scheme == SlowScheme::platen_weak_2 ? 2 : 1;
  run.checked([&] { plan.options.check(); });
  return plan;
}

void prepare_start(Plan& plan) {
  if (plan.start.empty()) plan.start = plan.problem->start();
  DistanceToManifold reached;
  plan.problem->project(plan.start.data(), 1, &reached);
}

/// The slow SDE's observable at the end, with the steps of a level on the paths of another.
PathValues values_of(const Plan& plan, std::uint64_t seed) {
  SlowRun base = plan.model.slow;
  base.seed = seed;
  base.start = plan.start;
  base.times = {plan.options.end_time};
  return [&plan, base](int approximation, int level, std::uint64_t block,
                       std::span<double, multilevel_block> out) {
    SlowRun run = base;
    run.dt = plan.options.end_time / static_cast<double>(plan.options.steps(approximation));
    run.refinement = std::uint64_t{1} << (level - approximation);
    const std::uint64_t first = multilevel_trajectory(level, block);
    for (std::size_t i = 0; i < multilevel_block; ++i) {
      out[i] = nan;
      plan.problem->slow_trajectory(run, first + i, [&](int, int, const double* state) {
        plan.problem->observe(state, plan.observable, &out[i]);
      });
    }
  };
}

/// Steps of all repetitions and of the reference, roughly: a variance of 1/4, V_l = V/2^l and six levels.
double expected_cost(const Plan& plan) {
  double cost = 20 / (plan.reference_target * plan.reference_target);
  for (const double target : plan.targets) cost += plan.repetitions * (8 + 1 / target) / (target * target);
  return cost;
}

}  // namespace

Estimate MultilevelExperiment::estimate(ConfigTable& config, const RunContext& context) const {
  Plan plan = read_plan(config, context);
  Estimate estimate;
  estimate.work = 1 + plan.repetitions * static_cast<double>(plan.targets.size());
  estimate.bytes = 16e6;
  estimate.notes = {"the samples follow from variances that are measured: the time is a guess"};
  if (context.measure) {
    prepare_start(plan);
    const PathValues values = values_of(plan, context.seed);
    std::array<double, multilevel_block> out{};
    const auto begin = std::chrono::steady_clock::now();
    constexpr int level = 3;
    values(level, level, 0, out);
    const double steps = static_cast<double>(multilevel_block * plan.options.steps(level));
    estimate.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() /
                       steps * expected_cost(plan) / context.threads;
  }
  return estimate;
}

Result MultilevelExperiment::run(ConfigTable& config, RunContext& context) const {
  Plan plan = read_plan(config, context);
  prepare_start(plan);
  const std::size_t T = plan.targets.size(), R = static_cast<std::size_t>(plan.repetitions);

  // Every estimate has a seed, hence paths, of its own.
  std::uint64_t run_number = 0;
  const auto next_seed = [&] { return context.seed + 0x9E3779B97F4A7C15u * ++run_number; };
  MultilevelOptions options = plan.options;
  context.progress.label("reference");
  options.target_rmse = plan.reference_target;
  options.pilot = std::max<std::uint64_t>(options.pilot, 1024);
  const MultilevelResult reference = multilevel_monte_carlo(values_of(plan, next_seed()), options);
  options.pilot = plan.options.pilot;
  context.progress.add(1);

  Result result;
  result.dims = {{"method", 2},
                 {"target", T},
                 {"repetition", R},
                 {"level", static_cast<std::size_t>(reference.finest()) + 1}};
  const std::vector<std::string> cells = {"method", "target", "repetition"};
  const auto cell = [&](std::string name, std::string units, std::string long_name) {
    return Variable{std::move(name), std::move(units), std::move(long_name), cells,
                    std::vector<double>(2 * T * R, nan)};
  };
  Variable estimate = cell("estimate", "1", "estimate of the mean");
  Variable se = cell("standard_error", "1", "standard error that the method reports");
  Variable bias = cell("bias_bound", "1", "bound of the bias that multilevel Monte Carlo reports");
  Variable cost = cell("cost", "steps", "stepper steps");
  Variable levels = cell("levels", "1", "number of levels");
  Variable status = cell("reached", "1", "1 if multilevel Monte Carlo reached its target by its own account");
  Variable consistency =
      cell("consistency", "1", "largest violation of the telescoping identity, in standard errors");
  context.progress.label("repetitions");
  for (std::size_t t = 0; t < T; ++t)
    for (std::size_t r = 0; r < R; ++r) {
      options.target_rmse = plan.targets[t];
      const MultilevelResult multilevel = multilevel_monte_carlo(values_of(plan, next_seed()), options);
      const std::size_t m = t * R + r, p = (T + t) * R + r;
      estimate.data[m] = multilevel.estimate;
      se.data[m] = multilevel.standard_error;
      bias.data[m] = multilevel.bias_bound;
      cost.data[m] = multilevel.cost;
      levels.data[m] = static_cast<double>(multilevel.levels.size());
      status.data[m] = multilevel.status == MultilevelStatus::reached ? 1 : 0;
      consistency.data[m] = multilevel.consistency();
      result.replicas += 1;
      if (multilevel.status == MultilevelStatus::diverged) result.diverged += 1;
      if (multilevel.status != MultilevelStatus::reached)
        result.warnings.push_back(
            fmt::format("target {}, repetition {}: {}", plan.targets[t], r, name_of(multilevel.status)));
      // Plain Monte Carlo with the same steps, hence bias, and the same share of the error for its variance.
      const auto samples = static_cast<std::uint64_t>(std::ceil(multilevel.plain_samples));
      const Moments plain =
          plain_monte_carlo(values_of(plan, next_seed()), multilevel.finest(), samples, context.threads);
      estimate.data[p] = plain.mean;
      se.data[p] = plain.standard_error();
      cost.data[p] = static_cast<double>(plain.count + plain.diverged) *
                     static_cast<double>(options.steps(multilevel.finest()));
      levels.data[p] = 1;
      context.progress.add(1);
    }

  result.add(TextVariable{"method", "multilevel or plain Monte Carlo", {"method"}, {"multilevel", "plain"}});
  result.add(Variable{"target", "1", "root mean square error asked for", {"target"}, plan.targets});
  result.add(Variable{"reference", "1", "estimate that errors are measured from", {}, {reference.estimate}});
  result.add(
      Variable{"reference_error", "1", "bound of its root mean square error", {}, {reference.rmse_bound()}});
  const auto of_level = [&](std::string name, std::string units, std::string long_name, auto value) {
    Variable v{std::move(name), std::move(units), std::move(long_name), {"level"}, {}};
    for (const LevelMoments& level : reference.levels) v.data.push_back(value(level));
    result.add(std::move(v));
  };
  of_level("level_samples", "1", "reference: samples of a level",
           [](const LevelMoments& level) { return static_cast<double>(level.samples); });
  of_level("level_mean", "1", "reference: mean of P_l - P_{l-1}",
           [](const LevelMoments& level) { return level.correction.mean; });
  of_level("level_se", "1", "reference: standard error of level_mean",
           [](const LevelMoments& level) { return level.correction.standard_error(); });
  of_level("level_variance", "1", "reference: variance of P_l - P_{l-1}",
           [](const LevelMoments& level) { return level.correction.variance(); });
  of_level("level_variance_of_fine", "1", "reference: variance of P_l",
           [](const LevelMoments& level) { return level.fine.variance(); });

  result.summary =
      fmt::format("{} at slow time {}: {:.6g} +- {:.2g}, bias at most {:.2g} ({} levels, {:.3g} steps, {})\n",
                  plan.observable[0], plan.options.end_time, reference.estimate, reference.standard_error,
                  reference.bias_bound, reference.levels.size(), reference.cost, name_of(reference.status));
  result.summary += "target      method       RMSE measured   mean error       cost, steps\n";
  for (std::size_t t = 0; t < T; ++t)
    for (std::size_t method = 0; method < 2; ++method) {
      Moments errors, squares, costs;
      for (std::size_t r = 0; r < R; ++r) {
        const std::size_t i = (method * T + t) * R + r;
        const double error = estimate.data[i] - reference.estimate;
        errors.add(error);
        squares.add(error * error);
        costs.add(cost.data[i]);
      }
      result.summary +=
          fmt::format("{:<11.4g} {:<12} {:<15.4g} {:<16.3g} {:.4g}\n", plan.targets[t],
                      method == 0 ? "multilevel" : "plain", std::sqrt(squares.mean), errors.mean, costs.mean);
    }
  if (reference.status != MultilevelStatus::reached)
    result.warnings.push_back(std::string("the reference: ") + name_of(reference.status));
  if (result.diverged == result.replicas) result.diverged_series.push_back("mlmc");
  for (Variable* v : {&estimate, &se, &bias, &cost, &levels, &status, &consistency})
    result.add(std::move(*v));
  return result;
}

}  // namespace slowsde
