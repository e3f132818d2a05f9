// The slow flow of label noise in residual space, recorded as experiments want it.
#pragma once

#include <Eigen/Core>
#include <stdexcept>
#include <vector>

#include "slowsde/experiments/experiment_problem.hpp"
#include "slowsde/problems/least_squares_model.hpp"
#include "slowsde/sde/manifold_flow.hpp"

namespace slowsde {

/// Integrates the slow flow of `run` by GramGeometry and records it at all of run.times, of which the first
/// is 0. Throws std::invalid_argument for a theory or a variant that this route does not have,
/// std::runtime_error where the flow stops early.
inline DistanceToManifold residual_space_trajectory(const LeastSquaresModel& model, const SlowRun& run,
                                                    const RecordStates& record) {
  if (run.theory != SlowTheory::slow_sde)
    throw std::invalid_argument("the residual-space geometry knows the theory slow-sde only");
  if (run.variant != SlowSdeVariant::full)
    throw std::invalid_argument("the residual-space geometry has no variants of the slow SDE");
  // Times that several record points share are integrated to once.
  std::vector<double> times;
  for (const double t : run.times)
    if (times.empty() || t > times.back()) times.push_back(t);
  const Eigen::VectorXd start =
      Eigen::Map<const Eigen::VectorXd>(run.start.data(), static_cast<Eigen::Index>(run.start.size()));
  const ManifoldFlowResult flow = manifold_flow(model, start, *run.moment, run.noise.label_sigma, run.round,
                                                times, {.tolerance = run.tolerance});
  if (!flow.converged) throw std::runtime_error("the slow flow stopped: " + flow.reason);
  for (std::size_t p = 0, q = 0; p < run.times.size(); ++p) {
    while (flow.records[q].t < run.times[p]) ++q;
    record(static_cast<int>(p), 1, flow.records[q].point.data());
  }
  return {flow.largest_retraction, true};
}

}  // namespace slowsde
