// ctest-labels: theory
// The workers' divergence at the ends of a training's rounds, on a network, is what the theory predicts from
// Hessian and gradient noise at the rounds' starts: for the samplings that have a theory, with flipped
// labels, with noise on the targets, and where nothing but the choice of samples differs; in all directions
// together and along the sharpest one.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "slowsde/experiments/config.hpp"
#include "slowsde/experiments/experiment.hpp"
#include "slowsde/experiments/progress.hpp"
#include "slowsde/experiments/registry.hpp"
#include "slowsde/experiments/train.hpp"
#include "slowsde/experiments/train_plan.hpp"
#include "slowsde/experiments/train_replica.hpp"
#include "slowsde/optim/rule_description.hpp"
#include "slowsde/sde/statistics.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;

namespace {

const std::string training = R"(
kind = "train"
seed = 6
precision = "f64"
data = { name = "gaussian-mixture", classes = 3, dim = 6, separation = 2.0, train = 24, test = 0 }
network = { hidden = [8], activation = "tanh" }
train = { steps = 1600, replicas = 1, label_flip = 0.2 }
measure = { records = 51, gap_samples = 0, sharpness_every = 0, divergence_vectors = 4 }

[[runs]]
name = "local"
workers = 4
local_batch = 6
lr = 0.05
rule = { name = "constant", local_steps = 8 }
)";

constexpr int replicas = 32;

/// Means over the records of each replica.
struct Divergence {
  std::vector<double> measured, predicted;
};

Divergence divergence(const std::vector<std::string>& sets, const char* of_workers = "worker_divergence",
                      const char* of_theory = "predicted_divergence") {
  Registry registry;
  registry.add(std::make_shared<TrainExperiment>());
  for (RuleDescription& rule : sync_rule_catalogue()) registry.add(std::move(rule));
  ConfigTable table = ConfigTable::parse(training, "test", sets);
  Progress progress;
  RunContext context{registry, progress};
  const TrainPlan plan = read_train_plan(table, context);
  const auto column = [&](const char* name) {
    return static_cast<std::size_t>(std::find(plan.observables.begin(), plan.observables.end(), name) -
                                    plan.observables.begin());
  };
  const std::size_t measured = column(of_workers), predicted = column(of_theory);
  const auto records = static_cast<std::size_t>(plan.measures.records);
  Divergence result;
  for (int r = 0; r < replicas; ++r) {
    const TrainedReplica trained =
        train_replica(plan, plan.runs[0], 6, static_cast<std::uint64_t>(r), 1, [](double) {});
    Moments m, p;
    for (std::size_t j = records / 5; j < records; ++j) {
      m.add(trained.values[j * plan.observables.size() + measured]);
      p.add(trained.values[j * plan.observables.size() + predicted]);
    }
    result.measured.push_back(m.mean);
    result.predicted.push_back(p.mean);
  }
  return result;
}

/// Of E(measured − factor·predicted) = 0; a replica has the same start in all runs.
double z_of(const Divergence& d, const Divergence& theory, double factor = 1) {
  Moments difference;
  for (std::size_t r = 0; r < d.measured.size(); ++r)
    difference.add(d.measured[r] - factor * theory.predicted[r]);
  return test::zscore(difference.mean, 0, difference.standard_error());
}

}  // namespace

TEST_CASE("workers of a network spread as predicted, whatever makes their gradients differ") {
  const std::string flips = "train.label_flip=0.0", near = "data.separation=0.3",
                    narrow = "network.hidden=[2]";
  const struct {
    std::vector<std::string> sets;
    std::string wrong_sampling;
  } settings[] = {
      {{}, ""},  // flipped labels
      {{"network.loss=squared", flips, "train.label_sigma=0.5", "train.sampling=with-replacement"}, ""},
      // nothing but the choice of samples, by a network that cannot fit them
      {{flips, near, narrow}, "distinct"},
      {{flips, near, narrow, "train.sampling=distinct"}, "epoch"},
      {{flips, near, narrow, "train.sampling=with-replacement"}, "distinct"},
  };
  for (const auto& setting : settings) {
    CAPTURE(&setting - settings);
    const auto with = [&](const std::string& other) {
      std::vector<std::string> changed = setting.sets;
      changed.push_back(other);
      return divergence(changed);
    };
    const Divergence d = divergence(setting.sets);
    CHECK(z_of(d, d) <= 4);
    // the global batch for the local one; H − 1 for H; free diffusion, without curvature: H times one step's
    CHECK(z_of(d, d, 0.25) >= 5);
    CHECK(z_of(d, with("runs.local.rule.local_steps=7")) >= 5);
    CHECK(z_of(d, with("runs.local.rule.local_steps=1"), 8) >= 5);
    if (!setting.wrong_sampling.empty())
      CHECK(z_of(d, with("train.sampling=" + setting.wrong_sampling)) >= 5);
  }
}

TEST_CASE("along the Hessian's top eigenvector the workers' variance is the predicted one") {
  // longer rounds, in which that direction, and no other, is near its stationary variance
  const std::vector<std::string> long_rounds = {"runs.local.rule.local_steps=32"};
  const auto along = [&](std::vector<std::string> sets) {
    sets.insert(sets.begin(), long_rounds.begin(), long_rounds.end());
    return divergence(sets, "variance_along_top", "predicted_variance_along_top");
  };
  const Divergence d = along({});
  CHECK(z_of(d, d) <= 4);
  CHECK(z_of(d, d, 0.25) >= 5);
  CHECK(z_of(d, along({"runs.local.rule.local_steps=1"}), 32) >= 5);
  CHECK(z_of(d, divergence(long_rounds), 1.0 / 83) >= 5);  // an equal share of the trace: d = 83
}
