#include "slowsde/sde/manifold_flow.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "slowsde/problems/requirement.hpp"

namespace slowsde {
namespace {

template <class T>
void require(bool holds, const char* inequality, T value) {
  detail::require(holds, "manifold flow", inequality, value);
}

ManifoldRecord record(const GramGeometry& geometry, double t) {
  return {.t = t,
          .point = geometry.point(),
          .trace = geometry.trace(),
          .lambda_max = geometry.lambda_max(),
          .lambda_min = geometry.lambda_min(),
          .rank = geometry.rank(),
          .rank_gap = geometry.rank_gap()};
}

}  // namespace

void ManifoldFlowOptions::check() const {
  require(tolerance > 0, "tolerance > 0", tolerance);
  require(first_step >= 0, "first_step >= 0", first_step);
  require(residual_tolerance > 0, "residual_tolerance > 0", residual_tolerance);
  require(max_steps >= 1, "max_steps >= 1", max_steps);
  gram.check();
}

ManifoldFlowResult manifold_flow(const LeastSquaresModel& model, const Eigen::VectorXd& start,
                                 const SecondMoment& moment, double sigma,
                                 const std::function<Round(double)>& round, const std::vector<double>& times,
                                 const ManifoldFlowOptions& options) {
  return manifold_flow(
      model, start,
      [&](GramGeometry& geometry, double t) { return geometry.slow_drift(moment, round(t), sigma); }, times,
      options);
}

ManifoldFlowResult manifold_flow(const LeastSquaresModel& model, const Eigen::VectorXd& start,
                                 const std::function<SlowDrift(GramGeometry&, double)>& slow_drift,
                                 const std::vector<double>& times, const ManifoldFlowOptions& options) {
  options.check();
  require(!times.empty(), "times.size() >= 1", times.size());
  for (std::size_t k = 1; k < times.size(); ++k) {
    require(times[k] > times[k - 1], "times strictly increasing", times[k]);
  }
  const FlowOptions onto_manifold{.residual_tolerance = options.residual_tolerance,
                                  .max_steps = 20,
                                  .rank_tolerance = options.gram.rank_tolerance};
  GramGeometry geometry(model, options.gram);
  ManifoldFlowResult result;
  const auto drift = [&](double t, const Eigen::VectorXd& point) {
    ++result.drifts;
    geometry.move_to(point);
    SlowDrift value = slow_drift(geometry, t);
    if (!value.converged) result.reason = "the iterates have no stationary second moment";
    return value.value;
  };

  double t = times.front();
  Eigen::VectorXd y = start;
  Eigen::VectorXd k1 = drift(t, y), k2, k3, k4;
  require(geometry.residual() <= 1e-6, "max|r| <= 1e-6 at the start", geometry.residual());
  result.records.push_back(record(geometry, t));
  double h = options.first_step > 0 ? options.first_step : (times.back() - times.front()) / 100;
  std::size_t next = 1;
  while (next < times.size() && result.reason.empty()) {
    if (result.steps + result.rejected == options.max_steps) {
      result.reason = "max_steps were taken";
      break;
    }
    // The last step before an output is shortened, or two are made alike, without spoiling the step size
    // found.
    const double left = times[next] - t;
    const bool lands = h >= left;
    const double step = lands ? left : std::min(h, 0.5 * left);
    k2 = drift(t + 0.5 * step, y + 0.5 * step * k1);
    k3 = drift(t + 0.75 * step, y + 0.75 * step * k2);
    const Eigen::VectorXd end = y + step * (2.0 / 9 * k1 + 1.0 / 3 * k2 + 4.0 / 9 * k3);
    const FlowResult on_manifold = retract(model, end, onto_manifold);
    const double t_end = lands ? times[next] : t + step;
    k4 = drift(t_end, on_manifold.point);
    const double error = step * (-5.0 / 72 * k1 + 1.0 / 12 * k2 + 1.0 / 9 * k3 - 1.0 / 8 * k4).norm();
    const double factor = std::clamp(0.9 * std::cbrt(options.tolerance / std::max(error, 1e-300)), 0.2, 4.0);
    if (!(error <= options.tolerance) || !on_manifold.converged) {
      ++result.rejected;
      h = step * (std::isfinite(error) && on_manifold.converged ? factor : 0.2);
      if (!(std::abs(h) > 1e-12 * (times.back() - times.front()))) result.reason = "the step size vanished";
      continue;
    }
    ++result.steps;
    result.error_estimate += error;
    result.largest_retraction = std::max(result.largest_retraction, on_manifold.jump);
    t = t_end;
    y = on_manifold.point;
    k1 = k4;
    h = std::max(step * factor, lands ? h : 0.0);
    if (lands) {
      result.records.push_back(record(geometry, t));
      ++next;
    }
  }
  result.converged = next == times.size() && result.reason.empty();
  return result;
}

}  // namespace slowsde
