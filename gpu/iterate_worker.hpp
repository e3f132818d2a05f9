// What one thread of an ensemble of iterates does: one worker of one replica, from average to average. The
// kernels and the plain loops of host_executor.hpp run the same functions.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <type_traits>

#include "slowsde/gpu/block_loop.hpp"
#include "slowsde/gpu/round_table.hpp"
#include "slowsde/optim/stochastic_gradient.hpp"

namespace slowsde {

/// Scratch values of a thread's sample gradient.
inline constexpr int largest_lane_scratch = 16;

/// Whether a problem's iterates can run in the threads of a GPU with this noise: a static dimension up to 8,
/// so that a worker stays in registers, and a problem that can be handed to a kernel by value.
template <class P, NoiseKind Kind>
concept LaneProblem = Problem<P> && static_dimension<P>()
>= 1 && static_dimension<P>() <= 8 && std::is_trivially_copyable_v<P> &&
    (Kind == NoiseKind::gaussian ? GeneralLoss<P> && GaussianNoiseProblem<P> : LeastSquaresProblem<P>);

/// The mean of fetch(0), …, fetch(K − 1) in this order, as LocalSgdPack forms it. inverse: 1/K.
template <class T, class Fetch>
SLOWSDE_HD SLOWSDE_INLINE T mean_of_workers(int K, double inverse, Fetch fetch) {
  T sum(0.0);
  for (int w = 0; w < K; ++w) sum = sum + fetch(w);
  return sum * T(inverse);
}

template <class P, class Real, NoiseKind Kind>
requires LaneProblem<P, Kind>
class IterateWorker {
 public:
  static constexpr int dim = static_dimension<P>();
  using Scalar = Real;
  using T = Pack<Real, 1>;

  /// The same for all threads.
  struct Setup {
    P problem;
    SamplerConstants constants;
    double momentum, inverse_workers;
    int workers;
    BufferPolicy buffers;

    /// Throws std::invalid_argument for what only fits on the heap.
    Setup(const P& which, const LocalSgd& algorithm, const GradientSource& source)
        : problem(which),
          constants(sampler_constants<Kind>(which, source)),
          momentum(algorithm.momentum),
          inverse_workers(1.0 / algorithm.workers),
          workers(algorithm.workers),
          buffers(algorithm.buffers) {
      const int scratch = GradientSampler<P, Real, 1, Kind, 1>::scratch_size(which);
      if (!(scratch <= largest_lane_scratch))
        throw std::invalid_argument(
            "scratch of a problem on a GPU: size <= " + std::to_string(largest_lane_scratch) +
            " is violated by " + std::to_string(scratch));
      if (Kind == NoiseKind::minibatch && !source.noise.replacement &&
          !(source.local_batch <= largest_lane_minibatch))
        throw std::invalid_argument("minibatches without replacement on a GPU: local_batch <= " +
                                    std::to_string(largest_lane_minibatch) + " is violated by " +
                                    std::to_string(source.local_batch));
    }
  };

  SLOWSDE_HD IterateWorker(const Setup& setup, std::uint64_t replica, std::uint32_t worker)
      : setup_(setup), sampler_(setup.problem, setup.constants, replica, worker) {}

  /// One round: y, (dim), holds the shared point and then where the worker ends. v, (dim): its momentum
  /// buffers, not looked at without momentum.
  SLOWSDE_HD SLOWSDE_INLINE void run_round(const TableRound& round, const RoundView& table, T* y, T* v) {
    T g[dim], scratch[largest_lane_scratch];
    T *ys[1] = {y}, *gs[1] = {g};
    const detail::RoundRates rates = table.rates_of(round);
    if constexpr (may_take_one_normal)
      if (setup_.momentum == 0 && setup_.constants.samples == 1)
        return one_normal_steps(round, rates, y, g, scratch);
    // Two calls and not one with a pointer chosen here: v would leave the registers.
    if (setup_.momentum == 0)
      local_steps<1>(sampler_, dim, ys, gs, static_cast<T*>(nullptr), 0, round.first_step, round.local_steps,
                     rates, scratch);
    else
      local_steps<1>(sampler_, dim, ys, gs, v, setup_.momentum, round.first_step, round.local_steps, rates,
                     scratch);
  }

 private:
  static constexpr bool may_take_one_normal = Kind == NoiseKind::label && requires {
    requires P::outputs_count == 1;
  };

  /// local_steps() where a step takes one normal: number k is step k's, and which of its block it is is known
  /// when the loop is compiled.
  SLOWSDE_HD SLOWSDE_INLINE void one_normal_steps(const TableRound& round, const detail::RoundRates& rates,
                                                  T* y, T* g, T* scratch) {
    T eta(rates[0]);
    for_each_in_blocks<normals_per_block<Real>>(
        static_cast<std::uint64_t>(round.first_step), static_cast<std::uint64_t>(round.local_steps),
        [&](std::uint64_t block) { sampler_.normals().load(block); },
        [&](std::uint64_t block, std::uint64_t slot) {
          if (rates.stride != 0)
            eta = T(
                rates[static_cast<std::int64_t>(block * normals_per_block<Real> + slot) - round.first_step]);
          sampler_.normals().select(slot);
          const T eps = sampler_.label_noise_scale() * sampler_.normals()[0];
          for (int j = 0; j < dim; ++j) g[j] = T(0.0);
          add_sample_gradient(setup_.problem, y, 0, &eps, g, scratch);
          for (int j = 0; j < dim; ++j) y[j] = y[j] - eta * g[j];
        });
  }

  const Setup& setup_;
  GradientSampler<P, Real, 1, Kind, 1> sampler_;
};

}  // namespace slowsde
