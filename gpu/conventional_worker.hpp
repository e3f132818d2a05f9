// What one thread of an ensemble of the conventional SDE does: one copy of the SDE, from average to average.
// It runs in the kernels and the plain loops of iterates, a round being a step or Local SGD's round.
#pragma once

#include <cmath>
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

/// Increments of as many Brownian motions as the kernel is told when it runs, as LaneBrownian's.
class LaneBrownians {
 public:
  using T = Pack<double, 1>;

  SLOWSDE_HD LaneBrownians(std::uint64_t seed, std::uint64_t trajectory, std::uint32_t worker, int count)
      : count_(count), normals_(RandomPack<double, 1>(seed, Stream::brownian, trajectory), worker) {}

  SLOWSDE_HD SLOWSDE_INLINE void increments(std::uint64_t k, double dt, T* dW) {
    const T root(std::sqrt(dt));
    for (int c = 0; c < count_; ++c) {
      normals_.seek(k * static_cast<std::uint64_t>(count_) + static_cast<std::uint64_t>(c));
      dW[c] = root * normals_[0];
    }
  }

 private:
  int count_;
  NormalBuffer<double, 1, 1> normals_;
};

/// Euler–Maruyama of one copy, in double precision. M: the columns of the noise, or with LaneBrownians the
/// most that there may be.
template <class P, class NoiseModel, int M, class Brownian = LaneBrownian<double, M>>
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
      : sde_(setup.sde.at(setup.problem)), noise_(make_noise(setup, trajectory, worker)) {}

  /// One round: y, (dim), holds the shared point and then where the copy ends. There are no buffers.
  SLOWSDE_HD SLOWSDE_INLINE void run_round(const TableRound& round, const RoundView& table, T* y, T*) {
    T workspace[dim + dim * M + M];
    const double dt = table.rates_of(round)[0];
    for (std::int64_t h = 0; h < round.local_steps; ++h)
      EulerMaruyama{}.do_step(sde_, y, TimeStep{static_cast<std::uint64_t>(round.first_step + h), 0, dt},
                              noise_, workspace);
  }

 private:
  SLOWSDE_HD static Brownian make_noise(const Setup& setup, std::uint64_t trajectory, std::uint32_t worker) {
    if constexpr (std::is_same_v<Brownian, LaneBrownians>)
      return {setup.seed, trajectory, worker, setup.sde.noise_dim()};
    else
      return {setup.seed, trajectory, worker};
  }

  ConventionalSde<P, NoiseModel> sde_;
  Brownian noise_;
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
        use(std::type_identity<ConventionalWorker<P, LabelNoise, 8 * C, LaneBrownians>>{}, noise);
        return true;
      }
    }
  return false;
}

}  // namespace slowsde
