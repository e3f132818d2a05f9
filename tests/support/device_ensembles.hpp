// What tests of ensembles on a GPU share: an ensemble of iterates and its states from plain loops on the
// host.
#pragma once

#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "slowsde/gpu/ensemble_kernels.hpp"
#include "slowsde/gpu/host_executor.hpp"

namespace slowsde::test {

inline IterateEnsemble ensemble_of(int workers, NoiseKind kind, bool single, std::vector<double> start,
                                   std::int64_t steps = 43, std::int64_t H = 7) {
  IterateEnsemble ensemble;
  ensemble.algorithm.workers = workers;
  ensemble.algorithm.lr = LearningRate::constant(0.03);
  ensemble.algorithm.rule = std::make_shared<ConstantRule>(H);
  ensemble.algorithm.total_steps = steps;
  ensemble.source.seed = 0x1234567890abcdef;
  ensemble.source.noise.kind = kind;
  ensemble.source.noise.label_sigma = 0.7;
  ensemble.points = {{0, 0}, {steps / 4, 0}, {steps, 0}};
  ensemble.start = std::move(start);
  ensemble.single_precision = single;
  return ensemble;
}

/// (points × replicas × d), as EnsembleKernels::simulate gives them.
template <class Worker, class P, class ForEach = PlainLoop>
std::vector<double> on_host(const P& problem, const IterateEnsemble& ensemble, std::uint64_t first,
                            std::size_t replicas, ForEach for_each = {}) {
  using Real = typename Worker::Scalar;
  constexpr std::size_t d = P::dim;
  const typename Worker::Setup setup(problem, ensemble.algorithm, ensemble.source);
  const RoundTable table = round_table(ensemble.algorithm, ensemble.points);
  std::vector<Real> x(d * replicas), buffers(d * replicas * static_cast<std::size_t>(setup.workers));
  for (std::size_t j = 0; j < d; ++j)
    for (std::size_t r = 0; r < replicas; ++r) x[j * replicas + r] = static_cast<Real>(ensemble.start[j]);
  std::vector<double> states;
  std::int64_t done = 0;
  for (const std::size_t rounds : table.rounds_at) {
    const auto until = static_cast<std::int64_t>(rounds);
    run_rounds_on_host<Worker>(setup, table.view(), done, until, first, replicas, x.data(), buffers.data(),
                               for_each);
    done = until;
    for (std::size_t r = 0; r < replicas; ++r)
      for (std::size_t j = 0; j < d; ++j) states.push_back(static_cast<double>(x[j * replicas + r]));
  }
  return states;
}

inline bool same_bits(const std::vector<double>& a, const std::vector<double>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0;
}

}  // namespace slowsde::test
