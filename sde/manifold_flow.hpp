// The slow SDE of label noise, which is an ordinary differential equation on Γ, integrated in residual space.
#pragma once

#include <Eigen/Core>
#include <functional>
#include <string>
#include <vector>

#include "slowsde/sde/gram_geometry.hpp"
#include "slowsde/sde/residual_flow.hpp"

namespace slowsde {

struct ManifoldFlowOptions {
  double tolerance = 1e-4;            ///< error allowed in |ζ| per step
  double first_step = 0;              ///< 0: a hundredth of the time span
  double residual_tolerance = 1e-11;  ///< max|r| after the retraction that ends each step
  int max_steps = 10000;
  GramOptions gram = {};

  /// Throws std::invalid_argument: tolerances > 0, first_step ≥ 0, max_steps ≥ 1, and what GramOptions
  /// throws.
  void check() const;
};

/// What is kept of the solution at an output time.
struct ManifoldRecord {
  double t = 0;           ///< slow time
  Eigen::VectorXd point;  ///< ζ(t)
  double trace = 0;       ///< tr 𝓗
  double lambda_max = 0;
  double lambda_min = 0;  ///< least non-zero eigenvalue
  int rank = 0;           ///< of 𝓗
  double rank_gap = 0;    ///< least non-zero eigenvalue over the greatest that counts as zero
};

struct ManifoldFlowResult {
  std::vector<ManifoldRecord> records;  ///< one per output time that was reached
  int steps = 0;
  int rejected = 0;
  int drifts = 0;
  double error_estimate = 0;      ///< sum of the steps' local errors, in |ζ|
  double largest_retraction = 0;  ///< greatest distance from a step's end to Γ
  bool converged = false;         ///< all output times were reached
  std::string reason;             ///< why not
};

/// dζ/dt = −½ P_∥ ∇³L[Ā] for Σ = σ²𝓗 (Σ_∥ = 0), from `start` on Γ at times.front(), with the round that the
/// algorithm is in at slow time t given by `round(t)`. Bogacki–Shampine 3(2) with error control; each step
/// ends with a Gauss–Newton retraction onto Γ and lands exactly on every output time. Throws
/// std::invalid_argument: times strictly increasing and not empty, max|r| ≤ 1e-6 at the start, and what
/// ManifoldFlowOptions::check and Round::check throw. A rank that drops on the way is recorded, not an error.
ManifoldFlowResult manifold_flow(const LeastSquaresModel& model, const Eigen::VectorXd& start,
                                 const SecondMoment& moment, double sigma,
                                 const std::function<Round(double)>& round, const std::vector<double>& times,
                                 const ManifoldFlowOptions& options = {});

/// The same with another drift, drift(geometry at ζ, t): of a theory that is not a model of coefficients.
ManifoldFlowResult manifold_flow(const LeastSquaresModel& model, const Eigen::VectorXd& start,
                                 const std::function<SlowDrift(GramGeometry&, double)>& drift,
                                 const std::vector<double>& times, const ManifoldFlowOptions& options = {});

}  // namespace slowsde
