// What an experiment asks of a problem, whatever its type: packs of iterates, Φ, observables and the drift of
// the slow SDE. The virtual calls are per pack and per record point, never per step.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "slowsde/gpu/ensemble_kernels.hpp"
#include "slowsde/optim/local_sgd.hpp"
#include "slowsde/sde/conventional_run.hpp"
#include "slowsde/sde/second_moment.hpp"
#include "slowsde/sde/slow_run.hpp"

namespace slowsde {

/// Receives the states of consecutive replicas at record point number `point`: (replicas × d), row-major.
using RecordStates = std::function<void(int point, int replicas, const double* states)>;

/// One series of iterates.
struct IterateRun {
  LocalSgd algorithm;
  GradientSource source;
  std::vector<RecordPoint> points;
  std::vector<double> start;
  bool single_precision = false;
  int width() const { return single_precision ? native_width<float> : native_width<double>; }
};

/// How far a computed point is from the manifold.
struct DistanceToManifold {
  double distance = 0;  ///< residual of the projection: |∇L| or max|r|
  bool converged = true;
};

/// Numbers that say whether a theory is in range at a point of Γ.
struct PointReport {
  double trace = 0, lambda_max = 0, lambda_min = 0;  ///< of the nonzero spectrum of ∇²L
  double rank_gap = 0;                               ///< λ_min / largest eigenvalue counted as zero
  int rank = 0;
  double distance = 0;  ///< |∇L|
};

/// An observable that a problem offers beside the generic ones, such as a network's test accuracy.
struct OwnObservable {
  std::string name;
  std::function<double(const double* theta)> value;  ///< called by several threads at once
};

class ExperimentProblem {
 public:
  virtual ~ExperimentProblem() = default;

  virtual int dim() const = 0;
  virtual std::vector<double> start() const = 0;           ///< a point on Γ
  virtual std::vector<NoiseKind> noise_kinds() const = 0;  ///< the first is the default
  virtual int samples() const = 0;                         ///< n; 1 for a general loss

  /// Simulates replicas first_replica … first_replica + width − 1.
  virtual void simulate(const IterateRun& run, std::uint64_t first_replica,
                        const RecordStates& record) const = 0;

  /// states ← Φ(states) in place, `count` states: (count × d); to[i] says how it ended for state i, of which
  /// no component needs to be finite.
  virtual void project(double* states, int count, DistanceToManifold* to) const = 0;

  /// Whether the slow model of this noise is an ODE (Σ_∥ = 0), of which one trajectory suffices.
  virtual bool deterministic(const SlowRun& run) const = 0;

  /// Integrates one slow trajectory and records it at all times. Returns the largest distance to Γ met.
  virtual DistanceToManifold slow_trajectory(const SlowRun& run, std::uint64_t trajectory,
                                             const RecordStates& record) const = 0;

  /// Integrates a pack of trajectories of the conventional SDE from `first_trajectory` on.
  virtual void conventional_trajectories(const ConventionalRun& run, std::uint64_t first_trajectory,
                                         const RecordStates& record) const = 0;

  /// Throw std::invalid_argument for a model that this problem cannot be asked for, before anything is run.
  virtual void check_slow(const SlowRun& run) const = 0;
  virtual void check_conventional(const ConventionalRun& run) const = 0;

  /// Names that `observe` understands; the generic ones are x0 … x{d−1}, log_x0 … (of |x_j|), norm, angle,
  /// loss, trace, lambda_max and, of least squares, residual = max|r|. A problem may have more of its own.
  virtual std::vector<std::string> observables() const = 0;
  /// Throws std::invalid_argument for a name that `observe` does not understand.
  virtual void check_observables(const std::vector<std::string>& names) const = 0;
  /// out[j] = observable names[j] at θ.
  virtual void observe(const double* theta, const std::vector<std::string>& names, double* out) const = 0;

  virtual PointReport report(const std::vector<double>& theta) const = 0;

  /// GramGeometry::feedback_ratio of a second-moment model at a point of Γ; 0 for a model without sampling,
  /// NaN where the problem has no residual space.
  virtual double feedback_ratio(const std::vector<double>& theta, const SecondMoment& moment,
                                const Round& round) const = 0;

  /// How many trajectories slow_trajectories() integrates side by side.
  virtual int slow_width(const SlowRun&) const { return 1; }

  /// The slow trajectories first … first + slow_width − 1, to rounding what slow_trajectory() gives one by
  /// one. Returns the largest distance of them all.
  virtual DistanceToManifold slow_trajectories(const SlowRun& run, std::uint64_t first,
                                               const RecordStates& record) const {
    return slow_trajectory(run, first, record);
  }

  /// What runs the iterates on a GPU; null where there is nothing that does.
  const EnsembleKernels* kernels() const { return kernels_.get(); }
  void set_kernels(std::unique_ptr<EnsembleKernels> kernels) { kernels_ = std::move(kernels); }

 private:
  std::unique_ptr<EnsembleKernels> kernels_;
};

}  // namespace slowsde
