#include "slowsde/experiments/ensemble_engine.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "slowsde/experiments/algorithm_config.hpp"
#include "slowsde/experiments/device_segment.hpp"
#include "slowsde/experiments/ensemble_models.hpp"
#include "slowsde/experiments/errors.hpp"
#include "slowsde/experiments/json.hpp"
#include "slowsde/experiments/problem_entry.hpp"
#include "slowsde/experiments/progress.hpp"
#include "slowsde/experiments/registry.hpp"
#include "slowsde/experiments/rule_pairs.hpp"
#include "slowsde/experiments/run_journal.hpp"
#include "slowsde/sde/parallel.hpp"
#include "slowsde/sde/statistics.hpp"

namespace slowsde {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

EnsembleRun read_run(ConfigTable& config, const ExperimentProblem& problem,
                     const std::vector<std::string>& default_observables) {
  EnsembleRun run;
  run.single_precision = config.one_of("precision", {"f64", "f32"}, "f64") == "f32";
  ConfigTable table = config.table("run");
  run.replicas = table.at_least<int>("replicas", 2, 1000);
  run.outputs = table.at_least<int>("outputs", 2, 11);
  run.samples = table.at_least<int>("samples", 0, 0);
  table.check("samples", run.samples <= run.replicas, "must be <= replicas");
  run.chunk = table.at_least<int>("chunk", 1, 4);
  run.segment = table.at_least<int>("segment", 0, 0);
  run.project = table.get<bool>("project", true);
  run.observables = table.list<std::string>("observables", default_observables);
  table.check("observables", !run.observables.empty(), "must name at least one observable");
  table.checked("observables", [&] { problem.check_observables(run.observables); });
  run.quantiles = table.list<double>("quantiles", {});
  table.check(
      "quantiles",
      std::all_of(run.quantiles.begin(), run.quantiles.end(), [](double p) { return p > 0 && p < 1; }),
      "must be > 0 and < 1");
  table.check("quantiles",
              std::adjacent_find(run.quantiles.begin(), run.quantiles.end(), std::greater_equal<>()) ==
                  run.quantiles.end(),
              "must increase");
  return run;
}

/// Empty where the problem's own start is asked for, which may take a training.
std::vector<double> read_start(ConfigTable& config, const ExperimentProblem& problem) {
  ConfigTable table = config.table("start");
  if (!table.has("point")) return {};
  const auto point = table.list<double>("point");
  table.check("point", point.size() == static_cast<std::size_t>(problem.dim()),
              "must have " + std::to_string(problem.dim()) + " components, the problem's dimension");
  table.check("point", std::all_of(point.begin(), point.end(), [](double x) { return std::isfinite(x); }),
              "must be finite");
  return point;
}

}  // namespace

std::string short_number(double x) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.6g", x);
  return text.data();
}

void EnsembleRun::set_slow_time(double T) {
  slow_time = T;
  times.clear();
  for (int j = 0; j < outputs; ++j) times.push_back(slow_time * j / (outputs - 1));
}

EnsemblePlan read_ensemble_plan(ConfigTable& config, const Registry& registry,
                                const std::vector<std::string>& default_observables) {
  EnsemblePlan plan;
  ConfigTable problem = config.table("problem");
  const auto& entry = choose(problem, "name", registry.problems);
  plan.problem = problem.checked([&] { return entry->make(problem); });
  plan.run = read_run(config, *plan.problem, default_observables);
  ConfigTable noise = config.table("noise");
  plan.noise = read_noise(noise, plan.problem->noise_kinds());
  plan.start = read_start(config, *plan.problem);
  return plan;
}

void check_algorithm(const EnsemblePlan& plan, const AlgorithmConfig& algorithm, const ConfigTable& table) {
  table.checked([&] { plan.noise.check(plan.problem->samples(), algorithm.algorithm.local_batch); });
}

void check_model(const EnsemblePlan& plan, const ModelConfig& model, const ConfigTable& table) {
  table.checked("theory", [&] {
    if (model.theory == "conventional-sde")
      plan.problem->check_conventional(model.conventional);
    else
      plan.problem->check_slow(model.slow);
  });
}

/// Finds the starts; returns warnings where they are not where a theory wants them.
std::vector<std::string> prepare_start(EnsemblePlan& plan) {
  std::vector<std::string> warnings;
  const auto warn = [&](const std::string& text) { warnings.push_back(text); };
  if (plan.start.empty()) plan.start = plan.problem->start();
  plan.model_start = plan.start;
  const PointReport at = plan.problem->report(plan.start);
  if (!(at.distance <= 1e-6)) {
    DistanceToManifold reached;
    plan.problem->project(plan.model_start.data(), 1, &reached);
    warn("the start is not on the manifold of minimizers, |grad L| = " + std::to_string(at.distance) +
         ": slow models begin at the end of its gradient flow");
    if (!reached.converged) warn("the gradient flow from the start did not converge");
  }
  const PointReport on = plan.problem->report(plan.model_start);
  if (on.rank == 0) warn("the Hessian has no positive eigenvalue at the start");
  if (on.rank > 0 && !(on.rank_gap >= 1e3))
    warn("the rank of the Hessian at the start is doubtful: its smallest positive eigenvalue is only " +
         std::to_string(on.rank_gap) + " times the largest one counted as zero");
  if (on.rank > 0 && !(on.lambda_min >= 1e-5 * on.lambda_max))
    warn("the Hessian at the start is ill-conditioned: lambda_min/lambda_max < 1e-5");
  return warnings;
}

namespace {

/// Whether a state has left: not finite, or so far away that no iterate at rest gets there.
bool has_diverged(const double* state, std::size_t d, double bound) {
  return !std::all_of(state, state + d, [&](double x) { return std::abs(x) <= bound; });
}

/// Components larger than this have diverged.
double divergence_bound(const EnsemblePlan& plan) {
  double bound = 1;
  for (const double x : plan.start) bound = std::max(bound, std::abs(x));
  return 1e6 * bound;
}

/// Batches that are run together, after something is done for them.
struct Segments {
  std::size_t batches = std::numeric_limits<std::size_t>::max();
  std::function<void(std::size_t first, std::size_t count)> prepare = [](std::size_t, std::size_t) {};
};

/// What a batch leaves.
struct Slot {
  std::vector<Moments> cells;           ///< (points × observables)
  std::vector<double> distance;         ///< (points)
  std::vector<std::uint64_t> diverged;  ///< (points)
  std::vector<double> samples;          ///< (observables × those of its replicas that are kept)
  std::vector<double> values;  ///< (points × observables × its replicas) where quantiles are asked for
  std::uint64_t unconverged = 0;
  double path_distance = 0;

  std::string bytes() const {
    std::string out;
    put(out, cells);
    put(out, distance);
    put(out, diverged);
    put(out, samples);
    put(out, values);
    put(out, std::vector<std::uint64_t>{unconverged});
    put(out, std::vector<double>{path_distance});
    return out;
  }
  static Slot of(std::string_view bytes) {
    Slot slot;
    std::vector<std::uint64_t> count;
    std::vector<double> path;
    take(bytes, slot.cells);
    take(bytes, slot.distance);
    take(bytes, slot.diverged);
    take(bytes, slot.samples);
    take(bytes, slot.values);
    take(bytes, count);
    take(bytes, path);
    slot.unconverged = count.at(0);
    slot.path_distance = path.at(0);
    return slot;
  }
};

/// Φ of the `count` states that a batch has recorded at a point, in place, and how each of them ended.
using Project = std::function<void(std::size_t batch, std::size_t point, int count, double* states,
                                   DistanceToManifold* to)>;

/// By the problem, where it is asked for.
Project on_cpu(const EnsemblePlan& plan, bool project) {
  if (!project) return {};
  return [&problem = *plan.problem](std::size_t, std::size_t, int count, double* states,
                                    DistanceToManifold* to) { problem.project(states, count, to); };
}

/// Runs `batches` independent pieces, each of which records `width` replicas at every point, and reduces them
/// in order. simulate(batch, record) must depend on nothing but the batch.
template <class Simulate>
void reduce(EnsembleSeries& series, const EnsemblePlan& plan, RunContext& context, int threads,
            std::size_t batches, int width, int replicas, double work_per_batch, const Project& project,
            Simulate simulate, const Segments& segments = {}) {
  const std::size_t P = series.points.size(), M = plan.run.observables.size();
  const int kept = series.deterministic ? 0 : plan.run.samples;
  std::vector<Slot> slots(batches);
  const auto kept_of = [&](std::size_t batch) {
    return static_cast<std::size_t>(std::clamp(kept - static_cast<int>(batch) * width, 0, width));
  };
  const auto key_of = [&](std::size_t batch) {
    return context.scope + series.name + '#' + std::to_string(batch);
  };
  const auto d = static_cast<std::size_t>(plan.problem->dim());
  const double bound = divergence_bound(plan);

  const auto run_batch = [&](std::size_t batch) {
    Slot& slot = slots[batch];
    slot.cells.resize(P * M);
    slot.distance.assign(P, 0);
    slot.diverged.assign(P, 0);
    const int first = static_cast<int>(batch) * width;
    const std::size_t own_kept = kept_of(batch);
    slot.samples.assign(M * own_kept, nan);
    const auto own = static_cast<std::size_t>(std::min(width, replicas - first));
    if (!plan.run.quantiles.empty()) slot.values.assign(P * M * own, nan);
    std::vector<double> values(M), states;
    std::vector<DistanceToManifold> to;
    std::vector<char> gone(static_cast<std::size_t>(width), 0);  // diverged once is diverged
    const DistanceToManifold path = simulate(batch, [&](int point, int count, const double* recorded) {
      const auto p = static_cast<std::size_t>(point);
      // The last pack is padded: its surplus lanes are computed and left out.
      count = std::min(count, replicas - first);
      states.assign(recorded, recorded + static_cast<std::size_t>(count) * d);
      to.assign(static_cast<std::size_t>(count), {});
      for (int r = 0; r < count; ++r) {
        double* state = states.data() + static_cast<std::size_t>(r) * d;
        char& flag = gone[static_cast<std::size_t>(r)];
        if (has_diverged(state, d, bound)) flag = 1;
        if (flag != 0) std::fill(state, state + d, nan);
      }
      if (project) project(batch, p, count, states.data(), to.data());
      for (int r = 0; r < count; ++r) {
        const double* state = states.data() + static_cast<std::size_t>(r) * d;
        if (has_diverged(state, d, bound)) {
          gone[static_cast<std::size_t>(r)] = 1;
          ++slot.diverged[p];
          continue;
        }
        const DistanceToManifold& reached = to[static_cast<std::size_t>(r)];
        slot.distance[p] = larger_or_nan(slot.distance[p], reached.distance);
        if (!reached.converged) ++slot.unconverged;
        plan.problem->observe(state, plan.run.observables, values.data());
        for (std::size_t m = 0; m < M; ++m) {
          slot.cells[p * M + m].add(values[m]);
          if (!slot.values.empty()) slot.values[(p * M + m) * own + static_cast<std::size_t>(r)] = values[m];
          if (p + 1 == P && static_cast<std::size_t>(r) < own_kept)
            slot.samples[m * own_kept + static_cast<std::size_t>(r)] = values[m];
        }
      }
    });
    slot.path_distance = path.distance;
    if (!path.converged) ++slot.unconverged;
    if (context.journal) context.journal->add(key_of(batch), slot.bytes());
    context.progress.add(work_per_batch);
  };
  std::vector<char> done(batches, 0);
  for (std::size_t batch = 0; context.journal && batch < batches; ++batch) {
    if (const auto piece = context.journal->find(key_of(batch))) {
      slots[batch] = Slot::of(*piece);
      done[batch] = 1;
      context.progress.add(work_per_batch);
    }
  }
  const auto chunk = static_cast<std::size_t>(plan.run.chunk);
  for (std::size_t first = 0; first < batches; first += std::min(segments.batches, batches - first)) {
    const std::size_t count = std::min(segments.batches, batches - first);
    const auto begin = done.begin() + static_cast<std::ptrdiff_t>(first);
    if (std::all_of(begin, begin + static_cast<std::ptrdiff_t>(count), [](char is) { return is != 0; }))
      continue;
    segments.prepare(first, count);
    parallel_for(threads, (count + chunk - 1) / chunk, [&](std::size_t index) {
      for (std::size_t j = index * chunk; j < std::min(count, (index + 1) * chunk); ++j)
        if (!done[first + j]) run_batch(first + j);
    });
  }

  series.cells.resize(P * M);
  series.distance.assign(P, 0);
  series.diverged.assign(P, 0);
  series.replicas.assign(P, 0);
  std::vector<Moments> column(batches);
  for (std::size_t p = 0; p < P; ++p) {
    for (std::size_t m = 0; m < M; ++m) {
      for (std::size_t b = 0; b < batches; ++b) column[b] = slots[b].cells[p * M + m];
      series.cells[p * M + m] = merge_in_order(column);
      std::vector<double> values;
      for (const Slot& slot : slots) {
        const std::size_t own = slot.values.size() / (P * M);
        const auto begin = slot.values.begin() + static_cast<std::ptrdiff_t>((p * M + m) * own);
        values.insert(values.end(), begin, begin + static_cast<std::ptrdiff_t>(own));
      }
      const auto estimates = quantile_estimates(std::move(values), plan.run.quantiles);
      series.quantiles.insert(series.quantiles.end(), estimates.begin(), estimates.end());
    }
    for (const Slot& slot : slots) {
      series.distance[p] = larger_or_nan(series.distance[p], slot.distance[p]);
      series.diverged[p] += slot.diverged[p];
    }
    series.replicas[p] = static_cast<std::uint64_t>(replicas) - series.diverged[p];
  }
  series.samples.assign(M * static_cast<std::size_t>(kept), nan);
  for (std::size_t b = 0; b < batches; ++b) {
    const Slot& slot = slots[b];
    series.unconverged += slot.unconverged;
    series.path_distance = larger_or_nan(series.path_distance, slot.path_distance);
    const std::size_t own = kept_of(b);
    for (std::size_t m = 0; own > 0 && m < M; ++m)
      std::copy_n(slot.samples.begin() + static_cast<std::ptrdiff_t>(m * own), own,
                  series.samples.begin() + static_cast<std::ptrdiff_t>(m * static_cast<std::size_t>(kept) +
                                                                       b * static_cast<std::size_t>(width)));
  }
}

double iterate_work(const EnsemblePlan& plan, const AlgorithmConfig& config) {
  return static_cast<double>(config.algorithm.total_steps) * config.algorithm.workers * plan.problem->dim();
}

IterateRun iterate_run(const EnsemblePlan& plan, const AlgorithmConfig& config, std::uint64_t seed,
                       std::vector<RecordPoint> points) {
  return {.algorithm = config.algorithm,
          .source = {.seed = seed,
                     .noise = plan.noise,
                     .local_batch = config.algorithm.local_batch,
                     .svag = config.algorithm.svag},
          .points = std::move(points),
          .start = plan.start,
          .single_precision = plan.run.single_precision};
}

IterateEnsemble device_ensemble(const IterateRun& run) {
  return {.algorithm = run.algorithm,
          .source = run.source,
          .points = run.points,
          .start = run.start,
          .single_precision = run.single_precision};
}

/// The observables and Φ as the device forms them; nothing where it does not.
std::optional<IterateReduction> device_reduction(const EnsemblePlan& plan, bool project) {
  IterateReduction reduction;
  for (const std::string& name : plan.run.observables) {
    reduction.observables.emplace_back();
    if (!read_lane_observable(name, reduction.observables.back())) return std::nullopt;
  }
  reduction.project = project;
  reduction.bound = divergence_bound(plan);
  reduction.samples = static_cast<std::uint64_t>(plan.run.samples);
  reduction.quantiles = plan.run.quantiles;
  if (!plan.problem->kernels()->reduces(reduction)) return std::nullopt;
  return reduction;
}

/// Throws BackendError where a GPU is asked for what it does not run.
void check_device(const EnsemblePlan& plan, const RunContext& context) {
  const EnsembleKernels* kernels = plan.problem->kernels();
  if (kernels == nullptr)
    throw BackendError(
        "--backend cuda: this problem has no kernels: it is no multilayer perceptron, and others need a "
        "dimension known at compile time, at most 8, or outputs that are linear in features (feature_map), "
        "and slowsde_add_problem");
  for (const AlgorithmConfig& config : plan.iterates) {
    try {
      kernels->check(device_ensemble(iterate_run(plan, config, context.seed, {})));
    } catch (const std::invalid_argument& e) {
      throw BackendError("--backend cuda: " + config.name + ": " + e.what());
    }
  }
}

/// Batches whose states at all points the host holds at a time, a whole number of them: 256 MB at most, and
/// where the device finds Φ twice as much again.
std::size_t batches_per_segment(const EnsemblePlan& plan, int width) {
  const double of_batch = sizeof(double) * width * plan.run.outputs * plan.problem->dim();
  const auto most = static_cast<std::size_t>(std::max(1.0, 256e6 / of_batch));
  if (plan.run.segment == 0) return most;
  return std::min(most, static_cast<std::size_t>((plan.run.segment + width - 1) / width));
}

void take_reduced(EnsembleSeries& series, ReducedEnsemble reduced, int replicas) {
  series.cells = std::move(reduced.cells);
  series.distance = std::move(reduced.distance);
  series.samples = std::move(reduced.samples);
  series.quantiles = std::move(reduced.quantiles);
  series.path_distance = reduced.path_distance;
  series.unconverged = reduced.unconverged;
  series.replicas.clear();
  for (const std::uint64_t diverged : reduced.diverged)
    series.replicas.push_back(static_cast<std::uint64_t>(replicas) - diverged);
  series.diverged = std::move(reduced.diverged);
}

EnsembleSeries run_iterates(const EnsemblePlan& plan, const AlgorithmConfig& config, RunContext& context) {
  EnsembleSeries series;
  series.name = config.name;
  series.points = record_points(config.algorithm, plan.run.times, config.slow_time_per_step);
  const IterateRun run = iterate_run(plan, config, context.seed, series.points);
  const int width = run.width();
  const auto batches = static_cast<std::size_t>((plan.run.replicas + width - 1) / width);
  check_address(static_cast<std::uint64_t>(plan.run.replicas),
                static_cast<std::uint64_t>(run.algorithm.workers));
  const double work = iterate_work(plan, config);
  if (context.backend == Backend::cpu) {
    reduce(series, plan, context, context.threads, batches, width, plan.run.replicas, work * width,
           on_cpu(plan, plan.run.project), [&](std::size_t batch, const RecordStates& record) {
             plan.problem->simulate(run, batch * static_cast<std::uint64_t>(width), record);
             return DistanceToManifold{};
           });
  } else if (const auto reduction = device_reduction(plan, plan.run.project)) {
    const double per_replica = work * width * static_cast<double>(batches) / plan.run.replicas;
    take_reduced(
        series,
        plan.problem->kernels()->reduce(
            device_ensemble(run), static_cast<std::uint64_t>(plan.run.replicas), *reduction,
            [&](std::uint64_t done) { context.progress.add(per_replica * static_cast<double>(done)); }),
        plan.run.replicas);
  } else {
    // The states come to the host, which observes them.
    DeviceSegment segment;
    const auto w = static_cast<std::size_t>(width), d = static_cast<std::size_t>(plan.problem->dim()),
               replicas = static_cast<std::size_t>(plan.run.replicas);
    const EnsembleKernels& kernels = *plan.problem->kernels();
    const double bound = divergence_bound(plan);
    const auto fetch = [&](std::size_t first, std::size_t count) {
      segment = simulate_segment(kernels, device_ensemble(run), first * w,
                                 std::min(count * w, replicas - first * w), context.journal,
                                 context.scope + series.name);
      if (plan.run.project && kernels.flows())
        flow_segment(
            kernels, d, [&](const double* state) { return !has_diverged(state, d, bound); }, segment);
    };
    const auto project = [&](std::size_t batch, std::size_t point, int count, double* states,
                             DistanceToManifold* to) {
      segment.project(*plan.problem, point, batch * w - segment.first, count, states, to);
    };
    reduce(series, plan, context, context.threads, batches, width, plan.run.replicas, work * width,
           plan.run.project ? Project(project) : Project(),
           [&](std::size_t batch, const RecordStates& record) {
             const std::size_t first = batch * w - segment.first;
             const auto count = static_cast<int>(std::min(w, segment.replicas - first));
             for (std::size_t p = 0; p < series.points.size(); ++p)
               record(static_cast<int>(p), count, segment.states.data() + (p * segment.replicas + first) * d);
             return DistanceToManifold{};
           },
           {batches_per_segment(plan, width), fetch});
  }
  return series;
}

EnsembleSeries run_model(const EnsemblePlan& plan, const ModelConfig& model, const EnsembleSeries& modelled,
                         RunContext& context, int threads) {
  EnsembleSeries series;
  series.name = model.name;
  series.of = model.of;
  series.is_model = true;
  series.points = modelled.points;
  std::vector<double> times;
  for (const RecordPoint& point : series.points) times.push_back(point.t);
  const std::vector<double>& start = model.theory == "conventional-sde" ? plan.start : plan.model_start;
  const ModelRun run = prepare_model(model, *plan.problem, plan.noise, start, times, context.seed);
  series.deterministic = run.deterministic;
  const int replicas = run.deterministic ? 1 : model.replicas;
  const auto batches = static_cast<std::size_t>((replicas + run.width - 1) / run.width);
  const double work = model_work(model, times, *plan.problem) * run.width;
  const bool project = plan.run.project && run.project;
  if (context.backend == Backend::cuda && (run.conventional || run.slow))
    if (const auto reduction = device_reduction(plan, project)) {
      const EnsembleKernels& kernels = *plan.problem->kernels();
      const auto trajectories = static_cast<std::uint64_t>(replicas);
      const double per_replica = work * static_cast<double>(batches) / replicas;
      const auto progress = [&](std::uint64_t done) {
        context.progress.add(per_replica * static_cast<double>(done));
      };
      std::optional<ReducedEnsemble> reduced;
      if (run.conventional) {
        reduced = kernels.reduce(*run.conventional, trajectories, *reduction, progress);
      } else {
        const PointReport at = plan.problem->report(run.slow->start);
        if (runs_in_lanes(*run.slow, true) && at.rank > 0)
          check_moment(*run.slow, {at.lambda_min, at.lambda_max});
        reduced = kernels.reduce(*run.slow, at.rank, trajectories, *reduction, progress);
      }
      if (reduced) {
        take_reduced(series, std::move(*reduced), replicas);
        return series;
      }
    }
  reduce(series, plan, context, threads, batches, run.width, replicas, work, on_cpu(plan, project),
         run.simulate);
  return series;
}

/// κ at which a theory with sampling is called near its limit. Its second moment carries a factor 1/(1−κ) in
/// the direction where sampling noise feeds back most, whose relative change is κ/(1−κ) times that of κ:
/// above ½ a small change of the curvature, such as the displacements themselves cause, is amplified, and the
/// linearization at one point of the manifold no longer stands for its neighbourhood.
constexpr double largest_feedback = 0.5;

/// Of each slow model with sampling, how near its second moment is to ceasing to exist.
void report_feedback(const EnsemblePlan& plan, JsonWriter& json, Result& result) {
  json.key("feedback").begin_array();
  for (const ModelConfig& model : plan.models) {
    if (model.theory == "conventional-sde") continue;
    Round round = model.slow.round(0);
    if (model.slow.theory == SlowTheory::quasi_static) round.workers = 1;
    if (model.slow.moment->sampling_weight(round, plan.problem->samples()) == 0) continue;
    const double ratio = plan.problem->feedback_ratio(plan.model_start, *model.slow.moment, round);
    json.begin_object();
    json.key("name").value(model.name);
    json.key("feedback_ratio").value(ratio);
    json.end_object();
    const std::string text = model.name + ": sampling noise feeds back on itself with a ratio of " +
                             std::to_string(ratio) + " at the start";
    if (ratio >= 1)
      result.warnings.push_back(text + ": there is no stationary second moment, no theory is in range");
    else if (ratio > largest_feedback)
      result.warnings.push_back(text + " (the moment ceases to exist at 1): the theory is near its limit");
  }
  json.end_array();
}

void report_regime(const EnsemblePlan& plan, Result& result) {
  const PointReport at = plan.problem->report(plan.start);
  JsonWriter json;
  json.begin_object();
  json.key("trace").value(at.trace);
  json.key("lambda_max").value(at.lambda_max);
  json.key("lambda_min").value(at.lambda_min);
  json.key("rank").value(static_cast<std::int64_t>(at.rank));
  json.key("rank_gap").value(at.rank_gap);
  json.key("distance_to_manifold_of_start").value(at.distance);
  json.key("series").begin_array();
  const auto warn = [&](const std::string& text) { result.warnings.push_back(text); };
  for (const AlgorithmConfig& config : plan.iterates) {
    const Round& round = config.round_at_start;
    const double H = static_cast<double>(round.local_steps), sigma = plan.noise.label_sigma;
    const double eta_lambda = round.eta * at.lambda_max;
    const double noise_level = round.eta * sigma * sigma / round.local_batch;
    json.begin_object();
    json.key("name").value(config.name);
    json.key("eta_lambda_max").value(eta_lambda);
    json.key("eta_H").value(round.eta * H);
    json.key("eta2_H").value(round.eta * round.eta * H);
    json.key("eta_sigma2_over_B_loc").value(noise_level);
    json.end_object();
    if (!(eta_lambda < 2 * (1 + round.momentum)))
      warn(config.name + ": eta*lambda_max = " + std::to_string(eta_lambda) +
           " is beyond stability; no theory is in range");
    else if (eta_lambda > 1)
      warn(config.name + ": eta*lambda_max = " + std::to_string(eta_lambda) +
           " > 1: only finite-step theories are in range");
    if (round.eta * round.eta * H > 0.5 && round.workers > 1)
      warn(config.name + ": eta^2*H = " + std::to_string(round.eta * round.eta * H) +
           " is not small: the slow SDE of Local SGD is out of range, the quasi-static process may be in");
    if (plan.noise.kind != NoiseKind::gaussian && noise_level * at.lambda_max > 0.5)
      warn(config.name + ": eta*sigma^2/B_loc*lambda_max = " + std::to_string(noise_level * at.lambda_max) +
           ": the noise is not small");
  }
  json.end_array();
  report_feedback(plan, json, result);
  json.end_object();
  result.regime = json.text();
}

/// Rounds per step; NaN where none was taken.
double communication(const RecordPoint& point) {
  return point.steps == 0 ? nan : static_cast<double>(point.rounds) / static_cast<double>(point.steps);
}

/// (series × time × observable × quantile)
void add_quantiles(const EnsemblePlan& plan, const std::vector<EnsembleSeries>& all, Result& result) {
  result.dims["quantile"] = plan.run.quantiles.size();
  result.add(Variable{"quantile", "1", "probabilities of the quantiles", {"quantile"}, plan.run.quantiles});
  const auto add = [&](const char* name, const char* long_name, double QuantileEstimate::*part) {
    Variable v{name, "1", long_name, {"series", "time", "observable", "quantile"}, {}};
    for (const EnsembleSeries& s : all)
      for (const QuantileEstimate& estimate : s.quantiles)
        v.data.push_back(s.deterministic ? estimate.value : estimate.*part);
    result.add(std::move(v));
  };
  add("quantile_value", "quantiles over the replicas, by linear interpolation between order statistics",
      &QuantileEstimate::value);
  add("quantile_lower", "lower end of the 95 % interval of a quantile: an order statistic",
      &QuantileEstimate::lower);
  add("quantile_upper", "upper end of the 95 % interval of a quantile: an order statistic",
      &QuantileEstimate::upper);
}

Result assemble(const EnsemblePlan& plan, const std::vector<EnsembleSeries>& all) {
  Result result;
  const std::size_t S = all.size(), P = plan.run.times.size(), M = plan.run.observables.size();
  const auto kept = static_cast<std::size_t>(plan.run.samples);
  result.dims = {{"series", S}, {"time", P}, {"observable", M}};
  if (kept > 0) result.dims["sample"] = kept;

  std::vector<std::string> names, of;
  for (const EnsembleSeries& s : all) {
    names.push_back(s.name);
    of.push_back(s.of);
  }
  result.add(TextVariable{"series", "name of the series: iterates, then models", {"series"}, names});
  result.add(
      TextVariable{"models_series", "the iterates that a model models; empty for iterates", {"series"}, of});
  result.add(TextVariable{"observable", "what was measured", {"observable"}, plan.run.observables});

  const auto per_series = [&](std::string name, std::string long_name, auto value) {
    Variable v{std::move(name), "1", std::move(long_name), {"series"}, {}};
    for (const EnsembleSeries& s : all) v.data.push_back(value(s));
    result.add(std::move(v));
  };
  const auto per_time = [&](std::string name, std::string long_name, auto value) {
    Variable v{std::move(name), "1", std::move(long_name), {"series", "time"}, {}};
    for (const EnsembleSeries& s : all)
      for (std::size_t p = 0; p < P; ++p) v.data.push_back(value(s, p));
    result.add(std::move(v));
  };
  const auto per_cell = [&](std::string name, std::string long_name, auto value) {
    Variable v{std::move(name), "1", std::move(long_name), {"series", "time", "observable"}, {}};
    for (const EnsembleSeries& s : all)
      for (std::size_t c = 0; c < P * M; ++c) v.data.push_back(value(s, s.cells[c]));
    result.add(std::move(v));
  };
  const auto setting = [&](std::string name, std::string long_name, auto value) {
    Variable v{std::move(name), "1", std::move(long_name), {"series"}, {}};
    for (const EnsembleSeries& s : all) {
      double x = nan;
      for (const AlgorithmConfig& config : plan.iterates)
        if (config.name == (s.is_model ? s.of : s.name)) x = value(config);
      v.data.push_back(x);
    }
    result.add(std::move(v));
  };
  per_series("is_model", "1 for a model, 0 for iterates",
             [](const EnsembleSeries& s) { return s.is_model ? 1.0 : 0.0; });
  per_series("path_distance",
             "slow models: largest distance to the manifold of a step's end before its retraction",
             [](const EnsembleSeries& s) { return s.is_model ? s.path_distance : nan; });
  per_series("deterministic", "1 for a model that is an ODE",
             [](const EnsembleSeries& s) { return s.deterministic ? 1.0 : 0.0; });
  setting("workers", "number of workers K", [](const auto& c) { return c.algorithm.workers; });
  setting("local_batch", "local batch B_loc", [](const auto& c) { return c.algorithm.local_batch; });
  setting("eta", "learning rate of the first round", [](const auto& c) { return c.round_at_start.eta; });
  setting("local_steps", "local steps H of the first round",
          [](const auto& c) { return static_cast<double>(c.round_at_start.local_steps); });
  per_time("t", "slow time, sum of eta^2 over the steps (eta/(1-beta) with momentum)",
           [](const EnsembleSeries& s, std::size_t p) { return s.points[p].t; });
  per_time("steps", "steps taken",
           [](const EnsembleSeries& s, std::size_t p) { return static_cast<double>(s.points[p].steps); });
  per_time("rounds", "averages taken",
           [](const EnsembleSeries& s, std::size_t p) { return static_cast<double>(s.points[p].rounds); });
  per_time("communication", "rounds / steps: averages relative to data-parallel SGD",
           [](const EnsembleSeries& s, std::size_t p) { return communication(s.points[p]); });
  per_time("count", "replicas in the moments", [](const EnsembleSeries& s, std::size_t p) {
    return s.deterministic ? 1.0 : static_cast<double>(s.replicas[p]);
  });
  per_time("diverged", "replicas that diverged, left out of the moments",
           [](const EnsembleSeries& s, std::size_t p) { return static_cast<double>(s.diverged[p]); });
  per_time("distance", "largest residual left by the projection onto the manifold",
           [](const EnsembleSeries& s, std::size_t p) { return s.distance[p]; });
  const auto mean = [](const EnsembleSeries&, const Moments& m) { return m.count == 0 ? nan : m.mean; };
  per_cell("mean", "mean over the replicas", mean);
  per_cell("variance", "variance over the replicas",
           [](const EnsembleSeries& s, const Moments& m) { return s.deterministic ? 0.0 : m.variance(); });
  per_cell("se", "standard error of the mean", [](const EnsembleSeries& s, const Moments& m) {
    return s.deterministic ? 0.0 : m.standard_error();
  });
  if (!plan.run.quantiles.empty()) add_quantiles(plan, all, result);
  if (kept > 0) {
    Variable v{"final_sample",
               "1",
               "values of the first replicas at the last time",
               {"series", "observable", "sample"},
               {}};
    for (const EnsembleSeries& s : all)
      if (s.samples.size() == M * kept)
        v.data.insert(v.data.end(), s.samples.begin(), s.samples.end());
      else
        v.data.insert(v.data.end(), M * kept, nan);
    result.add(std::move(v));
  }
  return result;
}

/// A line per series: where each observable ended, its standard error and, for a model, the difference in its
/// units.
std::string summarize(const EnsemblePlan& plan, const std::vector<EnsembleSeries>& all) {
  std::string text;
  const std::size_t M = plan.run.observables.size();
  for (std::size_t m = 0; m < M; ++m) {
    text += plan.run.observables[m] + " at the last time:\n";
    for (const EnsembleSeries& s : all) {
      const std::size_t last = (s.points.size() - 1) * M + m;
      const Moments& cell = s.cells[last];
      const double se = s.deterministic ? 0 : cell.standard_error();
      text += "  " + s.name + ": " + short_number(cell.mean) + " +- " + short_number(se) +
              " (t = " + short_number(s.points.back().t) + ")";
      if (s.is_model)
        for (const EnsembleSeries& other : all)
          if (!other.is_model && other.name == s.of) {
            const Moments& measured = other.cells[last];
            const double error = std::hypot(se, measured.standard_error());
            text += ", iterates - model = " + short_number(measured.mean - cell.mean) + " = " +
                    short_number((measured.mean - cell.mean) / error) + " SE";
            const ChangeRatio ratio = change_ratio(other, s, m);
            if (std::isfinite(ratio.value) && std::isfinite(ratio.half_width))
              text += ", measured/predicted change " + short_number(ratio.value) + " +- " +
                      short_number(ratio.half_width) + " (95 %)";
          }
      text += "\n";
    }
  }
  text += "communication, averages per step:\n";
  for (const EnsembleSeries& s : all)
    if (!s.is_model)
      text += "  " + s.name + ": " + short_number(100 * communication(s.points.back())) + " % (" +
              std::to_string(s.points.back().rounds) + " rounds, " + std::to_string(s.points.back().steps) +
              " steps)\n";
  return text;
}

}  // namespace

ChangeRatio change_ratio(const EnsembleSeries& iterates, const EnsembleSeries& model, std::size_t m) {
  struct Change {
    double value, se;
    double count;  // of the replicas behind the error
  };
  const auto change_of = [m](const EnsembleSeries& series) -> Change {
    const std::size_t M = series.cells.size() / series.points.size();
    const Moments &first = series.cells[m], &last = series.cells[series.cells.size() - M + m];
    if (series.deterministic) return {last.mean - first.mean, 0, std::numeric_limits<double>::infinity()};
    if (last.count < 2) return {last.count == 0 ? nan : last.mean - first.mean, nan, 1};
    return {last.mean - first.mean, std::hypot(first.standard_error(), last.standard_error()),
            static_cast<double>(last.count)};
  };
  const Change measured = change_of(iterates), predicted = change_of(model);
  if (predicted.value == 0) return {nan, nan};
  const double ratio = measured.value / predicted.value;
  const double se = std::hypot(measured.se, ratio * predicted.se) / std::abs(predicted.value);
  const double count = std::min(measured.count, predicted.count);
  const double quantile = count < 1e9 ? student_quantile(static_cast<int>(count) - 1) : 1.959963984540054;
  return {ratio, quantile * se};
}

std::vector<EnsembleSeries> run_plan(const EnsemblePlan& plan, RunContext& context) {
  std::vector<EnsembleSeries> all;
  for (const AlgorithmConfig& iterates : plan.iterates) {
    context.progress.label(iterates.name);
    all.push_back(run_iterates(plan, iterates, context));
  }
  const std::vector<EnsembleSeries> iterates = all;
  std::vector<EnsembleSeries> models(plan.models.size());
  const auto run_one = [&](std::size_t m, int threads) {
    const auto modelled = std::find_if(iterates.begin(), iterates.end(),
                                       [&](const EnsembleSeries& s) { return s.name == plan.models[m].of; });
    models[m] = run_model(plan, plan.models[m], *modelled, context, threads);
  };
  // An ODE is one trajectory and keeps one thread busy: ODEs run beside each other, ensembles one after the
  // other.
  std::vector<std::size_t> odes, ensembles;
  for (std::size_t m = 0; m < plan.models.size(); ++m)
    (plan.models[m].theory != "conventional-sde" && plan.problem->deterministic(plan.models[m].slow)
         ? odes
         : ensembles)
        .push_back(m);
  if (!odes.empty()) context.progress.label("models");
  parallel_for(context.threads, odes.size(), [&](std::size_t j) { run_one(odes[j], 1); });
  for (const std::size_t m : ensembles) {
    context.progress.label(plan.models[m].name);
    run_one(m, context.threads);
  }
  all.insert(all.end(), models.begin(), models.end());
  return all;
}

Result ensemble_result(const EnsemblePlan& plan, const std::vector<EnsembleSeries>& all,
                       const std::vector<std::string>& start_warnings) {
  Result result = assemble(plan, all);
  result.warnings = start_warnings;
  for (const EnsembleSeries& s : all) {
    const auto total = s.deterministic ? 1 : static_cast<long long>(s.replicas.back() + s.diverged.back());
    const auto diverged = static_cast<long long>(s.diverged.back());
    result.replicas += total;
    result.diverged += diverged;
    if (diverged == total) result.diverged_series.push_back(s.name);
    if (diverged > 0)
      result.warnings.push_back(s.name + ": " + std::to_string(diverged) + " of " + std::to_string(total) +
                                " replicas diverged and were left out");
    if (s.unconverged > 0)
      result.warnings.push_back(s.name + ": " + std::to_string(s.unconverged) +
                                " projections onto the manifold did not converge");
  }
  report_regime(plan, result);
  result.summary = summarize(plan, all);
  return result;
}

namespace {

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

/// Seconds that f(amount) would take for the whole amount, from parts of it, larger and larger until one
/// takes 20 ms. `unit` is the least part there is.
template <class Function>
double extrapolated_seconds(double whole, double unit, Function&& f) {
  for (double part = std::min(whole, unit);; part = std::min(whole, 4 * part)) {
    const auto begin = std::chrono::steady_clock::now();
    f(part);
    const double seconds = seconds_since(begin);
    if (part >= whole || seconds > 0.02) return seconds * whole / part;
  }
}

/// Runs a little of a pack of iterates, a projection and a trajectory, each on one thread.
double measured_seconds(EnsemblePlan& plan, const RunContext& context) {
  prepare_start(plan);
  const double outputs = plan.run.outputs;
  double seconds = 0;
  for (const AlgorithmConfig& config : plan.iterates) {
    IterateRun run = iterate_run(plan, config, context.seed, {});
    const double batches = (plan.run.replicas + run.width() - 1) / run.width();
    std::vector<double> states;
    const double of_pack = extrapolated_seconds(plan.run.slow_time, plan.run.slow_time / 4096, [&](double T) {
      run.points = record_points(config.algorithm, {T}, config.slow_time_per_step);
      plan.problem->simulate(run, 0, [&](int, int replicas, const double* recorded) {
        states.assign(recorded, recorded + static_cast<std::ptrdiff_t>(replicas) * plan.problem->dim());
      });
    });
    const auto begin = std::chrono::steady_clock::now();
    std::vector<DistanceToManifold> to(static_cast<std::size_t>(run.width()));
    const int projected = std::min(run.width(), plan.run.replicas);
    if (plan.run.project) plan.problem->project(states.data(), projected, to.data());
    seconds += batches * (of_pack + outputs * seconds_since(begin));
  }
  for (const ModelConfig& model : plan.models) {
    const auto run_to = [&](double T) {
      const auto& start = model.theory == "conventional-sde" ? plan.start : plan.model_start;
      const ModelRun run = prepare_model(model, *plan.problem, plan.noise, start, {T}, context.seed);
      run.simulate(0, [](int, int, const double*) {});
      return (run.deterministic ? 1 : (model.replicas + run.width - 1) / run.width);
    };
    double batches = 1;
    seconds += extrapolated_seconds(plan.run.slow_time, plan.run.slow_time / 256,
                                    [&](double T) { batches = run_to(T); }) *
               batches;
  }
  return seconds;
}

/// What a GPU takes, and where the moments are formed.
void add_device_estimate(const EnsemblePlan& plan, const RunContext& context, Estimate& estimate) {
  const EnsembleKernels& kernels = *plan.problem->kernels();
  const bool on_device = device_reduction(plan, plan.run.project).has_value();
  double device_bytes = 0;
  for (const AlgorithmConfig& config : plan.iterates) {
    const auto points = record_points(config.algorithm, plan.run.times, config.slow_time_per_step);
    const IterateRun run = iterate_run(plan, config, context.seed, points);
    const std::size_t segment =
        batches_per_segment(plan, run.width()) * static_cast<std::size_t>(run.width());
    const std::uint64_t at_once = on_device ? largest_device_chunk : segment;
    device_bytes = std::max(
        device_bytes,
        kernels.bytes(device_ensemble(run),
                      std::min<std::uint64_t>(at_once, static_cast<std::uint64_t>(plan.run.replicas))));
    if (!on_device && plan.run.project && kernels.flows()) {
      const auto states = std::min<std::uint64_t>(segment, static_cast<std::uint64_t>(plan.run.replicas));
      device_bytes = std::max(device_bytes, kernels.flow_bytes(states * points.size()));
    }
    if (!on_device)
      estimate.bytes = std::max(estimate.bytes, plan.run.project && kernels.flows() ? 768e6 : 256e6);
  }
  if (on_device && !plan.run.quantiles.empty()) {
    int most = plan.run.replicas;
    for (const ModelConfig& model : plan.models) most = std::max(most, model.replicas);
    const double cells = plan.run.outputs * static_cast<double>(plan.run.observables.size());
    device_bytes += sizeof(std::uint64_t) * static_cast<double>(most) * (cells + 1);  // and to sort one
  }
  estimate.notes.push_back("device memory: about " + short_number(1e-6 * device_bytes) + " MB");
  const std::string slow = "those slow SDEs that a thread can hold run on the device";
  if (on_device)
    estimate.notes.push_back("iterates, conventional SDEs and " + slow + ", with their moments");
  else if (device_reduction(plan, false))
    estimate.notes.push_back("iterates and " + slow + "; Phi and the iterates' moments on the CPU");
  else
    estimate.notes.push_back(kernels.flows()
                                 ? "iterates and Phi run on the device; moments and models on the CPU"
                                 : "iterates run on the device; Phi, moments and models on the CPU");
}

}  // namespace

Estimate estimate_plan(EnsemblePlan plan, const RunContext& context) {
  Estimate estimate;
  if (context.backend == Backend::cuda) {
    check_device(plan, context);
    add_device_estimate(plan, context, estimate);
  }
  const int width = plan.run.single_precision ? native_width<float> : native_width<double>;
  const double P = plan.run.outputs, M = static_cast<double>(plan.run.observables.size());
  const auto add = [&](double work, double batches) {
    estimate.work += work * batches;
    estimate.bytes += batches * P * M * sizeof(Moments) + M * plan.run.samples * sizeof(double);
    if (!plan.run.quantiles.empty()) estimate.bytes += batches * width * P * M * sizeof(double);
  };
  for (const AlgorithmConfig& iterates : plan.iterates)
    add(iterate_work(plan, iterates) * width, (plan.run.replicas + width - 1) / width);
  for (const ModelConfig& model : plan.models) {
    const auto prepared = prepare_model(model, *plan.problem, plan.noise, plan.start, {}, context.seed);
    const int replicas = prepared.deterministic ? 1 : model.replicas;
    add(model_work(model, plan.run.times, *plan.problem) * prepared.width,
        (replicas + prepared.width - 1) / prepared.width);
  }
  // Each thread holds the iterates of a pack: parameters, gradients and buffers of its workers.
  double workers = 1;
  for (const AlgorithmConfig& iterates : plan.iterates)
    workers = std::max(workers, static_cast<double>(iterates.algorithm.workers));
  estimate.bytes += context.threads * (3 * workers + 4) * plan.problem->dim() * width * sizeof(double);
  if (context.measure && context.backend == Backend::cpu)
    estimate.seconds = measured_seconds(plan, context) / context.threads;
  return estimate;
}

}  // namespace slowsde
