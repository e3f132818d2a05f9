// The conventional SDE as a GPU's threads integrate it, on the host, against the CPU's packs: equal bit for
// bit.
#include "slowsde/gpu/conventional_worker.hpp"

#include <doctest/doctest.h>

#include <utility>
#include <vector>

#include "slowsde/problems/circle.hpp"
#include "slowsde/problems/two_valleys.hpp"
#include "slowsde/problems/valley.hpp"
#include "tests/support/conventional_threads.hpp"
#include "tests/support/device_ensembles.hpp"

using namespace slowsde;
using slowsde::test::same_bits;

namespace {

constexpr std::size_t trajectories = 11;

ConventionalRun run_of(NoiseKind kind, bool local, std::vector<double> start) {
  return test::conventional_run_of(kind, local, std::move(start));
}

template <class P>
std::vector<double> of_threads(const P& problem, const ConventionalRun& run, std::uint64_t shift = 0) {
  return test::conventional_threads(problem, run, trajectories, shift);
}

/// (points × trajectories × d) by LocalRounds on packs.
template <class P, class Noise>
std::vector<double> of_packs(const P& problem, Noise noise, const ConventionalRun& run) {
  using T = Pack<double>;
  constexpr std::size_t d = P::dim, W = native_width<double>;
  const ConventionalSteps steps = conventional_steps(run);
  const ConventionalSde<P, Noise> sde(problem, noise, run.round.eta, steps.batch);
  std::vector<double> states(run.times.size() * trajectories * d);
  for (std::size_t first = 0; first < trajectories; first += W) {
    BrownianPath<T> path(run.seed, first, sde.noise_dim(), steps.copies);
    const LocalRounds rounds{EulerMaruyama{}, steps.copies, steps.substeps};
    Stepper<LocalRounds<EulerMaruyama>, ConventionalSde<P, Noise>, T> stepper(rounds, sde);
    T x[d];
    for (std::size_t j = 0; j < d; ++j) x[j] = T(run.start[j]);
    for (std::size_t p = 0; p < run.times.size(); ++p) {
      const OutputInterval& interval = steps.intervals[p];
      stepper.restart(interval.start, interval.first_step);
      for (std::uint64_t k = interval.first_step; k < interval.first_step + interval.steps; ++k)
        stepper.do_step(sde, x, k, interval.dt, path);
      for (std::size_t l = 0; l < W && first + l < trajectories; ++l)
        for (std::size_t j = 0; j < d; ++j)
          states[(p * trajectories + first + l) * d + j] = x[j][static_cast<int>(l)];
    }
  }
  return states;
}

}  // namespace

TEST_CASE("a thread's conventional SDE has the bits of a pack's lane") {
  for (const bool local : {false, true}) {
    CAPTURE(local);
    const ConventionalRun label = run_of(NoiseKind::label, local, {1.5, 0.1});
    CHECK(same_bits(of_packs(Valley{}, LabelNoise{0.8}, label), of_threads(Valley{}, label)));
    const ConventionalRun minibatch = run_of(NoiseKind::minibatch, local, {0.5, 0.1, -0.1});
    CHECK(same_bits(of_packs(TwoValleys<2>{}, LabelNoise{0.8}, minibatch),
                    of_threads(TwoValleys<2>{}, minibatch)));
    const ConventionalRun gaussian = run_of(NoiseKind::gaussian, local, {0.9, 0.2});
    CHECK(same_bits(of_packs(Circle{}, GaussianNoise{}, gaussian), of_threads(Circle{}, gaussian)));
  }
}

TEST_CASE("other noise gives other trajectories") {
  const ConventionalRun run = run_of(NoiseKind::label, true, {1.5, 0.1});
  CHECK(!same_bits(of_threads(Valley{}, run), of_threads(Valley{}, run, 1)));
}

TEST_CASE("SGD takes steps of at most dt that end on the record points, Local SGD whole rounds") {
  ConventionalRun run = run_of(NoiseKind::label, false, {1.5, 0.1});
  const ConventionalSteps sgd = conventional_steps(run);
  CHECK(sgd.copies == 1);
  CHECK(sgd.batch == 10);
  CHECK(sgd.intervals[1].steps == 11);  // τ = 0.06/0.05 = 1.2 in steps of at most 0.11
  CHECK(sgd.intervals[2].steps == 0);
  CHECK(sgd.intervals[3].first_step == 11);
  run.local = true;
  const ConventionalSteps local = conventional_steps(run);
  CHECK(local.copies == 5);
  CHECK(local.batch == 2);
  CHECK(local.substeps == 6);  // ηH = 0.6
  CHECK(local.intervals[1].steps == 2);
}

namespace {

/// n lines through a point: f_i = ⟨a_i, θ⟩·θ_0, for any number of samples.
struct Lines {
  static constexpr int dim = 2, outputs_count = 1;
  int n = 1;

  int samples() const { return n; }
  template <class T, class I>
  SLOWSDE_HD void outputs(const T* theta, const I& i, T* f) const {
    f[0] = theta[0] * (theta[0] + T(0.3 * (i + 1)) * theta[1]);
  }
  template <class I, class T>
  SLOWSDE_HD void targets(const I&, T* y) const {
    y[0] = T(0.5);
  }
};

}  // namespace

TEST_CASE("so it has with as many samples as a problem says when it runs, up to eight") {
  for (const int samples : {1, 2, 3, 5, 8})
    for (const bool local : {false, true}) {
      CAPTURE(samples);
      const ConventionalRun run = run_of(NoiseKind::label, local, {0.7, 0.2});
      const auto threads = of_threads(Lines{samples}, run);
      CHECK(same_bits(of_packs(Lines{samples}, LabelNoise{0.8}, run), threads));
      CHECK(!same_bits(threads, of_threads(Lines{samples}, run, 1)));
    }
  const bool held =
      with_conventional_worker(Lines{9}, run_of(NoiseKind::label, true, {0.7, 0.2}), [](auto, auto) {});
  CHECK(!held);
}
