// Ensembles of the slow SDE on a GPU: one thread per trajectory, its geometry in registers, all steps between
// two outputs in one launch.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <cstring>
#include <functional>
#include <vector>

#include "slowsde/gpu/device_array.hpp"
#include "slowsde/gpu/sde_kernels.cuh"
#include "slowsde/gpu/slow_trajectory.hpp"

namespace slowsde::detail {

/// How the steps of all trajectories ended.
struct DeviceRetraction {
  unsigned long long worst;  ///< the largest distance: bits of a double, which order as numbers ≥ 0 do
  unsigned long long unconverged;  ///< trajectories
};

/// states: (d × trajectories), in and out. failed: (trajectories), 1 where a step was not brought back.
template <class Trajectory>
__global__ void __launch_bounds__(trajectories_block)
    run_slow_trajectories(const __grid_constant__ typename Trajectory::Setup setup, OutputInterval interval,
                          std::uint64_t first, std::int64_t trajectories, double* states, char* failed,
                          DeviceRetraction* total) {
  using T = typename Trajectory::T;
  const std::int64_t r = static_cast<std::int64_t>(blockIdx.x) * trajectories_block + threadIdx.x;
  if (r >= trajectories) return;
  T x[Trajectory::dim];
  for (int j = 0; j < Trajectory::dim; ++j) x[j] = T(states[j * trajectories + r]);
  LaneRetractionReport<T> report;
  Trajectory::run(setup, interval, first + static_cast<std::uint64_t>(r), x, report);
  for (int j = 0; j < Trajectory::dim; ++j) states[j * trajectories + r] = x[j].v;
  atomicMax(&total->worst, static_cast<unsigned long long>(__double_as_longlong(report.worst.v)));
  if (report.unconverged.v > 0 && failed[r] == 0) {
    failed[r] = 1;
    atomicAdd(&total->unconverged, 1ull);
  }
}

/// Moments of what `observer` sees of a problem's slow trajectories, at the run's times.
template <class Trajectory, class P, class Observer>
ReducedEnsemble reduce_slow(const P& problem, const SlowRun& run, int rank, std::uint64_t trajectories,
                            const Observer& observer, DeviceReducer& reducer,
                            const std::function<void(std::uint64_t)>& progress) {
  const std::vector<OutputInterval> intervals = Trajectory::intervals(run);
  const SlowRounds rounds = Trajectory::rounds(run);
  const DeviceArray<double> begins(rounds.begins);
  const DeviceArray<Round> values(rounds.rounds);
  const typename Trajectory::Setup setup(
      problem, rank, run, {begins.data(), values.data(), static_cast<std::int64_t>(rounds.rounds.size())});
  DeviceArray<char> failed(reducer.chunk());
  DeviceArray<DeviceRetraction> total(std::vector<DeviceRetraction>{{0, 0}});
  std::uint64_t cleared = trajectories;  // first trajectory of the chunk whose flags are clear
  const double seconds = integrate<double, Trajectory::dim>(
      reducer, observer, run.start, intervals, trajectories,
      [&](const OutputInterval& interval, std::uint64_t first, std::int64_t n, double* states) {
        if (cleared != first) check_cuda(cudaMemset(failed.data(), 0, failed.size()), "clearing the flags");
        cleared = first;
        run_slow_trajectories<Trajectory><<<trajectory_blocks(n), trajectories_block>>>(
            setup, interval, first, n, states, failed.data(), total.data());
        check_launch("launching an ensemble of slow trajectories");
      },
      progress);
  ReducedEnsemble reduced = reducer.finish(seconds);
  DeviceRetraction ended;
  total.download(&ended, 1);
  std::memcpy(&reduced.path_distance, &ended.worst, sizeof ended.worst);
  reduced.unconverged = ended.unconverged;
  return reduced;
}

}  // namespace slowsde::detail
