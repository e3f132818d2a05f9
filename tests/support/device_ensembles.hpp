// What tests of ensembles on a GPU share: an ensemble of iterates and its states from plain loops on the
// host.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "slowsde/gpu/ensemble_kernels.hpp"
#include "slowsde/gpu/group_worker.hpp"
#include "slowsde/gpu/host_executor.hpp"
#include "slowsde/gpu/loop_block.hpp"

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

/// The same of the CPU's packs; `first` is a multiple of their width.
template <NoiseKind Kind, class Real, class P>
std::vector<double> of_packs(const P& problem, const IterateEnsemble& ensemble, std::uint64_t first,
                             std::size_t replicas) {
  constexpr std::size_t W = native_width<Real>;
  const auto d = static_cast<std::size_t>(dimension(problem));
  std::vector<double> states(ensemble.points.size() * replicas * d);
  for (std::size_t r = 0; r < replicas; r += W) {
    LocalSgdPack<P, Real, Kind> pack(problem, ensemble.algorithm, ensemble.source, first + r);
    pack.run(ensemble.start.data(), ensemble.points, [&](int point, const Pack<Real>* theta) {
      for (std::size_t l = 0; l < W && r + l < replicas; ++l)
        for (std::size_t j = 0; j < d; ++j)
          states[(static_cast<std::size_t>(point) * replicas + r + l) * d + j] =
              static_cast<double>(theta[j][static_cast<int>(l)]);
    });
  }
  return states;
}

/// How a group's launches are run on the host, and what is wrong with them.
struct GroupLoop {
  LoopBlock block{.threads = 32};
  std::size_t block_bytes = 1 << 20;
  std::uint32_t worker_shift = 0;  ///< an error: worker w draws the numbers of worker w + shift
  int hidden_features = 0, hidden_components = 0;  ///< errors: so many of the last are left out
};

/// (points × replicas × d) of a problem whose workers are groups of threads, each group a loop.
template <class Real, FeatureProblem P>
std::vector<double> of_groups(const P& problem, const IterateEnsemble& ensemble, std::uint64_t first,
                              std::size_t replicas, const GroupLoop& loop = {}) {
  const auto real = [](const std::vector<double>& from) {
    return std::vector<Real>(from.begin(), from.end());
  };
  const std::vector<Real> measurements = real(problem.measurements()),
                          targets = real(problem.target_values());
  auto setup = make_group_setup<Real>(problem, ensemble.algorithm, ensemble.source, loop.block_bytes);
  setup.measurements = measurements.data();
  setup.targets = targets.data();
  const auto d = static_cast<std::size_t>(setup.layout.dim), K = static_cast<std::size_t>(setup.workers);
  setup.layout.features -= loop.hidden_features;
  setup.layout.dim -= loop.hidden_components;
  const RoundTable table = round_table(ensemble.algorithm, ensemble.points);
  std::vector<Real> states, ends(replicas * K * d), buffers(replicas * K * d);
  // What a group leaves in its memory is no other group's business: it starts from what must not matter.
  const Real rubbish = std::numeric_limits<Real>::quiet_NaN();
  for (std::size_t r = 0; r < replicas; ++r)
    states.insert(states.end(), ensemble.start.begin(), ensemble.start.end());
  const bool momentum = setup.momentum != 0;
  const GroupMeeting<Real> meeting{setup.workers,
                                   static_cast<int>(d),
                                   setup.inverse_workers,
                                   setup.buffers,
                                   ends.data(),
                                   states.data(),
                                   momentum ? buffers.data() : nullptr};
  std::vector<double> recorded;
  std::int64_t done = 0;
  for (const std::size_t rounds : table.rounds_at) {
    const auto until = static_cast<std::int64_t>(rounds);
    launch_group_rounds(
        setup.workers, done, until,
        [&](std::int64_t s, std::int64_t t) {
          for (std::size_t r = 0; r < replicas; ++r)
            for (std::size_t w = 0; w < K; ++w) {
              std::vector<Real> block(static_cast<std::size_t>(setup.layout.block_numbers), rubbish),
                  row(static_cast<std::size_t>(setup.layout.row_numbers), rubbish);
              Real* const state = states.data() + r * d;
              Real* const end = K == 1 ? state : ends.data() + (r * K + w) * d;
              GroupWorker worker(
                  loop.block, setup, first + r, static_cast<std::uint32_t>(w) + loop.worker_shift,
                  GroupMemory<Real>{block.data(), row.data(), buffers.data() + (r * K + w) * d});
              worker.run(table.view(), s, t, state, end);
            }
        },
        [&] {
          for (std::size_t r = 0; r < replicas; ++r)
            for (std::size_t j = 0; j < d; ++j) meeting(static_cast<std::int64_t>(r), static_cast<int>(j));
        });
    done = until;
    recorded.insert(recorded.end(), states.begin(), states.end());
  }
  return recorded;
}

inline bool same_bits(const std::vector<double>& a, const std::vector<double>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0;
}

}  // namespace slowsde::test
