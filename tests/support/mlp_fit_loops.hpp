// The kernels of ensembles on multilayer perceptrons with plain loops in place of the device: what is around
// them in the program is tested without a GPU.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

#include "slowsde/gpu/continued_kernels.hpp"
#include "slowsde/gpu/cuda_check.hpp"
#include "slowsde/gpu/loop_block.hpp"
#include "slowsde/gpu/mlp_fit_worker.hpp"
#include "slowsde/problems/mlp.hpp"
#include "tests/support/mlp_fit_flows.hpp"

namespace slowsde::test {

/// Whether there is a gradient flow, and what is wrong with it.
enum class LoopFlow {
  none,
  right,
  gives_up,  ///< it never converges, and leaves rubbish
  stays,     ///< an error: it says that every state is on Γ
};

/// How the launches are run, and what is wrong with them.
struct MlpFitLoop {
  LoopBlock block{.threads = 32};
  std::uint32_t worker_shift = 0;   ///< an error: worker w draws the numbers of worker w + shift
  std::uint64_t replica_shift = 0;  ///< an error: the same of the replicas
  bool one_average = false;         ///< an error: all workers of all replicas are averaged together
  LoopFlow flow = LoopFlow::none;
};

/// Runs the rounds first … last − 1 of a table from the states, (replicas × d), as the device does.
template <class Real>
void run_mlp_fit_loops(const MlpFit& fit, const IterateEnsemble& ensemble, const RoundTable& table,
                       std::size_t first, std::size_t last, std::uint64_t first_replica,
                       std::uint64_t replicas, std::vector<double>& states, const MlpFitLoop& loop) {
  auto setup = make_mlp_fit_setup<Real>(fit, ensemble.algorithm, ensemble.source);
  const std::vector<Real> x(fit.data().x.begin(), fit.data().x.end()),
      y(fit.data().y.begin(), fit.data().y.end());
  setup.x = x.data();
  setup.y = y.data();
  const auto n = static_cast<std::size_t>(replicas), K = static_cast<std::size_t>(setup.workers),
             d = static_cast<std::size_t>(setup.dim);
  std::vector<Real> shared(states.begin(), states.end()), ends(n * K * d);
  const GroupMeeting<Real> meeting{
      setup.workers, setup.dim, setup.inverse_workers, BufferPolicy::kept, ends.data(),
      shared.data(), nullptr};
  // What a group leaves in its memory is no other group's business: it starts from what must not matter, and
  // what lies before and behind it is left alone.
  const Real rubbish = std::numeric_limits<Real>::quiet_NaN(), guard = static_cast<Real>(12345);
  constexpr std::size_t margin = 64;
  launch_group_rounds(
      setup.workers, static_cast<std::int64_t>(first), static_cast<std::int64_t>(last),
      [&](std::int64_t s, std::int64_t t) {
        for (std::size_t r = 0; r < n; ++r)
          for (std::size_t w = 0; w < K; ++w) {
            std::vector<Real> memory(static_cast<std::size_t>(setup.numbers) + 2 * margin, guard);
            for (int i = 0; i < setup.numbers; ++i) memory[margin + static_cast<std::size_t>(i)] = rubbish;
            Real* const state = shared.data() + r * d;
            MlpFitWorker<LoopBlock, Real> worker(loop.block, setup, first_replica + r + loop.replica_shift,
                                                 static_cast<std::uint32_t>(w) + loop.worker_shift,
                                                 memory.data() + margin);
            worker.run(table.view(), s, t, state, K == 1 ? state : ends.data() + (r * K + w) * d);
            for (std::size_t i = 0; i < margin; ++i)
              if (memory[i] != guard || memory[memory.size() - 1 - i] != guard)
                throw std::logic_error("a worker wrote beside its memory");
          }
      },
      [&] {
        for (std::size_t r = 0; r < n; ++r)
          for (std::size_t j = 0; j < d; ++j) meeting(static_cast<std::int64_t>(r), static_cast<int>(j));
        for (std::size_t j = 0; loop.one_average && j < d; ++j) {
          Real sum(0);
          for (std::size_t r = 0; r < n; ++r) sum += shared[r * d + j];
          for (std::size_t r = 0; r < n; ++r) shared[r * d + j] = sum / static_cast<Real>(n);
        }
      });
  states.assign(shared.begin(), shared.end());
}

class MlpFitLoops final : public ContinuedKernels {
 public:
  /// calls: how often advance() ran rounds, if anybody wants to know; `most` of them end well, the next one
  /// throws DeviceError.
  explicit MlpFitLoops(const MlpFit& fit, const MlpFitLoop& loop = {}, int* calls = nullptr,
                       int most = std::numeric_limits<int>::max())
      : fit_(fit), loop_(loop), calls_(calls), most_(most) {}

  void check(const IterateEnsemble& ensemble) const override {
    make_mlp_fit_setup<double>(fit_, ensemble.algorithm, ensemble.source);
  }

  double bytes(const IterateEnsemble&, std::uint64_t) const override { return 0; }

  bool flows() const override { return loop_.flow != LoopFlow::none; }
  void flow(std::uint64_t count, double* states, FlowEnd* ends) const override {
    const auto d = static_cast<std::size_t>(fit_.dim());
    for (std::uint64_t i = 0; i < count; ++i) {
      double* const theta = states + i * d;
      if (loop_.flow == LoopFlow::right) {
        const MlpFitFlowEnd end = loop_flow(fit_, {}, theta, loop_.block);
        ends[i] = {end.residual, end.converged == 1};
      } else {
        ends[i] = {0, loop_.flow == LoopFlow::stays};
        if (loop_.flow == LoopFlow::gives_up) std::fill(theta, theta + d, 1e10);
      }
    }
  }

 private:
  void run_rounds(const IterateEnsemble& ensemble, const RoundTable& table, std::size_t first,
                  std::size_t last, std::uint64_t first_replica, std::uint64_t replicas,
                  std::vector<double>& states) const override {
    if (calls_ && ++*calls_ > most_) throw DeviceError("stopped");
    if (ensemble.single_precision)
      run_mlp_fit_loops<float>(fit_, ensemble, table, first, last, first_replica, replicas, states, loop_);
    else
      run_mlp_fit_loops<double>(fit_, ensemble, table, first, last, first_replica, replicas, states, loop_);
  }

  MlpFit fit_;
  MlpFitLoop loop_;
  int* calls_;
  int most_;
};

}  // namespace slowsde::test
