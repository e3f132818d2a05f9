// A worker on a multilayer perceptron that is a group of threads, run by loops over them, against the
// iterates of the CPU: the same bits.
#include "slowsde/gpu/mlp_fit_worker.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "slowsde/gpu/mlp_fit_ensemble.hpp"
#include "tests/support/device_ensembles.hpp"
#include "tests/support/mlp_fit_loops.hpp"

using namespace slowsde;
using test::MlpFitLoop;
using test::MlpFitLoops;
using test::same_bits;

namespace {

MlpFit perceptron(std::vector<int> widths, Activation activation, int samples = 9) {
  const MlpShape shape{.widths = widths, .activation = activation};
  Dataset data = gaussian_inputs(samples, widths.front(), widths.back(), 3);
  const MlpFit teacher(shape, data);
  set_targets(data, teacher, initial_parameters(shape, 8).data());
  return MlpFit(shape, data);
}

IterateEnsemble ensemble_on(const MlpFit& fit, int workers, NoiseKind kind, bool single,
                            std::int64_t steps = 31) {
  const Eigen::VectorXd start = initial_parameters(fit.shape(), 5);
  IterateEnsemble ensemble = test::ensemble_of(workers, kind, single, {start.begin(), start.end()}, steps, 4);
  if (kind == NoiseKind::minibatch) ensemble.algorithm.local_batch = ensemble.source.local_batch = 3;
  return ensemble;
}

std::vector<double> of_loops(const MlpFit& fit, const IterateEnsemble& ensemble, std::uint64_t first,
                             std::size_t replicas, const MlpFitLoop& loop = {}) {
  std::vector<double> states;
  MlpFitLoops(fit, loop).simulate(ensemble, first, replicas, states);
  return states;
}

/// The CPU's packs; `first` is a multiple of their width.
std::vector<double> of_cpu(const MlpFit& fit, const IterateEnsemble& ensemble, std::uint64_t first,
                           std::size_t replicas) {
  const auto in = [&]<class Real>(Real) {
    return ensemble.source.noise.kind == NoiseKind::label
               ? test::of_packs<NoiseKind::label, Real>(fit, ensemble, first, replicas)
               : test::of_packs<NoiseKind::minibatch, Real>(fit, ensemble, first, replicas);
  };
  return ensemble.single_precision ? in(float{}) : in(double{});
}

bool finite(const std::vector<double>& values) {
  for (const double x : values)
    if (!std::isfinite(x)) return false;
  return !values.empty();
}

/// The largest difference at the last record point of one replica / its largest component.
double distance_of_replica(const std::vector<double>& a, const std::vector<double>& b, std::size_t replicas,
                           std::size_t d, std::size_t replica) {
  const std::size_t first = a.size() - (replicas - replica) * d;
  double difference = 0, size = 0;
  for (std::size_t j = first; j < first + d; ++j) {
    difference = std::fmax(difference, std::abs(a[j] - b[j]));
    size = std::fmax(size, std::abs(b[j]));
  }
  return difference / size;
}

}  // namespace

TEST_CASE("every replica of groups of workers has the bits of the CPU's, whatever the network") {
  struct Case {
    std::vector<int> widths;
    Activation activation;
  };
  for (const Case& what : {Case{{5, 7, 3}, Activation::tanh}, Case{{6, 4, 5, 2}, Activation::silu},
                           Case{{3, 2}, Activation::tanh}, Case{{1, 33, 1}, Activation::tanh}}) {
    const MlpFit fit = perceptron(what.widths, what.activation);
    CAPTURE(fit.dim());
    for (const bool single : {false, true})
      for (const NoiseKind kind : {NoiseKind::label, NoiseKind::minibatch})
        for (const int workers : {1, 3, 5}) {
          CAPTURE(single);
          CAPTURE(workers);
          CAPTURE((kind == NoiseKind::label));
          const std::size_t replicas = 11;  // no multiple of a pack
          auto ensemble = ensemble_on(fit, workers, kind, single);
          const auto loops = of_loops(fit, ensemble, 1024, replicas);
          CHECK(finite(loops));
          CHECK(same_bits(loops, of_cpu(fit, ensemble, 1024, replicas)));
        }
  }
}

TEST_CASE("so it has with a schedule, with distinct samples, without label noise and for one sample") {
  const MlpFit fit = perceptron({5, 7, 3}, Activation::tanh);
  auto cosine = ensemble_on(fit, 3, NoiseKind::minibatch, false);
  cosine.algorithm.lr = LearningRate(
      {.shape = LearningRateShape::cosine, .peak = 0.05, .end = 0.001, .warmup_steps = 5, .total_steps = 31});
  CHECK(same_bits(of_loops(fit, cosine, 0, 5), of_cpu(fit, cosine, 0, 5)));
  auto distinct = ensemble_on(fit, 3, NoiseKind::minibatch, false);
  distinct.source.noise.replacement = false;
  CHECK(same_bits(of_loops(fit, distinct, 0, 5), of_cpu(fit, distinct, 0, 5)));
  auto silent = ensemble_on(fit, 3, NoiseKind::minibatch, false);
  silent.source.noise.label_sigma = 0;
  CHECK(same_bits(of_loops(fit, silent, 0, 5), of_cpu(fit, silent, 0, 5)));
  const MlpFit lone = perceptron({5, 7, 3}, Activation::silu, 1);
  const auto label = ensemble_on(lone, 3, NoiseKind::label, false);
  CHECK(same_bits(of_loops(lone, label, 0, 5), of_cpu(lone, label, 0, 5)));
}

TEST_CASE("the network of the digits has the CPU's bits, and eight of its workers fit into 228 KiB") {
  const MlpFit fit = perceptron({64, 40, 10}, Activation::tanh, 40);
  auto ensemble = ensemble_on(fit, 4, NoiseKind::minibatch, false, 12);
  ensemble.algorithm.local_batch = ensemble.source.local_batch = 2;
  CHECK(fit.dim() == 3010);
  CHECK(
      same_bits(of_loops(fit, ensemble, 256, 3, {.block = {.threads = 128}}), of_cpu(fit, ensemble, 256, 3)));
  const auto setup = make_mlp_fit_setup<double>(fit, ensemble.algorithm, ensemble.source);
  CHECK(8 * (setup.bytes() + 1024) <= 228 * 1024);  // each block takes 1 KiB for the system
}

TEST_CASE("the bits depend neither on a group's threads nor on their order nor on the other replicas") {
  const MlpFit fit = perceptron({6, 4, 5, 2}, Activation::silu);
  const auto d = static_cast<std::ptrdiff_t>(fit.dim());
  for (const NoiseKind kind : {NoiseKind::label, NoiseKind::minibatch}) {
    const auto ensemble = ensemble_on(fit, 3, kind, false);
    const auto reference = of_loops(fit, ensemble, 5, 4);
    for (const int threads : {1, 7, 33, 128, 256})
      for (const bool backwards : {false, true})
        CHECK(same_bits(reference, of_loops(fit, ensemble, 5, 4,
                                            {.block = {.threads = threads, .backwards = backwards}})));
    const auto alone = of_loops(fit, ensemble, 8, 1);
    CHECK(same_bits(std::vector<double>(reference.end() - d, reference.end()),
                    std::vector<double>(alone.end() - d, alone.end())));
  }
}

TEST_CASE("from record point to record point is as good as all at once") {
  const MlpFit fit = perceptron({5, 7, 3}, Activation::tanh);
  for (const bool single : {false, true}) {
    const auto ensemble = ensemble_on(fit, 3, NoiseKind::minibatch, single);
    auto whole = ensemble;
    whole.points = {ensemble.points.back()};
    const auto straight = of_loops(fit, whole, 3, 5);
    const auto pieces = of_loops(fit, ensemble, 3, 5);
    CHECK(pieces.size() == 3 * straight.size());
    CHECK(same_bits(
        std::vector<double>(pieces.end() - static_cast<std::ptrdiff_t>(straight.size()), pieces.end()),
        straight));
  }
}

TEST_CASE(
    "one average for all replicas, and noise of a neighbour, are told from the right thing in each replica") {
  const MlpFit fit = perceptron({5, 7, 3}, Activation::tanh);
  const std::size_t replicas = 11, d = static_cast<std::size_t>(fit.dim());
  for (const NoiseKind kind : {NoiseKind::label, NoiseKind::minibatch})
    for (const int workers : {1, 3}) {
      CAPTURE(workers);
      const auto ensemble = ensemble_on(fit, workers, kind, false);
      const auto right = of_cpu(fit, ensemble, 1024, replicas);
      for (const MlpFitLoop& wrong :
           {MlpFitLoop{.one_average = true}, MlpFitLoop{.replica_shift = 1}, MlpFitLoop{.worker_shift = 1}}) {
        if (wrong.one_average && workers == 1) continue;  // there is nothing to average
        const auto states = of_loops(fit, ensemble, 1024, replicas, wrong);
        for (std::size_t r = 0; r < replicas; ++r)
          CHECK(distance_of_replica(states, right, replicas, d, r) >= 1e-3);
      }
    }
}

TEST_CASE("what the kernels do not run is refused") {
  const MlpFit fit = perceptron({5, 7, 3}, Activation::tanh);
  const auto refused = [&](const MlpFit& network, const IterateEnsemble& ensemble) {
    try {
      make_mlp_fit_setup<double>(network, ensemble.algorithm, ensemble.source);
    } catch (const std::invalid_argument& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  auto ensemble = ensemble_on(fit, 2, NoiseKind::minibatch, false);
  CHECK(refused(fit, ensemble) == "");
  ensemble.algorithm.momentum = 0.5;
  CHECK(refused(fit, ensemble).find("momentum") != std::string::npos);
  ensemble.algorithm.momentum = 0;
  ensemble.source.svag = ensemble.algorithm.svag = 2;
  CHECK(refused(fit, ensemble).find("SVAG") != std::string::npos);
  CHECK(refused(fit, ensemble_on(fit, 2, NoiseKind::gaussian, false)).find("noise") != std::string::npos);
  const MlpFit deep = perceptron({2, 2, 2, 2, 2, 2, 2, 2, 2, 2}, Activation::tanh);
  CHECK(refused(deep, ensemble_on(deep, 2, NoiseKind::label, false)).find("8 layers") != std::string::npos);
#if !defined(SLOWSDE_CUDA)
  CHECK(make_mlp_fit_kernels(fit) == nullptr);
#endif
}
