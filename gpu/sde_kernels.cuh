// Ensembles of SDE trajectories on a GPU: one thread per trajectory, all steps between two outputs in one
// launch.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

#include "slowsde/gpu/device_array.hpp"
#include "slowsde/gpu/device_timer.cuh"
#include "slowsde/gpu/lane_trajectory.hpp"
#include "slowsde/gpu/reduce_states.cuh"

namespace slowsde {
namespace detail {

inline constexpr int trajectories_block = 128;

/// states: (d × trajectories), in and out.
template <class Trajectory>
__global__ void __launch_bounds__(trajectories_block)
    run_trajectories(const __grid_constant__ typename Trajectory::Setup setup, OutputInterval interval,
                     std::uint64_t first, std::int64_t trajectories, typename Trajectory::Scalar* states) {
  using T = typename Trajectory::T;
  const std::int64_t r = static_cast<std::int64_t>(blockIdx.x) * trajectories_block + threadIdx.x;
  if (r >= trajectories) return;
  T x[Trajectory::dim];
  for (int j = 0; j < Trajectory::dim; ++j) x[j] = T(states[j * trajectories + r]);
  Trajectory::run(setup, interval, first + static_cast<std::uint64_t>(r), x);
  for (int j = 0; j < Trajectory::dim; ++j) states[j * trajectories + r] = x[j].v;
}

/// Integrates the reducer's trajectories from one start, chunk by chunk, and adds each output to it.
/// launch(interval, first, n, states: (D × n)) launches the steps of an interval for the trajectories first …
/// of the ensemble; progress(n) is called after each chunk. Returns what the launches took.
template <class Real, int D, class Observer, class Launch>
double integrate(DeviceReducer& reducer, const Observer& observer, const std::vector<double>& start,
                 const std::vector<OutputInterval>& intervals, std::uint64_t trajectories, Launch launch,
                 const std::function<void(std::uint64_t)>& progress) {
  DeviceArray<double> from(start);
  DeviceArray<Real> states(reducer.chunk() * D);
  DeviceTimer timer;
  for (std::uint64_t first = 0; first < trajectories; first += reducer.chunk()) {
    reducer.begin_chunk(first);
    const auto n = static_cast<std::int64_t>(reducer.count());
    fill_states<Real>
        <<<static_cast<unsigned>((n * D + reduction_block - 1) / reduction_block), reduction_block>>>(
            from.data(), D, n, states.data());
    check_launch("setting the starts");
    for (std::size_t output = 0; output < intervals.size(); ++output) {
      if (intervals[output].steps > 0) {
        timer.start();
        launch(intervals[output], first, n, states.data());
        timer.stop();
      }
      reducer.add(output, observer, states.data());
    }
    if (progress) progress(reducer.count());
  }
  return timer.seconds();
}

/// Blocks of a launch with a thread to each of n trajectories.
inline unsigned trajectory_blocks(std::int64_t n) {
  return static_cast<unsigned>((n + trajectories_block - 1) / trajectories_block);
}

/// The components of the states as they are.
template <int D>
struct ComponentObserver {
  static constexpr int dim = D;

  __device__ bool move(Lane*) const { return false; }
  __device__ double distance(const Lane*) const { return 0; }
  __device__ double value(int m, const Lane* x) const {
    Lane component(0.0);
    for (int j = 0; j < D; ++j)
      if (j == m) component = x[j];
    return component.v;
  }
};

}  // namespace detail

/// Moments of the components at the output times, (outputs × D), of options.trajectories solutions from one
/// start. `options` means what it means for run_ensemble, with one worker and no refinement; threads and
/// chunk are not looked at. The bits of a trajectory are those of the CPU's. Throws DeviceError, and what
/// check() throws.
template <class Scheme, class S, class Real, int D, int M>
ReducedEnsemble sde_moments_on_device(const Scheme& scheme, const S& sde, const EnsembleOptions& options,
                                      const std::vector<double>& start) {
  using Trajectory = LaneTrajectory<Scheme, S, Real, D, M>;
  options.check();
  const std::vector<OutputInterval> intervals = output_intervals(options);
  const typename Trajectory::Setup setup{scheme, sde, options.seed};
  IterateReduction what;
  what.observables.resize(D);
  what.bound = std::numeric_limits<double>::max();
  detail::DeviceReducer reducer(intervals.size(), what, options.trajectories,
                                detail::DeviceQuantiles(intervals.size(), what, options.trajectories));
  const double seconds = detail::integrate<Real, D>(
      reducer, detail::ComponentObserver<D>{}, start, intervals, options.trajectories,
      [&](const OutputInterval& interval, std::uint64_t first, std::int64_t n, Real* states) {
        detail::run_trajectories<Trajectory><<<detail::trajectory_blocks(n), detail::trajectories_block>>>(
            setup, interval, options.first_trajectory + first, n, states);
        check_launch("launching an ensemble of trajectories");
      },
      {});
  return reducer.finish(seconds);
}

}  // namespace slowsde
