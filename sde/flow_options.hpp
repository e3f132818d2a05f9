// How Φ of a least-squares problem is computed.
#pragma once

namespace slowsde {

enum class FlowRoute {
  chebyshev,     ///< Runge–Kutta–Chebyshev on θ, gradients only; then Gauss–Newton on what is left
  exponential,   ///< exponential integrator in residual space, one eigendecomposition of G per evaluation
  gauss_newton,  ///< the retraction: not the flow's limit, only a point of Γ near it
};

struct FlowOptions {
  FlowRoute route = FlowRoute::chebyshev;
  double tolerance = 1e-6;            ///< error allowed in |θ|, per step and in the final jump onto Γ
  double residual_tolerance = 1e-12;  ///< max|r| at which the point counts as on Γ
  int max_steps = 20000;
  int max_stages = 1000;          ///< of one Runge–Kutta–Chebyshev step
  double rank_tolerance = 1e-10;  ///< relative to λ_max: below it G's eigenvalues are not inverted

  /// Throws std::invalid_argument: tolerances > 0, max_steps ≥ 1, max_stages ≥ 2, rank_tolerance < 1.
  void check() const;
};

}  // namespace slowsde
