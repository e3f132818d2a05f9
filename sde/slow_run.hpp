// One series of a slow model and the steps that it takes.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "slowsde/problems/noise.hpp"
#include "slowsde/sde/sde_ensemble.hpp"
#include "slowsde/sde/second_moment.hpp"

namespace slowsde {

/// How a step of the slow SDE is brought back to Γ.
enum class Retraction {
  none,    ///< not at all: the Itô term alone keeps ζ near Γ, to the order of the scheme
  newton,  ///< to a point of Γ along the normal space; differs from Φ at second order in the distance
  phi,     ///< by Φ
};

/// The slow SDE, and theories that are wrong on purpose: they are simulated to be rejected. A retraction puts
/// back what `no_ito` leaves out, so that one is wrong with Retraction::none only.
enum class SlowSdeVariant {
  full,
  no_ito,          ///< wrong: without −(1/2B)𝓗^†∇³L[Σ_∥]
  no_cross,        ///< wrong: without the tangent–normal block of Ā
  cross_once,      ///< wrong: the tangent–normal pairs counted once instead of twice
  drift_only,      ///< the drift toward flat minima without the diffusion and its Itô term
  diffusion_only,  ///< the diffusion with its Itô term, without the drift toward flat minima
};

/// Schemes of the slow SDE; without tangential noise it is an ODE and the adaptive route takes over.
enum class SlowScheme { euler_maruyama, platen_weak_2 };

/// What kind of slow model it is.
enum class SlowTheory {
  slow_sde,          ///< geometry × second moment
  label_noise_flow,  ///< the closed form for label noise, by a route that shares no code with the geometries
  quasi_static,  ///< K copies of SGD's slow SDE for slow time α², then Φ of their mean, again and again
};

/// Which geometry computes the slow SDE.
enum class GeometryRoute {
  automatic,  ///< dense where the dimension is static, residual space otherwise
  dense,
  gram,  ///< residual space; least squares with label noise only
};

/// One series of a slow model.
struct SlowRun {
  std::shared_ptr<const SecondMoment> moment;
  std::function<Round(double)> round;  ///< slow time → round
  GradientNoise noise;
  std::uint64_t seed = 1;
  std::vector<double> start;
  std::vector<double> times;     ///< slow times of the record points, not decreasing
  double dt = 0.01;              ///< largest step; every interval is divided evenly
  double tolerance = 1e-4;       ///< in residual space instead: error allowed in |ζ| per step
  std::uint64_t refinement = 1;  ///< slow SDE: finer Brownian increments per step (BrownianPath)
  /// Slow SDE: how many workers' noises drive it as one (MeanNoise). With the K of a quasi-static run of the
  /// same seed and equal steps, its trajectories are coupled to those of that run.
  int noise_workers = 1;
  SlowScheme scheme = SlowScheme::euler_maruyama;
  SlowTheory theory = SlowTheory::slow_sde;
  GeometryRoute geometry = GeometryRoute::automatic;
  double round_time = 0;  ///< α², quasi-static only
  Retraction retraction = Retraction::newton;
  SlowSdeVariant variant = SlowSdeVariant::full;
};

/// Largest |∇L| of a point of Γ, relative to λ_max, as in GradientFlowOptions.
inline constexpr double manifold_residual = 1e-10;

/// Steps of at most run.dt that end exactly on every record time; the number of a step in the whole
/// trajectory is the address of its noise.
inline std::vector<OutputInterval> slow_steps(const SlowRun& run) {
  std::vector<OutputInterval> result;
  double t = 0;
  std::uint64_t k = 0;
  for (const double next : run.times) {
    const double span = next - t;
    const auto n = static_cast<std::uint64_t>(std::ceil(span / run.dt * (1 - 1e-12)));
    result.push_back({t, span / static_cast<double>(n), k, n});
    k += n;
    t = next;
  }
  return result;
}

/// Whether the trajectories of a run can be integrated side by side, by lane_slow_sde.hpp: the second moment
/// is a formula and a step ends where Newton's iteration, nothing or a closed Φ (LaneClosedPhi) puts it.
inline bool runs_in_lanes(const SlowRun& run, bool closed_phi) {
  return run.theory == SlowTheory::slow_sde && run.geometry != GeometryRoute::gram &&
         run.moment->formula() != MomentFormula::other && (closed_phi || run.retraction != Retraction::phi);
}

/// Throws what the second moment throws where it does not exist at the start, a point of Γ with these
/// positive eigenvalues: lanes have no words for it. All pairs are asked for: an algorithm that is stable
/// where the curvature is large may not be where it is smaller, as with buffers that are reset.
inline void check_moment(const SlowRun& run, const std::vector<double>& lambda) {
  const Round round = run.round(0);
  for (std::size_t i = 0; i < lambda.size(); ++i) {
    static_cast<void>(run.moment->coefficient(0, lambda[i], round));
    for (std::size_t j = i; j < lambda.size(); ++j)
      static_cast<void>(run.moment->coefficient(lambda[i], lambda[j], round));
  }
}

/// The rounds of a run by slow time, as a kernel reads them.
struct SlowRoundsView {
  const double* begins;
  const Round* rounds;
  std::int64_t count;

  SLOWSDE_HD Round operator()(double t) const {
    std::int64_t low = 0, high = count;  // begins[low] ≤ t < begins[high], the first round before all
    while (high - low > 1) {
      const std::int64_t middle = low + (high - low) / 2;
      if (begins[middle] <= t)
        low = middle;
      else
        high = middle;
    }
    return rounds[low];
  }
};

struct SlowRounds {
  std::vector<double> begins;
  std::vector<Round> rounds;

  SlowRoundsView view() const {
    return {begins.data(), rounds.data(), static_cast<std::int64_t>(rounds.size())};
  }
};

/// What run.round says at every time that a scheme asks for: the begins and the ends of the steps.
inline SlowRounds slow_rounds(const SlowRun& run, const std::vector<OutputInterval>& intervals) {
  std::vector<double> times = {0};
  for (const OutputInterval& interval : intervals)
    for (std::uint64_t h = 0; h < interval.steps; ++h) {
      const double t = interval.start + static_cast<double>(h) * interval.dt;
      times.insert(times.end(), {t, t + interval.dt});
    }
  std::sort(times.begin(), times.end());
  SlowRounds result;
  for (const double t : times) {
    const Round round = run.round(t);
    if (!result.rounds.empty() && result.rounds.back() == round) continue;
    result.begins.push_back(t);
    result.rounds.push_back(round);
  }
  return result;
}

}  // namespace slowsde
