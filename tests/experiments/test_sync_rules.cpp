#include "slowsde/experiments/sync_rules.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "slowsde/optim/round_plan.hpp"
#include "tests/support/replaced.hpp"
#include "tests/support/run_config.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;

namespace {

const std::string base = R"(kind = "sync-rules"
[problem]
name = "valley"
[start]
point = [1.5, 0.0]
[noise]
kind = "minibatch"
sigma = 0.5
[run]
total_steps = 1000
replicas = 40
outputs = 3
observables = ["x0", "trace", "residual"]
compare = "trace"
[algorithm]
workers = 4
[[schedules]]
name = "cosine"
lr = { schedule = "cosine", peak = 0.1, end = 0.01 }
[[schedules]]
name = "step"
lr = { schedule = "step", peak = 0.1, at = [600], factor = 0.5 }
[[rules]]
name = "parallel"
rule = { name = "parallel" }
[[rules]]
name = "H = 1"
rule = { name = "constant", local_steps = 1 }
[[rules]]
name = "QSR"
rule = { name = "qsr", alpha = 0.31 }
[[rules]]
name = "SWAP"
rule = { name = "swap", switch_step = 100 }
)";

std::string message_of(const std::string& text) {
  try {
    test::run_config(text);
  } catch (const std::exception& e) {
    return e.what();
  }
  return "no error";
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("every rule runs the same steps under every schedule, and the pairs of a schedule are compared") {
  std::string effective;
  const Result result = test::run_config(base, 1, &effective);
  CHECK(result.dims.at("point") == 2);
  CHECK(result.dims.at("rule") == 4);
  CHECK(result.dims.at("pair") == 6);
  CHECK(result.dims.at("series") == 8);
  CHECK(result.text_variable("schedule").data == std::vector<std::string>{"cosine", "step"});
  CHECK(result.text_variable("compared").data == std::vector<std::string>{"trace"});
  CHECK(result.text_variable("first_rule").data[3] == "H = 1");
  CHECK(result.text_variable("second_rule").data[3] == "QSR");

  const LearningRate cosine(
      {.shape = LearningRateShape::cosine, .peak = 0.1, .end = 0.01, .total_steps = 1000});
  const LearningRate step(
      {.shape = LearningRateShape::step, .peak = 0.1, .step_at = {600}, .step_factor = 0.5});
  const auto& t = result.variable("t").data;            // (point, series, time)
  const auto& rounds = result.variable("rounds").data;  // (point, series, time)
  const auto& steps = result.variable("steps").data;
  const auto& share = result.variable("communication").data;
  const auto& communication = result.variable("total_communication").data;  // (point, rule)
  const PowerRule qsr({.alpha = 0.31, .base_steps = 1});
  const SwapRule swap(1, 100);
  for (int p = 0; p < 2; ++p) {
    const LearningRate& lr = p == 0 ? cosine : step;
    const double T = count_rounds(lr, ParallelRule(), 1000).slow_time;
    for (int s = 0; s < 8; ++s) {
      const std::size_t last = static_cast<std::size_t>((p * 8 + s) * 3 + 2);
      CHECK(test::near_relative(t[last], T, 1e-12));
      CHECK(steps[last] == 1000);
      CHECK(share[last] == rounds[last] / 1000);
      CHECK(std::isnan(share[last - 2]));
    }
    const std::size_t first = static_cast<std::size_t>(p) * 4;
    CHECK(communication[first] == 1);
    CHECK(communication[first + 1] == 1);
    CHECK(communication[first + 2] == count_rounds(lr, qsr, 1000).communication());
    CHECK(communication[first + 3] == count_rounds(lr, swap, 1000).communication());
    CHECK(rounds[(static_cast<std::size_t>(p) * 8 + 3) * 3 + 2] == 101);
  }
  // on the valley the trace is 1 + x²: what is compared is what was recorded
  const auto& cells = result.variable("mean").data;  // (point, series, time, observable)
  CHECK(result.variable("final_measured").data[2] == cells[(2 * 3 + 2) * 3 + 1]);
  CHECK(result.variable("final_predicted").data[2] == cells[(6 * 3 + 2) * 3 + 1]);
  // the projected residual
  CHECK(cells[(2 * 3 + 2) * 3 + 2] < 1e-9);

  const auto& verdicts = result.text_variable("verdict").data;  // (point, pair)
  CHECK(verdicts[0] == "tie");                                  // H = 1 is data parallel
  CHECK(result.variable("measured_gap").data[0] == 0);
  CHECK(verdicts[1] == "ordered as predicted");  // parallel against QSR
  const auto& long_rounds = result.variable("long_rounds").data;
  CHECK(long_rounds[0] == 0);
  CHECK(long_rounds[2] == 1);  // SWAP's one round to the end
  CHECK(std::any_of(result.warnings.begin(), result.warnings.end(), [](const std::string& warning) {
    return has(warning, "cosine: SWAP: trace changes by");
  }));
  CHECK(has(result.summary, "pairs are decided (predicted gap > 5 SE)"));

  const auto& H = result.variable("grid_local_steps").data;  // (point, rule, grid)
  CHECK(H[0] == 1);
  CHECK(H[2 * 200] == 9);  // (0.31/0.1)²
  CHECK(H[3 * 200 + 199] == 900);

  CHECK(has(effective, "moment = \"sampling\""));
  const Result again = test::run_config(effective, 2);
  CHECK(again.variable("mean").data == cells);
  CHECK(again.text_variable("verdict").data == verdicts);
}

TEST_CASE("what can not be compared is refused at its place") {
  const struct {
    const char *from, *to, *cause;
  } cases[] = {
      {"total_steps = 1000", "total_steps = 0", "run.total_steps = 0 must be >= 1"},
      {"total_steps = 1000", "slow_time = 1.0", "the key 'run.total_steps' is missing"},
      {"compare = \"trace\"", "compare = \"loss\"", "run.compare = \"loss\" must be one of run.observables"},
      {"name = \"H = 1\"", "name = \"parallel\"", "rules.1.name = \"parallel\" is taken by an earlier one"},
      {"name = \"step\"", "name = \"cosine\"", "schedules.1.name = \"cosine\" is taken by an earlier one"},
      {"name = \"qsr\"", "name = \"qrs\"", "rules.2.rule.name = \"qrs\" must be one of"},
      {"alpha = 0.31", "alfa = 0.31", "rules.2.rule.alpha"},
      {"end = 0.01", "total_steps = 900", "schedules.0.lr.total_steps = 900 must be that of the run, 1000"},
      {"workers = 4", "workers = 0", "algorithm.workers = 0 must be >= 1"},
      {"[algorithm]", "[theory]\ntheory = \"closed-form\"\nmoment = \"psi\"\n[algorithm]", "theory"},
      {"[algorithm]", "[theory]\nmoment = \"samplin\"\n[algorithm]", "did you mean 'sampling'?"},
      {"\"minibatch\"", "\"label\"", "needs minibatch noise"},
      {"workers = 4", "worker = 4", "unknown key 'algorithm.worker'"},
      {"\"residual\"", "\"test_accuracy\"", "'test_accuracy' is no observable of this problem"}};
  for (const auto& c : cases) {
    CAPTURE(c.to);
    const std::string message = message_of(test::replaced(base, c.from, c.to));
    CAPTURE(message);
    CHECK(has(message, "test.toml:"));
    CHECK(has(message, c.cause));
  }
  CHECK(has(message_of(base.substr(0, base.find("[[rules]]"))), "needs at least two [[rules]]"));
  const auto begin = base.find("[[schedules]]"), end = base.find("[[rules]]");
  CHECK(has(message_of(base.substr(0, begin) + base.substr(end)), "needs at least one [[schedules]]"));
}
