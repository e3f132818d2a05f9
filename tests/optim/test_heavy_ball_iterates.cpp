// ctest-labels: theory
// Heavy-ball iterates of nonlinear problems against HeavyBallMoment, in the small-noise regime (σ → 0 at
// fixed σ²t) in which the second moment is exact at any η.
#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "slowsde/optim/effective_rate_moment.hpp"
#include "slowsde/optim/finite_step_moment.hpp"
#include "slowsde/optim/heavy_ball_moment.hpp"
#include "slowsde/optim/psi_moment.hpp"
#include "slowsde/problems/normal_pack.hpp"
#include "slowsde/sde/closed_forms.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;
using test::zscore;

namespace {

using P = Pack<double, 8>;
constexpr int K = 4;
constexpr double beta = 0.9;
constexpr BufferPolicy policies[] = {BufferPolicy::averaged, BufferPolicy::kept, BufferPolicy::reset};

struct Workers {
  std::array<std::array<P, 2>, K> theta, v;
};

/// v ← βv + g, θ ← θ − ηv with g as `gradient(theta, xi, g)` gives it for two normals ξ.
template <class Gradient>
void local_step(Workers& w, const P (&xi)[K][2], double eta, Gradient gradient) {
  for (std::size_t k = 0; k < K; ++k) {
    P g[2];
    gradient(w.theta[k].data(), xi[k], g);
    for (std::size_t i = 0; i < 2; ++i) {
      w.v[k][i] = beta * w.v[k][i] + g[i];
      w.theta[k][i] = w.theta[k][i] - eta * w.v[k][i];
    }
  }
}

void average(Workers& w, BufferPolicy buffers) {
  for (std::size_t i = 0; i < 2; ++i) {
    P theta(0.0), v(0.0);
    for (std::size_t k = 0; k < K; ++k) {
      theta = theta + w.theta[k][i];
      v = v + w.v[k][i];
    }
    for (std::size_t k = 0; k < K; ++k) {
      w.theta[k][i] = theta * (1.0 / K);
      if (buffers == BufferPolicy::averaged) w.v[k][i] = v * (1.0 / K);
      if (buffers == BufferPolicy::reset) w.v[k][i] = P(0.0);
    }
  }
}

/// The averaged parameters, moved to where the buffers will carry them: θ̄ − ηβ/(1−β)·v̄ is free of the lag
/// that a buffer causes.
std::array<P, 2> carried_mean(const Workers& w, double eta) {
  std::array<P, 2> mean{P(0.0), P(0.0)};
  for (std::size_t i = 0; i < 2; ++i)
    for (std::size_t k = 0; k < K; ++k)
      mean[i] = mean[i] + (w.theta[k][i] - (eta * beta / (1 - beta)) * w.v[k][i]) * (1.0 / K);
  return mean;
}

struct Estimate {
  double mean = 0, se = 0, variance = 0;
};

Estimate estimate(const std::vector<double>& values) {
  const double n = static_cast<double>(values.size());
  Estimate e;
  for (double value : values) e.mean += value / n;
  for (double value : values) e.variance += (value - e.mean) * (value - e.mean) / (n - 1);
  e.se = std::sqrt(e.variance / n);
  return e;
}

/// Rounds that the second moment is given to become stationary before anything is measured.
constexpr int settling_rounds = 20;

struct ValleyEstimate {
  double start = 0;  // mean of x when settled
  Estimate end;
};

/// x of Φ `rounds` rounds after the iterates from (1.5, 0) have settled on the valley with label noise.
ValleyEstimate valley_iterates(const Round& round, double sigma, int rounds, BufferPolicy buffers, int packs,
                               std::uint64_t seed) {
  std::vector<double> starts, ends;
  for (int pack = 0; pack < packs; ++pack) {
    const RandomPack<double> random(seed, Stream::label, static_cast<std::uint64_t>(8 * pack));
    Workers w;
    for (std::size_t k = 0; k < K; ++k) w.theta[k] = {P(1.5), P(0.0)}, w.v[k] = {P(0.0), P(0.0)};
    std::uint64_t step = 0;
    P xi[K][2];
    const auto record = [&](std::vector<double>& values) {
      const auto [x, y] = carried_mean(w, round.eta);
      for (int lane = 0; lane < 8; ++lane) values.push_back(valley_flow_end(x[lane], y[lane]));
    };
    for (int s = 0; s < settling_rounds + rounds; ++s) {
      if (s == settling_rounds) record(starts);
      for (std::int64_t h = 0; h < round.local_steps; ++h, ++step) {
        random.normals<K>(0, step, xi);
        local_step(w, xi, round.eta, [sigma](const P* q, const P* noise, P* g) {
          const P root = sqrt(1.0 + q[0] * q[0]), residual = root * q[1] - sigma * noise[0];
          g[0] = residual * q[0] * q[1] / root;
          g[1] = residual * root;
        });
      }
      average(w, buffers);
    }
    record(ends);
  }
  return {estimate(starts).mean, estimate(ends)};
}

struct CircleEstimate {
  Estimate angle;    // φ, unwrapped
  Estimate centred;  // φ less its martingale part, which has mean 0
};

/// L = ¼(|θ|²−1)² from (1, 0) with noise ν of unit variances and correlation c between normal and tangent.
CircleEstimate circle_iterates(const Round& round, double nu, double c, int rounds, BufferPolicy buffers,
                               int packs, std::uint64_t seed) {
  std::vector<double> angles, centred;
  const double eta_e = round.eta / (1 - beta), s = std::sqrt(1 - c * c);
  for (int pack = 0; pack < packs; ++pack) {
    const RandomPack<double> random(seed, Stream::gradient, static_cast<std::uint64_t>(8 * pack));
    Workers w;
    for (std::size_t k = 0; k < K; ++k) w.theta[k] = {P(1.0), P(0.0)}, w.v[k] = {P(0.0), P(0.0)};
    std::array<double, 8> angle{};
    P martingale(0.0);
    std::array<P, 2> before{P(1.0), P(0.0)};
    std::uint64_t step = 0;
    P xi[K][2];
    for (int r = 0; r < settling_rounds + rounds; ++r) {
      if (r == settling_rounds) {
        before = carried_mean(w, round.eta);
        angle.fill(0);
        martingale = P(0.0);
      }
      for (std::int64_t h = 0; h < round.local_steps; ++h, ++step) {
        random.normals<K>(0, step, xi);
        local_step(w, xi, round.eta, [&](const P* q, const P* noise, P* g) {
          const P r2 = q[0] * q[0] + q[1] * q[1], inverse = 1.0 / sqrt(r2);
          const P n0 = q[0] * inverse, n1 = q[1] * inverse, tangent = c * noise[0] + s * noise[1];
          g[0] = (r2 - 1.0) * q[0] + nu * (noise[0] * n0 - tangent * n1);
          g[1] = (r2 - 1.0) * q[1] + nu * (noise[0] * n1 + tangent * n0);
        });
        const double passed = buffers == BufferPolicy::reset
                                  ? 1 - std::pow(beta, static_cast<double>(round.local_steps - h))
                                  : 1;
        for (std::size_t k = 0; k < K; ++k)
          martingale = martingale - (eta_e * nu * passed / K) * (c * xi[k][0] + s * xi[k][1]);
      }
      average(w, buffers);
      const std::array<P, 2> now = carried_mean(w, round.eta);
      const P cross = before[0] * now[1] - before[1] * now[0], dot = before[0] * now[0] + before[1] * now[1];
      for (int lane = 0; lane < 8; ++lane)
        angle[static_cast<std::size_t>(lane)] += std::atan2(cross[lane], dot[lane]);
      before = now;
    }
    for (int lane = 0; lane < 8; ++lane) {
      angles.push_back(angle[static_cast<std::size_t>(lane)]);
      centred.push_back(angles.back() - martingale[lane]);
    }
  }
  return {estimate(angles), estimate(centred)};
}

/// The right model told a wrong H or K.
class Mistaken final : public SecondMoment {
 public:
  Mistaken(BufferPolicy buffers, std::int64_t more_steps, int more_workers)
      : moment_(buffers), more_steps_(more_steps), more_workers_(more_workers) {}
  std::string_view name() const override { return "mistaken"; }
  double coefficient(double i, double j, const Round& round) const override {
    Round wrong = round;
    wrong.local_steps += more_steps_;
    wrong.workers += more_workers_;
    return moment_.coefficient(i, j, wrong);
  }

 private:
  HeavyBallMoment moment_;
  std::int64_t more_steps_;
  int more_workers_;
};

/// Measured less predicted at noise σ and σ/2. The remainder of the linearised moment is proportional to σ²,
/// so (4d(σ/2) − d(σ))/3 is free of it; z of that. The two runs use different seeds.
class SmallNoiseLimit {
 public:
  void add(double difference, double se) { terms_.push_back({difference, se}); }
  double z() const {
    REQUIRE(terms_.size() == 2);
    const auto [d, se] = terms_[0];
    const auto [d_half, se_half] = terms_[1];
    return zscore((4 * d_half - d) / 3, 0, std::hypot(4 * se_half, se) / 3);
  }

 private:
  std::vector<std::pair<double, double>> terms_;
};

/// z of the right model and of wrong ones, given what a model makes of the difference to the iterates.
template <class Difference>
void accept_right_reject_wrong(BufferPolicy buffers, Difference z) {
  CAPTURE(static_cast<int>(buffers));
  // six such checks, |z| < 4 each: one false alarm in 2600 runs
  const double right = z(HeavyBallMoment(buffers));
  MESSAGE("z = ", right);
  CHECK(right <= 4);
  CHECK(z(EffectiveRateMoment<FiniteStepMoment>()) >= 5);
  CHECK(z(EffectiveRateMoment<PsiMoment>()) >= 5);
  CHECK(z(Mistaken(buffers, 1, 0)) >= 5);  // H off by one
  CHECK(z(Mistaken(buffers, 0, 1)) >= 5);  // K for K−1
  for (BufferPolicy other : policies)
    if (other != buffers) CHECK(z(HeavyBallMoment(other)) >= 5);
}

constexpr Round round_in_use{
    .eta = 0.005, .local_steps = 10, .workers = K, .local_batch = 1, .momentum = beta};
constexpr double slow_time_per_round = 10 * 0.05 * 0.05;  // Hη_e²

}  // namespace

TEST_CASE(
    "valley: heavy-ball iterates follow the label-noise ODE of HeavyBallMoment for each buffer policy") {
  for (BufferPolicy buffers : policies) {
    std::vector<std::pair<double, ValleyEstimate>> measured;
    for (double sigma : {0.5, 0.25})
      measured.emplace_back(
          sigma, valley_iterates(round_in_use, sigma, static_cast<int>(100 / (sigma * sigma)), buffers, 256,
                                 sigma == 0.5 ? 101 : 102));
    accept_right_reject_wrong(buffers, [&](const SecondMoment& moment) {
      SmallNoiseLimit limit;
      for (const auto& [sigma, x] : measured) {
        const double t = 100 / (sigma * sigma) * slow_time_per_round;
        limit.add(x.end.mean - valley_ode(valley_curvature(), moment, sigma, round_in_use, x.start, t),
                  x.end.se);
      }
      return limit.z();
    });
  }
}

TEST_CASE(
    "circle: tangent–normal terms turn heavy-ball iterates as HeavyBallMoment says, and spread them as its "
    "noise") {
  const double c = 0.8;
  for (BufferPolicy buffers : policies) {
    std::vector<std::pair<double, CircleEstimate>> measured;
    for (double nu : {0.4, 0.2})
      measured.emplace_back(
          nu, circle_iterates(round_in_use, nu, c, static_cast<int>(std::lround(16 / (nu * nu))), buffers,
                              128, nu == 0.4 ? 103 : 104));
    const double nu2_t = 16 * slow_time_per_round;
    accept_right_reject_wrong(buffers, [&](const SecondMoment& moment) {
      SmallNoiseLimit limit;
      for (const auto& [nu, angle] : measured)
        limit.add(angle.centred.mean + c * nu2_t / K * 2 * moment.coefficient(0, 2, round_in_use),
                  angle.centred.se);
      return limit.z();
    });
    // Var φ = ν²t/B·diffusion_weight; a sample variance of n values has relative standard error √(2/(n−1))
    for (const auto& [nu, angle] : measured) {
      const double ratio = angle.angle.variance * K / nu2_t, se = ratio * std::sqrt(2.0 / 1023);
      const double weight = HeavyBallMoment(buffers).diffusion_weight(round_in_use);
      CHECK(zscore(ratio, weight, se) <= 4);
      CHECK(zscore(ratio, weight == 1 ? 0.2 : 1.0, se) >= 5);
    }
  }
}
