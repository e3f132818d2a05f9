// ctest-labels: theory
// The sphere: a manifold of equally flat minima, on which the slow SDE is Brownian motion and nothing else.
#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "slowsde/optim/sgd_moment.hpp"
#include "slowsde/problems/sphere.hpp"
#include "slowsde/sde/closed_forms.hpp"
#include "slowsde/sde/quasi_static_qsr.hpp"
#include "slowsde/sde/sde_ensemble.hpp"
#include "slowsde/sde/slow_sde.hpp"
#include "tests/support/ensemble.hpp"
#include "tests/support/sde_examples.hpp"

using namespace slowsde;
using namespace slowsde::test;

namespace {

constexpr int d = 3, K = 4;
constexpr double t = 2;  // (d−1)t/2B = ½

Measured direction(double eta, std::int64_t H, std::size_t replicas, std::uint64_t seed) {
  return mean_at_end<NoiseKind::gaussian>(
      Sphere<d>(), local_sgd({.eta = eta, .local_steps = H, .workers = K}, t), {1, 0, 0}, t,
      {.replicas = replicas, .seed = seed}, [](const double* zeta) { return zeta[0]; });
}

using Slow = SlowSde<Sphere<d>>;

// Rank 1 is stated: off the sphere no eigenvalue of ∇²L is zero.
Slow slow_sde(int workers, SlowSdeVariant variant) {
  return Slow(
      DenseGeometry<Sphere<d>>({}, {.rank = 1}), std::make_shared<SgdMoment>(),
      [workers](double) { return Round{.eta = 0.1, .workers = workers}; }, variant);
}

/// E ζ/|ζ| along the start, by Euler–Maruyama on the noise of Path, brought back to the sphere or not.
template <template <class> class Path>
Measured slow_direction(SlowSdeVariant variant, Retraction retraction, std::uint64_t seed) {
  const Slow sde = slow_sde(K, variant);
  const GradientFlow<Sphere<d>> flow(sde.geometry());
  const auto step = [&](double* x) {
    RetractionReport report;
    if (retraction != Retraction::none) retract_to_manifold(flow, retraction, x, report);
  };
  EnsembleOptions options;
  options.trajectories = 4096;
  options.seed = seed;
  options.output_times = {t};
  options.max_step = 0.05;
  options.threads = 2;
  return Measured::of(ensemble_moments<double, Path>(
                          Retracted{EulerMaruyama{}, step}, sde, options,
                          [](std::size_t, double* x) { x[0] = 1, x[1] = x[2] = 0; }, 1,
                          [](const double* x, double* value) {
                            *value = x[0] / std::sqrt(x[0] * x[0] + x[1] * x[1] + x[2] * x[2]);
                          })
                          .at(0));
}

/// The same of the quasi-static process with rounds of slow time alpha2.
Measured quasi_static_direction(double alpha2, std::size_t trajectories, std::uint64_t seed) {
  const Slow worker = slow_sde(1, SlowSdeVariant::full);
  const GradientFlow<Sphere<d>> flow(worker.geometry());
  std::vector<Moments> parts(trajectories);
  parallel_for(2, trajectories, [&](std::size_t trajectory) {
    QuasiStaticQsr<Sphere<d>> process(worker, flow, K, alpha2, 0.05);
    BrownianPath<double> path(seed, trajectory, d, K);
    std::array<double, d> x{1, 0, 0};
    RetractionReport report;
    std::uint64_t step = 0;
    for (double now = 0; now < t;) process.round(x.data(), now, t, path, step, report);
    parts[trajectory].add(x[0]);
  });
  return Measured::of(merge_in_order(parts));
}

}  // namespace

// |z| ≤ 4 in four comparisons and the check of a mutant: one false alarm in 3000 runs

TEST_CASE("SGD's mean direction shrinks as e^{−(d−1)ν²t/2B}: it diffuses on the sphere, without drift") {
  const Measured x = extrapolate(direction(0.1, 1, 40000, 301), direction(0.05, 1, 40000, 302));
  const double right = sphere_sgd_mean(d, 1, {.eta = 0.1, .workers = K}, t);
  MESSAGE("x ", x.mean, " +- ", x.se, ", predicted ", right);
  CHECK(z_of(x - right) <= 4);
  CHECK(z_of_wrong(x - 1.0) >= 5);                                                       // no diffusion
  CHECK(z_of_wrong(x - sphere_sgd_mean(d, 1, {.eta = 0.1}, t)) >= 5);                    // B_loc for B
  CHECK(z_of_wrong(x - sphere_sgd_mean(d + 1, 1, {.eta = 0.1, .workers = K}, t)) >= 5);  // d for d − 1

  const Measured full = slow_direction<BrownianPath>(SlowSdeVariant::full, Retraction::newton, 303);
  const Measured small = slow_direction<NoiseOfSizeDt>(SlowSdeVariant::full, Retraction::newton, 304);
  const Measured no_ito = slow_direction<BrownianPath>(SlowSdeVariant::no_ito, Retraction::none, 305);
  MESSAGE("slow SDE ", full.mean, " +- ", full.se, "; dt for √dt ", small.mean, " +- ", small.se, "; no Itô ",
          no_ito.mean, " +- ", no_ito.se);
  CHECK(z_of(full - x) <= 4);
  CHECK(z_of_wrong(small - x) >= 5);  // noise of size dt instead of √dt
  CHECK(z_of(no_ito - 1 / std::sqrt(1 + (d - 1) * t / K)) <= 4);
  CHECK(z_of_wrong(no_ito - x) >= 5);  // missing Itô term: ζ leaves the sphere, |ζ|² = 1 + (d−1)t/B
}

TEST_CASE("Local SGD diffuses faster at finite η²H, as the quasi-static process does") {
  const double alpha2 = 0.5;
  const Measured x = extrapolate(direction(0.1, 50, 32000, 311), direction(0.05, 200, 32000, 312));
  const Measured quasi_static = quasi_static_direction(alpha2, 12000, 313);
  const double sgd = sphere_sgd_mean(d, 1, {.eta = 0.1, .workers = K}, t);
  MESSAGE("x ", x.mean, " +- ", x.se, ", quasi-static ", quasi_static.mean, " +- ", quasi_static.se);
  CHECK(z_of(x - quasi_static) <= 4);
  CHECK(z_of_wrong(x - sgd) >= 5);                                     // α → 0, the QSR slow SDE
  CHECK(z_of_wrong(x - sphere_sgd_mean(d, 1, {.eta = 0.1}, t)) >= 5);  // B_loc for B
  const Measured shorter = quasi_static_direction(alpha2 / 8, 8000, 314);
  CHECK(z_of_wrong(shorter - quasi_static) >= 5);  // η²H plays no part
}
