// The kernels of ensembles of iterates whose workers are groups of threads: a block is a worker of a replica
// from average to average, or for all rounds between two outputs where it is alone; a second kernel takes the
// averages. What group_worker.hpp computes, bit for bit.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "slowsde/gpu/block_memory.hpp"
#include "slowsde/gpu/cuda_block.hpp"
#include "slowsde/gpu/device_array.hpp"
#include "slowsde/gpu/device_timer.cuh"
#include "slowsde/gpu/ensemble_kernels.hpp"
#include "slowsde/gpu/group_worker.hpp"
#include "slowsde/gpu/reduce_states.cuh"

namespace slowsde {
namespace detail {

inline constexpr int most_group_threads = 1024;
/// Replicas on the device at once, a whole number of the reduction's blocks: each has a block for every
/// worker, which is enough to fill any chip.
inline constexpr std::uint64_t largest_group_chunk = 4096;
static_assert(largest_group_chunk % reduction_block == 0);

/// Four features or components for each thread, in whole warps. The bits do not depend on it.
inline int group_threads(const GroupLayout& layout) {
  const int wanted = (std::max(layout.features, layout.dim) + 127) / 128 * 32;
  return std::clamp(wanted, 64, most_group_threads);
}

/// One launch of the rounds first_round … last_round − 1.
template <class Real>
struct GroupLaunch {
  RoundView table;  ///< on the device
  std::int64_t first_round, last_round;
  std::uint64_t first_replica;
  const Real* states;  ///< (replicas × d)
  Real* ends;          ///< (replicas × K × d); the states themselves where a worker is alone
  Real* buffers;       ///< (replicas × K × d) with momentum, else null
  Real* rows;          ///< (replicas × K × row_numbers)
};

/// Block r·K + w is worker w of replica r. Dynamic shared memory: block_numbers of Real.
template <class Map, class Real>
__global__ void __launch_bounds__(most_group_threads)
    group_rounds(const __grid_constant__ GroupSetup<Map, Real> setup,
                 const __grid_constant__ GroupLaunch<Real> launch) {
  extern __shared__ __align__(16) unsigned char group_memory[];
  const std::int64_t group = blockIdx.x, r = group / setup.workers, w = group - r * setup.workers;
  const std::int64_t d = setup.layout.dim;
  const CudaBlock block;
  const GroupMemory<Real> memory{reinterpret_cast<Real*>(group_memory),
                                 launch.rows + group * setup.layout.row_numbers, launch.buffers + group * d};
  GroupWorker<CudaBlock, Map, Real> worker(block, setup, launch.first_replica + static_cast<std::uint64_t>(r),
                                           static_cast<std::uint32_t>(w), memory);
  worker.run(launch.table, launch.first_round, launch.last_round, launch.states + r * d,
             launch.ends + group * d);
}

template <class Real>
__global__ void __launch_bounds__(reduction_block)
    group_meetings(const __grid_constant__ GroupMeeting<Real> meeting, std::int64_t replicas) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < replicas * meeting.dim) meeting(i / meeting.dim, static_cast<int>(i % meeting.dim));
}

template <class Real>
__global__ void __launch_bounds__(reduction_block)
    fill_rows(const double* start, std::int64_t dim, std::int64_t replicas, Real* states) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < dim * replicas) states[i] = static_cast<Real>(start[i % dim]);
}

/// The observables that a block forms of a state.
struct GroupObservation {
  int dim, count;
  LaneObservable observables[most_observables];
  std::int64_t stride;  ///< replicas from one observable's values to the next's
  double* values;       ///< (M × stride)
  double* extremes;     ///< largest |θ_j|, infinite where a component is not a number
};

inline bool has_group_observable(const LaneObservable& observable) {
  return observable.kind != LaneObservable::Kind::loss && observable.kind != LaneObservable::Kind::trace;
}

/// Block r is replica r. states: (replicas × d).
template <class Real>
__global__ void __launch_bounds__(reduction_block)
    observe_groups(const __grid_constant__ GroupObservation what, const Real* states) {
  __shared__ double squares[reduction_block], extremes[reduction_block];
  const int t = static_cast<int>(threadIdx.x);
  const std::int64_t r = blockIdx.x;
  const Real* const theta = states + r * what.dim;
  double square = 0, extreme = 0;
  for (int j = t; j < what.dim; j += reduction_block) {
    const double x = static_cast<double>(theta[j]);
    square += x * x;
    const double size = x == x ? std::abs(x) : std::numeric_limits<double>::infinity();
    extreme = extreme < size ? size : extreme;
  }
  squares[t] = square;
  extremes[t] = extreme;
  for (int half = reduction_block / 2; half > 0; half /= 2) {
    __syncthreads();
    if (t < half) {
      squares[t] += squares[t + half];
      extremes[t] = extremes[t] < extremes[t + half] ? extremes[t + half] : extremes[t];
    }
  }
  __syncthreads();
  if (t == 0) what.extremes[r] = extremes[0];
  if (t >= what.count) return;
  const LaneObservable& observable = what.observables[t];
  const auto component = [theta](int j) { return static_cast<double>(theta[j]); };
  double value = 0;
  switch (observable.kind) {
    case LaneObservable::Kind::component:
      value = component(observable.component);
      break;
    case LaneObservable::Kind::log_component:
      value = log(abs(Lane(component(observable.component)))).v;
      break;
    case LaneObservable::Kind::norm:
      value = std::sqrt(squares[0]);
      break;
    case LaneObservable::Kind::angle:
      value = what.dim >= 2 ? std::atan2(component(1), component(0)) : 0;
      break;
    case LaneObservable::Kind::loss:
    case LaneObservable::Kind::trace:
      break;
  }
  what.values[t * what.stride + r] = value;
}

/// Hands what the blocks observed to the reduction, whose state is then the largest |θ_j| alone.
struct ObservedValues {
  static constexpr int dim = 1;
  const double* values;  ///< (M × stride)
  std::int64_t stride;

  __device__ bool move(Lane*) const { return false; }
  __device__ double distance(const Lane*) const { return 0; }
  __device__ double value(int m, const Lane*) const {
    return values[m * stride + static_cast<std::int64_t>(blockIdx.x) * reduction_block + threadIdx.x];
  }
};

/// Everything of one run on the device: the problem's numbers, the table, and a chunk of replicas.
template <class P, class Real>
class GroupChunks {
 public:
  using Map = FeatureMapOf<P>;

  GroupChunks(const P& problem, const IterateEnsemble& ensemble, std::uint64_t replicas)
      : setup_(make_group_setup<Real>(problem, ensemble.algorithm, ensemble.source, most_block_bytes())),
        table_(round_table(ensemble.algorithm, ensemble.points)),
        rounds_(table_.rounds),
        rates_(table_.rates),
        start_(ensemble.start),
        measurements_(rounded(problem.measurements())),
        targets_(rounded(problem.target_values())),
        capacity_(affordable(replicas)),
        states_(capacity_ * dim()),
        ends_(setup_.workers > 1 ? capacity_ * workers() * dim() : 0),
        buffers_(setup_.momentum != 0 ? capacity_ * workers() * dim() : 0),
        rows_(capacity_ * workers() * static_cast<std::size_t>(setup_.layout.row_numbers)) {
    setup_.measurements = measurements_.data();
    setup_.targets = targets_.data();
  }

  /// Most replicas of one chunk.
  std::uint64_t capacity() const { return capacity_; }

  /// Runs a chunk and calls use(point, states: (replicas × d) on the device) at each record point.
  template <class Use>
  void run(std::uint64_t first_replica, std::uint64_t replicas, Use use) {
    const auto n = static_cast<std::int64_t>(replicas), d = static_cast<std::int64_t>(dim());
    const auto blocks = static_cast<unsigned>((n * d + reduction_block - 1) / reduction_block);
    fill_rows<Real><<<blocks, reduction_block>>>(start_.data(), d, n, states_.data());
    check_launch("setting the starts");
    if (buffers_.size() > 0)
      check_cuda(cudaMemset(buffers_.data(), 0, buffers_.size() * sizeof(Real)), "clearing the buffers");
    const std::size_t bytes = static_cast<std::size_t>(setup_.layout.block_numbers) * sizeof(Real);
    check_cuda(cudaFuncSetAttribute(group_rounds<Map, Real>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                    static_cast<int>(bytes)),
               ("giving " + std::to_string(bytes) + " bytes of shared memory to a worker's block").c_str());
    GroupLaunch<Real> launch{{rounds_.data(), rates_.data(), table_.rate_stride},
                             0,
                             0,
                             first_replica,
                             states_.data(),
                             setup_.workers > 1 ? ends_.data() : states_.data(),
                             buffers_.data(),
                             rows_.data()};
    const GroupMeeting<Real> meeting{setup_.workers, setup_.layout.dim, setup_.inverse_workers,
                                     setup_.buffers, ends_.data(),      states_.data(),
                                     buffers_.data()};
    const auto groups = static_cast<unsigned>(n * setup_.workers);
    std::int64_t done = 0;
    for (std::size_t p = 0; p < table_.rounds_at.size(); ++p) {
      const auto until = static_cast<std::int64_t>(table_.rounds_at[p]);
      timer_.start();
      launch_group_rounds(
          setup_.workers, done, until,
          [&](std::int64_t first, std::int64_t last) {
            launch.first_round = first;
            launch.last_round = last;
            group_rounds<Map, Real>
                <<<groups, static_cast<unsigned>(group_threads(setup_.layout)), bytes>>>(setup_, launch);
            check_launch("launching the rounds of an ensemble of groups");
          },
          [&] {
            group_meetings<Real><<<blocks, reduction_block>>>(meeting, n);
            check_launch("launching the averages of an ensemble of groups");
          });
      timer_.stop();
      done = until;
      use(p, states_.data());
    }
  }

  double kernel_seconds() { return timer_.seconds(); }

 private:
  std::size_t dim() const { return static_cast<std::size_t>(setup_.layout.dim); }
  std::size_t workers() const { return static_cast<std::size_t>(setup_.workers); }

  static std::vector<Real> rounded(const std::vector<double>& from) { return {from.begin(), from.end()}; }

  std::uint64_t affordable(std::uint64_t replicas) const {
    const std::size_t each = static_cast<std::size_t>(group_numbers_of_replica(setup_)) * sizeof(Real);
    return std::min({replicas, replicas_with_room(each, setup_.workers), largest_group_chunk});
  }

  GroupSetup<Map, Real> setup_;
  RoundTable table_;
  DeviceArray<TableRound> rounds_;
  DeviceArray<double> rates_, start_;
  DeviceArray<Real> measurements_, targets_;
  std::uint64_t capacity_;
  DeviceArray<Real> states_, ends_, buffers_, rows_;
  DeviceTimer timer_;
};

}  // namespace detail

/// The kernels of a problem whose workers are groups of threads. It keeps the problem: the device gets its
/// numbers when there is something to run.
template <FeatureProblem P>
class GroupKernels final : public EnsembleKernels {
 public:
  explicit GroupKernels(const P& problem) : problem_(problem) {}

  void check(const IterateEnsemble& ensemble) const override {
    make_group_setup<double>(problem_, ensemble.algorithm, ensemble.source, 0);
  }

  /// The bits are those of group_worker.hpp on the host, and differ from the CPU's iterates by the order of
  /// the sums.
  void simulate(const IterateEnsemble& ensemble, std::uint64_t first_replica, std::uint64_t replicas,
                std::vector<double>& states) const override {
    with_precision(ensemble, [&]<class Real>(Real) {
      const std::size_t n = replicas, d = ensemble.start.size();
      states.resize(ensemble.points.size() * n * d);
      detail::GroupChunks<P, Real> chunks(problem_, ensemble, replicas);
      std::vector<Real> host;
      for (std::size_t first = 0; first < n; first += chunks.capacity()) {
        const std::size_t count = std::min<std::size_t>(chunks.capacity(), n - first);
        host.resize(count * d);
        chunks.run(first_replica + first, count, [&](std::size_t p, const Real* on_device) {
          check_cuda(cudaMemcpy(host.data(), on_device, host.size() * sizeof(Real), cudaMemcpyDeviceToHost),
                     "copying the states to the host");
          std::copy(host.begin(), host.end(),
                    states.begin() + static_cast<std::ptrdiff_t>((p * n + first) * d));
        });
      }
    });
  }

  bool reduces(const IterateReduction& reduction) const override {
    return !reduction.project && reduction.observables.size() <= detail::most_observables &&
           std::all_of(reduction.observables.begin(), reduction.observables.end(),
                       detail::has_group_observable);
  }

  using EnsembleKernels::reduce;
  ReducedEnsemble reduce(const IterateEnsemble& ensemble, std::uint64_t replicas,
                         const IterateReduction& reduction,
                         const std::function<void(std::uint64_t)>& progress) const override {
    ReducedEnsemble reduced;
    with_precision(ensemble, [&]<class Real>(Real) {
      const std::size_t points = ensemble.points.size(), M = reduction.observables.size();
      detail::DeviceReducer reducer(points, reduction, replicas,
                                    detail::DeviceQuantiles(points, reduction, replicas),
                                    detail::largest_group_chunk);
      const std::uint64_t stride = reducer.chunk();
      DeviceArray<double> values(points * M * stride), extremes(points * stride);
      detail::GroupChunks<P, Real> chunks(problem_, ensemble, stride);
      for (std::uint64_t first = 0; first < replicas; first += stride) {
        reducer.begin_chunk(first);
        for (std::uint64_t at = 0; at < reducer.count(); at += chunks.capacity()) {
          const std::uint64_t count = std::min(chunks.capacity(), reducer.count() - at);
          chunks.run(first + at, count, [&](std::size_t p, const Real* states) {
            detail::GroupObservation what{.dim = static_cast<int>(ensemble.start.size()),
                                          .count = static_cast<int>(M),
                                          .observables = {},
                                          .stride = static_cast<std::int64_t>(stride),
                                          .values = values.data() + p * M * stride + at,
                                          .extremes = extremes.data() + p * stride + at};
            std::copy(reduction.observables.begin(), reduction.observables.end(), what.observables);
            detail::observe_groups<Real><<<static_cast<unsigned>(count), reduction_block>>>(what, states);
            check_launch("observing an ensemble of groups");
          });
        }
        for (std::size_t p = 0; p < points; ++p)
          reducer.add(
              p, detail::ObservedValues{values.data() + p * M * stride, static_cast<std::int64_t>(stride)},
              static_cast<const double*>(extremes.data() + p * stride));
        if (progress) progress(reducer.count());
      }
      reduced = reducer.finish(chunks.kernel_seconds());
    });
    return reduced;
  }

  double bytes(const IterateEnsemble& ensemble, std::uint64_t replicas) const override {
    double sum = static_cast<double>(round_table(ensemble.algorithm, ensemble.points).bytes());
    with_precision(ensemble, [&]<class Real>(Real) {
      const auto setup =
          make_group_setup<Real>(problem_, ensemble.algorithm, ensemble.source, most_block_bytes());
      const auto chunk = static_cast<double>(std::min(replicas, detail::largest_group_chunk));
      const auto data = static_cast<double>(problem_.measurements().size() + problem_.target_values().size());
      sum += sizeof(Real) * (chunk * static_cast<double>(group_numbers_of_replica(setup)) + data);
    });
    return sum;
  }

 private:
  template <class Use>
  static void with_precision(const IterateEnsemble& ensemble, Use use) {
    if (ensemble.single_precision)
      use(float{});
    else
      use(double{});
  }

  P problem_;
};

}  // namespace slowsde
