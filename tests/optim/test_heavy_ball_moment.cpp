// ctest-labels: theory
#include "slowsde/optim/heavy_ball_moment.hpp"

#include <doctest/doctest.h>

#include <Eigen/Dense>
#include <cmath>
#include <stdexcept>
#include <vector>

#include "slowsde/optim/effective_rate_moment.hpp"
#include "slowsde/optim/finite_step_moment.hpp"
#include "slowsde/optim/psi_moment.hpp"
#include "slowsde/optim/sgd_moment.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;
using Eigen::MatrixXd;
using test::near_relative;

namespace {

// The joint covariance of K workers' (displacement, buffer) in direction i with those in direction j, all 2K
// × 2K of it, through the linear maps of one local step and of one average, to the fixed point over rounds.
double by_joint_covariance(double lambda_i, double lambda_j, const Round& round, BufferPolicy buffers) {
  const int K = round.workers;
  const double eta = round.eta, beta = round.momentum;
  const auto step_map = [&](double lambda) {
    MatrixXd T = MatrixXd::Zero(2 * K, 2 * K);
    for (int k = 0; k < K; ++k) T.block(2 * k, 2 * k, 2, 2) << 1 - eta * lambda, -eta * beta, lambda, beta;
    return T;
  };
  MatrixXd average = MatrixXd::Zero(2 * K, 2 * K), noise = average;
  for (int k = 0; k < K; ++k) {
    noise.block(2 * k, 2 * k, 2, 2) << eta * eta, -eta, -eta, 1;
    for (int l = 0; l < K; ++l) {
      average(2 * k, 2 * l) = 1.0 / K;
      if (buffers == BufferPolicy::averaged) average(2 * k + 1, 2 * l + 1) = 1.0 / K;
    }
    if (buffers == BufferPolicy::kept) average(2 * k + 1, 2 * k + 1) = 1;
  }
  noise /= round.local_batch;
  const MatrixXd T_i = step_map(lambda_i), T_j = step_map(lambda_j);
  MatrixXd C = MatrixXd::Zero(2 * K, 2 * K), last = MatrixXd::Ones(2 * K, 2 * K);
  double mean = 0;
  while ((C - last).norm() > 1e-15 * C.norm()) {
    last = C;
    mean = 0;
    for (std::int64_t h = 0; h < round.local_steps; ++h) {
      const double m = static_cast<double>(round.local_steps - h);
      const double weight = buffers == BufferPolicy::reset ? 1 - std::pow(beta, m) : 1;
      mean += weight * C(0, 0) / static_cast<double>(round.local_steps);
      C = (T_i * C * T_j.transpose() + noise).eval();
    }
    C = (average * C * average.transpose()).eval();
  }
  return round.global_batch() * mean * (1 - beta) / eta;
}

const std::vector<std::pair<double, double>> pairs = {{1, 1}, {0.3, 2.1}, {0, 1.5}, {4, 9}};
const BufferPolicy policies[] = {BufferPolicy::averaged, BufferPolicy::kept, BufferPolicy::reset};

}  // namespace

TEST_CASE(
    "the heavy-ball moment is the fixed point of all workers' joint covariance, for each buffer policy") {
  for (BufferPolicy buffers : policies)
    for (const auto& [i, j] : pairs)
      for (double beta : {0.0, 0.5, 0.9})
        for (std::int64_t H : {1, 2, 5, 24})
          for (int K : {1, 2, 3}) {
            const Round round{.eta = 0.1, .local_steps = H, .workers = K, .local_batch = 2, .momentum = beta};
            CAPTURE(static_cast<int>(buffers));
            CAPTURE(i);
            CAPTURE(j);
            CAPTURE(beta);
            CAPTURE(H);
            CAPTURE(K);
            const double exact = by_joint_covariance(i, j, round, buffers);
            CHECK(near_relative(HeavyBallMoment(buffers).coefficient(i, j, round), exact, 1e-10));
          }
}

TEST_CASE("the effective learning rate in the finite-step moment, and wrong policies, are refuted") {
  const Round round{.eta = 0.05, .local_steps = 10, .workers = 4, .momentum = 0.9};
  for (const auto& [i, j] : {std::pair{1.0, 1.0}, std::pair{0.5, 3.0}})
    for (BufferPolicy truth : policies) {
      const double exact = by_joint_covariance(i, j, round, truth);
      CHECK(std::abs(EffectiveRateMoment<FiniteStepMoment>().coefficient(i, j, round) / exact - 1) > 0.05);
      CHECK(std::abs(EffectiveRateMoment<PsiMoment>().coefficient(i, j, round) / exact - 1) > 0.03);
      for (BufferPolicy other : policies)
        if (other != truth)
          CHECK(std::abs(HeavyBallMoment(other).coefficient(i, j, round) / exact - 1) > 0.05);
      Round wrong = round;
      wrong.local_steps = 11;
      CHECK(std::abs(HeavyBallMoment(truth).coefficient(i, j, wrong) / exact - 1) > 0.01);
      wrong = round;
      wrong.workers = 5;
      CHECK(std::abs(HeavyBallMoment(truth).coefficient(i, j, wrong) / exact - 1) > 0.01);
    }
}

TEST_CASE(
    "SGD with heavy ball has its closed form, and every policy reduces to it at K = 1 or H = 1 except "
    "reset") {
  for (const auto& [i, j] : pairs)
    for (double beta : {0.0, 0.5, 0.9}) {
      const Round sgd{.eta = 0.1, .momentum = beta};
      const double closed = heavy_ball_sgd_coefficient(i, j, 0.1, beta);
      CHECK(near_relative(closed, by_joint_covariance(i, j, sgd, BufferPolicy::averaged), 1e-10));
      const Round parallel{.eta = 0.1, .local_steps = 1, .workers = 6, .momentum = beta};
      const Round alone{.eta = 0.1, .local_steps = 9, .workers = 1, .momentum = beta};
      for (BufferPolicy buffers : {BufferPolicy::averaged, BufferPolicy::kept}) {
        CHECK(near_relative(HeavyBallMoment(buffers).coefficient(i, j, parallel), closed, 1e-12));
        CHECK(near_relative(HeavyBallMoment(buffers).coefficient(i, j, alone), closed, 1e-12));
      }
    }
}

TEST_CASE("buffers reset at every step are plain SGD with the raw learning rate") {
  for (const auto& [i, j] : pairs) {
    const double beta = 0.8;
    const Round round{.eta = 0.1, .local_steps = 1, .workers = 3, .momentum = beta};
    const HeavyBallMoment reset(BufferPolicy::reset);
    // per step, drift and noise: η_e²c_ij and η_e²·diffusion_weight against plain SGD's η²c_ij and η²
    const double slow = reset.slow_time_per_step(round);
    CHECK(near_relative(slow * reset.coefficient(i, j, round),
                        FiniteStepMoment().coefficient(i, j, {.eta = 0.1}), 1e-12));
    CHECK(near_relative(slow * reset.diffusion_weight(round), 1, 1e-12));
  }
}

TEST_CASE("β = 0 is the finite-step moment for every buffer policy") {
  for (const auto& [i, j] : pairs)
    for (BufferPolicy buffers : policies) {
      const Round round{.eta = 0.1, .local_steps = 12, .workers = 3};
      const HeavyBallMoment moment(buffers);
      CHECK(
          near_relative(moment.coefficient(i, j, round), FiniteStepMoment().coefficient(i, j, round), 1e-13));
      CHECK(moment.slow_time_per_step(round) == 1);
      CHECK(moment.diffusion_weight(round) == 1);
    }
}

TEST_CASE(
    "as η → 0 at fixed ηH heavy ball has ψ's moment with the effective learning rate, with error of order "
    "η") {
  for (BufferPolicy buffers : policies)
    for (const auto& [i, j] : {std::pair{1.0, 1.0}, std::pair{0.0, 1.5}, std::pair{0.4, 2.0}}) {
      double last = 0;
      for (int k = 6; k <= 12; ++k) {
        const Round round{
            .eta = std::ldexp(0.1, -k), .local_steps = std::int64_t{4} << k, .workers = 5, .momentum = 0.75};
        const double limit = EffectiveRateMoment<PsiMoment>().coefficient(i, j, round);
        const double error = std::abs(HeavyBallMoment(buffers).coefficient(i, j, round) - limit);
        if (last > 0) CHECK(test::order(std::log2(last / error), 1, 0.15));
        last = error;
      }
    }
}

TEST_CASE("the limit of SGD with heavy ball is SGD with the effective learning rate") {
  const Round round{.eta = 0.01, .momentum = 0.9};
  const EffectiveRateMoment<SgdMoment> limit;
  CHECK(limit.coefficient(1, 3, round) == 0.25);
  CHECK(near_relative(limit.slow_time_per_step(round), 100, 1e-13));
}

TEST_CASE("reset buffers let the fraction mean_h (1−β^h)² of the noise through") {
  for (double beta : {0.0, 0.5, 0.9, 0.99})
    for (int H : {1, 2, 7, 40}) {
      double mean = 0;
      for (int m = 1; m <= H; ++m) mean += std::pow(1 - std::pow(beta, m), 2) / H;
      const Round round{.eta = 0.1, .local_steps = H, .momentum = beta};
      CHECK(test::near(HeavyBallMoment(BufferPolicy::reset).diffusion_weight(round), mean, 1e-13));
      CHECK(HeavyBallMoment(BufferPolicy::kept).diffusion_weight(round) == 1);
      CHECK(HeavyBallMoment(BufferPolicy::averaged).diffusion_weight(round) == 1);
    }
}

TEST_CASE("rounds of a million local steps cost no loop and give the limit of independent workers") {
  // after so many steps the workers forget the common start: M = K times SGD's moment
  const Round round{.eta = 0.1, .local_steps = std::int64_t{1} << 50, .workers = 4, .momentum = 0.9};
  for (BufferPolicy buffers : policies)
    CHECK(near_relative(HeavyBallMoment(buffers).coefficient(1, 2, round),
                        4 * heavy_ball_sgd_coefficient(1, 2, 0.1, 0.9), 1e-11));
}

TEST_CASE("heavy ball has no stationary moment where ηλ ≥ 2(1+β)") {
  const Round round{.eta = 0.1, .momentum = 0.5};
  CHECK_THROWS_WITH_AS(HeavyBallMoment().coefficient(1, 30.5, round),
                       "no stationary second moment: eta*lambda < 2(1+beta) is violated by 3.05",
                       std::domain_error);
  CHECK_NOTHROW(HeavyBallMoment().coefficient(1, 29.9, round));
  // plain SGD of raw rate η, which is what reset buffers are at H = 1, ends at ηλ = 2
  CHECK_THROWS_AS(HeavyBallMoment(BufferPolicy::reset).coefficient(21, 21, round), std::domain_error);
  // two steps with reset buffers: y ← ((1−ηλ)² − ηλβ)y, beyond −1 at ηλ = 1.7, β = 0.9
  const Round two{.eta = 0.1, .local_steps = 2, .momentum = 0.9};
  CHECK_THROWS_WITH_AS(HeavyBallMoment(BufferPolicy::reset).coefficient(8, 17, two),
                       "no stationary second moment: |T^H| < 1 over a round is violated by 1.04",
                       std::domain_error);
}
