// What one thread of an ensemble of SDE trajectories does: the CPU's schemes on a state in registers.
#pragma once

#include <cmath>
#include <cstdint>

#include "slowsde/gpu/block_loop.hpp"
#include "slowsde/optim/stochastic_gradient.hpp"
#include "slowsde/sde/sde_ensemble.hpp"
#include "slowsde/sde/steppers.hpp"

namespace slowsde {

/// Brownian increments of one trajectory, from the addresses of BrownianPath with one worker and
/// refinement 1. M: the number of Brownian motions; 0 where `count` says it when
/// the kernel runs.
template <class Real, int M>
class LaneBrownian {
 public:
  using T = Pack<Real, 1>;

  SLOWSDE_HD LaneBrownian(std::uint64_t seed, std::uint64_t trajectory, std::uint32_t worker = 0,
                          int count = M)
      : seed_(seed),
        trajectory_(trajectory),
        worker_(worker),
        count_(count),
        normals_(RandomPack<Real, 1>(seed, Stream::brownian, trajectory), worker) {}

  SLOWSDE_HD SLOWSDE_INLINE void increments(std::uint64_t k, double dt, T* dW) {
    set_length(dt);
    const int m = M > 0 ? M : count_;
    for (int c = 0; c < m; ++c) {
      normals_.seek(k * static_cast<std::uint64_t>(m) + static_cast<std::uint64_t>(c));
      dW[c] = root_ * normals_[0];
    }
  }
  SLOWSDE_HD SLOWSDE_INLINE void load(std::uint64_t block) { normals_.load(block); }
  /// increments() of step k = normals_per_block·block + slot of one Brownian motion, after load(block).
  SLOWSDE_HD SLOWSDE_INLINE void increment(std::uint64_t slot, double dt, T* dW) requires(M == 1) {
    set_length(dt);
    normals_.select(slot);
    dW[0] = root_ * normals_[0];
  }
  SLOWSDE_HD SLOWSDE_INLINE void signs(std::uint64_t k, int count, T* out) const {
    for (int i = 0; i < count; ++i) {
      const std::uint64_t index = k * static_cast<std::uint64_t>(count) + static_cast<std::uint64_t>(i);
      const auto bit = RandomPack<Real, 1>(seed_, Stream::auxiliary, trajectory_).integers(worker_, index, 2);
      out[i] = T(1.0) - T(2.0) * T(bit.v);
    }
  }

 private:
  SLOWSDE_HD SLOWSDE_INLINE void set_length(double dt) {
    if (dt == dt_) return;
    dt_ = dt;
    root_ = T(std::sqrt(dt));
  }

  std::uint64_t seed_, trajectory_;
  std::uint32_t worker_;
  int count_;
  double dt_ = -1;
  T root_ = T(0.0);
  NormalBuffer<Real, 1, 1> normals_;
};

/// The steps of one output interval for one trajectory. S: an SDE whose functions are SLOWSDE_HD, of
/// dimension D with M Brownian motions.
template <class Scheme, class S, class Real, int D, int M>
requires Steppable<Scheme, S, Pack<Real, 1>>
struct LaneTrajectory {
  static constexpr int dim = D;
  using Scalar = Real;
  using T = Pack<Real, 1>;

  /// The same for all threads.
  struct Setup {
    Scheme scheme;
    S sde;
    std::uint64_t seed;
  };

  SLOWSDE_HD static void run(const Setup& setup, const OutputInterval& interval, std::uint64_t trajectory,
                             T* x) {
    run(setup, interval, trajectory, x, [](T*) {});
  }
  /// The same with after_step(x) after each step.
  template <class AfterStep>
  SLOWSDE_HD static void run(const Setup& setup, const OutputInterval& interval, std::uint64_t trajectory,
                             T* x, AfterStep after_step) {
    constexpr int size = 4 * D + 3 * D * (M > D ? M : D) + M + M * M;  // Platen's scheme needs most
    T workspace[size];
    LaneBrownian<Real, M> noise(setup.seed, trajectory);
    const auto step_of = [&](std::uint64_t k) {
      return TimeStep{k, interval.start + static_cast<double>(k - interval.first_step) * interval.dt,
                      interval.dt};
    };
    if constexpr (M == 1) {
      constexpr std::uint64_t together = normals_per_block<Real>;
      for_each_in_blocks<together>(
          interval.first_step, interval.steps, [&](std::uint64_t block) { noise.load(block); },
          [&](std::uint64_t block, std::uint64_t slot) {
            OneIncrement of_step{noise, slot};
            setup.scheme.do_step(setup.sde, x, step_of(block * together + slot), of_step, workspace);
            after_step(x);
          });
    } else {
      for (std::uint64_t h = 0; h < interval.steps; ++h) {
        setup.scheme.do_step(setup.sde, x, step_of(interval.first_step + h), noise, workspace);
        after_step(x);
      }
    }
  }

 private:
  /// The noise of a step that takes one normal, whose place in its block is known when the loop is compiled.
  struct OneIncrement {
    LaneBrownian<Real, M>& noise;
    std::uint64_t slot;

    SLOWSDE_HD SLOWSDE_INLINE void increments(std::uint64_t, double dt, T* dW) {
      noise.increment(slot, dt, dW);
    }
    SLOWSDE_HD SLOWSDE_INLINE void signs(std::uint64_t k, int count, T* out) const {
      noise.signs(k, count, out);
    }
  };
};

}  // namespace slowsde
