// What one thread of an ensemble of the conventional SDE does: one copy of the SDE, from average to average.
// It runs in the kernels and the plain loops of iterates, a round being a step or Local SGD's round.
#pragma once

#include <cstdint>
#include <type_traits>

#include "slowsde/gpu/iterate_worker.hpp"
#include "slowsde/gpu/lane_trajectory.hpp"
#include "slowsde/sde/conventional_run.hpp"
#include "slowsde/sde/conventional_sde.hpp"

namespace slowsde {

/// The rounds of the conventional SDE; the "learning rate" of a round is the length of its steps.
inline RoundTable round_table(const ConventionalSteps& steps) {
  RoundTable table;
  for (const OutputInterval& interval : steps.intervals) {
    const auto rate = static_cast<std::int64_t>(table.rates.size());
    for (std::uint64_t k = interval.first_step; k < interval.first_step + interval.steps; ++k)
      table.rounds.push_back({static_cast<std::int64_t>(k) * steps.substeps, steps.substeps, rate});
    table.rates.push_back(interval.dt / steps.substeps);
    table.rounds_at.push_back(table.rounds.size());
  }
  return table;
}

/// Euler–Maruyama of one copy, in double precision. M: the most columns that the noise may have. Columns: as
/// many as it has, or 0 where that is known when the kernel runs.
template <class P, class NoiseModel, int M, int Columns = M>
class ConventionalWorker {
 public:
  static constexpr int dim = static_dimension<P>();
  using Scalar = double;
  using T = Pack<double, 1>;

  /// The same for all threads.
  struct Setup {
    static constexpr double momentum = 0;
    static constexpr BufferPolicy buffers = BufferPolicy::kept;
    P problem;
    ConventionalSde<P, NoiseModel> sde;
    std::uint64_t seed;
    double inverse_workers;
    int workers;

    Setup(const P& which, NoiseModel noise, const ConventionalRun& run, const ConventionalSteps& steps)
        : problem(which),
          sde(which, noise, run.round.eta, steps.batch),
          seed(run.seed),
          inverse_workers(1.0 / steps.copies),
          workers(steps.copies) {}
  };

  SLOWSDE_HD ConventionalWorker(const Setup& setup, std::uint64_t trajectory, std::uint32_t worker)
      : sde_(setup.sde.at(setup.problem)), noise_(setup.seed, trajectory, worker, setup.sde.noise_dim()) {}

  /// One round: y, (dim), holds the shared point and then where the copy ends. There are no buffers.
  SLOWSDE_HD SLOWSDE_INLINE void run_round(const TableRound& round, const RoundView& table, T* y, T*) {
    T workspace[dim + dim * M + M];
    const double dt = table.rates_of(round)[0];
    for (std::int64_t h = 0; h < round.local_steps; ++h)
      EulerMaruyama{}.do_step(sde_, y, TimeStep{static_cast<std::uint64_t>(round.first_step + h), 0, dt},
                              noise_, workspace);
  }

 private:
  ConventionalSde<P, NoiseModel> sde_;
  LaneBrownian<double, Columns> noise_;
};

/// Calls use(std::type_identity<ConventionalWorker>, noise model) for the worker of a run; false where no
/// thread can hold it: label noise on more than eight samples.
template <class P, class Use>
bool with_conventional_worker(const P& problem, const ConventionalRun& run, Use use) {
  if constexpr (LaneProblem<P, NoiseKind::gaussian>)
    if (run.noise.kind == NoiseKind::gaussian) {
      use(std::type_identity<ConventionalWorker<P, GaussianNoise, P::noise_dim>>{}, GaussianNoise{});
      return true;
    }
  if constexpr (LaneProblem<P, NoiseKind::label>)
    if (run.noise.kind != NoiseKind::gaussian) {
      const LabelNoise noise{run.noise.label_sigma};
      constexpr int C = P::outputs_count;
      if (noise.columns(problem) == C) {
        use(std::type_identity<ConventionalWorker<P, LabelNoise, C>>{}, noise);
        return true;
      }
      if (noise.columns(problem) == 2 * C) {
        use(std::type_identity<ConventionalWorker<P, LabelNoise, 2 * C>>{}, noise);
        return true;
      }
      if (noise.columns(problem) <= 8 * C) {
        use(std::type_identity<ConventionalWorker<P, LabelNoise, 8 * C, 0>>{}, noise);
        return true;
      }
    }
  return false;
}

}  // namespace slowsde
