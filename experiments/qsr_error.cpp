#include "slowsde/experiments/qsr_error.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "slowsde/experiments/algorithm_config.hpp"
#include "slowsde/experiments/problem_entry.hpp"
#include "slowsde/experiments/progress.hpp"
#include "slowsde/experiments/qsr_coupling.hpp"
#include "slowsde/experiments/registry.hpp"
#include "slowsde/optim/qsr_moment.hpp"
#include "slowsde/optim/sgd_moment.hpp"

namespace slowsde {
namespace {

using Sample = std::vector<double>;  // (trajectories)

struct Plan {
  std::unique_ptr<ExperimentProblem> problem;
  QsrCoupling coupling;  ///< its start is empty where the problem's own is meant
  std::vector<double> alpha2;

  SlowRun qsr() const { return coupling.slow_sde(std::make_shared<QsrMoment>()); }
  SlowRun sgd() const { return coupling.slow_sde(std::make_shared<SgdMoment>()); }

  /// Slow SDEs integrated side by side: two of the global batch, and K workers at every α².
  double slow_sdes() const { return 2 + coupling.workers * static_cast<double>(alpha2.size()); }
};

Plan read_plan(ConfigTable& config, const RunContext& context) {
  Plan plan;
  QsrCoupling& coupling = plan.coupling;
  ConfigTable problem = config.table("problem");
  const auto& entry = choose(problem, "name", context.registry.problems);
  plan.problem = problem.checked([&] { return entry->make(problem); });
  ConfigTable start = config.table("start");
  if (start.has("point")) {
    coupling.start = start.list<double>("point");
    start.check("point", coupling.start.size() == static_cast<std::size_t>(plan.problem->dim()),
                "must have " + std::to_string(plan.problem->dim()) + " components, the problem's dimension");
  }
  coupling.noise = read_noise(config.table("noise"), plan.problem->noise_kinds());

  ConfigTable run = config.table("run");
  coupling.workers = run.at_least<int>("workers", 2, 4);
  coupling.local_batch = run.at_least<int>("local_batch", 1, 1);
  run.checked([&] { coupling.noise.check(plan.problem->samples(), coupling.local_batch); });
  coupling.observable = run.get<std::string>("observable", "trace");
  run.checked("observable", [&] { plan.problem->check_observables({coupling.observable}); });
  coupling.trajectories = static_cast<std::size_t>(run.at_least<int>("trajectories", 2, 1000));
  coupling.slow_time = run.positive<double>("slow_time");
  plan.alpha2 = run.list<double>("alpha2");
  run.check("alpha2", plan.alpha2.size() >= 2, "must hold at least two numbers");
  for (std::size_t i = 0; i < plan.alpha2.size(); ++i) {
    run.check("alpha2", plan.alpha2[i] > 0, "must be > 0");
    run.check("alpha2", i == 0 || plan.alpha2[i] < plan.alpha2[i - 1], "must decrease");
  }
  coupling.dt = run.positive<double>("dt", plan.alpha2.back());
  coupling.seed = context.seed;
  coupling.threads = context.threads;
  run.checked("dt", [&] { coupling.check(); });
  for (const double alpha2 : plan.alpha2) run.checked("alpha2", [&] { coupling.check_round_time(alpha2); });
  problem.checked("name", [&] { plan.problem->check_slow(coupling.quasi_static(plan.alpha2[0])); });
  problem.check("name", !plan.problem->deterministic(plan.qsr()),
                "has no noise along the manifold: the process is an ordinary differential equation, the same "
                "for every alpha2");
  return plan;
}

void prepare_start(Plan& plan) {
  std::vector<double>& start = plan.coupling.start;
  if (start.empty()) start = plan.problem->start();
  DistanceToManifold reached;
  plan.problem->project(start.data(), 1, &reached);
  if (!reached.converged)
    throw std::runtime_error(
        fmt::format("the start could not be brought to the manifold, it is {} from it", reached.distance));
}

/// Leaves the trajectories of which every sample has a value; returns the number of the others.
std::size_t leave_complete(std::vector<Sample*> samples) {
  const std::size_t n = samples.front()->size();
  std::size_t kept = 0;
  for (std::size_t j = 0; j < n; ++j) {
    const bool complete =
        std::all_of(samples.begin(), samples.end(), [j](const Sample* s) { return std::isfinite((*s)[j]); });
    if (!complete) continue;
    for (Sample* s : samples) (*s)[kept] = (*s)[j];
    ++kept;
  }
  for (Sample* s : samples) s->resize(kept);
  return n - kept;
}

Sample difference(const Sample& a, const Sample& b) {
  Sample result(a.size());
  for (std::size_t j = 0; j < a.size(); ++j) result[j] = a[j] - b[j];
  return result;
}

Measured mean_of(const Sample& sample) {
  Moments moments;
  for (const double x : sample) moments.add(x);
  return {sample.empty() ? std::nan("") : moments.mean, moments.standard_error(), moments.count};
}

/// The variables `name` and `name`_se of means along a dimension, or of one mean.
void add_means(Result& result, const std::string& name, const std::string& long_name,
               const std::vector<std::string>& dims, const std::vector<Measured>& means) {
  Variable mean{name, "1", long_name, dims, {}};
  Variable se{name + "_se", "1", "standard error of " + name, dims, {}};
  for (const Measured& m : means) {
    mean.data.push_back(m.mean);
    se.data.push_back(m.se);
  }
  result.add(std::move(mean));
  result.add(std::move(se));
}

}  // namespace

Estimate QsrErrorExperiment::estimate(ConfigTable& config, const RunContext& context) const {
  Plan plan = read_plan(config, context);
  Estimate estimate;
  estimate.work = plan.slow_sdes();
  const double trajectories = static_cast<double>(plan.coupling.trajectories);
  estimate.bytes = 16e6 + 24 * trajectories * static_cast<double>(plan.alpha2.size() + 2);
  if (context.measure) {
    prepare_start(plan);
    QsrCoupling few = plan.coupling;
    few.trajectories = 16;
    few.threads = 1;
    const auto begin = std::chrono::steady_clock::now();
    few.sample(*plan.problem, few.quasi_static(plan.alpha2[0]));
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    estimate.seconds = seconds / 16 / few.workers * plan.slow_sdes() * trajectories / plan.coupling.threads;
  }
  return estimate;
}

Result QsrErrorExperiment::run(ConfigTable& config, RunContext& context) const {
  Plan plan = read_plan(config, context);
  prepare_start(plan);
  const QsrCoupling& coupling = plan.coupling;
  const std::size_t levels = plan.alpha2.size();

  context.progress.label("slow SDEs");
  Sample qsr = coupling.sample(*plan.problem, plan.qsr());
  context.progress.add(1);
  Sample sgd = coupling.sample(*plan.problem, plan.sgd());
  context.progress.add(1);
  std::vector<Sample> process;  // by levels
  for (const double alpha2 : plan.alpha2) {
    context.progress.label(fmt::format("quasi-static process, alpha^2 = {}", alpha2));
    process.push_back(coupling.sample(*plan.problem, coupling.quasi_static(alpha2)));
    context.progress.add(coupling.workers);
  }
  std::vector<Sample*> all = {&qsr, &sgd};
  for (Sample& sample : process) all.push_back(&sample);
  const std::size_t diverged = leave_complete(all);

  std::vector<Sample> errors;
  for (const Sample& sample : process) errors.push_back(difference(sample, qsr));
  std::vector<Measured> mean, error, exponent;
  for (const Sample& sample : process) mean.push_back(mean_of(sample));
  for (const Sample& sample : errors) error.push_back(mean_of(sample));
  for (std::size_t i = 0; i + 1 < levels; ++i)
    exponent.push_back(local_exponent(errors[i], errors[i + 1], plan.alpha2[i] / plan.alpha2[i + 1]));
  const Measured of_qsr = mean_of(qsr), of_sgd = mean_of(sgd), extra = mean_of(difference(qsr, sgd));

  Result result;
  result.replicas = static_cast<long long>(coupling.trajectories);
  result.diverged = static_cast<long long>(diverged);
  if (diverged == coupling.trajectories) result.diverged_series.push_back("qsr-error");
  if (diverged > 0)
    result.warnings.push_back(
        fmt::format("{} of {} trajectories diverged in one of the processes and were "
                    "left out of all",
                    diverged, coupling.trajectories));
  result.dims = {{"alpha2", levels}, {"pair", levels - 1}};
  result.add(Variable{"alpha2", "1", "slow time between averages", {"alpha2"}, plan.alpha2});
  add_means(result, "quasi_static", "mean under the quasi-static process", {"alpha2"}, mean);
  add_means(result, "error", "mean under the quasi-static process minus that of the slow SDE of QSR",
            {"alpha2"}, error);
  add_means(result, "exponent", "exponent of the error in alpha2 between an alpha2 and the next", {"pair"},
            exponent);
  add_means(result, "qsr", "mean under the slow SDE of QSR", {}, {of_qsr});
  add_means(result, "sgd", "mean under the slow SDE of SGD", {}, {of_sgd});
  add_means(result, "extra", "mean under the slow SDE of QSR minus that of SGD", {}, {extra});
  result.add(Variable{"count", "1", "trajectories in the means", {}, {static_cast<double>(qsr.size())}});

  result.summary = fmt::format(
      "mean of {} at slow time {}, {} workers: {:.6g} +- {:.2g} under the slow SDE of QSR, {:.6g} +- {:.2g} "
      "under SGD's\n",
      coupling.observable, coupling.slow_time, coupling.workers, of_qsr.mean, of_qsr.se, of_sgd.mean,
      of_sgd.se);
  result.summary +=
      "alpha^2     quasi-static           error of QSR's slow SDE   of the extra drift   exponent to the "
      "next\n";
  for (std::size_t i = 0; i < levels; ++i)
    result.summary +=
        fmt::format("{:<11.4g} {:<22} {:<25} {:<20} {}\n", plan.alpha2[i],
                    fmt::format("{:.6g} +- {:.2g}", mean[i].mean, mean[i].se),
                    fmt::format("{:.4g} +- {:.2g}", error[i].mean, error[i].se),
                    fmt::format("{:.2f} %", 100 * std::abs(error[i].mean / extra.mean)),
                    i + 1 < levels ? fmt::format("{:.3f} +- {:.3f}", exponent[i].mean, exponent[i].se) : "");
  return result;
}

}  // namespace slowsde
