// What one thread of an ensemble of the slow SDE does: a trajectory that each step brings back to Γ.
#pragma once

#include <type_traits>

#include "slowsde/gpu/lane_trajectory.hpp"
#include "slowsde/sde/lane_slow_sde.hpp"
#include "slowsde/sde/slow_run.hpp"

namespace slowsde {

/// Whether a thread can hold a slow trajectory of this problem, one that is random.
template <class P>
concept SlowLaneProblem =
    LaneManifoldProblem<P> && GaussianNoiseProblem<P> && std::is_trivially_copyable_v<P>;

template <SlowLaneProblem P, class Scheme>
struct SlowTrajectory {
  static constexpr int dim = static_dimension<P>();
  using Scalar = double;
  using T = Pack<double, 1>;
  using Equation = LaneSlowSde<P, SlowRoundsView>;
  using Steps = LaneTrajectory<Scheme, Equation, double, dim, Equation::noise_columns()>;

  /// The same for all threads. `rounds` lie where the threads read them.
  struct Setup {
    typename Steps::Setup steps;
    Retraction retraction;
    double residual;  ///< largest |∇L| of a point of Γ, relative to λ_max

    Setup(const P& problem, int rank, const SlowRun& run, const SlowRoundsView& rounds)
        : steps{Scheme{},
                Equation(LaneGeometry<P>(problem, rank), run.noise.label_sigma, run.moment->formula(), rounds,
                         run.variant),
                run.seed},
          retraction(run.retraction),
          residual(manifold_residual) {}
  };

  SLOWSDE_HD static void run(const Setup& setup, const OutputInterval& interval, std::uint64_t trajectory,
                             T* x, LaneRetractionReport<T>& report) {
    Steps::run(setup.steps, interval, trajectory, x, [&](T* end) {
      retract_lanes(setup.steps.sde.geometry(), setup.retraction, setup.residual, end, report);
    });
  }
};

/// Calls use(std::type_identity<SlowTrajectory>) for the trajectories of a run; false where no thread can
/// hold one.
template <class P, class Use>
bool with_slow_trajectory(const SlowRun& run, Use use) {
  if constexpr (SlowLaneProblem<P>) {
    if (!runs_in_lanes(run, LaneClosedPhi<P>) || run.refinement != 1 || run.noise_workers != 1) return false;
    if (run.scheme == SlowScheme::platen_weak_2)
      use(std::type_identity<SlowTrajectory<P, PlatenWeak2>>{});
    else
      use(std::type_identity<SlowTrajectory<P, EulerMaruyama>>{});
    return true;
  } else {
    return false;
  }
}

}  // namespace slowsde
