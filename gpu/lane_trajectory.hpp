// What one thread of an ensemble of SDE trajectories does: the CPU's schemes on a state in registers.
#pragma once

#include <cmath>
#include <cstdint>

#include "slowsde/optim/stochastic_gradient.hpp"
#include "slowsde/sde/sde_ensemble.hpp"
#include "slowsde/sde/steppers.hpp"

namespace slowsde {

/// Brownian increments of one trajectory, from the addresses of BrownianPath with one worker and
/// refinement 1. M: the number of Brownian motions.
template <class Real, int M>
class LaneBrownian {
 public:
  using T = Pack<Real, 1>;

  SLOWSDE_HD LaneBrownian(std::uint64_t seed, std::uint64_t trajectory, std::uint32_t worker = 0)
      : seed_(seed),
        trajectory_(trajectory),
        worker_(worker),
        normals_(RandomPack<Real, 1>(seed, Stream::brownian, trajectory), worker) {}

  SLOWSDE_HD SLOWSDE_INLINE void increments(std::uint64_t k, double dt, T* dW) {
    if (dt != dt_) {
      dt_ = dt;
      root_ = T(std::sqrt(dt));
    }
    for (int c = 0; c < M; ++c) {
      normals_.seek(k * M + static_cast<std::uint64_t>(c));
      dW[c] = root_ * normals_[0];
    }
  }
  SLOWSDE_HD SLOWSDE_INLINE void signs(std::uint64_t k, int count, T* out) const {
    for (int i = 0; i < count; ++i) {
      const std::uint64_t index = k * static_cast<std::uint64_t>(count) + static_cast<std::uint64_t>(i);
      const auto bit = RandomPack<Real, 1>(seed_, Stream::auxiliary, trajectory_).integers(worker_, index, 2);
      out[i] = T(1.0) - T(2.0) * T(bit.v);
    }
  }

 private:
  std::uint64_t seed_, trajectory_;
  std::uint32_t worker_;
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
    for (std::uint64_t h = 0; h < interval.steps; ++h) {
      const TimeStep step{interval.first_step + h, interval.start + static_cast<double>(h) * interval.dt,
                          interval.dt};
      setup.scheme.do_step(setup.sde, x, step, noise, workspace);
      after_step(x);
    }
  }
};

}  // namespace slowsde
