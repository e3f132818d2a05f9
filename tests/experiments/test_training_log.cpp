#include "slowsde/experiments/training_log.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <string>

#include "slowsde/experiments/errors.hpp"
#include "slowsde/optim/round_plan.hpp"
#include "slowsde/problems/random_address.hpp"
#include "tests/support/scratch.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;

namespace {

std::string refusal(const std::string& text) {
  const test::Scratch dir;
  const auto file = dir.write("run.csv", text);
  try {
    read_training_log(file);
  } catch (const IoError& e) {
    const std::string message = e.what();
    return message.substr(message.find("run.csv"));
  }
  return "no error";
}

// The log of a run with these times, a row at every tenth round; noise of standard deviation s in every step.
std::string logged(const LearningRate& lr, const SyncRule& rule, std::int64_t N, double step, double average,
                   double s, std::uint64_t seed) {
  std::string text = "H,step,loss,wall_time,lr\n";
  double seconds = 1234;
  char line[200];
  for_each_round(lr, rule, N, [&](const PlannedRound& round) {
    std::snprintf(line, sizeof line, "%lld,%lld,0.1,%.9f,%.17g\n", static_cast<long long>(round.local_steps),
                  static_cast<long long>(round.first_step), seconds, lr(round.first_step));
    text += line;
    const double H = static_cast<double>(round.local_steps);
    seconds +=
        H * step + average +
        s * std::sqrt(H) * normal_at(seed, Stream::sample, 0, 0, static_cast<std::uint64_t>(round.index));
  });
  std::snprintf(line, sizeof line, "1,%lld,0.1,%.9f,%.17g\n", static_cast<long long>(N), seconds, lr(N));
  return text + line;
}

}  // namespace

TEST_CASE("a written run comes back: its rates, its rounds, and its times within their standard errors") {
  const std::int64_t N = 4000;
  const LearningRate lr(
      {.shape = LearningRateShape::cosine, .peak = 0.5, .end = 0.01, .warmup_steps = 100, .total_steps = N});
  const PowerRule rule({.alpha = 0.6, .base_steps = 2, .max_steps = 60, .warmup_steps = 100});
  const test::Scratch dir;
  const TrainingLog log = read_training_log(dir.write("run.csv", logged(lr, rule, N, 0.2, 0.35, 0.01, 3)));
  const std::vector<double> rates = log.rates();
  REQUIRE(static_cast<std::int64_t>(rates.size()) == N);
  for (std::size_t i = 0; i + 1 < log.step.size(); ++i)
    CHECK(rates[static_cast<std::size_t>(log.step[i])] == lr(log.step[i]));
  double worst = 0;
  for (std::int64_t k = 0; k < N; ++k)
    worst = std::max(worst, std::abs(rates[static_cast<std::size_t>(k)] - lr(k)));
  CHECK(worst < 5e-4);  // (60·π/2N)²/8·0.5/2 where rows are 60 steps apart; the warm-up ends between two rows
  const auto again = log.rule();
  std::vector<std::int64_t> planned, reread;
  for_each_round(lr, rule, N, [&](const PlannedRound& r) { planned.push_back(r.local_steps); });
  for_each_round(lr, *again, N, [&](const PlannedRound& r) { reread.push_back(r.local_steps); });
  CHECK(planned == reread);
  const LeastSquaresTimes fit = fit_times(log.stretches());
  REQUIRE(fit.identifiable);
  CHECK(test::zscore(fit.times.step_seconds, 0.2, fit.times.step_se) < 4);
  CHECK(test::zscore(fit.times.average_seconds, 0.35, fit.times.average_se) < 4);
  CHECK(fit.times.step_se < 0.002);
  CHECK(fit.times.average_se < 0.01);
  // read with H one row late, or as if it were the steps already taken, the same log gives other times
  TrainingLog late = log;
  for (std::size_t i = late.local_steps.size() - 1; i > 0; --i) late.local_steps[i] = late.local_steps[i - 1];
  for (auto& H : late.local_steps) H = 2 * H;
  CHECK(test::zscore(fit_times(late.stretches()).times.average_seconds, 0.35,
                     fit_times(late.stretches()).times.average_se) > 5);
}

TEST_CASE("between the rows the rate is linear, H is held; before the first and after the last both stand") {
  TrainingLog log;
  log.step = {10, 20, 40};
  log.lr = {1, 0.5, 0.1};
  log.seconds = {0, 5, 11};
  log.local_steps = {2, 5, 7};
  const std::vector<double> rates = log.rates(60);
  CHECK(rates[0] == 1);
  CHECK(rates[10] == 1);
  CHECK(test::near(rates[15], 0.75, 1e-15));
  CHECK(rates[20] == 0.5);
  CHECK(test::near(rates[30], 0.3, 1e-15));
  CHECK(rates[40] == 0.1);
  CHECK(rates[59] == 0.1);
  CHECK(log.rates().size() == 40);
  const auto rule = log.rule();
  CHECK(rule->local_steps(0, 0.1, 100) == 2);
  CHECK(rule->local_steps(19, 0.1, 100) == 2);
  CHECK(rule->local_steps(20, 0.1, 100) == 5);
  CHECK(rule->local_steps(90, 0.1, 100) == 7);
  const auto stretches = log.stretches();
  REQUIRE(stretches.size() == 2);
  CHECK(stretches[0].rounds == 5);
  CHECK(stretches[1].rounds == 4);
  CHECK(stretches[1].seconds == 6);
}

TEST_CASE("a log that can not be is refused with its line") {
  CHECK(refusal("step,lr,H\n0,1,1\n") ==
        "run.csv:1: no column is named wall time; this line, which should name them, has: step, lr, H");
  const std::string head = "step,lr,time,H\n0,0.1,0,2\n";
  CHECK(refusal(head + "4,0.1,3,2\n4,0.1,5,2\n") == "run.csv:4: step = 4 does not follow 4");
  CHECK(refusal(head + "2.5,0.1,3,2\n") == "run.csv:3: step = 2.5 must be an integer from 0 to 100000000");
  CHECK(refusal(head + "1e12,0.1,3,2\n") ==
        "run.csv:3: step = 1000000000000 must be an integer from 0 to 100000000");
  CHECK(refusal(head + "-1,0.1,3,2\n") == "run.csv:3: step = -1 must be an integer from 0 to 100000000");
  CHECK(refusal(head + "5,-0.1,3,2\n") == "run.csv:3: lr = -0.1 must be >= 0");
  CHECK(refusal(head + "5,0.1,-3,2\n") == "run.csv:3: wall time = -3 is before 0, that of the row above");
  CHECK(refusal(head + "5,0.1,3,0\n") == "run.csv:3: H = 0 must be an integer >= 1");
  CHECK(refusal(head + "5,0.1,3,1.5\n") == "run.csv:3: H = 1.5 must be an integer >= 1");
  CHECK(refusal(head + "5,0.1,3\n") == "run.csv:3: 3 cells where the first line has 4");
  CHECK(refusal(head) == "run.csv: has one row; a wall time needs two");
}
