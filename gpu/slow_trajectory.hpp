// What one thread of an ensemble of a slow model does: a trajectory of the slow SDE that each step brings
// back to Γ, or one of the quasi-static process.
#pragma once

#include <cstdint>
#include <type_traits>
#include <vector>

#include "slowsde/gpu/lane_trajectory.hpp"
#include "slowsde/sde/lane_slow_sde.hpp"
#include "slowsde/sde/quasi_static_round.hpp"
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

  static std::vector<OutputInterval> intervals(const SlowRun& run) { return slow_steps(run); }
  static SlowRounds rounds(const SlowRun& run) { return slow_rounds(run, intervals(run)); }

  SLOWSDE_HD static void run(const Setup& setup, const OutputInterval& interval, std::uint64_t trajectory,
                             T* x, LaneRetractionReport<T>& report) {
    Steps::run(setup.steps, interval, trajectory, x, [&](T* end) {
      retract_lanes(setup.steps.sde.geometry(), setup.retraction, setup.residual, end, report);
    });
  }
};

/// The quasi-static process: K workers one after the other, Φ of their mean in closed form.
template <SlowLaneProblem P, class Scheme>
requires LaneClosedPhi<P>
struct QuasiStaticTrajectory {
  static constexpr int dim = static_dimension<P>();
  using Scalar = double;
  using T = Pack<double, 1>;
  using Equation = LaneSlowSde<P, SlowRoundsView>;
  static constexpr int columns = Equation::noise_columns();

  struct Setup {
    Scheme scheme;
    Equation sde;
    std::uint64_t seed;
    Retraction retraction;
    double residual;  ///< largest |∇L| of a point of Γ, relative to λ_max
    double round_time, dt;
    int workers;

    Setup(const P& problem, int rank, const SlowRun& run, const SlowRoundsView& rounds)
        : scheme{},
          sde(LaneGeometry<P>(problem, rank), run.noise.label_sigma, run.moment->formula(), rounds,
              run.variant),
          seed(run.seed),
          retraction(run.retraction),
          residual(manifold_residual),
          round_time(run.round_time),
          dt(run.dt),
          workers(run.round(0).workers) {}
  };

  /// Of an interval the whole is one step, which run() divides into rounds.
  static std::vector<OutputInterval> intervals(const SlowRun& run) {
    std::vector<OutputInterval> result;
    each_round(run, result, [](double, const QuasiStaticRound&) {});
    return result;
  }

  /// What a single worker's slow SDE asks for.
  static SlowRounds rounds(const SlowRun& run) {
    SlowRun alone = run;
    alone.round = [&](double t) {
      Round round = run.round(t);
      round.workers = 1;
      return round;
    };
    std::vector<OutputInterval> steps, whole;
    each_round(run, whole, [&](double t, const QuasiStaticRound& round) {
      steps.push_back({t, round.step_length(), 0, round.steps});
    });
    return slow_rounds(alone, steps);
  }

  SLOWSDE_HD static void run(const Setup& setup, const OutputInterval& interval, std::uint64_t trajectory,
                             T* x, LaneRetractionReport<T>& report) {
    if (interval.steps == 0) return;
    constexpr int size = 4 * dim + 3 * dim * (columns > dim ? columns : dim) + columns + columns * columns;
    T workspace[size];
    const double until = interval.start + interval.dt;
    std::uint64_t first = interval.first_step;
    for (double t = interval.start; t < until;) {
      const QuasiStaticRound round(t, until, setup.round_time, setup.dt);
      const double dt = round.step_length();
      T mean[dim], y[dim];
      for (int j = 0; j < dim; ++j) mean[j] = T(0.0);
      for (int w = 0; w < setup.workers; ++w) {
        for (int j = 0; j < dim; ++j) y[j] = x[j];
        LaneBrownian<double, columns> noise(setup.seed, trajectory, static_cast<std::uint32_t>(w));
        for (std::uint64_t k = 0; k < round.steps; ++k) {
          setup.scheme.do_step(setup.sde, static_cast<T*>(y),
                               TimeStep{first + k, t + static_cast<double>(k) * dt, dt}, noise,
                               static_cast<T*>(workspace));
          retract_lanes(setup.sde.geometry(), setup.retraction, setup.residual, static_cast<T*>(y), report);
        }
        for (int j = 0; j < dim; ++j) mean[j] = mean[j] + y[j] / T(static_cast<double>(setup.workers));
      }
      for (int j = 0; j < dim; ++j) x[j] = mean[j];
      retract_lanes(setup.sde.geometry(), Retraction::phi, setup.residual, x, report);
      first += round.steps;
      t = round.end;
    }
  }

 private:
  /// Fills in the intervals and calls visit(t, round) for every round.
  template <class Visit>
  static void each_round(const SlowRun& run, std::vector<OutputInterval>& intervals, Visit visit) {
    double t = 0;
    std::uint64_t step = 0;
    for (const double until : run.times) {
      intervals.push_back({t, until - t, step, t < until ? 1u : 0u});
      while (t < until) {
        const QuasiStaticRound round(t, until, run.round_time, run.dt);
        visit(t, round);
        step += round.steps;
        t = round.end;
      }
    }
  }
};

/// Calls use(std::type_identity<Trajectory>) for the trajectories of a run; false where no thread can hold
/// one.
template <class P, class Use>
bool with_slow_trajectory(const SlowRun& run, Use use) {
  if constexpr (SlowLaneProblem<P>) {
    if (run.refinement != 1 || run.noise_workers != 1) return false;
    const bool weak = run.scheme == SlowScheme::platen_weak_2;
    if (runs_in_lanes(run, LaneClosedPhi<P>)) {
      if (weak)
        use(std::type_identity<SlowTrajectory<P, PlatenWeak2>>{});
      else
        use(std::type_identity<SlowTrajectory<P, EulerMaruyama>>{});
      return true;
    }
    if constexpr (LaneClosedPhi<P>)
      if (run.theory == SlowTheory::quasi_static && run.geometry != GeometryRoute::gram &&
          run.moment->formula() != MomentFormula::other) {
        if (weak)
          use(std::type_identity<QuasiStaticTrajectory<P, PlatenWeak2>>{});
        else
          use(std::type_identity<QuasiStaticTrajectory<P, EulerMaruyama>>{});
        return true;
      }
  }
  return false;
}

}  // namespace slowsde
