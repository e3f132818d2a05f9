// Ensembles of iterates on the device against the same functions in plain loops on the host, which
// test_host_executor holds against the CPU's iterates.
#include "slowsde/gpu/ensemble_kernels.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

#include "slowsde/problems/circle.hpp"
#include "slowsde/problems/two_valleys.hpp"
#include "slowsde/problems/valley.hpp"
#include "tests/support/conventional_threads.hpp"
#include "tests/support/device_ensembles.hpp"

namespace {

using slowsde::BufferPolicy;
using slowsde::IterateEnsemble;
using slowsde::IterateWorker;
using slowsde::NoiseKind;
using slowsde::test::ensemble_of;
using slowsde::test::on_host;
using slowsde::test::same_bits;

/// The device's states have the host's bits: additions, products, roots, quotients and fused steps are
/// rounded alike, the transcendental functions are polynomials of these, and nothing is contracted. The bound
/// is 0 ulp.
template <NoiseKind Kind, class P>
void check_parity(const P& problem, const IterateEnsemble& ensemble, std::size_t replicas,
                  std::uint64_t first = 1000) {
  std::vector<double> device;
  slowsde::make_ensemble_kernels(problem)->simulate(ensemble, first, replicas, device);
  if (ensemble.single_precision)
    CHECK(same_bits(device, on_host<IterateWorker<P, float, Kind>>(problem, ensemble, first, replicas)));
  else
    CHECK(same_bits(device, on_host<IterateWorker<P, double, Kind>>(problem, ensemble, first, replicas)));
}

}  // namespace

TEST_CASE("device and host take the same step") {
  for (const bool single : {false, true}) {
    check_parity<NoiseKind::label>(slowsde::Valley{},
                                   ensemble_of(1, NoiseKind::label, single, {1.5, 0.1}, 1, 1), 64);
    check_parity<NoiseKind::gaussian>(slowsde::Circle{},
                                      ensemble_of(1, NoiseKind::gaussian, single, {1.0, 0.1}, 1, 1), 64);
  }
}

TEST_CASE("device and host run the same rounds for any number of workers and replicas") {
  for (const bool single : {false, true})
    for (const int workers : {1, 2, 3, 7, 8, 11, 16, 17, 31, 32, 33, 64, 100, 256, 257, 600})
      for (const std::size_t replicas : {1u, 5u, 37u}) {
        CAPTURE(workers);
        CAPTURE(replicas);
        check_parity<NoiseKind::label>(slowsde::Valley{},
                                       ensemble_of(workers, NoiseKind::label, single, {1.5, 0.1}), replicas);
      }
}

TEST_CASE("device and host agree with minibatches, Gaussian noise, momentum and schedules") {
  for (const bool single : {false, true}) {
    for (const bool replacement : {true, false}) {
      IterateEnsemble e = ensemble_of(3, NoiseKind::minibatch, single, {0.5, 0.1, 0.1});
      e.source.noise.replacement = replacement;
      e.source.local_batch = 2;
      check_parity<NoiseKind::minibatch>(slowsde::TwoValleys<2>{}, e, 29);
    }
    check_parity<NoiseKind::gaussian>(slowsde::Circle{},
                                      ensemble_of(5, NoiseKind::gaussian, single, {1.0, 0.1}), 29);
    for (const int workers : {4, 40})
      for (const BufferPolicy policy : {BufferPolicy::kept, BufferPolicy::averaged, BufferPolicy::reset}) {
        IterateEnsemble e = ensemble_of(workers, NoiseKind::label, single, {1.5, 0.1});
        e.algorithm.momentum = 0.9;
        e.algorithm.buffers = policy;
        check_parity<NoiseKind::label>(slowsde::Valley{}, e, 29);
      }
    IterateEnsemble e = ensemble_of(4, NoiseKind::label, single, {1.5, 0.1});
    e.algorithm.lr = slowsde::LearningRate(
        {.shape = slowsde::LearningRateShape::cosine, .peak = 0.05, .warmup_steps = 5, .total_steps = 43});
    check_parity<NoiseKind::label>(slowsde::Valley{}, e, 29);
  }
}

TEST_CASE("moments are those of the states, whatever the number of replicas") {
  const slowsde::Valley problem;
  const auto kernels = slowsde::make_ensemble_kernels(problem);
  const IterateEnsemble ensemble = ensemble_of(3, NoiseKind::label, false, {1.5, 0.1});
  for (const std::size_t replicas : {1u, 255u, 256u, 257u, 1000u}) {
    slowsde::IterateReduction reduction;
    reduction.observables = {{slowsde::LaneObservable::Kind::component, 0},
                             {slowsde::LaneObservable::Kind::norm, 0}};
    reduction.bound = 1e6;
    reduction.samples = 10;
    const slowsde::ReducedEnsemble reduced = kernels->reduce(ensemble, replicas, reduction, {});
    std::vector<double> states;
    kernels->simulate(ensemble, 0, replicas, states);
    for (std::size_t p = 0; p < ensemble.points.size(); ++p) {
      slowsde::Moments x, norm;
      for (std::size_t r = 0; r < replicas; ++r) {
        const double* state = states.data() + (p * replicas + r) * 2;
        x.add(state[0]);
        norm.add(std::sqrt(state[0] * state[0] + state[1] * state[1]));
      }
      CHECK(reduced.diverged[p] == 0);
      const slowsde::Moments expected[2] = {x, norm};
      for (int m = 0; m < 2; ++m) {
        const slowsde::Moments& cell = reduced.cells[p * 2 + static_cast<std::size_t>(m)];
        CHECK(cell.count == replicas);
        CHECK(std::abs(cell.mean - expected[m].mean) <= 1e-13);
        CHECK(std::abs(cell.squares - expected[m].squares) <= 1e-11 * (1 + expected[m].squares));
      }
    }
    for (std::size_t r = 0; r < std::min<std::size_t>(10, replicas); ++r)
      CHECK(reduced.samples[r] == states[(2 * replicas + r) * 2]);
  }
}

TEST_CASE("quantiles are those of the states, whatever the number of replicas, and leave out the diverged") {
  const slowsde::Valley problem;
  const auto kernels = slowsde::make_ensemble_kernels(problem);
  for (const double rate : {0.05, 3.0})
    for (const std::size_t replicas : {1u, 255u, 256u, 257u, 1000u}) {
      IterateEnsemble ensemble = ensemble_of(3, NoiseKind::label, false, {1.5, 0.1}, 200, 1);
      ensemble.algorithm.lr = slowsde::LearningRate::constant(rate);
      slowsde::IterateReduction reduction;
      reduction.observables = {{slowsde::LaneObservable::Kind::component, 0},
                               {slowsde::LaneObservable::Kind::component, 1}};
      reduction.bound = 1e6;
      reduction.quantiles = {0.05, 0.5, 0.9};
      const slowsde::ReducedEnsemble reduced = kernels->reduce(ensemble, replicas, reduction, {});
      std::vector<double> states;
      kernels->simulate(ensemble, 0, replicas, states);
      std::vector<char> gone(replicas, 0);
      REQUIRE(reduced.quantiles.size() == ensemble.points.size() * 2 * 3);
      for (std::size_t p = 0; p < ensemble.points.size(); ++p) {
        std::vector<double> values[2];
        for (std::size_t r = 0; r < replicas; ++r) {
          const double* state = states.data() + (p * replicas + r) * 2;
          if (!(std::abs(state[0]) <= 1e6 && std::abs(state[1]) <= 1e6)) gone[r] = 1;
          for (int j = 0; gone[r] == 0 && j < 2; ++j) values[j].push_back(state[j]);
        }
        for (std::size_t j = 0; j < 2; ++j) {
          const auto expected = slowsde::quantile_estimates(values[j], reduction.quantiles);
          for (std::size_t q = 0; q < 3; ++q) {
            const slowsde::QuantileEstimate& measured = reduced.quantiles[(p * 2 + j) * 3 + q];
            const double pairs[3][2] = {{measured.value, expected[q].value},
                                        {measured.lower, expected[q].lower},
                                        {measured.upper, expected[q].upper}};
            for (const auto& pair : pairs)
              CHECK((pair[0] == pair[1] || (std::isnan(pair[0]) && std::isnan(pair[1]))));
          }
        }
      }
    }
}

TEST_CASE("ensembles agree in law, and another number of workers does not") {
  // Device and host draw from different seeds; a difference of means has the standard error of both.
  const slowsde::Valley problem;
  constexpr std::size_t replicas = 8000;         // a worker more or less is then 10 standard errors away
  const auto second_moment = [&](int workers) {  // E y² of the mean's fast component is proportional to 1/K
    const IterateEnsemble ensemble = ensemble_of(workers, NoiseKind::label, true, {1.5, 0.0}, 400, 20);
    std::vector<double> states;
    slowsde::make_ensemble_kernels(problem)->simulate(ensemble, 0, replicas, states);
    slowsde::Moments moments;
    for (std::size_t r = 0; r < replicas; ++r) {
      const double y = states[(2 * replicas + r) * 2 + 1];
      moments.add(y * y);
    }
    return moments;
  };
  IterateEnsemble ensemble = ensemble_of(4, NoiseKind::label, true, {1.5, 0.0}, 400, 20);
  ensemble.source.seed = 77;
  const std::vector<double> host =
      on_host<IterateWorker<slowsde::Valley, float, NoiseKind::label>>(problem, ensemble, 0, replicas);
  slowsde::Moments expected;
  for (std::size_t r = 0; r < replicas; ++r) {
    const double y = host[(2 * replicas + r) * 2 + 1];
    expected.add(y * y);
  }
  const auto z = [&](const slowsde::Moments& measured) {
    return std::abs(measured.mean - expected.mean) /
           std::hypot(measured.standard_error(), expected.standard_error());
  };
  CHECK(z(second_moment(4)) <= 4.5);
  CHECK(z(second_moment(3)) >= 5);
  CHECK(z(second_moment(5)) >= 5);
}

TEST_CASE("replicas that diverge are counted and left out") {
  const slowsde::Valley problem;
  IterateEnsemble ensemble = ensemble_of(2, NoiseKind::label, false, {1.5, 0.5}, 200, 1);
  ensemble.algorithm.lr = slowsde::LearningRate::constant(3.0);
  slowsde::IterateReduction reduction;
  reduction.observables = {{slowsde::LaneObservable::Kind::component, 0}};
  reduction.bound = 1e6;
  reduction.project = true;
  const auto reduced = slowsde::make_ensemble_kernels(problem)->reduce(ensemble, 300, reduction, {});
  for (std::size_t p = 0; p < ensemble.points.size(); ++p) {
    CHECK(reduced.cells[p].count + reduced.diverged[p] == 300);
    CHECK(reduced.cells[p].diverged == 0);
  }
  CHECK(reduced.diverged.front() == 0);
  CHECK(reduced.diverged.back() > 0);
}

TEST_CASE("device and host take the same trajectories of the conventional SDE") {
  using slowsde::NoiseKind;
  const auto check = [](const auto& problem, const slowsde::ConventionalRun& run, std::size_t trajectories) {
    const std::size_t d = run.start.size(), last = run.times.size() - 1;
    slowsde::IterateReduction reduction;
    for (std::size_t j = 0; j < d; ++j)
      reduction.observables.push_back({slowsde::LaneObservable::Kind::component, static_cast<int>(j)});
    reduction.bound = 1e6;
    reduction.samples = trajectories;
    const auto reduced = slowsde::make_ensemble_kernels(problem)->reduce(run, trajectories, reduction, {});
    REQUIRE(reduced);
    const std::vector<double> host = slowsde::test::conventional_threads(problem, run, trajectories);
    for (std::size_t j = 0; j < d; ++j) {
      slowsde::Moments moments;
      int differing = 0;
      for (std::size_t r = 0; r < trajectories; ++r) {
        const double x = host[(last * trajectories + r) * d + j];
        moments.add(x);
        if (reduced->samples[j * trajectories + r] != x) ++differing;
      }
      CHECK(differing == 0);
      CHECK(std::abs(reduced->cells[last * d + j].mean - moments.mean) <= 1e-13);
    }
  };
  for (const bool local : {false, true})
    for (const std::size_t trajectories : {1u, 127u, 300u}) {
      CAPTURE(local);
      CAPTURE(trajectories);
      const auto run = [local](NoiseKind kind, std::vector<double> start) {
        return slowsde::test::conventional_run_of(kind, local, std::move(start));
      };
      check(slowsde::Valley{}, run(NoiseKind::label, {1.5, 0.1}), trajectories);
      check(slowsde::TwoValleys<2>{}, run(NoiseKind::minibatch, {0.5, 0.1, -0.1}), trajectories);
      check(slowsde::Circle{}, run(NoiseKind::gaussian, {0.9, 0.2}), trajectories);
    }
}

TEST_CASE("noise that the problem does not have is refused") {
  const auto kernels = slowsde::make_ensemble_kernels(slowsde::Valley{});
  CHECK_THROWS_AS(kernels->check(ensemble_of(1, NoiseKind::gaussian, false, {1.5, 0.0})),
                  std::invalid_argument);
}
