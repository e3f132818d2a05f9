// What claims measure with on least-squares problems of run-time dimension: observables of Φ of the iterates,
// and the slow flow, both in residual space.
#pragma once

#include <Eigen/Core>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <stdexcept>
#include <utility>
#include <vector>

#include "slowsde/experiments/claim_measurements.hpp"
#include "slowsde/optim/round_moments.hpp"
#include "slowsde/problems/least_squares_model.hpp"
#include "slowsde/sde/manifold_flow.hpp"
#include "slowsde/sde/residual_flow.hpp"

namespace slowsde {

/// tr 𝓗 = |J|²/n where outputs interpolate.
inline double trace_on_manifold(const LeastSquaresModel& model, const Eigen::VectorXd& zeta) {
  Eigen::MatrixXd J;
  model.jacobian(zeta, J);
  return J.squaredNorm() / model.samples();
}

/// What was observed of each replica, NaN where it diverged or has no Φ.
struct ReplicaTable {
  std::vector<RecordPoint> points;
  std::size_t observables = 0, replicas = 0;
  std::vector<double> values;  ///< (points × observables × replicas)

  double at(std::size_t replica, std::size_t point, std::size_t observable = 0) const {
    return values[(point * observables + observable) * replicas + replica];
  }
  /// Mean of f(replica), with the standard error of few values.
  template <class F>
  Measured mean(F f) const {
    Moments moments;
    for (std::size_t r = 0; r < replicas; ++r) moments.add(f(r));
    return Measured::of_few(moments);
  }
  Measured mean_at(std::size_t point, std::size_t observable = 0) const {
    return mean([&](std::size_t r) { return at(r, point, observable); });
  }
};

/// Simulates replicas of `algorithm` from `start`; observe(const VectorXd& ζ, double* values) of ζ = Φ(θ̄), or
/// of θ̄ itself without options.project, at the ends of the rounds in which the slow times are reached.
template <NoiseKind Kind, LeastSquaresProblem P, class Observe>
ReplicaTable observe_phi(const P& problem, const LeastSquaresModel& model, const LocalSgd& algorithm,
                         const Eigen::VectorXd& start, const std::vector<double>& times,
                         const IterateOptions& options, const FlowOptions& flow, std::size_t observables,
                         Observe observe) {
  constexpr std::size_t W = native_width<double>;
  const GradientSource source = gradient_source(Kind, algorithm, options);
  ReplicaTable table{.points = record_points(algorithm, times, 1),
                     .observables = observables,
                     .replicas = options.replicas,
                     .values = {}};
  table.values.assign(table.points.size() * observables * options.replicas,
                      std::numeric_limits<double>::quiet_NaN());
  parallel_for(options.threads, options.replicas / W, [&](std::size_t pack) {
    LocalSgdPack<P, double, Kind> simulation(problem, algorithm, source, pack * W);
    std::vector<double> values(observables);
    Eigen::VectorXd theta(start.size());
    simulation.run(start.data(), table.points, [&](int point, const Pack<double>* x) {
      for (std::size_t l = 0; l < W; ++l) {
        for (Eigen::Index j = 0; j < theta.size(); ++j) theta[j] = x[j][static_cast<int>(l)];
        if (!theta.allFinite()) continue;
        if (options.project) {
          const FlowResult end = gradient_flow_limit(model, theta, flow);
          if (!end.converged) continue;
          theta = end.point;
        }
        observe(theta, values.data());
        for (std::size_t q = 0; q < observables; ++q)
          table
              .values[(static_cast<std::size_t>(point) * observables + q) * options.replicas + pack * W + l] =
              values[q];
      }
    });
  });
  return table;
}

/// observe(const VectorXd& ζ) along the flow of a drift at slow times > 0, none before the one in front of it
/// (records of a run of a few rounds may coincide); NaN at all of them where the flow does not get to the
/// end, the start is not on Γ, or the moment is not stationary.
template <class Observe>
std::vector<double> along_flow(const LeastSquaresModel& model, const Eigen::VectorXd& start,
                               const std::function<SlowDrift(GramGeometry&, double)>& drift,
                               const std::vector<double>& times, const ManifoldFlowOptions& options,
                               Observe observe) {
  std::vector<double> values(times.size(), std::numeric_limits<double>::quiet_NaN());
  std::vector<double> apart = {0};
  for (const double t : times)
    if (t != apart.back()) apart.push_back(t);
  try {
    const auto flow = manifold_flow(model, start, drift, apart, options);
    if (!flow.converged) return values;
    for (std::size_t k = 0, record = 0; k < values.size(); ++k) {
      if (times[k] != apart[record]) ++record;
      values[k] = observe(flow.records[record].point);
    }
  } catch (const std::logic_error&) {  // of the flow's or the moment's own checks: no prediction
  }
  return values;
}

/// The same of a model of the second moment.
template <class Observe>
std::vector<double> along_slow_flow(const LeastSquaresModel& model, const Eigen::VectorXd& start,
                                    const SecondMoment& moment, double sigma, const Round& round,
                                    const std::vector<double>& times, const ManifoldFlowOptions& options,
                                    Observe observe) {
  return along_flow(
      model, start, [&](GramGeometry& geometry, double) { return geometry.slow_drift(moment, round, sigma); },
      times, options, observe);
}

/// The same of the workers' moments step by step: with sampling and H > 1 a model feeds the noise of all
/// steps of a round with their mean, this with each step's own.
template <class Observe>
std::vector<double> along_round_moments(const LeastSquaresModel& model, const Eigen::VectorXd& start,
                                        const FiniteStepMoment& moment, double sigma, const Round& round,
                                        const std::vector<double>& times, const ManifoldFlowOptions& options,
                                        Observe observe) {
  const auto drift = [&](GramGeometry& geometry, double) {
    const RoundMoments moments = round_moments(geometry, moment, round, sigma, {}, {.tolerance = 1e-7});
    SlowDrift result{.value = Eigen::VectorXd::Zero(start.size()), .converged = moments.converged};
    if (moments.converged) result.value = geometry.drift_of(moments.mean_own / round.eta);
    return result;
  };
  return along_flow(model, start, drift, times, options, observe);
}

}  // namespace slowsde
