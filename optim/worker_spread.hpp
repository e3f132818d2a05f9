// How far the workers of one round have spread: the sample covariance of K parameter vectors, from the K × K
// Gram matrix of their deviations, whatever the number of parameters.
#pragma once

#include <Eigen/Core>
#include <span>

namespace slowsde {

/// Sample covariance V = Σ_w (θ_w − θ̄)(θ_w − θ̄)ᵀ/(K−1) of the workers' parameters. With a worker's own second
/// moment C_h of the displacement and the cross moment D_h of two workers after h local steps,
///   E V = C_h − D_h   for any K,
/// while the mean squared distance to θ̄ is (1/K)Σ_w|θ_w − θ̄|² = (1−1/K)·tr V. One round gives K − 1 degrees
/// of freedom: average over rounds before comparing with a theory. The top eigenvalue of a sample covariance
/// is biased upward; along a fixed direction `variance_along` is not.
struct WorkerSpread {
  int workers = 0;              ///< K
  double trace = 0;             ///< tr V; NaN where a parameter is not finite
  double top_eigenvalue = 0;    ///< of V
  Eigen::VectorXd eigenvalues;  ///< the K − 1 that can be positive, descending; fewer rows where d is smaller
  Eigen::VectorXd top_direction;  ///< unit eigenvector of top_eigenvalue: (d); 0 where V = 0
};

/// One pointer per worker to its d parameters; Real is float or double, sums are in double in the order of
/// the workers. Throws std::invalid_argument unless K ≥ 2 and d ≥ 1.
template <class Real>
WorkerSpread worker_spread(std::span<const Real* const> workers, Eigen::Index d);

/// vᵀVv, an unbiased estimate of vᵀ(C_h − D_h)v for a direction v chosen without looking at the workers: (d).
template <class Real>
double variance_along(std::span<const Real* const> workers, const Eigen::VectorXd& v);

}  // namespace slowsde
