// Ensembles on a GPU, iterates, the conventional SDE and slow SDEs, as the rest of the program sees them: no
// CUDA in this header. The kernels of a problem are compiled where a .cu file says
// SLOWSDE_ENSEMBLE_KERNELS(Problem) (ensemble_kernels.cuh).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "slowsde/gpu/lane_observable.hpp"
#include "slowsde/optim/local_sgd.hpp"
#include "slowsde/sde/conventional_run.hpp"
#include "slowsde/sde/quantiles.hpp"
#include "slowsde/sde/slow_run.hpp"
#include "slowsde/sde/statistics.hpp"

namespace slowsde {

/// Replicas that reduce() has on the device at once: enough to fill any chip.
inline constexpr std::uint64_t largest_device_chunk = std::uint64_t{1} << 22;
/// Replicas of which one block forms the moments.
inline constexpr int reduction_block = 256;

/// Replicas of a chunk where the memory has room for `room`: whole blocks, so that the moments do not depend
/// on it, and one at least.
constexpr std::uint64_t device_chunk(std::uint64_t room) {
  return std::clamp<std::uint64_t>(room / reduction_block * reduction_block, reduction_block,
                                   largest_device_chunk);
}

/// One algorithm from one start.
struct IterateEnsemble {
  LocalSgd algorithm;
  GradientSource source;
  std::vector<RecordPoint> points;
  std::vector<double> start;  ///< (d)
  bool single_precision = false;
};

/// What is to be reduced on the device.
struct IterateReduction {
  std::vector<LaneObservable> observables;
  bool project = false;           ///< Φ first, in the problem's closed form
  double bound = 0;               ///< a replica with a component beyond it has diverged, once and for all
  std::uint64_t samples = 0;      ///< replicas whose values at the last point are kept
  std::vector<double> quantiles;  ///< their probabilities
};

/// The reduced ensemble; P record points, M observables.
struct ReducedEnsemble {
  std::vector<Moments> cells;               ///< (P × M)
  std::vector<double> distance;             ///< (P): largest |∇L| after the projection
  std::vector<std::uint64_t> diverged;      ///< (P)
  std::vector<double> samples;              ///< (M × samples), NaN where diverged or not there
  std::vector<QuantileEstimate> quantiles;  ///< (P × M × probabilities)
  double kernel_seconds = 0;                ///< of the rounds alone
  double path_distance = 0;                 ///< slow SDEs: how far from Γ a step ended at most
  std::uint64_t unconverged = 0;  ///< slow SDEs: trajectories of which a step was not brought back to Γ
};

/// How Φ of a state ended.
struct FlowEnd {
  double residual = 0;     ///< max|r|
  bool converged = false;  ///< false: the state is not what it was, nor Φ of it
};

/// The kernels of one problem. One object serves one thread at a time.
class EnsembleKernels {
 public:
  virtual ~EnsembleKernels() = default;

  /// Throws std::invalid_argument for an ensemble that the kernels do not run.
  virtual void check(const IterateEnsemble& ensemble) const = 0;

  /// The states of `replicas` replicas from first_replica on at every record point: (points × replicas × d).
  /// Where a thread holds a worker the bits are those of the CPU's iterates. Throws DeviceError.
  virtual void simulate(const IterateEnsemble& ensemble, std::uint64_t first_replica, std::uint64_t replicas,
                        std::vector<double>& states) const = 0;

  /// Whether advance() is there, so that a run that was stopped can go on from any record point.
  virtual bool continues() const { return false; }

  /// Takes `replicas` replicas from first_replica on from the record point before `point` to `point`: states,
  /// (replicas × d), are those of the former and then those of the latter. What they were does not matter for
  /// point 0. Point after point it gives the bits of simulate(). Throws DeviceError.
  virtual void advance(const IterateEnsemble&, std::uint64_t /*first_replica*/, std::uint64_t /*replicas*/,
                       std::size_t /*point*/, std::vector<double>& /*states*/) const {
    throw std::logic_error("these kernels do not go on from a record point");
  }

  /// Whether flow() is there.
  virtual bool flows() const { return false; }
  /// Device memory that flow() takes for so many states, where there is as much.
  virtual double flow_bytes(std::uint64_t /*count*/) const { return 0; }

  /// Φ of `count` finite states together, (count × d), in place and in double precision; `ends`: (count).
  /// Throws DeviceError.
  virtual void flow(std::uint64_t /*count*/, double* /*states*/, FlowEnd* /*ends*/) const {
    throw std::logic_error("these kernels have no gradient flow");
  }

  /// Whether reduce() can form the observables, after Φ if that is asked for.
  virtual bool reduces(const IterateReduction& reduction) const = 0;

  /// Moments of any number of replicas, in chunks; no state leaves the device. Blocks of replicas are merged
  /// in the order of their indices, so that neither chunks nor the device matter. progress(replicas) is
  /// called after each chunk. Throws DeviceError.
  virtual ReducedEnsemble reduce(const IterateEnsemble& ensemble, std::uint64_t replicas,
                                 const IterateReduction& reduction,
                                 const std::function<void(std::uint64_t)>& progress) const = 0;

  /// The same for trajectories of the conventional SDE, whose moments are then always formed on the device;
  /// nothing where no thread can hold one.
  virtual std::optional<ReducedEnsemble> reduce(
      const ConventionalRun&, std::uint64_t /*trajectories*/, const IterateReduction&,
      const std::function<void(std::uint64_t)>& /*progress*/) const {
    return std::nullopt;
  }

  /// The same for trajectories of the slow SDE from a point of Γ, where ∇²L has this rank. Nothing where no
  /// thread can hold one (with_slow_trajectory): a problem without tangential noise, refined
  /// increments.
  virtual std::optional<ReducedEnsemble> reduce(
      const SlowRun&, int /*rank*/, std::uint64_t /*trajectories*/, const IterateReduction&,
      const std::function<void(std::uint64_t)>& /*progress*/) const {
    return std::nullopt;
  }

  /// Device memory that simulate() takes for so many replicas.
  virtual double bytes(const IterateEnsemble& ensemble, std::uint64_t replicas) const = 0;
};

/// Defined where SLOWSDE_ENSEMBLE_KERNELS(P) is said. Null for a problem that neither a thread can hold
/// (LaneProblem) nor a group of threads can share (FeatureProblem).
template <class P>
std::unique_ptr<EnsembleKernels> make_ensemble_kernels(const P& problem);

/// Makes the kernels of a problem; empty for a problem without.
template <class P>
using KernelFactory = std::function<std::unique_ptr<EnsembleKernels>(const P&)>;

/// The factory of a problem whose kernels are compiled wherever there is CUDA; empty in a build without.
template <class P>
KernelFactory<P> kernels_of() {
#if defined(SLOWSDE_CUDA)
  return &make_ensemble_kernels<P>;
#else
  return {};
#endif
}

}  // namespace slowsde
