// ctest-labels: theory
// The conventional SDE: over O(1/η) steps it describes SGD and Local SGD alike, with a weak error of order η.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <vector>

#include "slowsde/problems/valley.hpp"
#include "slowsde/sde/closed_forms.hpp"
#include "slowsde/sde/conventional_sde.hpp"
#include "slowsde/sde/sde_ensemble.hpp"
#include "tests/support/ensemble.hpp"
#include "tests/support/sde_examples.hpp"

using namespace slowsde;
using namespace slowsde::test;

namespace {

constexpr int K = 4;
constexpr double tau = 2, sigma = 1;
constexpr std::array<double, 2> start{1.2, 0.8};

/// E x and E y²/η.
struct Means {
  Measured x, energy;
};

/// After ηk = τ; SVAG's η/ℓ takes ℓ times as many steps.
Means iterates(double eta, std::int64_t H, int svag, std::size_t replicas, std::uint64_t seed) {
  LocalSgd algorithm = local_sgd({.eta = eta / svag, .local_steps = H, .workers = K}, 1);
  algorithm.svag = svag;
  algorithm.total_steps = std::llround(tau / eta) * svag;
  const double t = 2 * tau * eta;  // later than the run's end, where it is recorded then
  const auto moments = iterate_moments<NoiseKind::label>(
      Valley{}, algorithm, start, {t}, {.replicas = replicas, .seed = seed, .sigma = sigma, .project = false},
      2, [eta](const double* theta, double* values) {
        values[0] = theta[0];
        values[1] = theta[1] * theta[1] / eta;
      });
  REQUIRE(moments.points[0].steps == algorithm.total_steps);
  return {moments.last(0), moments.last(1)};
}

template <template <class> class Path = BrownianPath, class Scheme>
Means sde(const Scheme& scheme, double eta, int batch, double max_step, int workers, std::size_t trajectories,
          std::uint64_t seed) {
  const Valley valley;
  const ConventionalSde<Valley, LabelNoise> equation(valley, LabelNoise{sigma}, eta, batch);
  EnsembleOptions options;
  options.trajectories = trajectories;
  options.seed = seed;
  options.output_times = {tau};
  options.max_step = max_step;
  options.workers = workers;
  options.threads = 2;
  const auto moments = ensemble_moments<Pack<double>, Path>(
      scheme, equation, options, [](std::size_t, double* x) { std::copy(start.begin(), start.end(), x); }, 2,
      [eta](const double* x, double* values) {
        values[0] = x[0];
        values[1] = x[1] * x[1] / eta;
      });
  return {Measured::of(moments.at(0, 0)), Measured::of(moments.at(0, 1))};
}

constexpr std::size_t n = 160000, n_local_sde = 40000;

/// Observed orders in η of a difference at η, η/2 and η/4, and their limit.
double order_in_eta(const std::vector<Measured>& difference) {
  for (const Measured& d : difference) {
    MESSAGE("difference ", d.mean, " +- ", d.se);
    CHECK(z_of_wrong(d) >= 20);  // so that the order means something
  }
  const double coarse = std::log2(difference[0].mean / difference[1].mean),
               fine = std::log2(difference[1].mean / difference[2].mean);
  MESSAGE("orders ", coarse, ", ", fine);
  return 2 * fine - coarse;
}

}  // namespace

TEST_CASE(
    "over O(1/η) steps SGD, Local SGD and the conventional SDE agree to leading order, SVAG to a quarter of "
    "it") {
  std::vector<Measured> sgd_error, local_error, svag_error, between, energy_error;
  std::uint64_t seed = 351;
  for (double eta : {0.1, 0.05, 0.025}) {
    const Means sgd = iterates(eta, 1, 1, n, seed++);
    const Means local = iterates(eta, std::llround(0.5 / eta), 1, n, seed++);
    const Means svag = iterates(eta, 1, 4, n, seed++);
    const Means of_sgd = sde(PlatenWeak2{}, eta, K, 0.02, 1, n, seed++);
    const Means of_local = sde(LocalRounds{PlatenWeak2{}, K, 25}, eta, 1, 0.5, K, n_local_sde, seed++);
    sgd_error.push_back(sgd.x - of_sgd.x);
    local_error.push_back(local.x - of_local.x);
    svag_error.push_back(svag.x - of_sgd.x);
    between.push_back(local.x - sgd.x);
    energy_error.push_back(sgd.energy - of_sgd.energy);
  }
  CHECK(order(order_in_eta(sgd_error), 1, 0.1));
  CHECK(order(order_in_eta(local_error), 1, 0.1));
  CHECK(order(order_in_eta(between), 1, 0.1));
  CHECK(order(order_in_eta(svag_error), 1, 0.1));
  for (std::size_t i = 0; i < 3; ++i)  // ℓ = 4
    CHECK(order(std::log2(sgd_error[i].mean / svag_error[i].mean), 2, 0.2));

  const Measured energy = extrapolate(energy_error[0], energy_error[1], energy_error[2]);
  CHECK(z_of(energy) <= 4);

  const double eta = 0.025;
  const Measured sgd = iterates(eta, 1, 1, 40000, 371).energy;
  const Means local_batch = sde(PlatenWeak2{}, eta, 1, 0.02, 1, 20000, 372);
  const Means small_noise = sde<NoiseOfSizeDt>(PlatenWeak2{}, eta, K, 0.02, 1, 20000, 373);
  MESSAGE("E y²/η: iterates ", sgd.mean, " +- ", sgd.se, ", B_loc for B ", local_batch.energy.mean,
          ", dt for √dt ", small_noise.energy.mean);
  CHECK(z_of_wrong(sgd - local_batch.energy) >= 5);
  CHECK(z_of_wrong(sgd - small_noise.energy) >= 5);
}
