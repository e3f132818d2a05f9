// Results depend on the configuration and its seed, and on nothing else: not on threads, not on the chunks
// they take.
#include <doctest/doctest.h>

#include <bit>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "slowsde/experiments/config.hpp"
#include "slowsde/experiments/experiment.hpp"
#include "slowsde/experiments/progress.hpp"
#include "slowsde/experiments/registry.hpp"
#include "slowsde/experiments/result.hpp"
#include "tests/support/scratch.hpp"

using slowsde::Result;

namespace {

// As `slowsde run --threads N --set …` runs it, read back from result.nc: that of the experiment, or those of
// a suite's parts.
std::vector<Result> run(const std::string& config, int threads, const std::vector<std::string>& sets) {
  static const slowsde::Registry registry = slowsde::builtin_registry();
  slowsde::ConfigTable table = slowsde::ConfigTable::parse(config, "test", sets);
  slowsde::Progress progress;
  slowsde::RunContext context{registry, progress};
  context.threads = threads;
  slowsde::estimate_experiment(table, context);
  table.finish();
  const Result whole = slowsde::run_experiment(table, context);
  std::vector<Result> read;
  const auto pass_through_file = [&](const Result& result) {
    const slowsde::test::Scratch scratch;
    slowsde::write_netcdf(result, scratch / "result.nc");
    read.push_back(slowsde::read_result(scratch / "result.nc"));
  };
  for (const slowsde::ResultPart& part : whole.parts) pass_through_file(part.result);
  if (whole.parts.empty()) pass_through_file(whole);
  return read;
}

// Names of the variables whose bits differ; "(layout)" where the files do not even hold the same variables.
std::vector<std::string> differences(const std::vector<Result>& a, const std::vector<Result>& b) {
  std::vector<std::string> names;
  if (a.size() != b.size()) return {"(layout)"};
  for (std::size_t r = 0; r < a.size(); ++r) {
    if (a[r].dims != b[r].dims || a[r].variables.size() != b[r].variables.size() ||
        a[r].text_variables.size() != b[r].text_variables.size() || a[r].variables.empty())
      return {"(layout)"};
    for (const slowsde::Variable& x : a[r].variables) {
      const slowsde::Variable& y = b[r].variable(x.name);
      bool same = x.data.size() == y.data.size() && !x.data.empty();
      for (std::size_t i = 0; same && i < x.data.size(); ++i)
        same = std::bit_cast<std::uint64_t>(x.data[i]) == std::bit_cast<std::uint64_t>(y.data[i]);
      if (!same) names.push_back(x.name);
    }
    for (const slowsde::TextVariable& x : a[r].text_variables)
      if (x.data != b[r].text_variable(x.name).data) names.push_back(x.name);
  }
  return names;
}

bool contains(const std::vector<std::string>& names, const std::string& name) {
  for (const std::string& other : names)
    if (other == name) return true;
  return false;
}

// `prefix` + `run.chunk=…` are the keys that set the chunk.
void check_reproducible(const std::string& config, const std::vector<std::string>& prefixes = {""}) {
  const auto at = [&](int threads, int chunk, std::vector<std::string> sets = {}) {
    for (const std::string& prefix : prefixes) sets.push_back(prefix + "run.chunk=" + std::to_string(chunk));
    return run(config, threads, sets);
  };
  const std::vector<Result> reference = at(1, 4);
  for (const auto& [threads, chunk] :
       std::vector<std::pair<int, int>>{{1, 1}, {2, 1}, {2, 3}, {5, 1}, {5, 2}, {5, 1000}}) {
    CAPTURE(threads);
    CAPTURE(chunk);
    CHECK(differences(reference, at(threads, chunk)) == std::vector<std::string>{});
  }
  // Something is there to be compared, and the comparison can fail: another seed, another precision.
  bool finite = false;
  for (const Result& result : reference)
    for (const double se : result.variable("se").data) finite = finite || se > 0;
  CHECK(finite);
  std::vector<std::string> seeds, precisions;
  for (const std::string& prefix : prefixes) {
    seeds.push_back(prefix + "seed=99");
    precisions.push_back(prefix + "precision=f32");
  }
  const auto by_seed = differences(reference, at(5, 2, seeds));
  CHECK(contains(by_seed, "mean"));
  CHECK(contains(by_seed, "variance"));
  CHECK(!contains(by_seed, "(layout)"));

  const std::vector<Result> single = at(1, 4, precisions);
  CHECK(contains(differences(reference, single), "mean"));
  for (const auto& [threads, chunk] : std::vector<std::pair<int, int>>{{2, 1}, {5, 3}}) {
    CAPTURE(threads);
    CAPTURE(chunk);
    CHECK(differences(single, at(threads, chunk, precisions)) == std::vector<std::string>{});
  }
}

// Two algorithms that differ in all that an algorithm can.
const std::string algorithms = R"(
[[iterates]]
name = "SGD"
workers = 4
lr = 0.05
[[iterates]]
name = "Local SGD"
workers = 3
local_batch = 2
lr = { schedule = "cosine", peak = 0.08, end = 0.01, warmup_steps = 3 }
rule = { name = "qsr", alpha = 0.2, base_steps = 2 }
momentum = { beta = 0.3, buffers = "averaged" }
)";

const std::string valley = R"(
kind = "ensemble"
seed = 7
[problem]
name = "valley"
[start]
point = [1.5, 0.0]
[noise]
kind = "label"
[run]
replicas = 101
slow_time = 0.2
outputs = 4
observables = ["trace", "x0", "norm", "angle", "loss", "lambda_max"]
samples = 37
)" + algorithms + R"(
[[models]]
name = "slow SDE"
moment = "psi"
[[models]]
name = "closed form"
theory = "closed-form"
moment = "sgd"
[[models]]
name = "conventional"
theory = "conventional-sde"
replicas = 37
)";

const std::string curved_valley = R"(
kind = "ensemble"
seed = 7
[problem]
name = "curved-valley"
[run]
replicas = 37
slow_time = 0.2
outputs = 3
samples = 11
)" + algorithms + R"(
[[models]]
name = "slow SDE"
moment = "psi"
replicas = 101
[[models]]
name = "weak order 2, Φ"
stepper = "platen-weak-2"
retraction = "phi"
dt = 0.05
[[models]]
name = "momentum"
of = "Local SGD"
moment = "heavy-ball"
retraction = "none"
[[models]]
name = "conventional"
theory = "conventional-sde"
local = true
replicas = 21
[[models]]
name = "quasi-static"
theory = "quasi-static"
alpha_squared = 0.05
replicas = 21
)";

const std::string network = R"(
kind = "ensemble"
seed = 7
[problem]
name = "mlp-teacher"
samples = 5
inputs = 3
hidden = [6]
[noise]
kind = "minibatch"
sigma = 0.3
replacement = false
[run]
replicas = 37
slow_time = 0.3
outputs = 3
observables = ["trace", "x3", "loss"]
samples = 5
)" + algorithms + R"(
[[models]]
name = "with sampling"
moment = "sampling"
)";

const std::string sweep = R"(
kind = "sweep"
seed = 7
[[sweep.over]]
key = "iterates.1.rule.alpha"
values = [0.1, 0.3]
[[sweep.over]]
key = "run.replicas"
values = [19, 37]
[problem]
name = "ellipsoid"
[run]
slow_time = 0.1
outputs = 3
observables = ["angle", "x1"]
)" + algorithms + R"(
[[models]]
name = "slow SDE"
moment = "psi"
)";

}  // namespace

TEST_CASE("an ensemble has the same bits for any number of threads and any chunk: label noise") {
  check_reproducible(valley);
}

TEST_CASE("an ensemble has the same bits for any number of threads and any chunk: Gaussian noise") {
  check_reproducible(curved_valley);
}

TEST_CASE("an ensemble has the same bits for any number of threads and any chunk: minibatches, a network") {
  check_reproducible(network);
}

TEST_CASE("a sweep has the same bits for any number of threads and any chunk") { check_reproducible(sweep); }

TEST_CASE("a suite has the same bits for any number of threads and any chunk") {
  const slowsde::test::Scratch scratch;
  scratch.write("curved.toml", curved_valley);
  scratch.write("sweep.toml", sweep);
  const auto part = [&](const std::string& name) {
    return "[[parts]]\nname = \"" + name + "\"\nconfig = \"" + (scratch / (name + ".toml")).string() + "\"\n";
  };
  check_reproducible("kind = \"suite\"\n" + part("curved") + part("sweep"),
                     {"parts.curved.", "parts.sweep."});
}

TEST_CASE("replicas that diverge are counted and left out the same for any number of threads") {
  const std::vector<std::string> wild = {"iterates.0.lr=1.1", "iterates.1.lr=0.01", "run.slow_time=40",
                                         "start.point=[0.9, 0.0]"};
  const std::vector<Result> reference = run(valley, 1, wild);
  const std::vector<double>& diverged = reference[0].variable("diverged").data;
  bool some = false;
  for (const double n : diverged) some = some || (n > 0 && n < 101);
  CHECK(some);
  CHECK(differences(reference, run(valley, 5, wild)) == std::vector<std::string>{});
}
