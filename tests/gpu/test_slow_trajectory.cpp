// Slow models as a GPU's threads integrate them, on the host: the slow SDE has the bits of the CPU's packs.
#include "slowsde/gpu/slow_trajectory.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <vector>

#include "slowsde/optim/finite_step_moment.hpp"
#include "slowsde/optim/heavy_ball_moment.hpp"
#include "slowsde/optim/psi_moment.hpp"
#include "slowsde/optim/sampling_moment.hpp"
#include "slowsde/optim/sgd_moment.hpp"
#include "slowsde/problems/circle.hpp"
#include "slowsde/problems/curved_valley.hpp"
#include "slowsde/problems/sphere.hpp"
#include "slowsde/problems/valley.hpp"
#include "slowsde/sde/quasi_static_qsr.hpp"
#include "tests/support/device_ensembles.hpp"
#include "tests/support/slow_threads.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;
using slowsde::test::same_bits;
using slowsde::test::slow_run_of;
using Ended = slowsde::test::SlowThreads;

namespace {

constexpr std::size_t trajectories = 11;

template <class P, class Scheme>
Ended of_packs(const P& problem, Scheme scheme, const SlowRun& run) {
  using T = Pack<double>;
  using Equation = LaneSlowSde<P, std::function<Round(double)>>;
  constexpr std::size_t d = P::dim, W = native_width<double>;
  const Equation sde(LaneGeometry<P>(problem, 1), 0, run.moment->formula(), run.round, run.variant);
  Ended ended;
  ended.states.resize(run.times.size() * trajectories * d);
  for (std::size_t first = 0; first < trajectories; first += W) {
    BrownianPath<T> path(run.seed, first, sde.noise_dim());
    Stepper<Scheme, Equation, T> stepper(scheme, sde);
    LaneRetractionReport<T> report;
    T x[d];
    for (std::size_t j = 0; j < d; ++j) x[j] = T(run.start[j]);
    std::size_t p = 0;
    for (const OutputInterval& interval : slow_steps(run)) {
      stepper.restart(interval.start, interval.first_step);
      for (std::uint64_t k = interval.first_step; k < interval.first_step + interval.steps; ++k) {
        stepper.do_step(sde, x, k, interval.dt, path);
        retract_lanes(sde.geometry(), run.retraction, manifold_residual, x, report);
      }
      for (std::size_t l = 0; l < W && first + l < trajectories; ++l)
        for (std::size_t j = 0; j < d; ++j)
          ended.states[(p * trajectories + first + l) * d + j] = x[j][static_cast<int>(l)];
      ++p;
    }
    for (std::size_t l = 0; l < W && first + l < trajectories; ++l) {
      ended.worst = std::max(ended.worst, report.worst[static_cast<int>(l)]);
      ended.unconverged += report.unconverged[static_cast<int>(l)];
    }
  }
  return ended;
}

/// The same by the kernel's function; `shift` is another trajectory's noise.
template <class P>
Ended of_threads(const P& problem, const SlowRun& run, std::uint64_t shift = 0) {
  return test::slow_threads(problem, run, trajectories, shift);
}

template <class P>
void check(const P& problem, const std::shared_ptr<const SecondMoment>& moment,
           const std::vector<double>& start) {
  for (const Retraction retraction : {Retraction::newton, Retraction::none, Retraction::phi}) {
    if (retraction == Retraction::phi && !LaneClosedPhi<P>) continue;
    const SlowRun euler = slow_run_of(moment, start, SlowScheme::euler_maruyama, retraction),
                  platen = slow_run_of(moment, start, SlowScheme::platen_weak_2, retraction);
    const Ended a = of_packs(problem, EulerMaruyama{}, euler), b = of_threads(problem, euler);
    CHECK(same_bits(a.states, b.states));
    CHECK(a.worst == b.worst);
    CHECK(a.worst > 0);
    CHECK(a.unconverged == 0);
    CHECK(b.unconverged == 0);
    const Ended weak = of_threads(problem, platen);
    CHECK(same_bits(of_packs(problem, PlatenWeak2{}, platen).states, weak.states));
    CHECK(!same_bits(weak.states, b.states));
    CHECK(!same_bits(of_threads(problem, euler, 1).states, b.states));
  }
}

}  // namespace

TEST_CASE("a thread's slow trajectory has the bits of a pack's lane") {
  check(CurvedValley<>{}, std::make_shared<FiniteStepMoment>(), {0.5, 0.125});
  check(Circle{}, std::make_shared<PsiMoment>(), {0.6, 0.8});
  check(Sphere<3>{0.8}, std::make_shared<PsiMoment>(), {0, 0.6, 0.8});
  check(CurvedValley<>{}, std::make_shared<HeavyBallMoment>(BufferPolicy::reset), {0.5, 0.125});
}

TEST_CASE("a trajectory that leaves is not a number, and says nothing of its distance") {
  SlowRun run = slow_run_of(std::make_shared<FiniteStepMoment>(), {0.5, 0.125}, SlowScheme::euler_maruyama);
  run.round = [](double t) { return Round{t < 0.3 ? 0.05 : 1.9, 20, 4, 2}; };
  const Ended ended = of_threads(CurvedValley<>{}, run);
  CHECK(std::isfinite(ended.states[(2 * trajectories) * 2]));
  CHECK(std::isnan(ended.states[(3 * trajectories) * 2]));
  CHECK(std::isfinite(ended.worst));
  CHECK_THROWS_AS(
      check_moment(
          slow_run_of(std::make_shared<FiniteStepMoment>(), {0.5, 0.125}, SlowScheme::euler_maruyama), {40}),
      std::domain_error);
  // With buffers that are reset every second step a smaller curvature may be the unstable one.
  run.moment = std::make_shared<HeavyBallMoment>(BufferPolicy::reset);
  run.round = [](double) { return Round{1, 2, 4, 2, 0.9}; };
  CHECK_NOTHROW(check_moment(run, {2.5}));
  CHECK_THROWS_AS(check_moment(run, {1.3}), std::domain_error);
  CHECK_THROWS_AS(check_moment(run, {1.3, 2.5}), std::domain_error);
}

TEST_CASE("a thread's quasi-static process is the CPU's, to rounding, and that of no other round") {
  const Circle circle;
  const GradientFlow<Circle> flow(DenseGeometry<Circle>(circle, {.rank = 1}));
  for (const SlowScheme scheme : {SlowScheme::euler_maruyama, SlowScheme::platen_weak_2}) {
    SlowRun run = slow_run_of(std::make_shared<SgdMoment>(), {0.6, 0.8}, scheme);
    run.theory = SlowTheory::quasi_static;
    run.round_time = 0.11;  // which divides no interval
    const auto ended = of_threads(circle, run);
    const SlowSde<Circle> worker(
        flow.geometry(), run.moment,
        [&](double t) {
          Round round = run.round(t);
          round.workers = 1;
          return round;
        },
        run.variant);
    const auto far = [&](auto which) {
      double worst = 0, distance = 0;
      for (std::size_t r = 0; r < trajectories; ++r) {
        QuasiStaticQsr<Circle, decltype(which)> process(worker, flow, 4, run.round_time, run.dt);
        BrownianPath<double> path(run.seed, r, worker.noise_dim(), 4);
        std::vector<double> x = run.start;
        RetractionReport report;
        double t = 0;
        std::uint64_t k = 0;
        for (std::size_t p = 0; p < run.times.size(); ++p) {
          while (t < run.times[p]) process.round(x.data(), t, run.times[p], path, k, report);
          for (std::size_t j = 0; j < 2; ++j)
            worst = std::max(worst, std::abs(ended.states[(p * trajectories + r) * 2 + j] - x[j]));
        }
        distance = std::max(distance, report.worst);
      }
      CHECK(test::near(ended.worst, distance, 1e-12));
      return worst;
    };
    const double same = scheme == SlowScheme::platen_weak_2 ? far(PlatenWeak2{}) : far(EulerMaruyama{});
    CHECK(same <= 1e-12);
    run.round_time = 0.2;
    CHECK(!same_bits(of_threads(circle, run).states, ended.states));
  }
}

TEST_CASE("what no thread can hold stays on the CPU") {
  const auto held = []<class P>(const P&, const SlowRun& run) {
    return with_slow_trajectory<P>(run, []<class Trajectory>(std::type_identity<Trajectory>) {});
  };
  SlowRun run = slow_run_of(std::make_shared<PsiMoment>(), {1, 0}, SlowScheme::euler_maruyama);
  CHECK(held(Circle{}, run));
  CHECK(!held(Valley{}, run));  // an ODE
  run.refinement = 2;
  CHECK(!held(Circle{}, run));
  run.refinement = 1;
  run.retraction = Retraction::phi;
  CHECK(held(Circle{}, run));
  CHECK(!held(CurvedValley<>{}, run));  // without a closed form of it
  CHECK(!held(Circle{}, slow_run_of(std::make_shared<SamplingMoment>(), {1, 0}, SlowScheme::euler_maruyama)));
  run.theory = SlowTheory::quasi_static;
  CHECK(held(Circle{}, run));
  CHECK(!held(CurvedValley<>{}, run));
}
