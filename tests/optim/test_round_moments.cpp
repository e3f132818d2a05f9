#include "slowsde/optim/round_moments.hpp"

#include <doctest/doctest.h>

#include <Eigen/Dense>
#include <cmath>
#include <vector>

#include "slowsde/optim/sampling_moment.hpp"
#include "tests/support/interpolating_network.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;
using Eigen::MatrixXd;

namespace {

constexpr double sigma = 0.7;

/// A network on Γ with two outputs, d = 26 and 10 residuals, by per-sample Hessians of d × d.
struct Fixture {
  test::InterpolatingNetwork network{{3, 4, 2}, 5, 31};
  GramGeometry geometry{network.model};
  MatrixXd J, basis;        // (10 × d), (d × rank): columns v_i
  std::vector<MatrixXd> h;  // J_sᵀJ_s
  MatrixXd hessian;

  Fixture() {
    geometry.move_to(network.theta);
    network.model.jacobian(network.theta, J);
    for (int s = 0; s < 5; ++s) {
      const MatrixXd rows = J.middleRows(2 * s, 2);
      h.push_back(rows.transpose() * rows);
    }
    hessian = J.transpose() * J / 5;
    basis.resize(J.cols(), geometry.rank());
    for (int i = 0; i < geometry.rank(); ++i)
      basis.col(i) = geometry.combination(Eigen::VectorXd::Unit(geometry.rank(), i));
  }

  double eta(double fraction) const { return fraction / geometry.lambda_max(); }
  MatrixXd dense(const MatrixXd& A) const { return basis * A * basis.transpose(); }

  /// −½ P_∥ ∇³L[Ā] of a second moment in the basis v_i.
  Eigen::VectorXd drift(const MatrixXd& A) const {
    Eigen::VectorXd contraction;
    network.model.curvature_contraction(network.theta, dense(A) * J.transpose(), contraction);
    return geometry.tangent(contraction) / -5.0;
  }
};

}  // namespace

TEST_CASE(
    "the basis is that of the Hessian's eigenvectors and the covariance of sampling is that of its h_s") {
  const Fixture f;
  const int rank = f.geometry.rank();
  REQUIRE(rank == 10);
  CHECK((f.basis.transpose() * f.basis - MatrixXd::Identity(rank, rank)).norm() <= 1e-10);
  CHECK((f.hessian * f.basis - f.basis * f.geometry.eigenvalues().asDiagonal()).norm() <= 1e-10);
  const Eigen::VectorXd v = test::normal_vector(26, 3);
  CHECK((f.geometry.coordinates(v) - f.basis.transpose() * v).norm() <= 1e-10);
  MatrixXd A = MatrixXd::Zero(rank, rank);
  for (int i = 0; i < rank; ++i) A.col(i) = test::normal_vector(rank, static_cast<std::uint64_t>(40 + i));
  A = (A + A.transpose()).eval();
  MatrixXd expected = -f.hessian * f.dense(A) * f.hessian;
  for (const MatrixXd& h : f.h) expected += h * f.dense(A) * h / 5;
  CHECK((f.dense(f.geometry.sampling_covariance(A)) - expected).norm() <= 1e-9 * expected.norm());
}

TEST_CASE("a round reproduces its own start, and every step in it is the recursion of d × d matrices") {
  const Fixture f;
  for (const bool replacement : {true, false})
    for (const int K : {1, 3})
      for (const std::int64_t H : {1, 7}) {
        CAPTURE(replacement);
        CAPTURE(K);
        CAPTURE(H);
        const Round round{.eta = f.eta(0.3), .local_steps = H, .workers = K, .local_batch = 2};
        const SamplingMoment moment(replacement);
        std::vector<std::int64_t> steps;
        for (std::int64_t h = H; h >= 0; --h) steps.push_back(h);
        const auto moments = round_moments(f.geometry, moment, round, sigma, steps);
        REQUIRE(moments.converged);
        const double w = moment.sampling_weight(round, 5), eta = round.eta;
        const MatrixXd T = MatrixXd::Identity(26, 26) - eta * f.hessian;
        const MatrixXd start = f.dense(moments.steps.back().own);
        CHECK(moments.steps.back().own == moments.steps.back().cross);
        MatrixXd C = start, D = start, sum = MatrixXd::Zero(26, 26);
        for (std::int64_t h = 0; h <= H; ++h) {
          const StepMoments& at = moments.steps[static_cast<std::size_t>(H - h)];
          CHECK(at.step == h);
          CHECK((f.dense(at.own) - C).norm() <= 1e-10 * C.norm());
          CHECK((f.dense(at.cross) - D).norm() <= 1e-10 * D.norm());
          CHECK((f.dense(at.spread()) - (C - D)).norm() <= 1e-10 * C.norm());
          if (h == H) break;
          sum += C;
          MatrixXd noise = sigma * sigma * f.hessian - w * f.hessian * C * f.hessian;
          for (const MatrixXd& hs : f.h) noise += w / 5 * hs * C * hs;
          C = (T * C * T + eta * eta / 2 * noise).eval();
          D = (T * D * T).eval();
        }
        CHECK((C / K + (1 - 1.0 / K) * D - start).norm() <= 1e-9 * start.norm());
        CHECK((f.dense(moments.mean_own) - sum / static_cast<double>(H)).norm() <= 1e-10 * sum.norm());
      }
}

TEST_CASE("the mean of the own moments gives the slow SDE's drift: exactly for H = 1, K = 1 or no feedback") {
  Fixture f;
  const auto distance = [&](const FiniteStepMoment& moment, const Round& round) {
    const auto moments = round_moments(f.geometry, moment, round, sigma, {});
    REQUIRE(moments.converged);
    const auto drift = f.geometry.slow_drift(moment, round, sigma);
    REQUIRE(drift.converged);
    const MatrixXd A = moments.mean_own / round.eta;
    CHECK((f.geometry.drift_of(A) - f.drift(A)).norm() <= 1e-10 * drift.value.norm());
    return (f.drift(A) - drift.value).norm() / drift.value.norm();
  };
  for (const bool replacement : {true, false})
    for (const int batch : {1, 2}) {
      const SamplingMoment sampling(replacement);
      CHECK(distance(sampling, {.eta = f.eta(0.3), .local_steps = 1, .workers = 4, .local_batch = batch}) <=
            1e-7);
      CHECK(distance(sampling, {.eta = f.eta(0.3), .local_steps = 9, .workers = 1, .local_batch = batch}) <=
            1e-7);
      CHECK(distance(FiniteStepMoment(),
                     {.eta = f.eta(0.3), .local_steps = 9, .workers = 4, .local_batch = batch}) <= 1e-7);
    }
  // For H > 1 and K > 1 the drift closes the feedback by its mean: an error of first order in η at fixed ηH,
  // small beside the feedback itself.
  double previous = 0, last = 0;
  for (const double halving : {1.0, 2.0, 4.0, 8.0}) {
    const Round round{.eta = f.eta(0.3) / halving,
                      .local_steps = static_cast<std::int64_t>(8 * halving),
                      .workers = 4,
                      .local_batch = 1};
    const double closure = distance(SamplingMoment(), round);
    const auto with = f.geometry.slow_drift(SamplingMoment(), round, sigma);
    const auto without = f.geometry.slow_drift(FiniteStepMoment(), round, sigma);
    const double feedback = (with.value - without.value).norm() / with.value.norm();
    CHECK(closure < 0.3 * feedback);
    CHECK(closure > 1e-6);
    if (previous > 0) last = std::log2(previous / closure);
    previous = closure;
  }
  CHECK(test::order(last, 1, 0.2));
}

TEST_CASE("without feedback the spread needs neither the fixed point nor K") {
  const Fixture f;
  const auto lambda = f.geometry.eigenvalues();
  for (const std::int64_t h : {1, 4, 12}) {
    Round round{.eta = f.eta(1.7), .local_steps = 12, .workers = 2, .local_batch = 3};
    const auto two = round_moments(f.geometry, FiniteStepMoment(), round, sigma, {h});
    round.workers = 8;
    const auto eight = round_moments(f.geometry, FiniteStepMoment(), round, sigma, {h});
    REQUIRE(two.converged);
    REQUIRE(eight.converged);
    Eigen::VectorXd expected(lambda.size());
    for (Eigen::Index i = 0; i < lambda.size(); ++i)
      expected[i] = sigma * sigma * lambda[i] * spread_per_noise(lambda[i], round, h);
    for (const auto& moments : {two, eight}) {
      const MatrixXd spread = moments.steps[0].spread();
      CHECK((spread - MatrixXd(expected.asDiagonal())).norm() <= 1e-11 * expected.norm());
    }
    CHECK((two.steps[0].own - eight.steps[0].own).norm() > 0.01 * two.steps[0].own.norm());
  }
  // Σ_{k<h} ρ^k in closed form against the sum, through λ = 0 and beyond stability
  const Round round{.eta = 0.1, .local_steps = 50, .workers = 2, .local_batch = 4};
  for (const double curvature : {-2.0, 0.0, 1e-9, 0.5, 9.999, 10.0, 13.0, 25.0}) {
    double sum = 0, power = 1;
    for (int k = 0; k < 50; ++k, power *= (1 - 0.1 * curvature) * (1 - 0.1 * curvature)) sum += power;
    CHECK(test::near_relative(spread_per_noise(curvature, round, 50), 0.0025 * sum, 1e-12));
  }
  CHECK(spread_per_noise(1, round, 0) == 0);
}

TEST_CASE("a round without a fixed point is reported, and impossible requests are refused") {
  const Fixture f;
  const Round good{.eta = f.eta(0.3), .local_steps = 4, .workers = 2, .local_batch = 1};
  Round steep = good, noisy = good;
  steep.eta = f.eta(2.1);
  noisy.eta = f.eta(1.5);  // ηλ_max < 2, but one sample a step feeds back more than it contracts
  CHECK_FALSE(round_moments(f.geometry, SamplingMoment(), steep, sigma, {4}).converged);
  const auto grown = round_moments(f.geometry, SamplingMoment(), noisy, sigma, {4});
  CHECK_FALSE(grown.converged);
  CHECK(grown.steps.empty());
  CHECK(round_moments(f.geometry, FiniteStepMoment(), noisy, sigma, {4}).converged);
  CHECK(round_moments(f.geometry, SamplingMoment(), good, 0, {4}).steps[0].own.isZero(0));

  Round heavy = good;
  heavy.momentum = 0.5;
  CHECK_THROWS_WITH_AS(round_moments(f.geometry, SamplingMoment(), heavy, sigma, {4}),
                       "round moments: momentum = 0 is violated by 0.5", std::invalid_argument);
  CHECK_THROWS_AS(round_moments(f.geometry, SamplingMoment(), good, sigma, {5}), std::invalid_argument);
  CHECK_THROWS_AS(round_moments(f.geometry, SamplingMoment(), good, sigma, {-1}), std::invalid_argument);
  CHECK_THROWS_AS(round_moments(f.geometry, SamplingMoment(), good, -1, {4}), std::invalid_argument);
  CHECK_THROWS_AS(round_moments(f.geometry, SamplingMoment(), good, 1, {4}, {.tolerance = 0}),
                  std::invalid_argument);
  CHECK_THROWS_AS(spread_per_noise(1, good, -1), std::invalid_argument);
}
