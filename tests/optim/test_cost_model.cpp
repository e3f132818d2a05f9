#include "slowsde/optim/cost_model.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <stdexcept>

#include "slowsde/optim/round_plan.hpp"
#include "slowsde/problems/random_address.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;
using test::near_relative;

namespace {

constexpr double hour = 3600, gbps = 1e9;

// ViT-B of Gu et al. 2024: 300 epochs of 312 steps, cosine from 0.008, 10000 steps of warm-up, α = 0.0175.
RunVolume vit(std::int64_t H_base) {
  const LearningRate lr({.shape = LearningRateShape::cosine,
                         .peak = 0.008,
                         .end = 1e-6,
                         .warmup_steps = 10000,
                         .total_steps = 93600});
  const PowerRule rule({.alpha = 0.0175, .base_steps = H_base, .warmup_steps = 10000});
  const RoundCounts counts = count_rounds(lr, rule, 93600);
  return {counts.steps, counts.rounds};
}

constexpr RunVolume parallel{93600, 93600};
constexpr double vit_bytes = 4 * 86567656.0;

// Stretches of a run whose H grows, with independent noise of standard deviation s in every step's time.
std::vector<Stretch> noisy_stretches(const StepAndAverage& planted, double s, std::uint64_t seed,
                                     double H_last) {
  std::vector<Stretch> out;
  for (int i = 0; i < 60; ++i) {
    const double rounds = 10, steps = rounds * std::floor(2 + (H_last - 2) * i / 59.0);
    const double noise =
        s * std::sqrt(steps) * normal_at(seed, Stream::sample, 0, 0, static_cast<std::uint64_t>(i));
    out.push_back({steps, rounds, steps * planted.step_seconds + rounds * planted.average_seconds + noise});
  }
  return out;
}

}  // namespace

TEST_CASE("T = N t_step + R (messages·latency + 8·2(K−1)/K·bytes/(efficiency·bandwidth)), by hand") {
  const CostModel model{.step_seconds = 0.5, .workers = 4, .bytes = 1e9, .latency = 1e-3, .efficiency = 0.8};
  CHECK(model.bytes_sent() == 1.5e9);
  // ring: 6 messages; 12e9 bits at 8e9 a second
  CHECK(near_relative(model.average_seconds(10 * gbps), 6e-3 + 1.5, 1e-15));
  CHECK(near_relative(model.seconds({100, 25}, 10 * gbps), 50 + 25 * 1.506, 1e-15));
  CHECK(near_relative(model.average_seconds(40 * gbps), 6e-3 + 0.375, 1e-15));
  CHECK(messages(Topology::ring, 1) == 0);
  CHECK(messages(Topology::ring, 16) == 30);
  CHECK(messages(Topology::tree, 1) == 0);
  CHECK(messages(Topology::tree, 16) == 8);
  CHECK(messages(Topology::tree, 17) == 10);
  CHECK(CostModel{.step_seconds = 1, .bytes = 1e9}.average_seconds(gbps) == 0);  // nobody to average with
}

TEST_CASE("two measured times give back the planted model, and every time that follows from it") {
  for (const Topology topology : {Topology::ring, Topology::tree}) {
    const CostModel planted{.step_seconds = 0.137,
                            .workers = 24,
                            .bytes = 2.4e8,
                            .latency = 35e-6,
                            .efficiency = 0.62,
                            .topology = topology};
    const RunVolume a{50000, 50000}, b{40000, 1234}, other{7000, 900};
    const double at = 25 * gbps;
    const StepAndAverage times = calibrate({a, planted.seconds(a, at)}, {b, planted.seconds(b, at)});
    CHECK(near_relative(times.step_seconds, planted.step_seconds, 1e-12));
    CHECK(near_relative(times.average_seconds, planted.average_seconds(at), 1e-12));
    const CostModel by_latency = with_latency(times, 24, 2.4e8, at, 35e-6, topology);
    const CostModel by_efficiency = with_efficiency(times, 24, 2.4e8, at, 0.62, topology);
    CHECK(near_relative(by_latency.efficiency, 0.62, 1e-10));
    CHECK(near_relative(by_efficiency.latency, 35e-6, 1e-8));
    for (const double bandwidth : {1 * gbps, at, 400 * gbps})
      for (const CostModel& model : {by_latency, by_efficiency})
        CHECK(near_relative(model.seconds(other, bandwidth), planted.seconds(other, bandwidth), 1e-10));
    // what a wrong reading would give
    CHECK(std::abs(by_latency.seconds(other, 400 * gbps) / planted.seconds(other, 100 * gbps) - 1) > 0.001);
    const CostModel no_latency = with_latency(times, 24, 2.4e8, at, 0, topology);
    CHECK(std::abs(no_latency.average_seconds(400 * gbps) / planted.average_seconds(400 * gbps) - 1) > 0.01);
  }
}

TEST_CASE("ViT-B's times of Gu et al. 2024 at 25 Gbps: the pairs, and what follows from them") {
  const struct {
    int workers;
    double parallel_hours, qsr_hours;
  } settings[] = {{16, 26.7, 20.2}, {64, 8.6, 5.5}};
  for (const auto& s : settings)
    for (const std::int64_t H_base : {4, 8}) {
      CAPTURE(s.workers);
      CAPTURE(H_base);
      const RunVolume qsr = vit(H_base), other = vit(12 - H_base);
      const StepAndAverage times = calibrate({parallel, hour * s.parallel_hours}, {qsr, hour * s.qsr_hours});
      const CostModel model = with_latency(times, s.workers, vit_bytes, 25 * gbps, 0);
      CHECK(near_relative(model.seconds(parallel, 25 * gbps), hour * s.parallel_hours, 1e-12));
      CHECK(near_relative(model.seconds(qsr, 25 * gbps), hour * s.qsr_hours, 1e-12));
      // whichever H_base the published time belongs to, the other's is within 0.3 h of it
      const double difference = (model.seconds(other, 25 * gbps) - model.seconds(qsr, 25 * gbps)) / hour;
      CHECK((H_base == 4 ? difference < 0 : difference > 0));
      CHECK(std::abs(difference) < 0.3);
      // a part of the time of data parallelism that only computation can explain
      const double computed = times.step_seconds * 93600 / hour;
      CHECK(computed > 0.59 * s.parallel_hours);
      CHECK(computed < 0.75 * s.parallel_hours);
      // hours fall with the bandwidth towards the computation alone, and QSR's gain with them
      double before = std::numeric_limits<double>::infinity(), gain = before;
      for (const double bandwidth : {10.0, 25.0, 100.0, 400.0}) {
        const double T = model.seconds(parallel, bandwidth * gbps), Q = model.seconds(qsr, bandwidth * gbps);
        CHECK(T < before);
        CHECK(T / Q < gain);
        CHECK(Q > hour * computed);
        before = T;
        gain = T / Q;
      }
      CHECK(gain > 1);
    }
}

TEST_CASE("least squares over the stretches of a run: the planted times within their errors") {
  const StepAndAverage planted{.step_seconds = 0.21, .average_seconds = 0.4};
  const LeastSquaresTimes exact = fit_times(noisy_stretches(planted, 0, 1, 40));
  REQUIRE(exact.identifiable);
  CHECK(near_relative(exact.times.step_seconds, 0.21, 1e-12));
  CHECK(near_relative(exact.times.average_seconds, 0.4, 1e-12));
  // over 400 runs the z-scores have mean 0 and variance 1: 5 standard errors of either
  constexpr int runs = 400;
  double sum[2] = {}, squares[2] = {}, span = 0;
  double parts = 0;  // seconds_se of a combination against its scatter
  for (int r = 0; r < runs; ++r) {
    const LeastSquaresTimes fit =
        fit_times(noisy_stretches(planted, 0.02, 100 + static_cast<std::uint64_t>(r), 40));
    const double z[2] = {(fit.times.step_seconds - 0.21) / fit.times.step_se,
                         (fit.times.average_seconds - 0.4) / fit.times.average_se};
    for (int j = 0; j < 2; ++j) {
      sum[j] += z[j];
      squares[j] += z[j] * z[j];
    }
    const double total = (1000 * (fit.times.step_seconds - 0.21) + 100 * (fit.times.average_seconds - 0.4)) /
                         fit.times.seconds_se(1000, 100);
    parts += total * total;
    span = fit.times.average_se;
  }
  for (int j = 0; j < 2; ++j) {
    CHECK(std::abs(sum[j] / runs) < 5 / std::sqrt(runs));
    CHECK(std::abs(squares[j] / runs - 58.0 / 56.0) < 5 * std::sqrt(2.2 / runs));
  }
  CHECK(std::abs(parts / runs - 58.0 / 56.0) < 5 * std::sqrt(2.2 / runs));
  // wrong models of the stretches are rejected: one more average in each, a fiftieth more steps
  CHECK(span < 0.4 / 50);
  std::vector<Stretch> wrong = noisy_stretches(planted, 0.02, 3, 40);
  for (Stretch& s : wrong) s.rounds += 1;
  LeastSquaresTimes fit = fit_times(wrong);
  CHECK(std::abs(fit.times.average_seconds - 0.4) > 5 * fit.times.average_se);
  wrong = noisy_stretches(planted, 0.02, 3, 40);
  for (Stretch& s : wrong) s.steps *= 1.02;
  fit = fit_times(wrong);
  CHECK(std::abs(fit.times.step_seconds - 0.21) > 5 * fit.times.step_se);
}

TEST_CASE("a pause in a stretch is pointed at; a constant H does not tell computation from communication") {
  const StepAndAverage planted{.step_seconds = 0.21, .average_seconds = 0.4};
  std::vector<Stretch> stretches = noisy_stretches(planted, 0.02, 5, 40);
  CHECK(fit_times(stretches).worst_residual < 5);
  stretches[17].seconds += 300;
  const LeastSquaresTimes fit = fit_times(stretches);
  CHECK(fit.worst == 17);
  CHECK(fit.worst_residual > 5);
  CHECK(!fit_times(noisy_stretches(planted, 0.02, 5, 2)).identifiable);
  CHECK_THROWS_AS(fit_times({{10, 1, 1}, {10, 2, 1}}), std::invalid_argument);
  CHECK_THROWS_AS(fit_times({{10, 1, 1}, {10, 2, 1}, {0, 1, 1}}), std::invalid_argument);
  CHECK_THROWS_AS(fit_times({{10, 1, 1}, {10, 2, 1}, {10, 1, std::nan("")}}), std::invalid_argument);
}

TEST_CASE("times that contradict the model are refused by what contradicts it") {
  CHECK_THROWS_WITH_AS(
      calibrate({{100, 50}, 10}, {{200, 100}, 20}),
      "cost model: both runs have the same rounds per step, which leaves the times of a step and of "
      "an average undetermined",
      std::invalid_argument);
  CHECK_THROWS_AS(calibrate({{100, 100}, 10}, {{100, 10}, 11}), std::invalid_argument);   // a < 0
  CHECK_THROWS_AS(calibrate({{100, 100}, 10}, {{100, 10}, 0.5}), std::invalid_argument);  // t_step < 0
  CHECK_THROWS_AS(calibrate({{100, 0}, 10}, {{100, 10}, 11}), std::invalid_argument);
  CHECK_THROWS_AS(calibrate({{100, 100}, std::nan("")}, {{100, 10}, 5}), std::invalid_argument);
  const StepAndAverage times{.step_seconds = 1, .average_seconds = 0.1};
  CHECK_THROWS_AS(with_latency(times, 11, 1e6, gbps, 0.005), std::invalid_argument);  // 20 · 5 ms
  CHECK_THROWS_AS(with_efficiency(times, 2, 1e9, gbps, 1), std::invalid_argument);    // 8 s of bytes
  CHECK(with_efficiency(times, 1, 1e9, gbps, 1).latency == 0);
  CHECK_THROWS_WITH_AS((CostModel{.workers = 0}.check()), "cost model: workers >= 1 is violated by 0",
                       std::invalid_argument);
  CHECK_THROWS_AS((CostModel{.efficiency = 0}.check()), std::invalid_argument);
  CHECK_THROWS_AS((CostModel{.latency = -1}.check()), std::invalid_argument);
  CHECK_THROWS_AS((CostModel{.bytes = std::nan("")}.check()), std::invalid_argument);
  CHECK_THROWS_AS(topology("star"), std::invalid_argument);
}
