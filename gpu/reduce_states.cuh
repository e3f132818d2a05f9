// Moments and quantiles of an ensemble's states on the device. The moments are formed in an order that
// depends on the replicas' indices alone: a tree within blocks of 256, the blocks in their order on the host.
// For quantiles the values of all replicas stay on the device until they are sorted.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "slowsde/gpu/device_array.hpp"
#include "slowsde/gpu/device_sort.hpp"
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
  std::uint64_t*
      keys;  ///< where the values' ordered keys go, observable by observable; null without quantiles
  std::int64_t key_stride;  ///< from one observable's keys to the next
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
      distances[t] = larger_or_nan(distances[t], distances[t + half]);
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
      if (launch.keys != nullptr) launch.keys[m * launch.key_stride + r] = ordered_key(value);
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

/// The values of all replicas at all points, for their quantiles: nothing where none are asked for.
class DeviceQuantiles {
 public:
  /// Made before the chunks of an ensemble, which take what memory is left. Throws DeviceError where there is
  /// not enough for all values.
  DeviceQuantiles(std::size_t points, const IterateReduction& what, std::uint64_t replicas)
      : probabilities_(what.quantiles),
        replicas_(replicas),
        cells_(what.quantiles.empty() ? 0 : points * what.observables.size()),
        keys_(cells_ * replicas),
        room_to_sort_(cells_ == 0 ? 0 : replicas) {}

  /// Of the replicas from `first` on at a point's `cell`; null without quantiles.
  std::uint64_t* keys(std::size_t cell, std::uint64_t first) {
    return cells_ == 0 ? nullptr : keys_.data() + cell * replicas_ + first;
  }
  std::uint64_t stride() const { return replicas_; }

  /// (cells × probabilities), of the finite values, which moments count.
  std::vector<QuantileEstimate> estimates(const std::vector<Moments>& moments) {
    std::vector<QuantileEstimate> result;
    room_to_sort_ = {};
    for (std::size_t cell = 0; cell < cells_; ++cell) {
      std::uint64_t* const of_cell = keys(cell, 0);
      sort_on_device(of_cell, replicas_);
      const auto at = [&](std::uint64_t k) {
        std::uint64_t key = 0;
        check_cuda(cudaMemcpy(&key, of_cell + k, sizeof key, cudaMemcpyDeviceToHost),
                   "copying an order statistic to the host");
        return of_ordered_key(key);
      };
      for (const double p : probabilities_) result.push_back(quantile_of_sorted(moments[cell].count, p, at));
    }
    return result;
  }

 private:
  std::vector<double> probabilities_;
  std::uint64_t replicas_;
  std::size_t cells_;
  DeviceArray<std::uint64_t> keys_;          // (points × observables × replicas): ordered_key of the values
  DeviceArray<std::uint64_t> room_to_sort_;  // kept from the chunks, for Thrust
};

/// Collects the reductions of all points and chunks of an ensemble of `replicas`.
class DeviceReducer {
 public:
  /// `what` without its Φ, which is the observer's. largest_chunk: a multiple of reduction_block, so that
  /// blocks hold the same replicas whatever it is. `quantiles`: of the same points, observables and replicas.
  DeviceReducer(std::size_t points, const IterateReduction& what, std::uint64_t replicas,
                DeviceQuantiles quantiles, std::uint64_t largest_chunk = largest_device_chunk)
      : points_(points),
        observables_(what.observables.size()),
        replicas_(replicas),
        kept_(what.samples),
        chunk_(std::min(replicas, largest_chunk)),
        bound_(what.bound),
        quantiles_(std::move(quantiles)),
        gone_(chunk_),
        cells_(observables_ * blocks_of(chunk_)),
        blocks_(blocks_of(chunk_)),
        values_(observables_ * std::min(kept_, chunk_)),
        host_cells_(cells_.size()),
        host_blocks_(blocks_.size()),
        host_values_(values_.size()),
        columns_(points * observables_) {
    reduced_.distance.assign(points, 0);
    reduced_.diverged.assign(points, 0);
    reduced_.samples.assign(observables_ * kept_, std::numeric_limits<double>::quiet_NaN());
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
    launch.keys = quantiles_.keys(point * M, first_);
    launch.key_stride = static_cast<std::int64_t>(quantiles_.stride());
    reduce_states<Observer, Real><<<static_cast<unsigned>(used), reduction_block>>>(observer, states, launch);
    check_launch("reducing an ensemble");
    cells_.download(host_cells_.data(), M * used);
    blocks_.download(host_blocks_.data(), used);
    for (std::size_t b = 0; b < used; ++b) {
      reduced_.diverged[point] += host_blocks_[b].diverged;
      reduced_.distance[point] = larger_or_nan(reduced_.distance[point], host_blocks_[b].distance);
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
    reduced_.quantiles = quantiles_.estimates(reduced_.cells);
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
  DeviceQuantiles quantiles_;
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
