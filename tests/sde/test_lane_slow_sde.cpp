// The slow SDE in lanes against SlowSde, one trajectory at a time.
#include "slowsde/sde/lane_slow_sde.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <random>
#include <stdexcept>
#include <utility>
#include <vector>

#include "slowsde/optim/effective_rate_moment.hpp"
#include "slowsde/optim/finite_step_moment.hpp"
#include "slowsde/optim/heavy_ball_moment.hpp"
#include "slowsde/optim/psi_moment.hpp"
#include "slowsde/optim/qsr_moment.hpp"
#include "slowsde/optim/sampling_moment.hpp"
#include "slowsde/optim/sgd_moment.hpp"
#include "slowsde/problems/circle.hpp"
#include "slowsde/problems/curved_valley.hpp"
#include "slowsde/problems/ellipsoid.hpp"
#include "slowsde/problems/sphere.hpp"
#include "slowsde/problems/two_valleys.hpp"
#include "slowsde/sde/slow_sde.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;

namespace {

using Clock = std::function<Round(double)>;
using V = SlowSdeVariant;
constexpr V variants[] = {V::full, V::no_ito, V::no_cross, V::cross_once, V::drift_only, V::diffusion_only};

Clock decaying() {
  return [](double t) { return Round{t < 0.5 ? 0.05 : 0.02, 20, 4, 2, 0.6}; };
}

std::vector<std::shared_ptr<const SecondMoment>> models() {
  return {std::make_shared<SgdMoment>(),
          std::make_shared<PsiMoment>(),
          std::make_shared<QsrMoment>(),
          std::make_shared<FiniteStepMoment>(),
          std::make_shared<EffectiveRateMoment<SgdMoment>>(),
          std::make_shared<EffectiveRateMoment<PsiMoment>>(),
          std::make_shared<HeavyBallMoment>(BufferPolicy::averaged),
          std::make_shared<HeavyBallMoment>(BufferPolicy::kept),
          std::make_shared<HeavyBallMoment>(BufferPolicy::reset)};
}

/// A vector's error relative to the expected vector; infinite where it is not a number.
double relative(const double* a, const double* b, int n, double least = 1e-3) {
  double error = 0, size = least * least;
  for (int i = 0; i < n; ++i) {
    error += (a[i] - b[i]) * (a[i] - b[i]);
    size += b[i] * b[i];
  }
  const double result = std::sqrt(error / size);
  return std::isnan(result) ? std::numeric_limits<double>::infinity() : result;
}

/// The equation of P by both routes at points of Γ.
template <class P>
struct Both {
  static constexpr int D = P::dim;
  static constexpr int m = DenseGeometry<P>::noise_dim();

  P problem;
  int rank;
  double sigma;
  std::shared_ptr<const SecondMoment> moment;

  SlowSde<P> plain(V variant) const {
    return SlowSde<P>(DenseGeometry<P>(problem, {.rank = rank, .label_noise = sigma}), moment, decaying(),
                      variant);
  }
  LaneSlowSde<P, Clock> lanes(V variant) const {
    return {LaneGeometry<P>(problem, rank), sigma, moment->formula(), decaying(), variant};
  }

  /// Largest relative difference of drift and noise over variants, times and points; `of_variant` says which
  /// variant of the lanes a variant is compared with.
  template <class Of>
  double worst(Of of_variant) const {
    std::mt19937_64 random(3);
    std::normal_distribution<double> normal;
    const std::vector<double> start = problem.default_start();
    double result = 0;
    for (int n = 0; n < 12; ++n) {
      std::array<double, D> x;
      for (std::size_t j = 0; j < D; ++j) x[j] = start[j] + 0.1 * normal(random);
      RetractionReport report;
      retract_to_manifold(GradientFlow<P>(DenseGeometry<P>(problem, {.rank = rank})), Retraction::newton,
                          x.data(), report);
      CHECK(report.converged);
      for (const V variant : variants)
        for (const double t : {0.1, 0.7}) {
          std::array<double, D> expected, drift, fused;
          std::array<double, D*(m + 1)> S_expected{}, S{}, S_fused{};
          const auto sde = lanes(of_variant(variant));
          plain(variant).drift(x.data(), t, expected.data());
          plain(variant).diffusion(x.data(), t, S_expected.data());
          sde.drift(x.data(), t, drift.data());
          sde.diffusion(x.data(), t, S.data());
          sde.drift_and_diffusion(x.data(), t, fused.data(), S_fused.data());
          result = std::max(result, relative(drift.data(), expected.data(), D));
          result = std::max(result, relative(fused.data(), expected.data(), D));
          result = std::max(result, relative(S.data(), S_expected.data(), D * m));
          result = std::max(result, relative(S_fused.data(), S_expected.data(), D * m));
        }
    }
    return result;
  }
};

template <class P>
void check(const P& problem, int rank, double sigma = 0) {
  for (const auto& moment : models()) {
    CAPTURE(moment->name());
    const Both<P> both{problem, rank, sigma, moment};
    CHECK(both.worst([](V v) { return v; }) <= 1e-12);
  }
}

/// (points × trajectories × d) of the old route.
template <class P, class Scheme>
std::vector<double> one_by_one(Scheme scheme, const Both<P>& both, const SlowRun& run, int count) {
  constexpr std::size_t d = P::dim;
  const auto sde = both.plain(run.variant);
  const GradientFlow<P> flow(sde.geometry());
  std::vector<double> states(run.times.size() * static_cast<std::size_t>(count) * d);
  for (int r = 0; r < count; ++r) {
    BrownianPath<double> path(run.seed, static_cast<std::uint64_t>(r), sde.noise_dim(), 1, run.refinement);
    Stepper<Scheme, SlowSde<P>> stepper(scheme, sde);
    std::vector<double> x = run.start;
    RetractionReport report;
    std::size_t p = 0;
    for (const OutputInterval& interval : slow_steps(run)) {
      stepper.restart(interval.start, interval.first_step);
      for (std::uint64_t k = interval.first_step; k < interval.first_step + interval.steps; ++k) {
        stepper.do_step(sde, x.data(), k, interval.dt, path);
        retract_to_manifold(flow, run.retraction, x.data(), report);
      }
      for (std::size_t j = 0; j < d; ++j)
        states[(p * static_cast<std::size_t>(count) + static_cast<std::size_t>(r)) * d + j] = x[j];
      ++p;
    }
  }
  return states;
}

template <class P, class Scheme>
std::vector<double> side_by_side(Scheme scheme, const Both<P>& both, const SlowRun& run, int count) {
  using T = Pack<double>;
  using Equation = LaneSlowSde<P, Clock>;
  constexpr std::size_t d = P::dim;
  const Equation sde = both.lanes(run.variant);
  std::vector<double> states(run.times.size() * static_cast<std::size_t>(count) * d);
  for (int first = 0; first < count; first += T::width) {
    BrownianPath<T> path(run.seed, static_cast<std::uint64_t>(first), sde.noise_dim(), 1, run.refinement);
    Stepper<Scheme, Equation, T> stepper(scheme, sde);
    LaneRetractionReport<T> report;
    T x[d];
    for (std::size_t j = 0; j < d; ++j) x[j] = T(run.start[j]);
    std::size_t p = 0;
    for (const OutputInterval& interval : slow_steps(run)) {
      stepper.restart(interval.start, interval.first_step);
      for (std::uint64_t k = interval.first_step; k < interval.first_step + interval.steps; ++k) {
        stepper.do_step(sde, x, k, interval.dt, path);
        retract_lanes(sde.geometry(), run.retraction, 1e-10, x, report);
      }
      for (int l = 0; l < T::width && first + l < count; ++l)
        for (std::size_t j = 0; j < d; ++j)
          states[(p * static_cast<std::size_t>(count) + static_cast<std::size_t>(first + l)) * d + j] =
              x[j][l];
      ++p;
    }
    CHECK(!any(report.unconverged > T(0.0)));
  }
  return states;
}

/// λ_max at x.
template <class P>
double geometry_curvature(const LaneGeometry<P>& geometry, const double* x) {
  LanePoint<double, P::dim> p;
  geometry.at(x, p);
  return p.lambda[P::dim - 1];
}

SlowRun run_of(std::vector<double> start, Retraction retraction) {
  SlowRun run;
  run.round = decaying();
  run.seed = 5;
  run.start = std::move(start);
  run.times = {0, 0.3, 0.3, 0.8};
  run.dt = 0.04;
  run.refinement = 2;
  run.retraction = retraction;
  return run;
}

}  // namespace

TEST_CASE("drift and diffusion in lanes are those of the slow SDE, for every variant and formula") {
  check(CurvedValley<>{}, 1);
  check(Circle{}, 1);
  check(Sphere<3>{0.8}, 1);
  check(Ellipsoid<3>{}, 1);
}

TEST_CASE("label noise drifts as in the slow SDE") { check(TwoValleys<2>{}, 2, 0.7); }

TEST_CASE("a lane's equation with a wrong variant is another equation") {
  const Both<CurvedValley<>> both{CurvedValley<>{}, 1, 0, std::make_shared<PsiMoment>()};
  for (const V wrong : {V::no_ito, V::no_cross, V::cross_once, V::drift_only, V::diffusion_only}) {
    CAPTURE(static_cast<int>(wrong));
    CHECK(both.worst([wrong](V) { return wrong; }) > 1e-3);
  }
}

TEST_CASE("a lane's trajectory is the one that SlowSde gives, to rounding, and no other") {
  constexpr int count = 11;
  const auto far = [](const std::vector<double>& a, const std::vector<double>& b) {
    REQUIRE(a.size() == b.size());
    return relative(a.data(), b.data(), static_cast<int>(a.size()));
  };
  const Both<CurvedValley<>> valley{CurvedValley<>{}, 1, 0, std::make_shared<FiniteStepMoment>()};
  const Both<Sphere<3>> sphere{Sphere<3>{0.8}, 1, 0, std::make_shared<PsiMoment>()};
  const Both<Circle> circle{Circle{}, 1, 0, std::make_shared<HeavyBallMoment>(BufferPolicy::reset)};
  const SlowRun by_phi = run_of({0.6, 0.8}, Retraction::phi);
  const auto on_circle = side_by_side(EulerMaruyama{}, circle, by_phi, count);
  CHECK(far(on_circle, one_by_one(EulerMaruyama{}, circle, by_phi, count)) <= 1e-12);
  const Both<Circle> averaged{Circle{}, 1, 0, std::make_shared<HeavyBallMoment>()};
  CHECK(far(side_by_side(EulerMaruyama{}, averaged, by_phi, count), on_circle) > 1e-3);
  CHECK(far(side_by_side(EulerMaruyama{}, circle, run_of({0.6, 0.8}, Retraction::none), count), on_circle) >
        1e-4);
  for (const Retraction retraction : {Retraction::newton, Retraction::none}) {
    SlowRun run = run_of({0.5, 0.125}, retraction);
    const auto expected = one_by_one(EulerMaruyama{}, valley, run, count);
    // thirty steps of a contraction-free map: rounding grows by no more than a hundred
    CHECK(far(side_by_side(EulerMaruyama{}, valley, run, count), expected) <= 1e-12);
    CHECK(far(side_by_side(PlatenWeak2{}, valley, run, count), expected) > 1e-4);
    run.seed = 6;
    CHECK(far(side_by_side(EulerMaruyama{}, valley, run, count), expected) > 1e-2);
    run = run_of({0, 0.6, 0.8}, retraction);
    CHECK(far(side_by_side(PlatenWeak2{}, sphere, run, count),
              one_by_one(PlatenWeak2{}, sphere, run, count)) <= 1e-12);
  }
}

TEST_CASE("the rounds of a run as a table are the rounds it asks for") {
  SlowRun run = run_of({0.5, 0.125}, Retraction::newton);
  run.round = [](double t) { return Round{0.1 / (1 + std::floor(7 * t)), 20, 4, 2}; };
  const auto intervals = slow_steps(run);
  const SlowRounds table = slow_rounds(run, intervals);
  CHECK(table.rounds.size() == 6);
  int wrong = 0;
  for (const OutputInterval& interval : intervals)
    for (std::uint64_t h = 0; h < interval.steps; ++h) {
      const double t = interval.start + static_cast<double>(h) * interval.dt;
      for (const double time : {t, t + interval.dt})
        if (!(table.view()(time) == run.round(time))) ++wrong;
    }
  CHECK(wrong == 0);
  CHECK(table.view()(-1).eta == 0.1);
}

TEST_CASE("what lanes cannot say is refused, and what does not exist is not a number") {
  CHECK(SamplingMoment().formula() == MomentFormula::other);
  CHECK(EffectiveRateMoment<QsrMoment>().formula() == MomentFormula::other);
  SlowRun run = run_of({0.5, 0.125}, Retraction::newton);
  run.moment = std::make_shared<PsiMoment>();
  CHECK(runs_in_lanes(run, false));
  run.retraction = Retraction::phi;
  CHECK(runs_in_lanes(run, true));
  CHECK(!runs_in_lanes(run, false));
  run.retraction = Retraction::newton;
  run.moment = std::make_shared<SamplingMoment>();
  CHECK(!runs_in_lanes(run, true));
  const LaneGeometry<CurvedValley<>> geometry(CurvedValley<>{}, 1);
  using Equation = LaneSlowSde<CurvedValley<>, Clock>;
  CHECK_THROWS_AS(Equation(geometry, 0, MomentFormula::other, decaying()), std::invalid_argument);
  CHECK_THROWS_AS(Equation(geometry, 1, MomentFormula::sgd, decaying()), std::invalid_argument);
  CHECK_THROWS_AS(Equation(geometry, -1, MomentFormula::sgd, decaying()), std::invalid_argument);
  const Clock large = [](double) { return Round{1.5, 20, 4, 2}; };
  const double x[2] = {0.5, 0.125};
  double out[2];
  Equation(geometry, 0, MomentFormula::finite_step, large).drift(x, 0, out);
  CHECK(std::isnan(out[0]));
  Equation(geometry, 0, MomentFormula::psi, large).drift(x, 0, out);
  CHECK(std::isfinite(out[0]));
  // Heavy ball is stable further out, until eta*lambda reaches 2(1+beta); reset buffers are not.
  const double curvature = geometry_curvature(geometry, x);
  const auto drift_at = [&](MomentFormula formula, double eta_lambda, std::int64_t H = 20,
                            double beta = 0.6) {
    const Clock clock = [=](double) { return Round{eta_lambda / curvature, H, 4, 2, beta}; };
    Equation(geometry, 0, formula, clock).drift(x, 0, out);
    return out[0];
  };
  CHECK(std::isfinite(drift_at(MomentFormula::heavy_ball_averaged, 3.1)));
  CHECK(std::isnan(drift_at(MomentFormula::heavy_ball_averaged, 3.3)));
  for (const BufferPolicy buffers : {BufferPolicy::averaged, BufferPolicy::kept, BufferPolicy::reset})
    for (const double eta_lambda : {0.1, 1.0, 1.3, 2.5, 3.1, 3.3})
      for (const auto& [H, beta] : {std::pair{std::int64_t{20}, 0.6}, std::pair{std::int64_t{2}, 0.9}}) {
        const HeavyBallMoment moment(buffers);
        bool exists = true;
        try {
          moment.coefficient(curvature, curvature, {eta_lambda / curvature, H, 4, 2, beta});
        } catch (const std::domain_error&) {
          exists = false;
        }
        CAPTURE(eta_lambda);
        CHECK(std::isfinite(drift_at(moment.formula(), eta_lambda, H, beta)) == exists);
      }

  double lost[2] = {std::nan(""), 0}, off[2] = {1.1, 0};
  LaneRetractionReport<double> report;
  const LaneGeometry<Circle> circle(Circle{}, 1);
  retract_lanes(circle, Retraction::newton, 1e-10, lost, report);
  CHECK(std::isnan(lost[0]));
  CHECK(report.worst == 0);
  retract_lanes(circle, Retraction::none, 1e-10, off, report);
  CHECK(off[0] == 1.1);
  CHECK(test::near(report.worst, 0.1, 1e-12));
  CHECK(report.unconverged == 0);
}
