// Ensembles of the slow SDE on the device against the same function in a plain loop on the host, which
// test_slow_trajectory holds against the CPU's packs.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <memory>
#include <vector>

#include "slowsde/gpu/ensemble_kernels.hpp"
#include "slowsde/optim/finite_step_moment.hpp"
#include "slowsde/optim/heavy_ball_moment.hpp"
#include "slowsde/optim/psi_moment.hpp"
#include "slowsde/optim/sgd_moment.hpp"
#include "slowsde/problems/circle.hpp"
#include "slowsde/problems/curved_valley.hpp"
#include "slowsde/problems/sphere.hpp"
#include "slowsde/problems/valley.hpp"
#include "tests/support/slow_threads.hpp"

namespace {

using slowsde::Moments;
using slowsde::Retraction;
using slowsde::SlowRun;
using slowsde::SlowScheme;
using slowsde::test::slow_run_of;

slowsde::IterateReduction components(int d, std::uint64_t samples) {
  slowsde::IterateReduction reduction;
  for (int j = 0; j < d; ++j) reduction.observables.push_back({slowsde::LaneObservable::Kind::component, j});
  reduction.bound = 1e6;
  reduction.samples = samples;
  return reduction;
}

/// The states have the host's bits, hence the samples are equal, and the moments are those of the states.
template <class P>
void check_parity(const P& problem, const SlowRun& run, std::size_t trajectories) {
  constexpr int d = P::dim;
  const std::size_t points = run.times.size();
  const auto reduction = components(d, trajectories);
  const auto reduced = slowsde::make_ensemble_kernels(problem)->reduce(run, 1, trajectories, reduction, {});
  REQUIRE(reduced);
  const auto host = slowsde::test::slow_threads(problem, run, trajectories, 0);
  int differing = 0;
  for (std::size_t p = 0; p < points; ++p)
    for (std::size_t j = 0; j < d; ++j) {
      Moments moments;
      for (std::size_t r = 0; r < trajectories; ++r) {
        const double x = host.states[(p * trajectories + r) * d + j];
        moments.add(x);
        if (p + 1 == points && reduced->samples[j * trajectories + r] != x) ++differing;
      }
      const Moments& cell = reduced->cells[p * d + j];
      CHECK(cell.count == trajectories);
      CHECK(std::abs(cell.mean - moments.mean) <= 1e-13);
      CHECK(std::abs(cell.squares - moments.squares) <= 1e-11 * (1 + moments.squares));
    }
  CHECK(differing == 0);
  CHECK(reduced->path_distance == host.worst);
  CHECK(reduced->unconverged == 0);
}

}  // namespace

TEST_CASE("device and host take the same slow trajectories, with every scheme and retraction") {
  const std::shared_ptr<const slowsde::SecondMoment> finite = std::make_shared<slowsde::FiniteStepMoment>(),
                                                     heavy_ball = std::make_shared<slowsde::HeavyBallMoment>(
                                                         slowsde::BufferPolicy::reset);
  const auto psi = std::make_shared<slowsde::PsiMoment>();
  for (const SlowScheme scheme : {SlowScheme::euler_maruyama, SlowScheme::platen_weak_2})
    for (const Retraction retraction : {Retraction::newton, Retraction::none, Retraction::phi})
      for (const std::size_t trajectories : {1u, 127u, 300u}) {
        CAPTURE(trajectories);
        if (retraction != Retraction::phi)
          for (const auto& moment : {finite, heavy_ball})
            check_parity(slowsde::CurvedValley<>{}, slow_run_of(moment, {0.5, 0.125}, scheme, retraction),
                         trajectories);
        check_parity(slowsde::Circle{}, slow_run_of(psi, {0.6, 0.8}, scheme, retraction), trajectories);
        check_parity(slowsde::Sphere<3>{0.8}, slow_run_of(psi, {0, 0.6, 0.8}, scheme, retraction),
                     trajectories);
      }
}

TEST_CASE("device and host take the same trajectories of the quasi-static process") {
  for (const SlowScheme scheme : {SlowScheme::euler_maruyama, SlowScheme::platen_weak_2})
    for (const std::size_t trajectories : {1u, 300u}) {
      SlowRun run = slow_run_of(std::make_shared<slowsde::SgdMoment>(), {0.6, 0.8}, scheme);
      run.theory = slowsde::SlowTheory::quasi_static;
      run.round_time = 0.11;
      check_parity(slowsde::Circle{}, run, trajectories);
      run.start = {0, 0.6, 0.8};
      check_parity(slowsde::Sphere<3>{0.8}, run, trajectories);
    }
}

TEST_CASE("trajectories without a second moment are counted as diverged") {
  SlowRun run =
      slow_run_of(std::make_shared<slowsde::FiniteStepMoment>(), {0.5, 0.125}, SlowScheme::euler_maruyama);
  run.round = [](double t) { return slowsde::Round{t < 0.3 ? 0.05 : 1.9, 20, 4, 2}; };
  const auto reduced =
      slowsde::make_ensemble_kernels(slowsde::CurvedValley<>{})->reduce(run, 1, 300, components(2, 0), {});
  REQUIRE(reduced);
  CHECK(reduced->diverged[2] == 0);
  CHECK(reduced->diverged[3] == 300);
}

TEST_CASE("a slow SDE that is an ODE stays on the CPU") {
  const SlowRun run =
      slow_run_of(std::make_shared<slowsde::PsiMoment>(), {1.5, 0}, SlowScheme::euler_maruyama);
  CHECK(!slowsde::make_ensemble_kernels(slowsde::Valley{})->reduce(run, 1, 10, components(2, 0), {}));
}
