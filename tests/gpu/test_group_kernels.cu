// Ensembles whose workers are blocks of threads on the device, against the same functions in loops on the
// host, which test_group_worker holds against the CPU's iterates.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "slowsde/gpu/cuda_check.hpp"
#include "slowsde/gpu/ensemble_kernels.hpp"
#include "slowsde/problems/diagonal_network.hpp"
#include "slowsde/problems/matrix_sensing.hpp"
#include "tests/support/device_ensembles.hpp"

namespace {

using slowsde::BufferPolicy;
using slowsde::DiagonalNetwork;
using slowsde::IterateEnsemble;
using slowsde::LaneObservable;
using slowsde::MatrixSensing;
using slowsde::NoiseKind;
using slowsde::test::GroupLoop;
using slowsde::test::of_groups;
using slowsde::test::same_bits;

DiagonalNetwork network(int features, int samples = 11) {
  return DiagonalNetwork(slowsde::SparseRegression{samples, features, 1, 5}.generate());
}
MatrixSensing sensing() { return MatrixSensing(slowsde::RandomSensing{{19, 24, 2, 3}, 13}.generate(), 3); }

IterateEnsemble ensemble_on(int d, int workers, NoiseKind kind, bool single, std::int64_t steps = 23) {
  std::vector<double> start;
  for (int j = 0; j < d; ++j) start.push_back((j % 3 == 1 ? -1 : 1) * (0.3 + 0.4 * std::cos(1.0 + j)));
  IterateEnsemble ensemble = slowsde::test::ensemble_of(workers, kind, single, start, steps);
  ensemble.algorithm.lr = slowsde::LearningRate::constant(std::min(0.005, 0.1 / d));
  return ensemble;
}

template <class P>
std::vector<double> on_device(const P& problem, const IterateEnsemble& ensemble, std::uint64_t first,
                              std::size_t replicas) {
  std::vector<double> states;
  slowsde::make_ensemble_kernels(problem)->simulate(ensemble, first, replicas, states);
  return states;
}

/// Additions, products, the numbers of the generator and their order are the host's: the bound is 0 ulp.
template <class P>
void check_parity(const P& problem, const IterateEnsemble& ensemble, std::size_t replicas) {
  constexpr std::uint64_t first = 1000;
  const std::vector<double> device = on_device(problem, ensemble, first, replicas);
  if (ensemble.single_precision)
    CHECK(same_bits(device, of_groups<float>(problem, ensemble, first, replicas)));
  else
    CHECK(same_bits(device, of_groups<double>(problem, ensemble, first, replicas)));
}

}  // namespace

TEST_CASE("blocks of threads have the bits of loops on the host, in shared memory and beyond it") {
  for (const bool single : {false, true})
    for (const NoiseKind kind : {NoiseKind::label, NoiseKind::minibatch})
      for (const int workers : {1, 3})
        for (const std::size_t replicas : {1u, 5u}) {
          CAPTURE(single);
          CAPTURE(workers);
          const auto check = [&](const auto& problem) {
            CAPTURE(problem.dim());
            check_parity(problem, ensemble_on(problem.dim(), workers, kind, single), replicas);
          };
          for (const int features : {1, 65, 1000, 40000}) check(network(features));
          check(network(3, 601));
          check(sensing());
        }
}

TEST_CASE("blocks of threads have the host's bits with momentum, SVAG, schedules and distinct samples") {
  const auto check = [](const auto& problem) {
    for (const bool single : {false, true}) {
      for (const int workers : {1, 3})
        for (const BufferPolicy policy : {BufferPolicy::kept, BufferPolicy::averaged, BufferPolicy::reset}) {
          IterateEnsemble e = ensemble_on(problem.dim(), workers, NoiseKind::label, single);
          e.algorithm.momentum = 0.9;
          e.algorithm.buffers = policy;
          check_parity(problem, e, 3);
        }
      IterateEnsemble e = ensemble_on(problem.dim(), 2, NoiseKind::minibatch, single);
      e.algorithm.svag = e.source.svag = 3;
      e.algorithm.local_batch = e.source.local_batch = 5;
      e.source.noise.replacement = false;
      e.algorithm.lr = slowsde::LearningRate({.shape = slowsde::LearningRateShape::cosine,
                                              .peak = std::min(0.005, 0.1 / problem.dim()),
                                              .warmup_steps = 5,
                                              .total_steps = 23});
      check_parity(problem, e, 3);
    }
  };
  check(network(65));
  check(network(7000));  // in double precision the state in shared memory, the momentum not
  check(sensing());
}

TEST_CASE("the host's bits are not those of another worker's numbers or of sums that leave something out") {
  const MatrixSensing problem = sensing();
  const IterateEnsemble e = ensemble_on(problem.dim(), 3, NoiseKind::label, false);
  const auto device = on_device(problem, e, 0, 2);
  CHECK(same_bits(device, of_groups<double>(problem, e, 0, 2)));
  for (const GroupLoop& wrong :
       {GroupLoop{.worker_shift = 1}, GroupLoop{.hidden_features = 1}, GroupLoop{.hidden_components = 1}})
    CHECK(!same_bits(device, of_groups<double>(problem, e, 0, 2, wrong)));
}

TEST_CASE("a replica is the same in chunks of any size, and moments are those of the states") {
  const DiagonalNetwork problem = network(40);
  const IterateEnsemble e = ensemble_on(problem.dim(), 2, NoiseKind::label, false);
  constexpr std::size_t replicas = 4096 + 300;  // two chunks
  const auto states = on_device(problem, e, 0, replicas);
  const auto alone = on_device(problem, e, replicas - 1, 1);
  const auto d = static_cast<std::ptrdiff_t>(problem.dim());
  CHECK(same_bits({states.end() - d, states.end()}, {alone.end() - d, alone.end()}));

  slowsde::IterateReduction reduction;
  reduction.observables = {{LaneObservable::Kind::component, 3}, {LaneObservable::Kind::norm, 0}};
  reduction.bound = 1e6;
  reduction.samples = 4200;
  const auto kernels = slowsde::make_ensemble_kernels(problem);
  REQUIRE(kernels->reduces(reduction));
  const slowsde::ReducedEnsemble reduced = kernels->reduce(e, replicas, reduction, {});
  for (std::size_t p = 0; p < e.points.size(); ++p) {
    slowsde::Moments expected[2];
    for (std::size_t r = 0; r < replicas; ++r) {
      const double* theta = states.data() + (p * replicas + r) * static_cast<std::size_t>(d);
      double square = 0;
      for (std::ptrdiff_t j = 0; j < d; ++j) square += theta[j] * theta[j];
      expected[0].add(theta[3]);
      expected[1].add(std::sqrt(square));
      if (p == 2 && r < reduction.samples) CHECK(reduced.samples[r] == theta[3]);
    }
    CHECK(reduced.diverged[p] == 0);
    for (std::size_t m = 0; m < 2; ++m) {
      const slowsde::Moments& cell = reduced.cells[p * 2 + m];
      CHECK(cell.count == replicas);
      CHECK(std::abs(cell.mean - expected[m].mean) <= 1e-13 * (1 + std::abs(expected[m].mean)));
      CHECK(std::abs(cell.squares - expected[m].squares) <= 1e-10 * (1 + expected[m].squares));
    }
  }
}

TEST_CASE("quantiles are those of all replicas in as many chunks as they take") {
  const DiagonalNetwork problem = network(3, 4);
  const IterateEnsemble ensemble = ensemble_on(static_cast<int>(problem.dim()), 2, NoiseKind::label, false);
  const std::size_t replicas = 4096 + 137, d = ensemble.start.size();
  slowsde::IterateReduction reduction;
  reduction.observables = {{LaneObservable::Kind::component, 0}, {LaneObservable::Kind::component, 2}};
  reduction.bound = 1e6;
  reduction.quantiles = {0.1, 0.5};
  const auto reduced = slowsde::make_ensemble_kernels(problem)->reduce(ensemble, replicas, reduction, {});
  const std::vector<double> states = on_device(problem, ensemble, 0, replicas);
  REQUIRE(reduced.quantiles.size() == ensemble.points.size() * 2 * 2);
  for (std::size_t p = 0; p < ensemble.points.size(); ++p)
    for (std::size_t m = 0; m < 2; ++m) {
      std::vector<double> values;
      for (std::size_t r = 0; r < replicas; ++r) values.push_back(states[(p * replicas + r) * d + 2 * m]);
      const auto expected = slowsde::quantile_estimates(values, reduction.quantiles);
      for (std::size_t q = 0; q < 2; ++q) CHECK(reduced.quantiles[(p * 2 + m) * 2 + q] == expected[q]);
    }
}

TEST_CASE("replicas that diverge are counted and left out") {
  const DiagonalNetwork problem = network(20);
  IterateEnsemble e = ensemble_on(problem.dim(), 2, NoiseKind::label, false, 60);
  e.algorithm.lr = slowsde::LearningRate::constant(10);
  slowsde::IterateReduction reduction;
  reduction.observables = {{LaneObservable::Kind::component, 0}};
  reduction.bound = 1e6;
  const auto reduced = slowsde::make_ensemble_kernels(problem)->reduce(e, 300, reduction, {});
  for (std::size_t p = 0; p < e.points.size(); ++p)
    CHECK(reduced.cells[p].count + reduced.diverged[p] == 300);
  CHECK(reduced.diverged.front() == 0);
  CHECK(reduced.diverged.back() == 300);
}

TEST_CASE("what the device does not form or has no room for is said so") {
  const DiagonalNetwork problem = network(40);
  const auto kernels = slowsde::make_ensemble_kernels(problem);
  slowsde::IterateReduction reduction;
  reduction.observables = {{LaneObservable::Kind::loss, 0}};
  CHECK(!kernels->reduces(reduction));
  reduction.observables = {{LaneObservable::Kind::norm, 0}};
  CHECK(kernels->reduces(reduction));
  reduction.project = true;
  CHECK(!kernels->reduces(reduction));

  const DiagonalNetwork huge = network(500000, 1);
  const IterateEnsemble e = ensemble_on(huge.dim(), 65535, NoiseKind::label, false);  // 1 TB
  std::string refusal;
  try {
    on_device(huge, e, 0, 1);
  } catch (const slowsde::DeviceError& error) {
    refusal = error.what();
  }
  CHECK(refusal.find("out of memory") != std::string::npos);
  CHECK(refusal.find("one replica of 65535 workers") != std::string::npos);
}
