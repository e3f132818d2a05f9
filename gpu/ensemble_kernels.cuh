// The kernels of ensembles of iterates, of the conventional SDE and of slow SDEs (slow_kernels.cuh) for
// problems that fit into registers; group_kernels.cuh has those of larger ones. For iterates and the
// conventional SDE a thread is a worker of a replica: its state and its random numbers stay in registers for
// all rounds between two outputs, the workers meet by shuffles (K ≤ 32: several replicas to a warp) or in
// shared memory (one replica to a block, workers taking turns where there are more than threads). Workers are
// added in the order of their numbers, so the bits are those of the CPU's iterates.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "slowsde/gpu/conventional_worker.hpp"
#include "slowsde/gpu/device_array.hpp"
#include "slowsde/gpu/device_timer.cuh"
#include "slowsde/gpu/ensemble_kernels.hpp"
#include "slowsde/gpu/group_kernels.cuh"
#include "slowsde/gpu/iterate_worker.hpp"
#include "slowsde/gpu/reduce_states.cuh"
#include "slowsde/gpu/slow_kernels.cuh"

namespace slowsde {
namespace detail {

inline constexpr int warp_size = 32;
/// Threads of a block of independent warps, and the most of a block that is one replica.
inline constexpr int warps_block = 128, replica_block = 256;

/// One launch of the rounds first_round … last_round − 1 of `replicas` replicas.
template <class Real>
struct RoundsLaunch {
  RoundView table;  ///< on the device
  std::int64_t first_round, last_round;
  std::uint64_t first_replica;
  std::int64_t replicas;
  Real* states;   ///< (d × replicas), in and out
  Real* buffers;  ///< (K × d × replicas) with momentum, else null
};

/// K ≤ 32. Warp p holds the replicas ⌊32/K⌋p … ; lanes that no worker is left for repeat the last replica and
/// write nothing.
template <class Worker>
__global__ void __launch_bounds__(warps_block)
    rounds_in_warps(const __grid_constant__ typename Worker::Setup setup,
                    const __grid_constant__ RoundsLaunch<typename Worker::Scalar> launch) {
  using T = typename Worker::T;
  constexpr int dim = Worker::dim;
  const int K = setup.workers, lane = static_cast<int>(threadIdx.x) % warp_size;
  const int per_warp = warp_size / K, slot = lane / K, w = lane - slot * K;
  const std::int64_t warp = (static_cast<std::int64_t>(blockIdx.x) * warps_block + threadIdx.x) / warp_size;
  const std::int64_t wanted = warp * per_warp + slot;
  const bool active = slot < per_warp && wanted < launch.replicas;
  const std::int64_t r = wanted < launch.replicas ? wanted : launch.replicas - 1;
  const bool momentum = setup.momentum != 0;

  Worker worker(setup, launch.first_replica + static_cast<std::uint64_t>(r), static_cast<std::uint32_t>(w));
  T y[dim], v[dim];
  for (int j = 0; j < dim; ++j) {
    y[j] = T(launch.states[j * launch.replicas + r]);
    v[j] = T(momentum ? launch.buffers[(w * dim + j) * launch.replicas + r] : 0);
  }
  const auto mean = [&](T own) {
    return mean_of_workers<T>(K, setup.inverse_workers, [&](int other) {
      return T(__shfl_sync(0xffffffffu, own.v, slot * K + other));
    });
  };
  for (std::int64_t s = launch.first_round; s < launch.last_round; ++s) {
    worker.run_round(launch.table.rounds[s], launch.table, y, v);
    for (int j = 0; j < dim; ++j) y[j] = mean(y[j]);
    if (momentum && setup.buffers != BufferPolicy::kept)
      for (int j = 0; j < dim; ++j) v[j] = setup.buffers == BufferPolicy::averaged ? mean(v[j]) : T(0.0);
  }
  if (!active) return;
  for (int j = 0; j < dim; ++j) {
    if (w == 0) launch.states[j * launch.replicas + r] = y[j].v;
    if (momentum) launch.buffers[(w * dim + j) * launch.replicas + r] = v[j].v;
  }
}

/// Any K: block r is replica r. Dynamic shared memory: (d × threads) of Real.
template <class Worker>
__global__ void __launch_bounds__(replica_block)
    rounds_in_blocks(const __grid_constant__ typename Worker::Setup setup,
                     const __grid_constant__ RoundsLaunch<typename Worker::Scalar> launch) {
  using T = typename Worker::T;
  using Real = typename Worker::Scalar;
  constexpr int dim = Worker::dim;
  extern __shared__ double shared_bytes[];
  Real* ends = reinterpret_cast<Real*>(shared_bytes);  // (d × threads): where this turn's workers ended
  __shared__ Real shared_point[dim];
  const int K = setup.workers, threads = static_cast<int>(blockDim.x), t = static_cast<int>(threadIdx.x);
  const std::int64_t r = blockIdx.x;
  const std::uint64_t replica = launch.first_replica + static_cast<std::uint64_t>(r);
  const bool momentum = setup.momentum != 0;
  const auto buffer = [&](int w, int j) -> Real& {
    return launch.buffers[(static_cast<std::int64_t>(w) * dim + j) * launch.replicas + r];
  };
  if (t < dim) shared_point[t] = launch.states[t * launch.replicas + r];
  __syncthreads();

  // Thread j < d adds component j over the workers, turn by turn, in their order.
  const auto turn = [&](Worker& worker, int first, const TableRound& round, T& sum) {
    const int w = first + t;
    if (w < K) {
      T y[dim], v[dim];
      for (int j = 0; j < dim; ++j) {
        y[j] = T(shared_point[j]);
        v[j] = T(momentum ? buffer(w, j) : Real(0));
      }
      worker.run_round(round, launch.table, y, v);
      for (int j = 0; j < dim; ++j) {
        ends[j * threads + t] = y[j].v;
        if (momentum) buffer(w, j) = setup.buffers == BufferPolicy::reset ? Real(0) : v[j].v;
      }
    }
    __syncthreads();
    if (t < dim) {
      const int count = K - first < threads ? K - first : threads;
#pragma unroll 8
      for (int i = 0; i < count; ++i) sum = sum + T(ends[t * threads + i]);
    }
    __syncthreads();
  };
  Worker own(setup, replica, static_cast<std::uint32_t>(t));
  for (std::int64_t s = launch.first_round; s < launch.last_round; ++s) {
    const TableRound round = launch.table.rounds[s];
    T sum(0.0);
    if (K <= threads) {
      turn(own, 0, round, sum);
    } else {
      for (int first = 0; first < K; first += threads) {
        Worker next(setup, replica, static_cast<std::uint32_t>(first + t));
        turn(next, first, round, sum);
      }
    }
    if (t < dim) {
      shared_point[t] = (sum * T(setup.inverse_workers)).v;
      if (momentum && setup.buffers == BufferPolicy::averaged) {
        const T mean = mean_of_workers<T>(K, setup.inverse_workers, [&](int w) { return T(buffer(w, t)); });
        for (int w = 0; w < K; ++w) buffer(w, t) = mean.v;
      }
    }
    __syncthreads();
  }
  if (t < dim) launch.states[t * launch.replicas + r] = shared_point[t];
}

template <class Worker>
void launch_rounds(const typename Worker::Setup& setup, const RoundsLaunch<typename Worker::Scalar>& launch) {
  const int K = setup.workers;
  if (K <= warp_size) {
    const std::int64_t per_block = (warp_size / K) * (warps_block / warp_size);
    const auto blocks = static_cast<unsigned>((launch.replicas + per_block - 1) / per_block);
    rounds_in_warps<Worker><<<blocks, warps_block>>>(setup, launch);
  } else {
    const int threads = std::min(replica_block, (K + warp_size - 1) / warp_size * warp_size);
    const std::size_t shared =
        sizeof(typename Worker::Scalar) * static_cast<std::size_t>(Worker::dim * threads);
    rounds_in_blocks<Worker><<<static_cast<unsigned>(launch.replicas), threads, shared>>>(setup, launch);
  }
  check_launch("launching the rounds of an ensemble");
}

/// Everything of one run on the device: the table, and the states and buffers of a chunk of replicas.
template <class Worker>
class IterateChunks {
 public:
  using Real = typename Worker::Scalar;
  static constexpr int dim = Worker::dim;

  IterateChunks(const typename Worker::Setup& setup, RoundTable table, const std::vector<double>& start,
                std::uint64_t capacity)
      : setup_(setup),
        table_(std::move(table)),
        rounds_(table_.rounds),
        rates_(table_.rates),
        start_(start),
        states_(capacity * dim),
        buffers_(capacity * buffer_numbers(setup)) {}

  /// Most replicas of a chunk of `replicas` at most.
  static std::uint64_t capacity(const typename Worker::Setup& setup, std::uint64_t replicas) {
    const std::size_t each = (dim + buffer_numbers(setup)) * sizeof(Real);
    return std::min(replicas, device_chunk(replicas_with_room(each, setup.workers)));
  }

  /// Runs a chunk and calls use(point, states: (d × replicas) on the device) at each record point.
  template <class Use>
  void run(std::uint64_t first_replica, std::uint64_t replicas, Use use) {
    const auto n = static_cast<std::int64_t>(replicas);
    const auto blocks = static_cast<unsigned>((n * dim + reduction_block - 1) / reduction_block);
    fill_states<Real><<<blocks, reduction_block>>>(start_.data(), dim, n, states_.data());
    check_launch("setting the starts");
    if (buffers_.size() > 0)
      check_cuda(cudaMemset(buffers_.data(), 0, buffers_.size() * sizeof(Real)), "clearing the buffers");
    std::int64_t done = 0;
    const RoundView view{rounds_.data(), rates_.data(), table_.rate_stride};
    for (std::size_t p = 0; p < table_.rounds_at.size(); ++p) {
      const auto until = static_cast<std::int64_t>(table_.rounds_at[p]);
      if (until > done) {
        timer_.start();
        launch_rounds<Worker>(setup_, {view, done, until, first_replica, n, states_.data(), buffers_.data()});
        timer_.stop();
      }
      done = until;
      use(p, states_.data());
    }
  }

  double kernel_seconds() { return timer_.seconds(); }

 private:
  /// Of a replica.
  static std::size_t buffer_numbers(const typename Worker::Setup& setup) {
    return setup.momentum != 0 ? static_cast<std::size_t>(dim) * setup.workers : 0;
  }

  typename Worker::Setup setup_;
  RoundTable table_;
  DeviceArray<TableRound> rounds_;
  DeviceArray<double> rates_, start_;
  DeviceArray<Real> states_, buffers_;
  DeviceTimer timer_;
};

}  // namespace detail

/// The kernels of a problem P that meets LaneProblem for one kind of noise at least.
template <class P>
class EnsembleKernelsOf final : public EnsembleKernels {
 public:
  static constexpr int dim = static_dimension<P>();

  explicit EnsembleKernelsOf(const P& problem) : problem_(problem) {
    if constexpr (LeastSquaresProblem<P>) samples_ = problem.samples();
  }

  void check(const IterateEnsemble& ensemble) const override {
    with_worker(ensemble, [&]<class Worker>(std::type_identity<Worker>) {
      const typename Worker::Setup setup(problem_, ensemble.algorithm, ensemble.source);
      static_cast<void>(setup);
    });
  }

  void simulate(const IterateEnsemble& ensemble, std::uint64_t first_replica, std::uint64_t replicas,
                std::vector<double>& states) const override {
    states.resize(ensemble.points.size() * replicas * dim);
    with_worker(ensemble, [&]<class Worker>(std::type_identity<Worker>) {
      using Real = typename Worker::Scalar;
      using Chunks = detail::IterateChunks<Worker>;
      const typename Worker::Setup setup(problem_, ensemble.algorithm, ensemble.source);
      const std::uint64_t most = Chunks::capacity(setup, replicas);
      Chunks chunks(setup, round_table(ensemble.algorithm, ensemble.points), ensemble.start, most);
      std::vector<Real> by_component(most * dim);
      for (std::uint64_t first = 0; first < replicas; first += most) {
        const std::uint64_t n = std::min(most, replicas - first);
        chunks.run(first_replica + first, n, [&](std::size_t p, const Real* on_device) {
          check_cuda(
              cudaMemcpy(by_component.data(), on_device, n * dim * sizeof(Real), cudaMemcpyDeviceToHost),
              "copying the states to the host");
          for (std::size_t r = 0; r < n; ++r)
            for (std::size_t j = 0; j < dim; ++j)
              states[(p * replicas + first + r) * dim + j] = static_cast<double>(by_component[j * n + r]);
        });
      }
    });
  }

  bool reduces(const IterateReduction& reduction) const override {
    if (reduction.observables.size() > detail::most_observables) return false;
    for (const LaneObservable& observable : reduction.observables)
      if (!has_lane_observable<P>(observable)) return false;
    return !reduction.project || HasClosedPhi<P>;
  }

  ReducedEnsemble reduce(const IterateEnsemble& ensemble, std::uint64_t replicas,
                         const IterateReduction& reduction,
                         const std::function<void(std::uint64_t)>& progress) const override {
    ReducedEnsemble reduced;
    with_worker(ensemble, [&]<class Worker>(std::type_identity<Worker>) {
      reduced = reduce_with<Worker>({problem_, ensemble.algorithm, ensemble.source},
                                    round_table(ensemble.algorithm, ensemble.points), ensemble.start,
                                    replicas, reduction, progress);
    });
    return reduced;
  }

  std::optional<ReducedEnsemble> reduce(const ConventionalRun& run, std::uint64_t trajectories,
                                        const IterateReduction& reduction,
                                        const std::function<void(std::uint64_t)>& progress) const override {
    std::optional<ReducedEnsemble> reduced;
    const ConventionalSteps steps = conventional_steps(run);
    with_conventional_worker(problem_, run, [&]<class Worker>(std::type_identity<Worker>, auto noise) {
      reduced = reduce_with<Worker>({problem_, noise, run, steps}, round_table(steps), run.start,
                                    trajectories, reduction, progress);
    });
    return reduced;
  }

  std::optional<ReducedEnsemble> reduce(const SlowRun& run, int rank, std::uint64_t trajectories,
                                        const IterateReduction& reduction,
                                        const std::function<void(std::uint64_t)>& progress) const override {
    std::optional<ReducedEnsemble> reduced;
    with_slow_trajectory<P>(run, [&]<class Trajectory>(std::type_identity<Trajectory>) {
      detail::DeviceReducer reducer(run.times.size(), reduction, trajectories,
                                    detail::DeviceQuantiles(run.times.size(), reduction, trajectories));
      reduced = detail::reduce_slow<Trajectory>(problem_, run, rank, trajectories, observer(reduction),
                                                reducer, progress);
    });
    return reduced;
  }

  double bytes(const IterateEnsemble& ensemble, std::uint64_t replicas) const override {
    const double scalar = ensemble.single_precision ? sizeof(float) : sizeof(double);
    const double buffers = ensemble.algorithm.momentum != 0 ? ensemble.algorithm.workers : 0;
    return scalar * dim * (1 + buffers) * static_cast<double>(replicas) +
           static_cast<double>(round_table(ensemble.algorithm, ensemble.points).bytes());
  }

 private:
  template <class Use>
  void with_worker(const IterateEnsemble& ensemble, Use use) const {
    if (ensemble.single_precision)
      with_precision<float>(ensemble, use);
    else
      with_precision<double>(ensemble, use);
  }

  template <class Real, class Use>
  void with_precision(const IterateEnsemble& ensemble, Use use) const {
    switch (ensemble.source.noise.kind) {
      case NoiseKind::gaussian:
        if constexpr (LaneProblem<P, NoiseKind::gaussian>)
          return use(std::type_identity<IterateWorker<P, Real, NoiseKind::gaussian>>{});
        break;
      case NoiseKind::label:
        if constexpr (LaneProblem<P, NoiseKind::label>)
          return use(std::type_identity<IterateWorker<P, Real, NoiseKind::label>>{});
        break;
      case NoiseKind::minibatch:
        if constexpr (LaneProblem<P, NoiseKind::minibatch>)
          return use(std::type_identity<IterateWorker<P, Real, NoiseKind::minibatch>>{});
        break;
    }
    throw std::invalid_argument("the kernels of this problem have no noise of that kind");
  }

  detail::ProblemObserver<P> observer(const IterateReduction& reduction) const {
    detail::ProblemObserver<P> result{problem_, samples_, reduction.project, {}};
    std::copy(reduction.observables.begin(), reduction.observables.end(), result.observables);
    return result;
  }

  template <class Worker>
  ReducedEnsemble reduce_with(const typename Worker::Setup& setup, RoundTable table,
                              const std::vector<double>& start, std::uint64_t replicas,
                              const IterateReduction& reduction,
                              const std::function<void(std::uint64_t)>& progress) const {
    using Real = typename Worker::Scalar;
    const std::size_t points = table.rounds_at.size();
    detail::DeviceQuantiles quantiles(points, reduction, replicas);  // first: the chunks take what is left
    detail::DeviceReducer reducer(points, reduction, replicas, std::move(quantiles),
                                  detail::IterateChunks<Worker>::capacity(setup, replicas));
    detail::IterateChunks<Worker> chunks(setup, std::move(table), start, reducer.chunk());
    const detail::ProblemObserver<P> seen = observer(reduction);
    for (std::uint64_t first = 0; first < replicas; first += reducer.chunk()) {
      reducer.begin_chunk(first);
      chunks.run(first, reducer.count(),
                 [&](std::size_t p, const Real* states) { reducer.add(p, seen, states); });
      if (progress) progress(reducer.count());
    }
    return reducer.finish(chunks.kernel_seconds());
  }

  P problem_;
  int samples_ = 1;
};

template <class P>
std::unique_ptr<EnsembleKernels> make_ensemble_kernels(const P& problem) {
  if constexpr (LaneProblem<P, NoiseKind::gaussian> || LaneProblem<P, NoiseKind::label>)
    return std::make_unique<EnsembleKernelsOf<P>>(problem);
  else if constexpr (FeatureProblem<P>)
    return std::make_unique<GroupKernels<P>>(problem);
  else
    return nullptr;
}

}  // namespace slowsde

/// Compiles the kernels of a problem here, in a .cu file, outside of any namespace.
#define SLOWSDE_ENSEMBLE_KERNELS(...)                                                             \
  template std::unique_ptr<slowsde::EnsembleKernels> slowsde::make_ensemble_kernels<__VA_ARGS__>( \
      const __VA_ARGS__&)
