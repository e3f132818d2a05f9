// ctest-labels: theory
// Local SGD with H = (α/η)² at α² = ½, where the slow SDE of QSR is off and the quasi-static process is not.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <memory>

#include "slowsde/optim/qsr_moment.hpp"
#include "slowsde/optim/sgd_moment.hpp"
#include "slowsde/problems/curved_valley.hpp"
#include "tests/support/ensemble.hpp"

using namespace slowsde;
using namespace slowsde::test;

namespace {

using Valley = CurvedValley<>;
constexpr int K = 4;
constexpr double alpha2 = 0.5, t = 2;
constexpr std::array<double, 2> start{0.5, 0.125};
const auto x_of = [](const double* zeta) { return zeta[0]; };

SlowSde<Valley> slow_sde(std::shared_ptr<const SecondMoment> moment, int workers) {
  return SlowSde<Valley>(DenseGeometry<Valley>(Valley(), {.rank = 1}), std::move(moment),
                         [workers](double) { return Round{.eta = 0.1, .workers = workers}; });
}

Measured iterates(double eta, std::size_t replicas, std::uint64_t seed) {
  const Round round{.eta = eta, .local_steps = std::llround(alpha2 / (eta * eta)), .workers = K};
  const LocalSgd algorithm = local_sgd(round, t);
  const IterateOptions options{.replicas = replicas, .seed = seed};
  const auto moments = iterate_moments<NoiseKind::gaussian>(
      Valley(), algorithm, start, {t}, options, 1, [](const double* zeta, double* x) { *x = zeta[0]; });
  return mean_without_noise(moments.sample, total_noise(algorithm, options));
}

constexpr double dt = 0.1;
constexpr std::uint64_t steps = 20;

Measured qsr(std::shared_ptr<const SecondMoment> moment, std::size_t trajectories, std::uint64_t seed) {
  return mean_without_noise(slow_sample(slow_sde(std::move(moment), K), start, t,
                                        {.trajectories = trajectories, .seed = seed, .dt = dt}, x_of),
                            total_noise(seed, trajectories, 1, steps));
}

Measured quasi_static(int workers, double round_time, std::size_t trajectories, std::uint64_t seed) {
  return mean_without_noise(
      quasi_static_sample(slow_sde(std::make_shared<SgdMoment>(), 1), workers, round_time, start, t,
                          {.trajectories = trajectories, .seed = seed, .dt = dt}, x_of),
      total_noise(seed, trajectories, workers, steps));
}

}  // namespace

// |z| ≤ 3 in one comparison: one false alarm in 370 runs

TEST_CASE("at α² = ½ iterates follow the quasi-static process as η → 0, and not the slow SDE of QSR") {
  const Measured at_eta = iterates(0.05, 12000, 321), at_half = iterates(0.025, 16000, 322);
  const Measured x = extrapolate(at_eta, at_half);
  const Measured right = quasi_static(K, alpha2, 12000, 323);
  const Measured of_qsr = qsr(std::make_shared<QsrMoment>(), 12000, 324);
  MESSAGE("iterates ", at_eta.mean, ", ", at_half.mean, " -> ", x.mean, " +- ", x.se, "; quasi-static ",
          right.mean, " +- ", right.se, "; slow SDE of QSR ", of_qsr.mean, " +- ", of_qsr.se);
  CHECK(z_of(x - right) <= 3);
  CHECK(z_of_wrong(x - of_qsr) >= 10);  // α → 0
  const double gap = std::abs(right.mean - of_qsr.mean);
  CHECK(x.se <= 0.1 * gap);
  CHECK((x - right).se <= 0.1 * gap);

  CHECK(z_of_wrong(x - qsr(std::make_shared<SgdMoment>(), 2000, 325)) >= 5);  // ψ ≡ 0
  CHECK(z_of_wrong(x - quasi_static(1, alpha2, 2000, 326)) >= 5);             // one worker: B_loc for B
  CHECK(z_of_wrong(x - quasi_static(K, 2 * alpha2, 12000, 327)) >= 5);        // 2H for H
}
