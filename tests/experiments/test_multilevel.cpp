#include "slowsde/experiments/multilevel.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <vector>

#include "slowsde/experiments/config.hpp"
#include "slowsde/experiments/progress.hpp"
#include "slowsde/experiments/registry.hpp"

using namespace slowsde;

namespace {

constexpr std::size_t targets = 2, repetitions = 6;

Result run(const std::vector<std::string>& sets = {}, int threads = 1) {
  std::vector<std::string> all = {"run.targets=[0.1, 0.05]", "run.reference_target=0.02",
                                  "run.repetitions=6"};
  all.insert(all.end(), sets.begin(), sets.end());
  const Registry registry = builtin_registry();
  Progress progress;
  RunContext context{registry, progress};
  context.threads = threads;
  context.seed = 4;
  ConfigTable config = ConfigTable::load("experiments/configs/mlmc.toml", all);
  const Estimate estimate = estimate_experiment(config, context);
  config.finish();
  progress.start(estimate.work);
  Result result = run_experiment(config, context);
  result.check();
  return result;
}

/// variable(method, target, repetition)
double at(const Result& result, const char* name, std::size_t method, std::size_t target, std::size_t r) {
  return result.variable(name).data[(method * targets + target) * repetitions + r];
}

std::string refusal(const std::string& set) {
  try {
    run({set});
  } catch (const ConfigError& e) {
    return e.what();
  }
  return "accepted";
}

}  // namespace

TEST_CASE("both methods estimate the reference, at the error asked for and at costs that are theirs") {
  const Result result = run();
  const double reference = result.variable("reference").data[0];
  CHECK(result.variable("reference_error").data[0] <= 0.02);
  CHECK(result.text_variable("method").data == std::vector<std::string>{"multilevel", "plain"});
  const std::vector<double>& fine = result.variable("level_variance_of_fine").data;
  std::vector<double> mean_cost(2 * targets, 0.0);
  for (std::size_t m = 0; m < 2; ++m)
    for (std::size_t t = 0; t < targets; ++t) {
      const double target = result.variable("target").data[t];
      double square = 0;
      for (std::size_t r = 0; r < repetitions; ++r) {
        square += std::pow(at(result, "estimate", m, t, r) - reference, 2) / repetitions;
        CHECK(at(result, "standard_error", m, t, r) <= target);
        mean_cost[m * targets + t] += at(result, "cost", m, t, r) / repetitions;
        if (m == 0) {
          CHECK(at(result, "reached", m, t, r) == 1);
          CHECK(at(result, "levels", m, t, r) >= 3);
          CHECK(at(result, "consistency", m, t, r) < 5);
        } else {
          // n samples of as many steps as the finest level has, n = Var/SE²
          const double steps = std::exp2(at(result, "levels", 0, t, r) - 1);
          const double n = at(result, "cost", m, t, r) / steps;
          CHECK(std::abs(n * std::pow(at(result, "standard_error", m, t, r), 2) / fine.back() - 1) < 0.6);
          CHECK(std::abs(n - std::round(n)) < 1e-9);
        }
      }
      CHECK(std::sqrt(square) <= 2.5 * target);  // χ² with 6 degrees of freedom: 1e-6
    }
  // Half the error costs plain Monte Carlo four times the samples, multilevel less than that.
  CHECK(mean_cost[3] > 2.4 * mean_cost[2]);
  CHECK(mean_cost[1] / mean_cost[0] < mean_cost[3] / mean_cost[2]);
  // Corrections shrink from level to level, values do not.
  const std::vector<double>& corrections = result.variable("level_variance").data;
  CHECK(corrections.back() < 0.5 * corrections[1]);
  CHECK(fine.back() > 0.5 * fine.front());
}

TEST_CASE("threads change no bit, a seed all estimates") {
  const Result one = run(), two = run({}, 2), other = run({"seed=5"});
  CHECK(one.variable("estimate").data == two.variable("estimate").data);
  CHECK(one.variable("cost").data == two.variable("cost").data);
  CHECK(one.variable("reference").data == two.variable("reference").data);
  for (std::size_t i = 0; i < 2 * targets * repetitions; ++i)
    CHECK(one.variable("estimate").data[i] != other.variable("estimate").data[i]);
}

TEST_CASE("what is no such experiment is refused at its key") {
  CHECK(refusal("run.targets=[]").find("targets") != std::string::npos);
  CHECK(refusal("run.targets=[0.1, -1]").find("must be > 0") != std::string::npos);
  CHECK(refusal("run.observable='heat'").find("observable") != std::string::npos);
  CHECK(refusal("model.theory='conventional'") != "accepted");
  CHECK(refusal("run.repetitions=1").find("repetitions") != std::string::npos);
}
