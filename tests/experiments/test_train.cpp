#include "slowsde/experiments/train.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "slowsde/experiments/config.hpp"
#include "slowsde/experiments/experiment.hpp"
#include "slowsde/experiments/progress.hpp"
#include "slowsde/experiments/registry.hpp"
#include "slowsde/experiments/result.hpp"
#include "slowsde/experiments/sweep.hpp"
#include "slowsde/experiments/train_plan.hpp"
#include "slowsde/experiments/train_replica.hpp"
#include "slowsde/optim/round_plan.hpp"
#include "slowsde/problems/network_model.hpp"
#include "slowsde/sde/sharpness.hpp"
#include "tests/support/scratch.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;

namespace {

Registry trainings() {
  Registry registry;
  registry.add(std::make_shared<TrainExperiment>());
  registry.add(std::make_shared<Sweep>());
  for (RuleDescription& rule : sync_rule_catalogue()) registry.add(std::move(rule));
  return registry;
}

const std::string mixture = R"(
kind = "train"
seed = 4
data = { name = "gaussian-mixture", classes = 3, dim = 6, separation = 4.0, train = 120, test = 60 }
network = { hidden = [7], activation = "silu" }
train = { steps = 50, replicas = 3 }
measure = { records = 5, gap_samples = 60, trace_products = 12, sharpness_samples = 60, divergence_vectors = 3 }

[[runs]]
name = "parallel"
workers = 4
local_batch = 5
exchange = "gradients"
lr = 0.2
update = { name = "heavy-ball", momentum = 0.8 }

[[runs]]
name = "local"
workers = 4
local_batch = 5
lr = { schedule = "cosine", peak = 0.2, end = 0.02 }
rule = { name = "constant", local_steps = 7 }
update = { name = "heavy-ball", momentum = 0.8, state = "averaged" }
)";

struct Ran {
  Result result;
  double fraction = 0;
};

Ran run(const std::string& text, int threads = 1, const std::vector<std::string>& sets = {}) {
  const Registry registry = trainings();
  ConfigTable table = ConfigTable::parse(text, "test", sets);
  Progress progress;
  RunContext context{registry, progress};
  context.threads = threads;
  const Estimate estimate = estimate_experiment(table, context);
  table.finish();
  progress.start(estimate.work);
  Ran ran;
  ran.result = run_experiment(table, context);
  ran.fraction = progress.fraction();
  ran.result.check();
  return ran;
}

TrainPlan plan_of(const std::string& text, const std::vector<std::string>& sets = {},
                  Backend backend = Backend::cpu) {
  const Registry registry = trainings();
  ConfigTable table = ConfigTable::parse(text, "test", sets);
  Progress progress;
  RunContext context{registry, progress};
  context.backend = backend;
  return read_train_plan(table, context);
}

std::size_t index_of(const Result& result, const std::string& observable) {
  const auto& names = result.text_variable("observable").data;
  return static_cast<std::size_t>(std::find(names.begin(), names.end(), observable) - names.begin());
}

/// variable(series, time, observable)
double at(const Result& result, const std::string& variable, std::size_t series, std::size_t time,
          const std::string& observable) {
  const std::size_t T = result.dims.at("time"), M = result.dims.at("observable");
  return result.variable(variable).data[(series * T + time) * M + index_of(result, observable)];
}

double at(const Result& result, const std::string& variable, std::size_t series, std::size_t time) {
  return result.variable(variable).data[series * result.dims.at("time") + time];
}

std::string refusal(const std::vector<std::string>& sets) {
  try {
    plan_of(mixture, sets);
  } catch (const ConfigError& e) {
    return e.what();
  }
  return "accepted";
}

}  // namespace

TEST_CASE("a training leaves the means over its seeds, and counts what it sent") {
  const auto [result, fraction] = run(mixture);
  CHECK(test::near(fraction, 1, 1e-12));  // the estimate's work is what the run added
  CHECK(result.dims.at("series") == 2);
  CHECK(result.dims.at("time") == 5);
  CHECK(result.replicas == 6);
  CHECK(result.diverged == 0);
  const TrainPlan plan = plan_of(mixture);
  const auto d = static_cast<double>(plan.network->dim());
  CHECK(d == 6 * 7 + 7 + 7 * 3 + 3);

  // 50 steps: parallel at 0, 13, 25, 38, 50; rounds of 7 end at 14, 28, 42, 49, 50
  const std::vector<double> steps = {0, 13, 25, 38, 50, 0, 14, 28, 42, 50},
                            rounds = {0, 13, 25, 38, 50, 0, 2, 4, 6, 8};
  CHECK(result.variable("steps").data == steps);
  for (std::size_t i = 0; i < 10; ++i) {
    CHECK(at(result, "mean", i / 5, i % 5, "rounds") == rounds[i]);
    // heavy-ball buffers travel with the parameters where they are averaged
    CHECK(at(result, "mean", i / 5, i % 5, "bytes") == rounds[i] * 1.5 * d * 4 * (i < 5 ? 1 : 2));
    CHECK(at(result, "se", i / 5, i % 5, "rounds") == 0);
    CHECK(at(result, "count", i / 5, i % 5) == 3);
  }
  CHECK(result.variable("communication").data == std::vector<double>{1, 8.0 / 50});
  CHECK(at(result, "mean", 1, 4, "local_steps") == 1);  // 50 mod 7
  CHECK(at(result, "mean", 1, 1, "local_steps") == 7);
  CHECK(test::near_relative(at(result, "t", 0, 4), 50 * 0.04, 1e-14));

  for (std::size_t s = 0; s < 2; ++s) {
    CHECK(at(result, "mean", s, 4, "train_loss") < 0.5 * at(result, "mean", s, 0, "train_loss"));
    CHECK(at(result, "mean", s, 4, "test_accuracy") > 0.9);
    CHECK(at(result, "se", s, 4, "train_loss") > 0);
    CHECK(at(result, "mean", s, 4, "trace") > 0);
    CHECK(at(result, "mean", s, 4, "lambda_max") < at(result, "mean", s, 4, "trace") * 1.2);
    CHECK(std::isnan(at(result, "mean", s, 0, "batch_loss")));  // no batch yet
    CHECK(at(result, "mean", s, 0, "average_gap") == 0);
    CHECK(std::isnan(at(result, "mean", s, 0, "seconds")));  // no cost model
  }
  CHECK(at(result, "mean", 0, 3, "worker_divergence") == 0);
  CHECK(at(result, "mean", 1, 3, "worker_divergence") > 0);
  CHECK(at(result, "mean", 1, 3, "divergence_top_share") >= 1.0 / 3);
  CHECK(at(result, "mean", 1, 3, "divergence_top_share") <= 1);
  for (const char* name : {"predicted_divergence", "predicted_divergence_se", "variance_along_top",
                           "predicted_variance_along_top", "predicted_variance_along_top_se"}) {
    CHECK(at(result, "mean", 0, 3, name) == 0);  // workers that never part
    CHECK(at(result, "mean", 1, 0, name) == 0);
    CHECK(at(result, "mean", 1, 3, name) > 0);
  }
  // all starts are paired
  CHECK(at(result, "mean", 0, 0, "train_loss") == at(result, "mean", 1, 0, "train_loss"));
  const auto& last = result.variable("final_sample").data;
  const std::size_t M = result.dims.at("observable"), loss = index_of(result, "train_loss");
  CHECK(test::near_relative((last[loss * 3] + last[loss * 3 + 1] + last[loss * 3 + 2]) / 3,
                            at(result, "mean", 0, 4, "train_loss"), 1e-12));
  CHECK(last.size() == 2 * M * 3);
  CHECK(result.summary.find("local") != std::string::npos);
  CHECK(result.summary.find("±") != std::string::npos);
  CHECK(result.regime.find("\"eta_lambda_max\"") != std::string::npos);
}

TEST_CASE("the result has the same bits for any number of threads") {
  const Result one = run(mixture, 1).result;
  for (const int threads : {2, 3, 9}) {
    const Result other = run(mixture, threads).result;
    for (const Variable& v : one.variables) {
      CAPTURE(v.name);
      const std::vector<double>& w = other.variable(v.name).data;
      bool same = v.data.size() == w.size();
      for (std::size_t i = 0; same && i < w.size(); ++i)
        same = std::bit_cast<std::uint64_t>(v.data[i]) == std::bit_cast<std::uint64_t>(w[i]);
      CHECK(same);
    }
  }
}

TEST_CASE("trainings share the threads; on a GPU and between processes they come one after the other") {
  const auto teams = [](Backend backend, bool several, int threads, std::size_t trainings) {
    const TrainTeams of = train_teams(backend, several, threads, trainings);
    return std::pair(of.at_once, of.threads_each);
  };
  CHECK(teams(Backend::cpu, false, 8, 3) == std::pair(3, 2));
  CHECK(teams(Backend::cpu, false, 8, 100) == std::pair(8, 1));
  CHECK(teams(Backend::cpu, false, 1, 100) == std::pair(1, 1));
  CHECK(teams(Backend::cpu, true, 8, 3) == std::pair(1, 8));
  for (const bool several : {false, true}) CHECK(teams(Backend::cuda, several, 8, 3) == std::pair(1, 8));
}

TEST_CASE("a replica's values do not depend on how many there are, nor a run's on its neighbours") {
  const Result three = run(mixture).result, one = run(mixture, 1, {"train.replicas=1"}).result;
  const std::size_t M = three.dims.at("observable");
  std::size_t compared = 0;
  for (std::size_t s = 0; s < 2; ++s)
    for (std::size_t m = 0; m < M; ++m) {
      const double x = three.variable("final_sample").data[(s * M + m) * 3];
      const double y = one.variable("final_sample").data[s * M + m];
      if (std::isnan(x)) continue;  // seconds
      CHECK(x == y);
      ++compared;
    }
  CHECK(compared == 2 * (M - 1));
}

TEST_CASE("trace, largest eigenvalue and spectrum are those of the Hessian at the average") {
  // With 3d products Hutch++ spans everything, and with d Lanczos steps the quadrature's trace is
  // Hutchinson's.
  for (const char* loss : {"cross-entropy", "squared"}) {
    const TrainPlan plan = plan_of(
        mixture, {fmt::format("network.loss={}", loss), "measure.trace_products=300", "precision=f64",
                  "measure.spectrum_at=[0.0, 1.0]", "measure.spectrum_probes=3", "train.label_flip=0.2"});
    const TrainedReplica trained = train_replica(plan, plan.runs[1], 4, 2, 1, [](double) {});
    const std::vector<double> theta0 = plan.start(4, 2);
    const Eigen::VectorXd theta = Eigen::Map<const Eigen::VectorXd>(theta0.data(), plan.network->dim());
    std::vector<int> first(60);
    for (int i = 0; i < 60; ++i) first[static_cast<std::size_t>(i)] = i;
    const ClassificationData data = subset(plan.data.train, first);
    // In the mean over the flips the targets are 0.8 and 0.2/(C − 1).
    const NetworkModel squares(*plan.network, regression(data, 0.8, 0.2 / (data.classes - 1)));
    const ClassificationModel entropy(*plan.network, {data.x.begin(), data.x.end()}, data.labels, 0, 0.2);
    const HessianVectorProduct H = [&](const Eigen::VectorXd& u, Eigen::VectorXd& out) {
      plan.loss == LossKind::squared ? squares.hessian_vector_product(theta, u, out)
                                     : entropy.hessian_vector_product(theta, u, out);
    };
    const Eigen::VectorXd lambda = spectrum(H, plan.network->dim());
    const auto& names = plan.observables;
    const auto value = [&](const char* name) {
      return trained
          .values[static_cast<std::size_t>(std::find(names.begin(), names.end(), name) - names.begin())];
    };
    CHECK(test::near_relative(value("trace"), lambda.sum(), 1e-9));
    CHECK(test::near_relative(value("lambda_max"), lambda.maxCoeff(), 1e-3));
    const auto nodes = static_cast<std::size_t>(spectrum_nodes(plan));
    for (std::size_t t = 0; t < 2; ++t) {
      double weight = 0, trace = 0, top = -1e300;
      for (std::size_t j = t * nodes; j < (t + 1) * nodes; ++j) {
        if (std::isnan(trained.nodes[j])) continue;
        weight += trained.weights[j];
        trace += trained.weights[j] * trained.nodes[j];
        top = std::max(top, trained.nodes[j]);
      }
      CHECK(test::near_relative(weight, plan.network->dim(), 1e-9));
      if (t > 0) continue;
      CHECK(test::near_relative(top, lambda.maxCoeff(), 1e-3));
      CHECK(std::abs(trace - lambda.sum()) <= 5 * std::sqrt(2.0 / 3) * lambda.norm());  // three probes
    }
  }
}

TEST_CASE("the parameters that are kept are those of the last average, of every seed and run") {
  const std::vector<std::string> sets = {"measure.parameters=true", "precision=f64"};
  const Result result = run(mixture, 2, sets).result;
  const TrainPlan plan = plan_of(mixture, sets);
  const auto d = static_cast<std::size_t>(plan.network->dim());
  CHECK(result.dims.at("parameter") == d);
  const std::vector<double>& kept = result.variable("parameters").data;
  REQUIRE(kept.size() == 2 * 3 * d);
  for (std::size_t r = 0; r < 2; ++r)
    for (std::size_t seed = 0; seed < 3; ++seed) {
      const double* theta = kept.data() + (r * 3 + seed) * d;
      const TrainedReplica alone = train_replica(plan, plan.runs[r], 4, seed, 1, [](double) {});
      CHECK(std::equal(theta, theta + d, alone.parameters.begin(), alone.parameters.end()));
      CHECK(TrainedReplica::of(alone.bytes()).parameters == alone.parameters);
      // the loss that was measured last is theirs
      const ClassificationModel model(*plan.network, {plan.data.train.x.begin(), plan.data.train.x.end()},
                                      plan.data.train.labels);
      const std::size_t column = index_of(result, "train_loss"), M = result.dims.at("observable");
      CHECK(test::near_relative(
          model.loss(Eigen::Map<const Eigen::VectorXd>(theta, plan.network->dim())),
          alone.values[(static_cast<std::size_t>(plan.measures.records) - 1) * M + column], 1e-12));
    }
  CHECK_FALSE(run(mixture).result.has("parameters"));
}

TEST_CASE("the prediction of the divergence changes no bit of anything else") {
  const std::vector<std::string> f64 = {"precision=f64", "train.label_flip=0.2"};
  const Result with = run(mixture, 1, f64).result;
  const Result without = run(mixture, 1, {f64[0], f64[1], "measure.divergence_vectors=0"}).result;
  int compared = 0;
  for (std::size_t i = 0; i < 10; ++i)
    for (const TrainObservable& observable : train_observables())
      for (const char* variable : {"mean", "se"}) {
        const std::string name = observable.name;
        CAPTURE(name);
        const double x = at(with, variable, i / 5, i % 5, name),
                     y = at(without, variable, i / 5, i % 5, name);
        if (name.starts_with("predicted") || name == "variance_along_top") {
          CHECK(!std::isnan(at(with, "mean", i / 5, i % 5, name)));
          CHECK(std::isnan(y));
        } else {
          CHECK(std::bit_cast<std::uint64_t>(x) == std::bit_cast<std::uint64_t>(y));
          ++compared;
        }
      }
  CHECK(compared == 20 * (static_cast<int>(train_observables().size()) - 5));
}

TEST_CASE("what has no theory of the workers' divergence is left open") {
  for (const char* key : {"runs.local.update={ name = \"adamw\" }", "train.sampling=fixed-shards"}) {
    CAPTURE(key);
    const Result result = run(mixture, 1, {"train.replicas=1", key}).result;
    CHECK(at(result, "mean", 1, 3, "worker_divergence") > 0);
    CHECK(std::isnan(at(result, "mean", 1, 3, "predicted_divergence")));
    CHECK(at(result, "mean", 0, 3, "predicted_divergence") == 0);
    CHECK(std::isnan(at(result, "mean", 1, 3, "variance_along_top")));
    CHECK(at(result, "mean", 0, 3, "variance_along_top") == 0);
  }
  CHECK(refusal({"measure.divergence_vectors=1"}).find("divergence_vectors") != std::string::npos);
}

TEST_CASE("the gap of the average is L(mean) - mean L of the workers: zero where they are one") {
  const auto result = run(mixture, 1, {"train.replicas=1"}).result;
  for (std::size_t p = 1; p < 5; ++p) {
    CHECK(std::abs(at(result, "mean", 0, p, "average_gap")) <= 1e-6);  // a round of one step, one θ
    CHECK(at(result, "mean", 1, p, "average_gap") != 0);
  }
  // one worker: its average is itself
  const auto alone = run(mixture, 1, {"train.replicas=1", "runs.local.workers=1"}).result;
  for (std::size_t p = 1; p < 5; ++p) {
    CHECK(at(alone, "mean", 1, p, "average_gap") == 0);
    CHECK(at(alone, "mean", 1, p, "bytes") == 0);
  }
}

TEST_CASE("an epoch is as many steps as its batches fill, and the learning rate ends with the training") {
  const std::string by_epochs = std::string(mixture).replace(mixture.find("steps = 50"), 10, "epochs = 2.5");
  const TrainPlan plan = plan_of(by_epochs);
  CHECK(plan.runs[0].trainer.total_steps == 15);  // 120 samples, 20 a step
  CHECK(plan.runs[1].trainer.lr.params().total_steps == 15);
  CHECK(plan_of(by_epochs, {"runs.local.local_batch=10"}).runs[1].trainer.total_steps == 8);
  CHECK(plan_of(mixture).runs[1].trainer.total_steps == 50);
}

TEST_CASE(
    "H counts optimizer steps: rounds and slow time are those of the plan of rounds, whatever the "
    "optimizer") {
  const TrainPlan plan =
      plan_of(mixture, {"runs.local.update.name=adamw", "train.steps=333", "runs.local.rule.name=qsr",
                        "runs.local.rule.alpha=0.5", "runs.local.rule.base_steps=3"});
  const TrainRun& run = plan.runs[1];
  const RoundCounts counts = count_rounds(run.trainer.lr, *run.trainer.rule, 333);
  CHECK(run.points.back().rounds == counts.rounds);
  CHECK(run.points.back().steps == 333);
  CHECK(run.points.back().t == counts.slow_time);
  CHECK(counts.rounds < 60);
}

TEST_CASE("wall clock is the cost model's: steps computed, averages sent") {
  const TrainPlan plan = plan_of(mixture + R"(
[cost]
gbps = 1
step_seconds = 0.01
latency = 0.002
)");
  const double d = plan.network->dim();
  // K = 4: 2(K−1) messages, 2(K−1)/K of the bytes; parameters and buffers
  const double average = 6 * 0.002 + 8 * 1.5 * 2 * d * 4 / 1e9;
  CHECK(test::near_relative(plan.runs[1].points.back().seconds, 50 * 0.01 + 8 * average, 1e-12));
}

TEST_CASE("replicas that diverge are counted and left out") {
  const auto [result, fraction] = run(mixture, 2, {"runs.parallel.lr=1e6", "network.loss=squared"});
  CHECK(test::near(fraction, 1, 1e-12));
  CHECK(result.diverged == 3);
  CHECK(result.diverged_series == std::vector<std::string>{"parallel"});
  CHECK(result.warnings.size() == 1);
  CHECK(at(result, "count", 0, 4) == 0);
  CHECK(at(result, "diverged", 0, 4) == 3);
  CHECK(std::isnan(at(result, "mean", 0, 4, "train_loss")));
  CHECK(at(result, "count", 0, 0) == 3);  // the start was fine
  CHECK(at(result, "count", 1, 4) == 3);
}

TEST_CASE("a sweep over a rule's keys stacks trainings") {
  const std::string base =
      std::string(mixture).replace(mixture.find("kind = \"train\""), 14, "kind = \"sweep\"") + R"(
[sweep]
experiment = "train"
seeds = "same"
[[sweep.over]]
key = "runs.local.rule.local_steps"
name = "H"
values = [1, 25]
)";
  const Result result = run(base, 1, {"train.replicas=1"}).result;
  CHECK(result.dims.at("point") == 2);
  CHECK(result.variable("H").data == std::vector<double>{1, 25});
  CHECK(result.variable("communication").data == std::vector<double>{1, 1, 1, 2.0 / 50});
}

TEST_CASE("an estimate asks for the measured seconds only where it may") {
  const Registry registry = trainings();
  Progress progress;
  RunContext context{registry, progress};
  for (const bool measure : {false, true}) {
    ConfigTable table = ConfigTable::parse(mixture, "test");
    context.measure = measure;
    const Estimate estimate = estimate_experiment(table, context);
    CHECK((estimate.seconds > 0) == measure);
    CHECK(estimate.bytes > 0);
    CHECK(estimate.notes.size() == 2);
    table.finish();
  }
}

TEST_CASE("an estimate for a GPU says what the largest training takes of its memory") {
  const Registry registry = trainings();
  Progress progress;
  RunContext context{registry, progress};
  context.backend = Backend::cuda;
  context.threads = 8;
  const auto note_of = [&](const std::vector<std::string>& sets) {
    ConfigTable table = ConfigTable::parse(mixture, "test", sets);
    const Estimate estimate = estimate_experiment(table, context);
    CHECK(estimate.notes.size() == 3);
    return estimate.notes.back();
  };
  // 120 samples of 6 numbers and a label; d = 73; K = 4: θ, rows and averaged buffers; losses and sum; the
  // rates and samples of the 7 steps of a round
  const double bytes = 120 * 7 * 4 + (1 + 4 + 4) * 73 * 4 + (4 + 73) * 8 + 7 * (8 * 4 + 4 * 5 * 4);
  CHECK(note_of({}) == fmt::format("device memory: about {:.4g} MB", 1e-6 * bytes));
  CHECK(note_of({"train.gpu_path=layered"}) != note_of({}));

  // and of the host's one training, not one for each thread
  const auto bytes_of = [&](Backend backend) {
    context.backend = backend;
    ConfigTable table = ConfigTable::parse(mixture, "test");
    return estimate_experiment(table, context).bytes;
  };
  CHECK(bytes_of(Backend::cuda) < 0.5 * bytes_of(Backend::cpu));
}

TEST_CASE("what cannot be trained is refused at its key") {
  CHECK(refusal({"runs.parallel.rule.name=constant", "runs.parallel.rule.local_steps=2"}).find("parallel") !=
        std::string::npos);
  CHECK(refusal({"runs.local.update.momentum=1.5"}).find("momentum < 1") != std::string::npos);
  CHECK(refusal({"runs.local.update.name=adamm"}).find("adamw") != std::string::npos);
  CHECK(refusal({"runs.local.workers=50"}).find("test") != std::string::npos);  // 250 samples a step of 120
  CHECK(refusal({"runs.local.name=parallel"}).find("taken") != std::string::npos);
  CHECK(refusal({"train.epochs=2"}).find("either") != std::string::npos);
  CHECK(refusal({"measure.gap_samples=500"}).find("gap_samples") != std::string::npos);
  CHECK(refusal({"measure.spectrum_at=[2.0]"}).find("fractions") != std::string::npos);
  CHECK(refusal({"network.init_gain=[1.0]"}).find("init_gain") != std::string::npos);
}

TEST_CASE("a training that the device does not do is refused before anything runs, and only there") {
  plan_of(mixture, {}, Backend::cuda);
  plan_of(mixture, {"network.kind=cnn", "network.channels=[4]", "network.pool=1"}, Backend::cuda);
  const std::vector<std::string> deep = {"network.kind=cnn", "network.channels=[2,2,2,2,2,2,2,2,2,2,2,2]",
                                         "network.pool=1"};
  plan_of(mixture, deep);
  try {
    plan_of(mixture, deep, Backend::cuda);
    FAIL_CHECK("accepted");
  } catch (const ConfigError& error) {
    CHECK(std::string(error.what()).find("more than 24 layers") != std::string::npos);
  }
  CHECK(plan_of(mixture, {"train.gpu_path=layered"}).device.path == DevicePath::layered);
  CHECK_THROWS_AS(plan_of(mixture, {"train.gpu_path=fast"}), ConfigError);
}

TEST_CASE(
    "the documentation has every observable, and every update rule with its parameters and their defaults") {
  const std::string readme = test::read_text("README.md");
  for (const TrainObservable& observable : train_observables()) {
    CAPTURE(observable.name);
    CHECK(readme.find(fmt::format("`{}`", observable.name)) != std::string::npos);
  }
  const std::size_t begin = readme.find("| `name` of `update` |");
  REQUIRE(begin != std::string::npos);
  const std::string table = readme.substr(begin, readme.find("\n\n", begin) - begin);
  for (const auto& [name, summary] : update_rule_catalogue()) {
    CAPTURE(name);
    CHECK(table.find(fmt::format("| `{}` |", name)) != std::string::npos);
    make_update_rule(name, [&](std::string_view parameter, double fallback) {
      CAPTURE(parameter);
      const std::size_t at = table.find(fmt::format("`{}`", parameter));
      CHECK(at != std::string::npos);
      CHECK(table.substr(at, 60).find(fmt::format("({:g})", fallback)) != std::string::npos);
      return fallback;
    });
  }
}
