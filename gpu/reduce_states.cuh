// Moments of an ensemble's states on the device, in an order that depends on the replicas' indices alone: a
// tree within blocks of 256, the blocks in their order on the host.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "slowsde/gpu/device_array.hpp"
#include "slowsde/gpu/ensemble_kernels.hpp"

namespace slowsde::detail {

/// Reduction of one record point: what one block of replicas leaves.
struct ReducedBlock {
  double distance;
  std::uint64_t diverged;
};

inline constexpr int most_observables = 16;

struct ReductionLaunch {
  int count;     ///< M
  double bound;  ///< a component beyond it has diverged
  std::int64_t replicas, samples;
  char* gone;            ///< (replicas): diverged once is diverged
  Moments* cells;        ///< (M × blocks)
  ReducedBlock* blocks;  ///< (blocks)
  double* values;        ///< (M × samples): of the first replicas; null unless it is the last point
};

/// What is measured of a problem's states.
template <class P>
struct ProblemObserver {
  static constexpr int dim = static_dimension<P>();
  P problem;
  int samples;  ///< n
  bool project;
  LaneObservable observables[most_observables];

  /// x ← Φ(x) where that is asked for; false where nothing was done.
  __device__ bool move(Lane* x) const {
    if constexpr (HasClosedPhi<P>)
      if (project) {
        Lane end[dim];
        problem.phi(static_cast<const Lane*>(x), end);
        for (int j = 0; j < dim; ++j) x[j] = end[j];
        return true;
      }
    return false;
  }
  __device__ double distance(const Lane* x) const { return lane_gradient_norm(problem, samples, x); }
  __device__ double value(int m, const Lane* x) const {
    return lane_observable(problem, samples, observables[m], x);
  }
};

/// states: (d × replicas). A block merges its replicas by the tree that halves the index range.
template <class Observer, class Real>
__global__ void __launch_bounds__(reduction_block)
    reduce_states(const __grid_constant__ Observer observer, const Real* states,
                  const __grid_constant__ ReductionLaunch launch) {
  constexpr int dim = Observer::dim;
  __shared__ alignas(Moments) unsigned char bytes_of_cells[reduction_block * sizeof(Moments)];
  Moments* cells = reinterpret_cast<Moments*>(bytes_of_cells);  // shared memory runs no constructors
  __shared__ double distances[reduction_block];
  __shared__ std::uint64_t diverged[reduction_block];
  const int t = static_cast<int>(threadIdx.x);
  const std::int64_t r = static_cast<std::int64_t>(blockIdx.x) * reduction_block + t;
  Lane x[dim];
  double distance = 0;
  bool lost = false;
  const auto check_bound = [&] {
    for (int j = 0; j < dim; ++j)
      if (!(std::abs(x[j].v) <= launch.bound)) lost = true;
  };
  if (r < launch.replicas) {
    for (int j = 0; j < dim; ++j) x[j] = Lane(static_cast<double>(states[j * launch.replicas + r]));
    lost = launch.gone[r] != 0;
    check_bound();
    if (!lost && observer.move(x)) {
      check_bound();
      if (!lost) distance = observer.distance(x);
    }
    if (lost) launch.gone[r] = 1;
  }
  distances[t] = distance;
  diverged[t] = lost ? 1 : 0;
  for (int half = reduction_block / 2; half > 0; half /= 2) {
    __syncthreads();
    if (t < half) {
      // A distance that is not a number is not lost in the comparison.
      if (!(distances[t + half] <= distances[t])) distances[t] = distances[t + half];
      diverged[t] += diverged[t + half];
    }
  }
  if (t == 0) launch.blocks[blockIdx.x] = {distances[0], diverged[0]};
  for (int m = 0; m < launch.count; ++m) {
    Moments own;
    if (r < launch.replicas) {
      const double value = lost ? std::numeric_limits<double>::quiet_NaN() : observer.value(m, x);
      if (!lost) own.add(value);
      if (launch.values != nullptr && r < launch.samples) launch.values[m * launch.samples + r] = value;
    }
    __syncthreads();
    cells[t] = own;
    for (int width = 1; width < reduction_block; width *= 2) {  // neighbours first: the order of the replicas
      __syncthreads();
      if (t % (2 * width) == 0) cells[t].merge(cells[t + width]);
    }
    if (t == 0) launch.cells[m * static_cast<std::int64_t>(gridDim.x) + blockIdx.x] = cells[0];
  }
}

template <class Real>
__global__ void fill_states(const double* start, int dim, std::int64_t replicas, Real* states) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < dim * replicas) states[i] = static_cast<Real>(start[i / replicas]);
}

/// Collects the reductions of all points and chunks of an ensemble of `replicas`.
class DeviceReducer {
 public:
  /// largest_chunk: a multiple of reduction_block, so that blocks hold the same replicas whatever it is.
  DeviceReducer(std::size_t points, std::size_t observables, double bound, std::uint64_t replicas,
                std::uint64_t samples, std::uint64_t largest_chunk = largest_device_chunk)
      : points_(points),
        observables_(observables),
        replicas_(replicas),
        kept_(samples),
        chunk_(std::min(replicas, largest_chunk)),
        bound_(bound),
        gone_(chunk_),
        cells_(observables * blocks_of(chunk_)),
        blocks_(blocks_of(chunk_)),
        values_(observables * std::min(kept_, chunk_)),
        host_cells_(cells_.size()),
        host_blocks_(blocks_.size()),
        host_values_(values_.size()),
        columns_(points * observables) {
    reduced_.distance.assign(points, 0);
    reduced_.diverged.assign(points, 0);
    reduced_.samples.assign(observables * kept_, std::numeric_limits<double>::quiet_NaN());
  }

  /// Replicas at a time: chunk c holds c·chunk() … .
  std::uint64_t chunk() const { return chunk_; }

  void begin_chunk(std::uint64_t first) {
    first_ = first;
    count_ = std::min(chunk_, replicas_ - first);
    check_cuda(cudaMemset(gone_.data(), 0, count_), "clearing the flags");
  }
  std::uint64_t count() const { return count_; }

  /// states: (d × count()) on the device.
  template <class Observer, class Real>
  void add(std::size_t point, const Observer& observer, const Real* states) {
    const std::size_t used = blocks_of(count_), M = observables_;
    const bool last = point + 1 == points_ && first_ < kept_;
    const auto taken = static_cast<std::size_t>(last ? std::min(count_, kept_ - first_) : 0);
    ReductionLaunch launch{};
    launch.count = static_cast<int>(M);
    launch.bound = bound_;
    launch.replicas = static_cast<std::int64_t>(count_);
    launch.samples = static_cast<std::int64_t>(taken);
    launch.gone = gone_.data();
    launch.cells = cells_.data();
    launch.blocks = blocks_.data();
    launch.values = taken > 0 ? values_.data() : nullptr;
    reduce_states<Observer, Real><<<static_cast<unsigned>(used), reduction_block>>>(observer, states, launch);
    check_launch("reducing an ensemble");
    cells_.download(host_cells_.data(), M * used);
    blocks_.download(host_blocks_.data(), used);
    for (std::size_t b = 0; b < used; ++b) {
      reduced_.diverged[point] += host_blocks_[b].diverged;
      if (!(host_blocks_[b].distance <= reduced_.distance[point]))
        reduced_.distance[point] = host_blocks_[b].distance;
    }
    const auto at = [](auto& range, std::size_t i) { return range.begin() + static_cast<std::ptrdiff_t>(i); };
    for (std::size_t m = 0; m < M; ++m) {
      auto& column = columns_[point * M + m];
      column.insert(column.end(), at(host_cells_, m * used), at(host_cells_, (m + 1) * used));
    }
    if (taken == 0) return;
    values_.download(host_values_.data(), M * taken);
    for (std::size_t m = 0; m < M; ++m)
      std::copy_n(at(host_values_, m * taken), taken, at(reduced_.samples, m * kept_ + first_));
  }

  ReducedEnsemble finish(double kernel_seconds) {
    for (const std::vector<Moments>& column : columns_) reduced_.cells.push_back(merge_in_order(column));
    reduced_.kernel_seconds = kernel_seconds;
    return std::move(reduced_);
  }

 private:
  static std::size_t blocks_of(std::uint64_t n) {
    return static_cast<std::size_t>((n + reduction_block - 1) / reduction_block);
  }

  std::size_t points_, observables_;
  std::uint64_t replicas_, kept_, chunk_, first_ = 0, count_ = 0;
  double bound_;
  DeviceArray<char> gone_;
  DeviceArray<Moments> cells_;
  DeviceArray<ReducedBlock> blocks_;
  DeviceArray<double> values_;
  std::vector<Moments> host_cells_;
  std::vector<ReducedBlock> host_blocks_;
  std::vector<double> host_values_;
  std::vector<std::vector<Moments>> columns_;  // (points × observables): the blocks' moments in order
  ReducedEnsemble reduced_;
};

}  // namespace slowsde::detail
