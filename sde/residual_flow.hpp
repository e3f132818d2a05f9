// Φ for least squares: the limit of the gradient flow, by three routes, and the training of a start on Γ.
#pragma once

#include <Eigen/Core>
#include <cstdint>

#include "slowsde/problems/least_squares_model.hpp"
#include "slowsde/sde/flow_options.hpp"

namespace slowsde {

struct FlowResult {
  Eigen::VectorXd point;
  double residual = 0;        ///< max|r| at `point`
  double flow_time = 0;       ///< time of dx/dτ = −∇L covered before the final jump
  double jump = 0;            ///< |θ| covered by the final jump
  double error_estimate = 0;  ///< of the final jump, in |θ|
  int steps = 0;
  int rejected = 0;
  std::int64_t gradients = 0;
  int factorizations = 0;  ///< of the nC × nC Gram matrix
  bool converged = false;  ///< residual ≤ residual_tolerance, and the final jump's error ≤ tolerance
};

/// Φ(θ) = lim x(τ), dx/dτ = −∇L(x), x(0) = θ, by the route of the options.
///
/// chebyshev: second-order Runge–Kutta–Chebyshev with error control (Sommeijer, Shampine & Verwer 1998,
/// J. Comput. Appl. Math. 88); its stability interval grows with the square of the stages, so steps grow with
/// τ. Whenever τ has doubled a Gauss–Newton retraction is tried; the flow ends when two in a row agree to the
/// tolerance.
///
/// exponential: θ ← θ − Jᵀ(nG)^{-1}(I − e^{−Gτ})r with J frozen over the step, which solves the residual's
/// linear equation dr/dτ = −Gr exactly; steps are halved, extrapolated and controlled by the difference. The
/// last one has τ = ∞ (a Gauss–Newton step) and is taken when splitting it changes nothing beyond the
/// tolerance.
///
/// Throws what FlowOptions::check throws.
FlowResult gradient_flow_limit(const LeastSquaresModel& model, const Eigen::VectorXd& theta,
                               const FlowOptions& options = {});

/// Gauss–Newton: θ ← θ − Jᵀ(nG)^†r until max|r| ≤ residual_tolerance, at most max_steps times. `jump` is |θ −
/// start|.
FlowResult retract(const LeastSquaresModel& model, const Eigen::VectorXd& theta,
                   const FlowOptions& options = {});

/// A start on Γ from initial weights: the gradient flow's limit, retracted until max|r| ≤ residual_tolerance.
/// Training follows the flow only as closely as `tolerance` says; the point on Γ is exact whatever it is.
FlowResult train_to_manifold(const LeastSquaresModel& model, const Eigen::VectorXd& initial,
                             const FlowOptions& options = {.tolerance = 1e-3});

/// Largest eigenvalue of ∇²L(θ) in absolute value, by power iteration on differences of gradients from the
/// start vector v (overwritten by the eigenvector; a zero vector is replaced by the gradient). A lower
/// estimate, to about `tolerance` relative.
double hessian_norm(const LeastSquaresModel& model, const Eigen::VectorXd& theta, Eigen::VectorXd& v,
                    double tolerance, std::int64_t& gradients);

}  // namespace slowsde
