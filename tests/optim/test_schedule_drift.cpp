#include "slowsde/optim/schedule_drift.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <stdexcept>

#include "slowsde/optim/finite_step_moment.hpp"
#include "slowsde/optim/heavy_ball_moment.hpp"
#include "slowsde/optim/psi_moment.hpp"
#include "slowsde/optim/qsr_moment.hpp"
#include "slowsde/sde/psi.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;
using test::near_relative;

namespace {

const PsiMoment psi_model;
const FiniteStepMoment finite_model;
const QsrMoment qsr_model;

// ResNet-152 of Gu et al. 2024: 200 epochs of 312 steps, cosine from 0.8, 5 epochs of warm-up.
const RateTable& resnet() {
  static const RateTable rates(LearningRate({.shape = LearningRateShape::cosine,
                                             .peak = 0.8,
                                             .end = 1e-6,
                                             .warmup_steps = 1560,
                                             .total_steps = 62400}),
                               62400);
  return rates;
}

const DriftSpectrum decades{{1, 0.1, 0.01, 1e-3}, {1, 1, 1, 1}};
const DriftSetting sixteen{.workers = 16};

}  // namespace

TEST_CASE("constant H at constant lr has the multiplier and the sum of the closed form") {
  const RateTable rates(LearningRate::constant(0.05), 1000);
  const DriftSpectrum spectrum{{2, 0.3, 0.04}, {}};
  for (const std::int64_t H : {2, 7, 100}) {
    double expected = 0, finite = 0, wrong = 0;
    const auto m_of = [&](std::int64_t h, auto&& psi_of) {
      double sum = 0, weight = 0;
      for (const double lambda : spectrum.eigenvalues) {
        sum += lambda * (1 + 7 * psi_of(lambda, h));
        weight += lambda;
      }
      return sum / weight;
    };
    const auto continuous = [](double lambda, std::int64_t h) {
      return psi(2 * 0.05 * static_cast<double>(h) * lambda);
    };
    const auto halved = [](double lambda, std::int64_t h) {
      return psi(0.05 * static_cast<double>(h) * lambda);
    };
    const auto discrete = [](double lambda, std::int64_t h) {
      const double rho = (1 - 0.05 * lambda) * (1 - 0.05 * lambda);
      double mean = 0;
      for (std::int64_t j = 0; j < h; ++j)
        mean += (1 - std::pow(rho, static_cast<double>(j))) / static_cast<double>(h);
      return mean;
    };
    for (std::int64_t k = 0; k < 1000; k += H) {
      const std::int64_t h = std::min<std::int64_t>(H, 1000 - k);
      const double time = static_cast<double>(h) * 0.05 * 0.05;
      expected += time * (h == 1 ? 1 : m_of(h, continuous));
      wrong += time * (h == 1 ? 1 : m_of(h, halved));
      finite += time * m_of(h, discrete);
    }
    const DriftSetting eight{.workers = 8};
    int rounds = 0;
    const ScheduleDrift sum = schedule_drift(rates, ConstantRule(H), spectrum, psi_model, eight,
                                             [&](const PlannedRound& round, double m) {
                                               ++rounds;
                                               if (round.local_steps == H)
                                                 CHECK(near_relative(m, m_of(H, continuous), 1e-13));
                                             });
    CHECK(near_relative(sum.regularization, expected, 1e-12));
    CHECK(!near_relative(sum.regularization, wrong, 1e-3));
    CHECK(rounds == sum.counts.rounds);
    CHECK(sum.longest == H);
    CHECK(near_relative(sum.largest_share, static_cast<double>(H) / 1000, 1e-12));
    CHECK(sum.drifting_share == 0);
    // the last 100 steps: all alike where H divides 1000
    if (1000 % H == 0) CHECK(near_relative(sum.late_multiplier, m_of(H, continuous), 1e-10));
    CHECK(near_relative(schedule_drift(rates, ConstantRule(H), spectrum, finite_model, eight).regularization,
                        finite, 1e-11));
  }
}

TEST_CASE("the multiplier goes from 1 (short rounds, and exactly at H = 1) to K (endless ones)") {
  for (const SecondMoment* model :
       {static_cast<const SecondMoment*>(&psi_model), static_cast<const SecondMoment*>(&finite_model)}) {
    const auto m = [&](double eta, std::int64_t H, int K) {
      return drift_multiplier(decades, *model, Round{.eta = eta, .local_steps = H, .workers = K});
    };
    CHECK(m(0.5, 1, 16) == 1);
    CHECK(std::abs(m(1e-12, 2, 16) - 1) < 1e-10);
    CHECK(near_relative(m(0.5, std::int64_t{1} << 50, 16), 16, 1e-9));
    CHECK(near_relative(m(0.5, 100, 1), 1, 1e-14));
    double before = 1;
    for (std::int64_t H = 2; H < 1'000'000; H *= 3) {
      CHECK(m(0.1, H, 16) > before);
      CHECK(m(0.1, H, 16) < 16);
      before = m(0.1, H, 16);
    }
  }
  CHECK(drift_multiplier(decades, qsr_model, Round{.eta = 0.1, .local_steps = 50, .workers = 16}) ==
        doctest::Approx(16).epsilon(1e-14));
  // the eigenvalues count by their weights
  const Round round{.eta = 0.1, .local_steps = 50, .workers = 16};
  const double first = drift_multiplier({{1}, {}}, psi_model, round),
               second = drift_multiplier({{0.01}, {}}, psi_model, round);
  CHECK(near_relative(drift_multiplier({{1, 0.01}, {3, 5}}, psi_model, round), (3 * first + 5 * second) / 8,
                      1e-14));
  CHECK(near_relative(drift_multiplier({{1, 0.01}, {}}, psi_model, round), (first + 0.01 * second) / 1.01,
                      1e-14));
  CHECK_THROWS_AS(drift_multiplier({{3}, {}}, finite_model, Round{.eta = 1, .local_steps = 2}),
                  std::domain_error);
}

TEST_CASE("data parallelism adds nothing, endless rounds add all: 0 and 1 of the possible extra drift") {
  const ScheduleDrift sgd = schedule_drift(resnet(), ParallelRule(), decades, psi_model, sixteen);
  CHECK(sgd.regularization == sgd.counts.slow_time);
  CHECK(sgd.extra_drift(16) == 0);
  CHECK(sgd.counts.slow_time == resnet().slow_time());
  const ScheduleDrift all = schedule_drift(resnet(), SwapRule(1, 0), decades, psi_model, sixteen);
  CHECK(all.counts.rounds == 1);
  CHECK(all.largest_share == 1);
  CHECK(all.drifting_share == 1);
  CHECK(all.extra_drift(16) > 0.98);
  CHECK(all.extra_drift(16) < 1);
  // SWAP after 90 % of the slow time: SGD until then, K in the last tenth
  std::int64_t k = 0;
  for (double time = 0; time < 0.9 * resnet().slow_time(); ++k) time += resnet()(k) * resnet()(k);
  const ScheduleDrift late = schedule_drift(resnet(), SwapRule(1, k), decades, qsr_model, sixteen);
  CHECK(near_relative(late.late_multiplier, 16, 1e-3));
  CHECK(near_relative(late.extra_drift(16), 0.1, 1e-3));
  const ScheduleDrift limit = schedule_drift(resnet(), ConstantRule(100), decades, qsr_model, sixteen);
  CHECK(near_relative(limit.extra_drift(16), 1, 1e-12));
  CHECK(near_relative(limit.regularization, 16 * resnet().slow_time(), 1e-12));
}

TEST_CASE("the published communication comes with the drift") {
  const struct {
    std::int64_t base, rounds;
    double alpha;
  } rows[] = {{2, 24792, 0.2}, {4, 12539, 0.25}};
  for (const auto& row : rows) {
    const AlphaPoint p = at_alpha(resnet(), {.base_steps = row.base, .warmup_steps = 1560}, row.alpha,
                                  decades, psi_model, sixteen);
    CHECK(p.drift.counts.rounds == row.rounds);
    CHECK(p.drift.counts.steps == 62400);
    CHECK(p.extra_drift > 0);
  }
  const PowerRule rule({.alpha = 0.2, .base_steps = 2, .warmup_steps = 1560});
  CHECK(count_rounds(resnet(), rule).rounds == 24792);
}

TEST_CASE(
    "only ηλ matters: a scaled η with eigenvalues scaled back is the same plan, its sum times the square") {
  const DriftSpectrum scaled{{0.1, 0.01, 1e-3, 1e-4}, {1, 1, 1, 1}};
  const PowerRule rule({.alpha = 0.25, .base_steps = 4, .warmup_steps = 1560});
  const ScheduleDrift one = schedule_drift(resnet(), rule, decades, psi_model, sixteen),
                      ten =
                          schedule_drift(resnet(), rule, scaled, psi_model, {.workers = 16, .eta_scale = 10});
  CHECK(ten.counts.rounds == one.counts.rounds);  // H knows the learning rate, not the scale
  CHECK(near_relative(ten.extra_drift(16), one.extra_drift(16), 1e-10));
  CHECK(near_relative(ten.regularization, 100 * one.regularization, 1e-10));
}

TEST_CASE("heavy ball as η → 0 at fixed ηH is the slow SDE with η/(1−β)") {
  const HeavyBallMoment heavy(BufferPolicy::averaged);
  const Round round{.eta = 1e-5, .local_steps = 20000, .workers = 16, .momentum = 0.9};
  Round effective = round;
  effective.eta *= 10;
  effective.momentum = 0;
  const double m = drift_multiplier(decades, heavy, round);
  CHECK(near_relative(m, drift_multiplier(decades, psi_model, effective), 1e-3));
  CHECK(!near_relative(m, drift_multiplier(decades, psi_model, round), 0.1));
}

TEST_CASE("the recommended α meets both targets and 0.98 of it does not") {
  const struct {
    double extra, communication, gamma;
    std::int64_t base, cap;
  } cases[] = {{0.5, 0.25, 2, 2, 0}, {0.6, 0.6, 2, 1, 0}, {0.3, 0.5, 2, 2, 0},   {0.6, 0.1, 2, 4, 0},
               {0.5, 0.3, 3, 2, 0},  {0.4, 0.3, 1, 2, 0}, {0.45, 0.15, 2, 4, 64}};
  for (const auto& c : cases) {
    CAPTURE(c.extra);
    CAPTURE(c.gamma);
    const PowerRuleParams rule{
        .gamma = c.gamma, .base_steps = c.base, .max_steps = c.cap, .warmup_steps = 1560};
    const AlphaTarget target{.extra_drift = c.extra, .communication = c.communication};
    const AlphaAnswer answer = find_alpha(resnet(), rule, decades, psi_model, sixteen, target);
    REQUIRE(answer.feasible);
    const auto serves = [&](double alpha) {
      const AlphaPoint p = at_alpha(resnet(), rule, alpha, decades, psi_model, sixteen);
      return p.extra_drift >= c.extra && p.communication <= c.communication;
    };
    CHECK(serves(answer.best.alpha));
    CHECK(!serves(0.98 * answer.best.alpha));
    const AlphaPoint again = at_alpha(resnet(), rule, answer.best.alpha, decades, psi_model, sixteen);
    CHECK(again.extra_drift == answer.best.extra_drift);
    CHECK(again.communication == answer.best.communication);
  }
}

TEST_CASE("where no α serves, the answer says so and is the best compromise of the range") {
  const PowerRuleParams capped{.base_steps = 2, .max_steps = 4, .warmup_steps = 1560};
  const AlphaTarget target{.extra_drift = 0.9, .communication = 0.25};
  const AlphaAnswer answer = find_alpha(resnet(), capped, decades, psi_model, sixteen, target);
  CHECK(!answer.feasible);
  const auto miss = [&](const AlphaPoint& p) {
    return std::max(1 - p.extra_drift / 0.9, p.communication / 0.25 - 1);
  };
  CHECK(miss(answer.best) > 0);
  const AlphaRange range = alpha_range(resnet(), capped, 0.01);
  for (double alpha = range.low; alpha <= range.high; alpha *= 1.3)
    CHECK(miss(answer.best) <= miss(at_alpha(resnet(), capped, alpha, decades, psi_model, sixteen)) + 0.02);
  // H_base alone may serve: then the least α of the range is the answer
  const AlphaAnswer easy = find_alpha(resnet(), {.base_steps = 64, .warmup_steps = 1560}, decades, psi_model,
                                      sixteen, {.extra_drift = 0.1, .communication = 0.5});
  CHECK(easy.feasible);
  CHECK(easy.best.alpha <= 1.01 * alpha_range(resnet(), {.base_steps = 64}, 0.01).low);
  // one worker has no extra drift
  CHECK(!find_alpha(resnet(), {.base_steps = 2}, decades, psi_model, {.workers = 1}, target).feasible);
}

TEST_CASE("impossible spectra, rates and targets are refused") {
  CHECK_THROWS_AS((DriftSpectrum{{}, {}}.check()), std::invalid_argument);
  CHECK_THROWS_AS((DriftSpectrum{{1, -1}, {}}.check()), std::invalid_argument);
  CHECK_THROWS_AS((DriftSpectrum{{1, 2}, {1}}.check()), std::invalid_argument);
  CHECK_THROWS_AS((DriftSpectrum{{1, 2}, {0, 0}}.check()), std::invalid_argument);
  CHECK_THROWS_AS((DriftSpectrum{{1}, {std::nan("")}}.check()), std::invalid_argument);
  CHECK_THROWS_AS(RateTable(std::vector<double>{}), std::invalid_argument);
  CHECK_THROWS_AS(RateTable({0.1, std::nan("")}), std::invalid_argument);
  CHECK_THROWS_AS(RateTable({0.1, -0.1}), std::invalid_argument);
  for (const double bad : {0.0, 1.0, -1.0, std::nan("")})
    CHECK_THROWS_AS(AlphaTarget{.extra_drift = bad}.check(), std::invalid_argument);
  CHECK_THROWS_AS(AlphaTarget{.communication = 1.5}.check(), std::invalid_argument);
}
