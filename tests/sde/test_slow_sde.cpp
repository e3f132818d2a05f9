// ctest-labels: theory
#include "slowsde/sde/slow_sde.hpp"

#include <doctest/doctest.h>

#include <array>

#include "slowsde/optim/finite_step_moment.hpp"
#include "slowsde/optim/heavy_ball_moment.hpp"
#include "slowsde/optim/psi_moment.hpp"
#include "slowsde/optim/qsr_moment.hpp"
#include "slowsde/optim/sgd_moment.hpp"
#include "slowsde/problems/valley.hpp"
#include "slowsde/sde/sde_ensemble.hpp"
#include "tests/support/manifold_problems.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;

namespace {

using test::CircleForTest;
using test::CurvedValleyForTest;
using test::SphereForTest;

static_assert(Sde<SlowSde<CurvedValleyForTest>> &&
              SlowSde<CurvedValleyForTest>::noise == NoiseClass::general);
static_assert(Sde<SlowSde<Valley>> && SlowSde<Valley>::noise == NoiseClass::none);
static_assert(Steppable<EulerMaruyama, SlowSde<CurvedValleyForTest>>);
static_assert(!Steppable<Heun, SlowSde<CurvedValleyForTest>>);  // it is an Itô equation
static_assert(!Steppable<Milstein, SlowSde<CurvedValleyForTest>>);

template <class Model>
std::shared_ptr<const SecondMoment> model() {
  return std::make_shared<Model>();
}
std::function<Round(double)> always(const Round& round) {
  return [round](double) { return round; };
}

/// Mean and standard error of `observe` at time T over n trajectories.
template <class P, class Observe>
Moments simulate(const SlowSde<P>& sde, const typename SlowSde<P>::Vector& start, double T, double dt,
                 std::size_t n, Retraction retraction, Observe observe) {
  EnsembleOptions options;
  options.trajectories = n;
  options.seed = 11;
  options.output_times = {T};
  options.max_step = dt;
  options.threads = 2;
  const GradientFlow<P> flow(sde.geometry());
  const auto retract = [&](double* x) {
    RetractionReport report;
    if (retraction != Retraction::none) retract_to_manifold(flow, retraction, x, report);
  };
  return ensemble_moments<double>(
             Retracted{EulerMaruyama{}, retract}, sde, options,
             [&](std::size_t, double* x) { std::copy(start.data(), start.data() + start.size(), x); }, 1,
             [&](const double* x, double* value) { value[0] = observe(x); })
      .at(0);
}

/// x(T) of the valley's slow SDE, an ODE, from x0.
double valley_end(std::shared_ptr<const SecondMoment> moment, const Round& round, double x0, double T) {
  DenseGeometryOptions options;
  options.label_noise = 1;
  const SlowSde<Valley> sde(DenseGeometry<Valley>({}, options), std::move(moment), always(round));
  Stepper<PlatenWeak2, SlowSde<Valley>> stepper({}, sde);  // without noise: Heun's method
  BrownianPath<double> path(1, 0, 0);
  double x[2] = {x0, 0};
  const int steps = 2000;
  for (int k = 0; k < steps; ++k) stepper.do_step(sde, x, static_cast<std::uint64_t>(k), T / steps, path);
  CHECK(x[1] == 0);
  return x[0];
}

}  // namespace

TEST_CASE("the valley's slow ODEs end where they are known to end") {
  // K = 8, B_loc = σ = 1, x0 = 1.5, t = 4
  CHECK(test::near(valley_end(model<SgdMoment>(), {0.05, 1, 8, 1}, 1.5, 4), 1.5 * std::exp(-0.25), 1e-7));
  CHECK(test::near(valley_end(model<QsrMoment>(), {0.02, 500, 8, 1}, 1.5, 4), 1.5 * std::exp(-2.0), 1e-6));
  CHECK(test::near(valley_end(model<PsiMoment>(), {0.025, 20, 8, 1}, 1.5, 4), 0.4663, 5e-5));
  CHECK(test::near(valley_end(model<PsiMoment>(), {0.02, 500, 8, 1}, 1.5, 4), 0.2160, 5e-5));
  CHECK(test::near(valley_end(model<FiniteStepMoment>(), {0.05, 1, 8, 1}, 1.5, 4), 1.1469, 5e-5));
  CHECK(test::near(valley_end(model<FiniteStepMoment>(), {0.025, 20, 8, 1}, 1.5, 4), 0.4658, 5e-5));
  CHECK(test::near(valley_end(model<FiniteStepMoment>(), {0.02, 500, 8, 1}, 1.5, 4), 0.2097, 5e-5));
}

TEST_CASE("drift and diffusion are the sum of their terms, and the wrong theories lack one each") {
  const DenseGeometry<CurvedValleyForTest> geometry;
  const Eigen::Vector2d x(-0.7, 0.245);
  const auto p = geometry.at(x);
  const Round round{0.05, 20, 4, 2};
  const double B = round.global_batch();
  const auto drift = [&](SlowSdeVariant variant) {
    const SlowSde<CurvedValleyForTest> sde(geometry, model<PsiMoment>(), always(round), variant);
    Eigen::Vector2d out;
    sde.drift(x.data(), 0, out.data());
    return out;
  };
  const auto covariance = [&](SlowSdeVariant variant) {
    const SlowSde<CurvedValleyForTest> sde(geometry, model<PsiMoment>(), always(round), variant);
    Eigen::Matrix<double, 2, 2, Eigen::RowMajor> S;
    sde.diffusion(x.data(), 0, S.data());
    return Eigen::Matrix2d(S * S.transpose());
  };
  using V = SlowSdeVariant;
  const Eigen::Vector2d slow = geometry.slow_drift(p, PsiMoment(), round),
                        ito = geometry.ito_correction(p, 1 / B);
  CHECK((drift(V::full) - slow - ito).norm() <= 1e-15);
  CHECK((drift(V::no_ito) - slow).norm() <= 1e-15);
  CHECK((drift(V::drift_only) - slow).norm() <= 1e-15);
  CHECK((drift(V::diffusion_only) - ito).norm() <= 1e-15);
  const Eigen::Vector2d cross = drift(V::full) - drift(V::no_cross);
  CHECK((drift(V::full) - drift(V::cross_once) - 0.5 * cross).norm() <= 1e-15);
  CHECK(cross.norm() > 0.01);
  Eigen::Matrix2d Sigma;
  Sigma << 1, 0.6, 0.6, 0.8;
  const Eigen::Matrix2d P = p.tangent_projector();
  CHECK((covariance(V::full) - P * Sigma * P / B).norm() <= 1e-14);
  CHECK((covariance(V::diffusion_only) - P * Sigma * P / B).norm() <= 1e-14);
  CHECK(covariance(V::drift_only).norm() == 0);

  // the round is that of the slow time, and an algorithm that discards noise diffuses less
  const std::function<Round(double)> decaying = [](double t) { return Round{t < 1 ? 0.05 : 0.01, 20, 4, 2}; };
  const SlowSde<CurvedValleyForTest> sde(geometry, model<PsiMoment>(), decaying);
  Eigen::Vector2d early, late;
  sde.drift(x.data(), 0.9, early.data());
  sde.drift(x.data(), 1.1, late.data());
  CHECK((early - slow - ito).norm() <= 1e-15);
  CHECK((late - geometry.slow_drift(p, PsiMoment(), decaying(1.1)) - ito).norm() <= 1e-15);
  Round heavy{0.01, 20, 4, 2};
  heavy.momentum = 0.9;
  const auto reset = std::make_shared<HeavyBallMoment>(BufferPolicy::reset);
  const double weight = reset->diffusion_weight(heavy);
  CHECK(weight < 0.9);
  const SlowSde<CurvedValleyForTest> momentum(geometry, reset, always(heavy));
  Eigen::Matrix<double, 2, 2, Eigen::RowMajor> S;
  momentum.diffusion(x.data(), 0, S.data());
  CHECK((S * S.transpose() - weight * P * Sigma * P / B).norm() <= 1e-14);

  CHECK_THROWS_AS(SlowSde<Valley>(DenseGeometry<Valley>(), nullptr, always(round)), std::invalid_argument);
  CHECK_THROWS_AS(SlowSde<Valley>(DenseGeometry<Valley>(), model<SgdMoment>(), {}), std::invalid_argument);
}

TEST_CASE("the distance to Γ is reported, and a retraction removes it") {
  const GradientFlow<CircleForTest> flow;
  RetractionReport report;
  double x[2] = {1.02, 0};
  retract_to_manifold(flow, Retraction::none, x, report);
  CHECK(x[0] == 1.02);
  CHECK(test::near(report.worst, 0.02, 1e-10));
  CHECK(report.converged);
  for (Retraction kind : {Retraction::newton, Retraction::phi}) {
    double y[2] = {0.6 * 1.01, 0.8 * 1.01};
    retract_to_manifold(flow, kind, y, report);
    CHECK(test::near(std::hypot(y[0], y[1]), 1, 1e-12));
  }
  CHECK(test::near(report.worst, 0.02, 1e-10));
  double broken[2] = {std::nan(""), 0};
  retract_to_manifold(flow, Retraction::phi, broken, report);
  CHECK(std::isnan(broken[0]));
}

TEST_CASE("on the sphere E ζ decays at (d−1)ν²/2B, by the Itô term or by retraction") {
  const double nu = 0.8, T = 1;
  const Round round{0.05, 1, 1, 1};
  const Eigen::Vector3d start(2.0 / 3, 1.0 / 3, -2.0 / 3);
  const auto along = [&](const double* x) { return start.dot(Eigen::Map<const Eigen::Vector3d>(x)); };
  const auto run = [&](SlowSdeVariant variant, Retraction retraction) {
    const SlowSde<SphereForTest<3>> sde(DenseGeometry<SphereForTest<3>>({nu}).with_rank_at(start),
                                        model<SgdMoment>(), always(round), variant);
    return simulate(sde, start, T, 0.02, 6000, retraction, along);
  };
  const double exact = std::exp(-nu * nu * T);
  using V = SlowSdeVariant;
  for (Retraction retraction : {Retraction::none, Retraction::newton, Retraction::phi}) {
    const Moments m = run(V::full, retraction);
    // Euler's weak error is below dt·(rate)²/2·T = 0.004, z from one comparison per retraction
    CHECK(std::abs(m.mean - exact) <= 4 * m.standard_error() + 0.004);
    CHECK(m.standard_error() <= 0.008);
  }
  CHECK(test::zscore(run(V::drift_only, Retraction::newton).mean, exact, 0.008) >= 5);
  const Moments no_ito = run(V::no_ito, Retraction::none);
  CHECK(test::zscore(no_ito.mean, exact, no_ito.standard_error()) >= 5);
  const Moments diffusion_only = run(V::diffusion_only, Retraction::newton);  // isotropic noise: nothing else
  CHECK(diffusion_only.mean == run(V::full, Retraction::newton).mean);
}

TEST_CASE("on the circle the angle drifts at −(c/B)(1+(K−1)ψ(2ηH)) by its cross terms") {
  const Round round{0.05, 20, 4, 2};
  const double c = 0.5, T = 2, B = round.global_batch();
  const Eigen::Vector2d start(1, 0);
  const auto angle = [](const double* x) { return std::atan2(x[1], x[0]); };
  const auto run = [&](SlowSdeVariant variant) {
    const SlowSde<CircleForTest> sde(DenseGeometry<CircleForTest>({c}).with_rank_at(start),
                                     model<PsiMoment>(), always(round), variant);
    return simulate(sde, start, T, 0.05, 8000, Retraction::newton, angle);
  };
  const double exact = -c * T / B * (1 + 3 * psi(2.0));
  const Moments full = run(SlowSdeVariant::full);
  CHECK(test::zscore(full.mean, exact, full.standard_error()) <= 4);
  // the angle's variance is t/B; its sample variance has the relative SE √(2/n)
  CHECK(test::zscore(full.variance() / (T / B), 1, std::sqrt(2.0 / 8000)) <= 4);
  for (SlowSdeVariant wrong :
       {SlowSdeVariant::no_cross, SlowSdeVariant::cross_once, SlowSdeVariant::diffusion_only}) {
    const Moments m = run(wrong);
    CHECK(test::zscore(m.mean, exact, m.standard_error()) >= 5);
  }
}

namespace {

/// E x(T) on the curved valley from its backward equation u_t = f u' + ½g u'' in the coordinate x of Γ, with
/// f and g derived by hand: with m = (−b', 1) = |m| n, t = (1, b')/|m|, λ = a|m|², Ā_nn and Ā_tn those of ψ,
///   f = t_x·(−½)(a' t_x |m|² Ā_nn − 2a b'' t_x |m| (n_x Ā_nn + t_x Ā_tn)) + n_x·(b'' t_x²/2B|m|) Σ_tt,
///   g = t_x² Σ_tt/B.
double backward_mean(const Round& round, double x0, double T) {
  const int points = 601, steps = 4000;
  const double low = -6, high = 6, h = (high - low) / (points - 1), dt = T / steps;
  const double B = round.global_batch();
  std::array<double, 601> f, g, u;
  for (int i = 0; i < points; ++i) {
    const double x = low + h * i, a = 2 + std::sin(x), slope_a = std::cos(x), length = std::sqrt(1 + x * x);
    const double nx = -x / length, ny = 1 / length, tx = 1 / length, ty = x / length;
    const double nn = nx * nx + 1.2 * nx * ny + 0.8 * ny * ny, tt = tx * tx + 1.2 * tx * ty + 0.8 * ty * ty;
    const double tn = tx * nx + 0.6 * (tx * ny + ty * nx) + 0.8 * ty * ny;
    const double lambda = a * length * length, eta_H = round.eta * static_cast<double>(round.local_steps);
    const double A_nn = nn / B * (1 + (round.workers - 1) * psi(2 * eta_H * lambda)) / (2 * lambda);
    const double A_tn = tn / B * (1 + (round.workers - 1) * psi(eta_H * lambda)) / lambda;
    const double along =
        slope_a * tx * length * length * A_nn - 2 * a * tx * length * (nx * A_nn + tx * A_tn);
    f[i] = -0.5 * tx * along + nx * tx * tx / (2 * B * length) * tt;
    g[i] = tx * tx * tt / B;
    u[i] = x;
  }
  const auto rate = [&](const std::array<double, 601>& v) {
    std::array<double, 601> r;
    r[0] = r[points - 1] = 0;
    for (int i = 1; i + 1 < points; ++i)
      r[i] = f[i] * (v[i + 1] - v[i - 1]) / (2 * h) + 0.5 * g[i] * (v[i + 1] - 2 * v[i] + v[i - 1]) / (h * h);
    return r;
  };
  for (int k = 0; k < steps; ++k) {  // Heun's method
    const auto first = rate(u);
    auto predicted = u;
    for (int i = 0; i < points; ++i) predicted[i] += dt * first[i];
    const auto second = rate(predicted);
    for (int i = 0; i < points; ++i) u[i] += 0.5 * dt * (first[i] + second[i]);
  }
  const int i = static_cast<int>(std::floor((x0 - low) / h));
  const double weight = (x0 - low) / h - i;
  return (1 - weight) * u[i] + weight * u[i + 1];
}

}  // namespace

TEST_CASE("on the curved valley the mean of x solves the backward equation of the reduced process") {
  const Round round{0.05, 20, 4, 1};
  const double T = 4, dt = 0.05;
  const Eigen::Vector2d start(0.5, 0.125);
  const double exact = backward_mean(round, start[0], T);
  const auto run = [&](SlowSdeVariant variant, Retraction retraction) {
    const SlowSde<CurvedValleyForTest> sde(DenseGeometry<CurvedValleyForTest>().with_rank_at(start),
                                           model<PsiMoment>(), always(round), variant);
    return simulate(sde, start, T, dt, 10000, retraction, [](const double* x) { return x[0]; });
  };
  using V = SlowSdeVariant;
  for (Retraction retraction : {Retraction::newton, Retraction::phi, Retraction::none}) {
    const Moments m = run(V::full, retraction);
    CHECK(test::zscore(m.mean, exact, m.standard_error()) <= 4);
  }
  const auto rejected = [&](V variant, Retraction retraction) {
    const Moments m = run(variant, retraction);
    CHECK(std::isfinite(m.mean));
    CHECK(test::zscore(m.mean, exact, m.standard_error()) >= 5);
  };
  rejected(V::no_ito, Retraction::none);
  rejected(V::no_cross, Retraction::newton);
  rejected(V::cross_once, Retraction::newton);
  rejected(V::diffusion_only, Retraction::newton);
}
