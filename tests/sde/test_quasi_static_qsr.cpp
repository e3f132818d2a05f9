// ctest-labels: theory
#include "slowsde/sde/quasi_static_qsr.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <memory>

#include "slowsde/optim/sgd_moment.hpp"
#include "slowsde/problems/valley.hpp"
#include "slowsde/sde/statistics.hpp"
#include "tests/support/manifold_problems.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;

namespace {

/// SGD's slow SDE with one worker's batch.
template <class P>
SlowSde<P> worker_of(const DenseGeometry<P>& geometry, int local_batch) {
  return SlowSde<P>(geometry, std::make_shared<SgdMoment>(), [local_batch](double) {
    return Round{0.01, 1, 1, local_batch};
  });
}

/// The law of the angle at T on the circle with K copies of batch `batch`, a round being α² long.
struct AngleLaw {
  Moments angle;
  bool converged = true;
};
AngleLaw circle_angles(int K, int batch, double alpha2, double T, std::uint64_t n,
                       bool shared_noise = false) {
  const double c = 0.5;
  const GradientFlow<test::CircleForTest> flow(DenseGeometry<test::CircleForTest>({c}));
  const auto worker = worker_of(flow.geometry(), batch);
  QuasiStaticQsr<test::CircleForTest> process(worker, flow, shared_noise ? 1 : K, alpha2, alpha2 / 8);
  AngleLaw law;
  for (std::uint64_t trajectory = 0; trajectory < n; ++trajectory) {
    BrownianPath<double> path(3, trajectory, worker.noise_dim(), K);
    RetractionReport report;
    double x[2] = {1, 0}, t = 0;
    std::uint64_t k = 0;
    while (t < T) process.round(x, t, T, path, k, report);
    law.angle.add(std::atan2(x[1], x[0]));
    law.converged = law.converged && report.converged;
  }
  return law;
}

}  // namespace

TEST_CASE("with label noise the process is an ODE: the drift of QSR, K times SGD's") {
  const double sigma = 0.9, T = 2, x0 = 1.2;
  const int K = 4, B_loc = 2;
  DenseGeometryOptions options;
  options.label_noise = sigma;
  const GradientFlow<Valley> flow(DenseGeometry<Valley>(Valley{}, options));
  const auto worker = worker_of(flow.geometry(), B_loc);
  double error[2];
  for (int level = 0; level < 2; ++level) {
    QuasiStaticQsr<Valley> process(worker, flow, K, 0.3, level == 0 ? 2e-3 : 1e-3);
    BrownianPath<double> path(1, 0, 0, K);
    RetractionReport report;
    double x[2] = {x0, 0}, t = 0;
    std::uint64_t k = 0;
    int rounds = 0;
    for (; t < T; ++rounds) process.round(x, t, T, path, k, report);
    CHECK(rounds == 7);  // six of 0.3 and a last one of 0.2
    CHECK(t == T);
    CHECK(report.converged);
    CHECK(x[1] == 0);
    const double exact = x0 * std::exp(-sigma * sigma * T / (2 * B_loc));
    error[level] = std::abs(x[0] - exact);
    CHECK(error[level] <= 1e-3);
    // refused: B for B_loc
    CHECK(std::abs(x[0] - x0 * std::exp(-sigma * sigma * T / (2 * K * B_loc))) > 0.1);
  }
  CHECK(test::order(std::log2(error[0] / error[1]), 1, 0.1));  // Euler's
}

TEST_CASE("one copy is the slow SDE of SGD, to the last bit") {
  const GradientFlow<test::CurvedValleyForTest> flow(
      DenseGeometry<test::CurvedValleyForTest>().with_rank_at(Eigen::Vector2d(0.5, 0.125)));
  const auto worker = worker_of(flow.geometry(), 3);
  QuasiStaticQsr<test::CurvedValleyForTest> process(worker, flow, 1, 0.5, 0.125, Retraction::phi);
  BrownianPath<double> path(9, 4, 2, 1), same(9, 4, 2, 1);
  RetractionReport report;
  double x[2] = {0.5, 0.125}, y[2] = {0.5, 0.125}, t = 0;
  std::uint64_t k = 0;
  while (t < 2) process.round(x, t, 2, path, k, report);
  CHECK(k == 16);
  Stepper<EulerMaruyama, SlowSde<test::CurvedValleyForTest>> stepper({}, worker);
  for (std::uint64_t j = 0; j < 16; ++j) {
    stepper.do_step(worker, y, j, 0.125, same);
    retract_to_manifold(flow, Retraction::phi, y, report);
    if (j % 4 == 3) retract_to_manifold(flow, Retraction::phi, y, report);  // the round's own
  }
  CHECK(test::exact(x[0], y[0]));
  CHECK(test::exact(x[1], y[1]));
  CHECK(std::abs(x[0] - 0.5) > 0.01);
}

TEST_CASE("on the circle two copies drift as one worker and diffuse as the global batch") {
  // The angle of the mean of two points of a circle is the mean of their angles: E φ = −c t/B_loc and Var φ =
  // t/(K B_loc) whatever α.
  const double T = 1, c = 0.5;
  const int K = 2, B_loc = 4;
  const std::uint64_t n = 3000;
  const double se_variance = std::sqrt(2.0 / n);
  const auto z_mean = [&](const AngleLaw& law) {
    return test::zscore(law.angle.mean, -c * T / B_loc, law.angle.standard_error());
  };
  const auto z_variance = [&](const AngleLaw& law) {
    return test::zscore(law.angle.variance() * K * B_loc / T, 1, se_variance);
  };
  const AngleLaw law = circle_angles(K, B_loc, 0.25, T, n);
  CHECK(law.converged);
  CHECK(law.angle.diverged == 0);
  CHECK(z_mean(law) <= 4);
  CHECK(z_variance(law) <= 4);
  const AngleLaw global = circle_angles(K, K * B_loc, 0.25, T, n);  // wrong: the copies take the global batch
  CHECK(z_mean(global) >= 5);
  CHECK(z_variance(global) >= 5);
  const AngleLaw shared = circle_angles(K, B_loc, 0.25, T, n, true);  // wrong: all copies see the same noise
  CHECK(z_variance(shared) >= 5);
}
