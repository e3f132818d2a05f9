// ctest-labels: theory
// Pairs of synchronization rules at the same budget of steps are ordered by final sharpness as the slow SDE
// with the finite-step moment and sampling predicts, and their gaps are the predicted ones. Theories in which
// the rules are all alike (ψ ≡ 0) or which count K for K − 1 are contradicted by the same runs.
#include <doctest/doctest.h>

#include <cmath>
#include <memory>
#include <string>

#include "slowsde/experiments/ensemble_models.hpp"
#include "slowsde/experiments/progress.hpp"
#include "slowsde/experiments/registry.hpp"
#include "slowsde/experiments/result.hpp"
#include "slowsde/optim/sampling_moment.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;

namespace {

/// The moment with sampling of another round.
template <class Change>
class SamplingMomentOf final : public SecondMoment {
 public:
  std::string_view name() const override { return "wrong"; }
  double coefficient(double lambda_i, double lambda_j, const Round& round) const override {
    Round other = round;
    Change()(other);
    return SamplingMoment().coefficient(lambda_i, lambda_j, other);
  }
  double sampling_weight(const Round& round, int samples) const override {
    return SamplingMoment().sampling_weight(round, samples);
  }
};
struct NoLocalSteps {
  void operator()(Round& round) const { round.local_steps = 1; }  // ψ_1 = 0
};
struct OneWorkerMore {
  void operator()(Round& round) const { ++round.workers; }  // 1 + Kψ
};

// A network of 12 hidden units that interpolates 10 samples of a teacher; ησ²/B_loc is at most 0.002.
const std::string config = R"(kind = "sync-rules"
[problem]
name = "mlp-teacher"
inputs = 6
outputs = 2
samples = 10
hidden = [12]
init_gain = [2.0, 1.0]
[noise]
kind = "minibatch"
sigma = 0.2
[run]
total_steps = 4000
replicas = 64
outputs = 2
observables = ["trace"]
[algorithm]
workers = 4
[[schedules]]
name = "cosine"
lr = { schedule = "cosine", peak = 0.05 }
[[schedules]]
name = "step"
lr = { schedule = "step", peak = 0.05, at = [2000], factor = 0.3 }
[[rules]]
name = "parallel"
rule = { name = "parallel" }
[[rules]]
name = "H = 4"
rule = { name = "constant", local_steps = 4 }
[[rules]]
name = "QSR"
rule = { name = "qsr", alpha = 0.1 }
[[rules]]
name = "H = 100"
rule = { name = "constant", local_steps = 100 }
[theory]
moment = )";

Result run(const std::string& moment) {
  Registry registry = builtin_registry();
  add_moment<SamplingMomentOf<NoLocalSteps>>(registry, "no-local-steps");
  add_moment<SamplingMomentOf<OneWorkerMore>>(registry, "one-worker-more");
  ConfigTable table = ConfigTable::parse(config + "\"" + moment + "\"\n", "order");
  Progress progress;
  RunContext context{registry, progress};
  context.threads = 2;
  return run_experiment(table, context);
}

}  // namespace

TEST_CASE("rules are ordered by sharpness as the theory says, and as wrong theories do not") {
  const Result right = run("sampling"), alike = run("no-local-steps"), more = run("one-worker-more");
  const auto& first = right.text_variable("first_rule").data;
  const auto& second = right.text_variable("second_rule").data;
  const auto& se = right.variable("gap_se").data;  // (point, pair)
  const std::size_t pairs = first.size();
  REQUIRE(se.size() == 2 * pairs);
  REQUIRE(right.diverged == 0);
  int decided = 0, wrong_size = 0;
  for (std::size_t j = 0; j < se.size(); ++j) {
    CAPTURE(first[j % pairs]);
    CAPTURE(second[j % pairs]);
    const double measured = right.variable("measured_gap").data[j];
    const double predicted = right.variable("predicted_gap").data[j];
    MESSAGE(std::string(j < pairs ? "cosine: " : "step: ")
            << first[j % pairs] << " - " << second[j % pairs] << ": predicted " << predicted << ", measured "
            << measured << " +- " << se[j] << ", ratio " << measured / predicted << "; with K for K - 1 "
            << more.variable("predicted_gap").data[j]);
    // the iterates are the same whatever they are compared with
    REQUIRE(more.variable("measured_gap").data[j] == measured);
    CHECK(std::abs(predicted) > 5 * se[j]);
    CHECK(right.text_variable("verdict").data[j] == "ordered as predicted");
    decided += right.text_variable("verdict").data[j] == "ordered as predicted";
    // what remains of the small noise: O(ησ²/B_loc) times the curvature of a sample
    CHECK(std::abs(measured / predicted - 1) <= 0.05 + 4 * se[j] / std::abs(predicted));

    // ψ ≡ 0: no gap is predicted (but for η's mean over a round), and every gap is there
    CHECK(std::abs(alike.variable("predicted_gap").data[j]) <= se[j]);
    CHECK(alike.text_variable("verdict").data[j] == "gap not predicted");
    // K for K − 1: the order is right, the gaps are a third too large
    const double too_large = more.variable("predicted_gap").data[j];
    wrong_size += test::zscore(measured, too_large, se[j]) >= 5 && std::abs(measured / too_large - 1) > 0.15;
  }
  CHECK(decided >= 3);
  CHECK(wrong_size >= 10);
}
