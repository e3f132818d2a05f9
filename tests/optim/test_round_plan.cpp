#include "slowsde/optim/round_plan.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <memory>
#include <stdexcept>
#include <vector>

#include "tests/support/tolerance.hpp"

using namespace slowsde;
using Shape = LearningRateShape;
using test::near_relative;

namespace {

std::vector<PlannedRound> rounds_of(const LearningRate& lr, const SyncRule& rule, std::int64_t N) {
  std::vector<PlannedRound> rounds;
  for_each_round(lr, rule, N, [&](const PlannedRound& round) { rounds.push_back(round); });
  return rounds;
}

// The settings of Gu et al. 2024, tables 2 and 3: 312 steps per epoch.
RoundCounts published(double peak, std::int64_t epochs, std::int64_t warmup, std::int64_t H_base,
                      double alpha, double gamma = 2) {
  const std::int64_t N = 312 * epochs;
  const LearningRate lr(
      {.shape = Shape::cosine, .peak = peak, .end = 1e-6, .warmup_steps = warmup, .total_steps = N});
  return count_rounds(
      lr, PowerRule({.alpha = alpha, .gamma = gamma, .base_steps = H_base, .warmup_steps = warmup}), N);
}

}  // namespace

TEST_CASE("the communication of the published QSR runs: 39.7, 20.1, 10.4 and 6.9 percent") {
  const RoundCounts resnet2 = published(0.8, 200, 5 * 312, 2, 0.2),
                    resnet4 = published(0.8, 200, 5 * 312, 4, 0.25);
  const RoundCounts vit4 = published(0.008, 300, 10000, 4, 0.0175),
                    vit8 = published(0.008, 300, 10000, 8, 0.0175);
  CHECK(resnet2.rounds == 24792);
  CHECK(resnet2.steps == 62400);
  CHECK(resnet4.rounds == 12539);
  CHECK(resnet4.steps == 62400);
  CHECK(vit4.rounds == 9711);
  CHECK(vit4.steps == 93600);
  CHECK(vit8.rounds == 6461);
  CHECK(vit8.steps == 93600);
  CHECK(std::round(1000 * resnet2.communication()) == 397);
  CHECK(std::round(1000 * resnet4.communication()) == 201);
  CHECK(std::round(1000 * vit4.communication()) == 104);
  CHECK(std::round(1000 * vit8.communication()) == 69);
}

TEST_CASE("wrong rules miss the published communication") {
  CHECK(published(0.8, 200, 5 * 312, 2, 0.2, 1).rounds != 24792);  // γ = 1
  CHECK(published(0.8, 200, 5 * 312, 2, 0.2, 3).rounds != 24792);  // γ = 3
  CHECK(published(0.8, 200, 0, 2, 0.2).rounds != 24792);           // no warm-up
  CHECK(published(0.8, 200, 5 * 312, 2, 0.2 * (1 + 1e-3)).rounds != 24792);
}

TEST_CASE("rounds follow one another without gaps and the last is shortened to end with the run") {
  const LearningRate lr(
      {.shape = Shape::cosine, .peak = 0.5, .end = 0, .warmup_steps = 7, .total_steps = 500});
  const auto power = [](double gamma) {
    return std::make_shared<PowerRule>(PowerRuleParams{.gamma = gamma, .base_steps = 3, .warmup_steps = 7});
  };
  const std::shared_ptr<const SyncRule> rules[] = {
      std::make_shared<ConstantRule>(6),
      std::make_shared<ParallelRule>(),
      power(2),
      power(3),
      std::make_shared<PostLocalRule>(6, 50),
      std::make_shared<SwapRule>(3, 50),
      std::make_shared<ProportionalRule>(3, 0.01),
      std::make_shared<TableRule>(TableRule::Table{{0, 3}, {40, 9}})};
  for (const auto& rule : rules) {
    std::int64_t next = 0, index = 0;
    double time = 0;
    for (const PlannedRound& round : rounds_of(lr, *rule, 500)) {
      CHECK(round.index == index++);
      CHECK(round.first_step == next);
      CHECK(round.begin == time);
      next += round.local_steps;
      time = round.end;
    }
    CHECK(next == 500);
    const RoundCounts counts = count_rounds(lr, *rule, 500);
    CHECK(counts.rounds == index);
    CHECK(counts.slow_time == time);
  }
  CHECK(rounds_of(lr, ConstantRule(6), 500).back().local_steps == 500 % 6);
}

TEST_CASE("a round is not cut at the end of the warm-up") {
  const LearningRate lr({.shape = Shape::cosine, .peak = 0.5, .warmup_steps = 10, .total_steps = 100});
  const auto rounds = rounds_of(lr, PowerRule({.alpha = 1, .base_steps = 4, .warmup_steps = 10}), 100);
  CHECK(rounds[2].first_step == 8);
  CHECK(rounds[2].local_steps == 4);
  CHECK(rounds[3].first_step == 12);
  CHECK(rounds[3].local_steps == 4);  // ⌊(1/0.499)²⌋
}

TEST_CASE("slow time is the sum of η_k², rounded once") {
  const RoundCounts counts = count_rounds(LearningRate::constant(0.05), ConstantRule(1), 1600000);
  CHECK(near_relative(counts.slow_time, 4000, 4e-16));
  const LearningRate lr({.shape = Shape::linear, .peak = 0.5, .end = 0.1, .total_steps = 1000});
  long double sum = 0;
  for (std::int64_t k = 0; k < 1000; ++k) sum += static_cast<long double>(lr(k)) * lr(k);
  const double time = count_rounds(lr, ConstantRule(10), 1000).slow_time;
  CHECK(near_relative(time, static_cast<double>(sum), 1e-15));
  CHECK(std::abs(time / (1000 * 0.5 * 0.5) - 1) > 0.1);  // the peak rate is not what counts
  CHECK(std::abs(time / (1000 * 0.3 * 0.3) - 1) > 0.1);  // nor is the mean
}

TEST_CASE("a round's η is the mean over its steps, exact where the rate is constant") {
  for (const PlannedRound& round : rounds_of(LearningRate::constant(0.1), ConstantRule(7), 100))
    CHECK(round.eta == 0.1);
  const LearningRate lr({.shape = Shape::linear, .peak = 1, .end = 0, .total_steps = 100});
  CHECK(near_relative(rounds_of(lr, ConstantRule(5), 100)[3].eta, 1 - 0.17, 1e-14));
}

TEST_CASE("the number of steps to a slow time") {
  CHECK(steps_to_slow_time({.peak = 0.05}, 4) == 1600);
  CHECK(steps_to_slow_time({.peak = 0.1}, 2) == 200);
  CHECK(steps_to_slow_time({.peak = 0.0125}, 2) == 12800);
  CHECK(steps_to_slow_time({.peak = 0.05}, 4.0001) == 1601);
  CHECK(steps_to_slow_time({.peak = 0.05}, 0) == 0);
  CHECK_THROWS_AS(steps_to_slow_time({.peak = 0.05}, -1), std::invalid_argument);
  CHECK_THROWS_AS(steps_to_slow_time({.peak = 1e-9}, 1), std::domain_error);
  for (Shape shape : {Shape::constant, Shape::linear, Shape::cosine, Shape::step, Shape::cosine_powers}) {
    LearningRateParams params{.shape = shape, .peak = 0.5, .end = 0.01, .warmup_steps = 20, .step_at = {100}};
    const std::int64_t N = steps_to_slow_time(params, 20);
    const auto time = [&](std::int64_t n) {
      params.total_steps = n;
      return count_rounds(LearningRate(params), ParallelRule(), n).slow_time;
    };
    CHECK(time(N) >= 20 * (1 - 1e-12));
    CHECK(time(N - 1) < 20);
    const std::int64_t early = steps_to_slow_time(params, 0.01);
    CHECK(time(early) >= 0.01 * (1 - 1e-12));
  }
}

TEST_CASE("the clock gives the round under way at every slow time") {
  const LearningRate lr(
      {.shape = Shape::cosine, .peak = 0.5, .end = 0, .warmup_steps = 20, .total_steps = 1000});
  const PowerRule rule({.alpha = 1, .base_steps = 3, .warmup_steps = 20});
  const Round algorithm{.workers = 6, .local_batch = 2, .momentum = 0.5};
  const double slow = 4;  // 1/(1−β)²
  const RoundClock clock(lr, rule, 1000, algorithm, slow);
  const auto rounds = rounds_of(lr, rule, 1000);
  for (const PlannedRound& planned : rounds) {
    const Round& round = clock(slow * 0.5 * (planned.begin + planned.end));
    CHECK(round.eta == planned.eta);
    CHECK(round.local_steps == planned.local_steps);
    CHECK(round.workers == 6);
    CHECK(round.local_batch == 2);
    CHECK(round.momentum == 0.5);
    if (planned.end > planned.begin) CHECK(clock(slow * planned.begin).local_steps == planned.local_steps);
  }
  CHECK(clock.end() == slow * rounds.back().end);
  CHECK(clock(-1).local_steps == rounds.front().local_steps);
  CHECK(clock(1e9).local_steps == rounds.back().local_steps);
}

TEST_CASE(
    "equal rounds are stored once: at constant lr the clock of N steps holds one round and the shortened "
    "last") {
  const RoundClock clock(LearningRate::constant(0.1), ConstantRule(7), 100000, {.workers = 3});
  CHECK(clock.changes().size() == 2);
  CHECK(clock(500).local_steps == 7);
  CHECK(clock(1000).local_steps == 100000 % 7);
  const RoundClock always(Round{.eta = 0.1, .local_steps = 7, .workers = 3});
  CHECK(always(1e12).local_steps == 7);
  CHECK(std::isinf(always.end()));
  CHECK_THROWS_AS(RoundClock(Round{.eta = 0}), std::invalid_argument);
  CHECK_THROWS_AS(RoundClock(LearningRate::constant(0.1), ConstantRule(7), 0, {}), std::invalid_argument);
}

TEST_CASE("the rounds of a schedule that begins at rate 0 leave no trace on the clock") {
  const LearningRate lr({.peak = 0.5, .end = 0, .warmup_steps = 10});
  const RoundClock clock(lr, ParallelRule(), 50, {});
  CHECK(clock(0).eta == 0.05);
}

TEST_CASE("a long round of a decaying rate is divided: η where it is, ηH as in the whole round") {
  const LearningRate lr({.shape = Shape::cosine, .peak = 0.5, .end = 0, .total_steps = 1000});
  const SwapRule rule(2, 400);
  const RoundClock whole(lr, rule, 1000, {.workers = 3});
  const RoundClock divided(lr, rule, 1000, {.workers = 3}, 1, 0.05);
  CHECK(divided.end() == whole.end());
  const PlannedRound last = rounds_of(lr, rule, 1000).back();
  REQUIRE(last.local_steps == 600);
  // before the long round they are the same
  for (const double share : {0.0, 0.3, 0.9}) {
    CHECK(divided(share * last.begin).eta == whole(share * last.begin).eta);
    CHECK(divided(share * last.begin).local_steps == 2);
  }
  SlowTime time;
  for (std::int64_t k = 0; k < 999; ++k) {
    const double t = time.value();
    time.advance(lr(k));
    if (k < 400 || !(time.value() > t)) continue;
    const Round& round = divided(0.5 * (t + time.value()));
    CHECK(std::abs(round.eta - lr(k)) <= 0.05 * lr(400));
    const double eta_H = round.eta * static_cast<double>(round.local_steps);
    CHECK(std::abs(eta_H - 600 * last.eta) <= round.eta);  // H is a whole number
    CHECK(round.workers == 3);
  }
  CHECK(divided.changes().size() >= whole.changes().size() + 15);
}

TEST_CASE("rounds within which the rate hardly changes are not divided") {
  const LearningRate lr({.shape = Shape::cosine, .peak = 0.5, .end = 0.1, .total_steps = 1000});
  const RoundClock whole(lr, ConstantRule(5), 1000, {}), divided(lr, ConstantRule(5), 1000, {}, 1, 0.05);
  CHECK(divided.changes() == whole.changes());
}
