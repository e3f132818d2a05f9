#include "slowsde/experiments/train.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "slowsde/experiments/json.hpp"
#include "slowsde/experiments/progress.hpp"
#include "slowsde/experiments/run_journal.hpp"
#include "slowsde/experiments/train_plan.hpp"
#include "slowsde/experiments/train_replica.hpp"
#include "slowsde/gpu/trainer_memory.hpp"
#include "slowsde/problems/random_address.hpp"
#include "slowsde/sde/parallel.hpp"
#include "slowsde/sde/statistics.hpp"

namespace slowsde {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

/// All replicas of one run.
struct Trained {
  const TrainRun* run;
  std::vector<TrainedReplica> replicas;
};

std::size_t column(const TrainPlan& plan, std::string_view name) {
  const auto at = std::find(plan.observables.begin(), plan.observables.end(), name);
  return static_cast<std::size_t>(at - plan.observables.begin());
}

/// Of the replicas that have not diverged, in their order.
Moments moments_of(const TrainPlan& plan, const Trained& trained, std::size_t record,
                   std::size_t observable) {
  Moments moments;
  for (const TrainedReplica& replica : trained.replicas) {
    if (replica.diverged_from >= 0 && static_cast<std::size_t>(replica.diverged_from) <= record) continue;
    const double x = replica.values[record * plan.observables.size() + observable];
    if (!std::isnan(x)) moments.add(x);
  }
  return moments;
}

double diverged_at(const Trained& trained, std::size_t record) {
  return static_cast<double>(
      std::count_if(trained.replicas.begin(), trained.replicas.end(), [&](const TrainedReplica& replica) {
        return replica.diverged_from >= 0 && static_cast<std::size_t>(replica.diverged_from) <= record;
      }));
}

Result assemble(const TrainPlan& plan, const std::vector<Trained>& all) {
  Result result;
  const std::size_t S = all.size(), P = static_cast<std::size_t>(plan.measures.records),
                    M = plan.observables.size(), R = static_cast<std::size_t>(plan.replicas);
  result.dims = {{"series", S}, {"time", P}, {"observable", M}, {"sample", R}};
  std::vector<std::string> names, units;
  for (const Trained& trained : all) names.push_back(trained.run->name);
  for (const TrainObservable& observable : train_observables()) units.push_back(observable.units);
  result.add(TextVariable{"series", "name of the run", {"series"}, names});
  result.add(TextVariable{
      "models_series", "empty: a training is no model", {"series"}, std::vector<std::string>(S)});
  result.add(TextVariable{"observable", "what was measured", {"observable"}, plan.observables});
  result.add(TextVariable{"observable_units", "units of the observables", {"observable"}, units});

  const auto per_series = [&](std::string name, std::string long_name, auto value) {
    Variable v{std::move(name), "1", std::move(long_name), {"series"}, {}};
    for (const Trained& trained : all) v.data.push_back(static_cast<double>(value(*trained.run)));
    result.add(std::move(v));
  };
  per_series("is_model", "0: a training is no model", [](const TrainRun&) { return 0; });
  per_series("deterministic", "0: seeds differ", [](const TrainRun&) { return 0; });
  per_series("workers", "number of workers K", [](const TrainRun& run) { return run.trainer.workers; });
  per_series("local_batch", "local batch B_loc", [](const TrainRun& run) { return run.local_batch(); });
  per_series("eta", "learning rate of the first step", [](const TrainRun& run) { return run.points[0].eta; });
  per_series("local_steps", "local steps H of the first round",
             [](const TrainRun& run) { return run.points[0].H; });
  per_series("steps_per_epoch", "steps of an epoch",
             [](const TrainRun& run) { return run.sampling.steps_per_epoch(); });
  per_series("communication", "averages per step", [](const TrainRun& run) {
    return static_cast<double>(run.points.back().rounds) / static_cast<double>(run.trainer.total_steps);
  });

  const auto per_time = [&](std::string name, std::string long_name, auto value) {
    Variable v{std::move(name), "1", std::move(long_name), {"series", "time"}, {}};
    for (const Trained& trained : all)
      for (std::size_t p = 0; p < P; ++p) v.data.push_back(value(trained, p));
    result.add(std::move(v));
  };
  per_time("t", "slow time, sum of eta^2 over the steps",
           [](const Trained& trained, std::size_t p) { return trained.run->points[p].t; });
  per_time("steps", "optimizer steps taken", [](const Trained& trained, std::size_t p) {
    return static_cast<double>(trained.run->points[p].steps);
  });
  per_time("count", "replicas in the moments", [&](const Trained& trained, std::size_t p) {
    return static_cast<double>(R) - diverged_at(trained, p);
  });
  per_time("diverged", "replicas that diverged, left out of the moments", diverged_at);

  const auto per_cell = [&](std::string name, std::string long_name, auto value) {
    Variable v{std::move(name), "1", std::move(long_name), {"series", "time", "observable"}, {}};
    for (const Trained& trained : all)
      for (std::size_t p = 0; p < P; ++p)
        for (std::size_t m = 0; m < M; ++m) v.data.push_back(value(moments_of(plan, trained, p, m)));
    result.add(std::move(v));
  };
  per_cell("mean", "mean over the seeds", [](const Moments& m) { return m.count == 0 ? nan : m.mean; });
  per_cell("variance", "variance over the seeds", [](const Moments& m) { return m.variance(); });
  per_cell("se", "standard error of the mean over the seeds",
           [](const Moments& m) { return m.standard_error(); });
  Variable last{
      "final_sample", "1", "value of each seed at the last time", {"series", "observable", "sample"}, {}};
  for (const Trained& trained : all)
    for (std::size_t m = 0; m < M; ++m)
      for (const TrainedReplica& replica : trained.replicas)
        last.data.push_back(replica.diverged_from < 0 ? replica.values[(P - 1) * M + m] : nan);
  result.add(std::move(last));

  if (const std::size_t T = plan.measures.spectrum_at.size(); T > 0) {
    const auto nodes = static_cast<std::size_t>(spectrum_nodes(plan));
    result.dims["spectrum"] = T;
    result.dims["node"] = nodes;
    result.add(Variable{"spectrum_at",
                        "1",
                        "part of the steps at which the spectrum was taken",
                        {"spectrum"},
                        plan.measures.spectrum_at});
    const auto add = [&](std::string name, std::string long_name, auto member) {
      Variable v{std::move(name), "1", std::move(long_name), {"series", "sample", "spectrum", "node"}, {}};
      for (const Trained& trained : all)
        for (const TrainedReplica& replica : trained.replicas)
          v.data.insert(v.data.end(), (replica.*member).begin(), (replica.*member).end());
      result.add(std::move(v));
    };
    add("ritz_value", "Ritz values of the Hessian (stochastic Lanczos quadrature)", &TrainedReplica::nodes);
    add("ritz_weight", "number of eigenvalues that each stands for", &TrainedReplica::weights);
  }
  if (plan.measures.parameters) {
    result.dims["parameter"] = static_cast<std::size_t>(plan.network->dim());
    Variable v{"parameters",
               "1",
               "parameters of the network at the last average",
               {"series", "sample", "parameter"},
               {}};
    for (const Trained& trained : all)
      for (const TrainedReplica& replica : trained.replicas)
        v.data.insert(v.data.end(), replica.parameters.begin(), replica.parameters.end());
    result.add(std::move(v));
  }
  return result;
}

/// "mean ± half-width" of the 95 % interval over the seeds.
std::string interval(const Moments& moments, double scale = 1) {
  if (moments.count == 0) return "-";
  if (moments.count == 1) return fmt::format("{:.5g} (one seed)", scale * moments.mean);
  const boost::math::students_t t(static_cast<double>(moments.count - 1));
  const double half = boost::math::quantile(t, 0.975) * moments.standard_error();
  return fmt::format("{:.5g} ± {:.2g}", scale * moments.mean, scale * half);
}

std::string summarize(const TrainPlan& plan, const std::vector<Trained>& all) {
  std::vector<std::vector<std::string>> rows = {{"run", "steps", "test accuracy %", "train loss", "trace",
                                                 "lambda_max", "rounds/steps %", "MB/worker"}};
  for (const Trained& trained : all) {
    const std::size_t last = trained.run->points.size() - 1;
    const auto at = [&](std::string_view name, double scale = 1) {
      return interval(moments_of(plan, trained, last, column(plan, name)), scale);
    };
    const TrainRecordPoint& end = trained.run->points.back();
    rows.push_back(
        {trained.run->name, std::to_string(end.steps), at("test_accuracy", 100), at("train_loss"),
         at("trace"), at("lambda_max"),
         fmt::format("{:.3g}", 100 * static_cast<double>(end.rounds) / static_cast<double>(end.steps)),
         fmt::format("{:.4g}", end.bytes / 1e6)});
  }
  std::vector<std::size_t> width(rows[0].size(), 0);
  // "±" is two bytes and one column
  const auto columns_of = [](const std::string& cell) {
    return static_cast<std::size_t>(std::count_if(
        cell.begin(), cell.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
  };
  for (const auto& row : rows)
    for (std::size_t c = 0; c < row.size(); ++c) width[c] = std::max(width[c], columns_of(row[c]));
  std::string text = fmt::format(
      "{} parameters, {} training and {} test samples; means over {} seeds ± 95 % (Student's t), at the last "
      "average:\n",
      plan.network->dim(), plan.data.train.count(), plan.data.test.count(), plan.replicas);
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t c = 0; c < row.size(); ++c)
      line += row[c] + std::string(width[c] - columns_of(row[c]) + (c + 1 < row.size() ? 2 : 0), ' ');
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

/// How far each run is from where the theories hold: η, H, ηλ_max, ηH and η²H where each was largest.
std::string regime(const TrainPlan& plan, const std::vector<Trained>& all) {
  JsonWriter json;
  json.begin_array();
  for (const Trained& trained : all) {
    double eta_lambda = nan, eta_H = 0, eta2_H = 0;
    for (std::size_t p = 0; p < trained.run->points.size(); ++p) {
      const TrainRecordPoint& point = trained.run->points[p];
      eta_H = std::max(eta_H, point.eta * point.H);
      eta2_H = std::max(eta2_H, point.eta * point.eta * point.H);
      const Moments lambda = moments_of(plan, trained, p, column(plan, "lambda_max"));
      if (lambda.count > 0) eta_lambda = std::fmax(eta_lambda, point.eta * lambda.mean);
    }
    json.begin_object();
    json.key("name").value(trained.run->name);
    json.key("eta_lambda_max");
    std::isnan(eta_lambda) ? json.null() : json.value(eta_lambda);
    json.key("eta_H").value(eta_H);
    json.key("eta2_H").value(eta2_H);
    json.end_object();
  }
  json.end_array();
  return json.text();
}

}  // namespace

Result TrainExperiment::run(ConfigTable& config, RunContext& context) const {
  const TrainPlan plan = read_train_plan(config, context);
  check_address(static_cast<std::uint64_t>(plan.replicas), 1);
  std::vector<Trained> all;
  for (const TrainRun& run : plan.runs)
    all.push_back({&run, std::vector<TrainedReplica>(static_cast<std::size_t>(plan.replicas))});
  const std::size_t R = static_cast<std::size_t>(plan.replicas), jobs = all.size() * R;
  context.progress.label("training");
  const TrainTeams teams =
      train_teams(context.backend, context.ranks.launch.several(), context.threads, jobs);
  parallel_for(teams.at_once, jobs, [&](std::size_t job) {
    Trained& trained = all[job / R];
    TrainedReplica& replica = trained.replicas[job % R];
    const std::string key = context.scope + trained.run->name + '#' + std::to_string(job % R);
    if (const auto piece = context.journal ? context.journal->find(key) : std::nullopt) {
      replica = TrainedReplica::of(*piece);
      context.progress.add(training_work(plan, *trained.run) + measuring_work(plan, *trained.run));
      return;
    }
    replica = train_replica(plan, *trained.run, context.seed, job % R, teams.threads_each,
                            [&](double work) { context.progress.add(work); });
    if (context.journal) context.journal->add(key, replica.bytes());
  });

  Result result = assemble(plan, all);
  for (const Trained& trained : all) {
    const auto gone = static_cast<long long>(diverged_at(trained, trained.run->points.size() - 1));
    result.replicas += plan.replicas;
    result.diverged += gone;
    if (gone == plan.replicas) result.diverged_series.push_back(trained.run->name);
    if (gone > 0)
      result.warnings.push_back(fmt::format("{}: {} of {} replicas diverged and were left out",
                                            trained.run->name, gone, plan.replicas));
    if (!std::all_of(trained.replicas.begin(), trained.replicas.end(),
                     [](const TrainedReplica& replica) { return replica.lanczos_converged; }))
      result.warnings.push_back(trained.run->name + ": a Lanczos iteration for lambda_max did not converge");
  }
  result.regime = regime(plan, all);
  result.summary = summarize(plan, all);
  return result;
}

Estimate TrainExperiment::estimate(ConfigTable& config, const RunContext& context) const {
  const TrainPlan plan = read_train_plan(config, context);
  Estimate estimate;
  const double d = plan.network->dim(), real = plan.single_precision ? sizeof(float) : sizeof(double);
  const TrainMeasures& measures = plan.measures;
  double widest = 0, device_bytes = 0;
  // vectors of length d that a measurement holds at once
  double krylov = std::max({2.0 * measures.trace_products / 3, 20.0,
                            measures.spectrum_at.empty() ? 0.0 : measures.spectrum_steps + 2.0});
  for (const TrainRun& run : plan.runs) {
    estimate.work += plan.replicas * (training_work(plan, run) + measuring_work(plan, run));
    const double K = run.trainer.workers;
    widest = std::max(widest, (3 + K * (1 + run.trainer.update->state_vectors())) * d * real);
    if (measures.divergence_vectors > 0 && run.divergence_predicted())
      for (const TrainRecordPoint& point : run.points)
        krylov = std::max(krylov,
                          0.0 + measures.divergence_vectors +
                              SpreadResponse::lanczos_steps(run.trainer, static_cast<std::int64_t>(point.H)));
    if (context.backend == Backend::cuda) {
      const Launch& launch = plan.ranks.launch;
      const TrainerMemory memory =
          trainer_memory(run.trainer, task_of(plan, run, context.seed), plan.device,
                         WorkerShare::of(run.trainer.workers, launch.rank, launch.size),
                         plan.single_precision, shared_memory_of_block());
      device_bytes = std::max(device_bytes, memory.bytes);
    } else if (context.measure) {
      estimate.seconds += plan.replicas * replica_seconds(plan, run, context.seed) / context.threads;
    }
    estimate.notes.push_back(fmt::format(
        "{}: d = {}, {} steps of {} x {} samples ({:.3g} epochs), {} rounds", run.name, plan.network->dim(),
        run.trainer.total_steps, run.trainer.workers, run.local_batch(),
        static_cast<double>(run.trainer.total_steps) / static_cast<double>(run.sampling.steps_per_epoch()),
        run.points.back().rounds));
  }
  const bool on_device = context.backend == Backend::cuda;  // where one training comes after the other
  if (on_device) estimate.notes.push_back(fmt::format("device memory: about {:.4g} MB", 1e-6 * device_bytes));
  // the Krylov basis of Lanczos beside the workers, for each thread; the data once
  estimate.bytes = (on_device ? 1 : context.threads) * (widest + 8 * d * krylov) +
                   4.0 * static_cast<double>(plan.data.train.x.size() + plan.data.test.x.size());
  if (measures.parameters)  // of the replicas, of the result and of its file
    estimate.bytes += 3 * 8 * d * static_cast<double>(plan.replicas) * static_cast<double>(plan.runs.size());
  return estimate;
}

}  // namespace slowsde
