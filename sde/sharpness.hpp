// Sharpness: exact trace, largest eigenvalues and spectrum of ∇²L from Hessian-vector products alone.
// Estimates by sampling: trace_estimators.hpp.
//
//   const HessianVectorProduct hvp = [&](const Eigen::VectorXd& u, Eigen::VectorXd& out) {
//     out = hessian_vector_product(problem, theta, u);
//   };
//   const double trace = exact_trace(hvp, d);
//   const LargestEigenvalue top = largest_eigenvalue(hvp, d);   // top.converged says whether to believe it
#pragma once

#include <Eigen/Core>
#include <cstdint>
#include <functional>

#include "slowsde/problems/least_squares_model.hpp"

namespace slowsde {

/// out = ∇²L·u, both (d); symmetric. `out` arrives with any size and must leave with d entries.
using HessianVectorProduct = std::function<void(const Eigen::VectorXd& u, Eigen::VectorXd& out)>;

/// tr ∇²L = Σ_i e_iᵀ∇²L e_i by d products. Throws std::invalid_argument when d < 1.
double exact_trace(const HessianVectorProduct& hvp, int d);

/// ‖J‖²_F/n, which is tr ∇²L where the residual vanishes.
double interpolator_trace(const LeastSquaresModel& model, const Eigen::VectorXd& theta);

/// All eigenvalues of ∇²L in ascending order, by d products and a dense decomposition: (d).
Eigen::VectorXd spectrum(const HessianVectorProduct& hvp, int d);

struct LanczosOptions {
  double tolerance = 1e-10;  ///< relative residual of the eigenvalue
  int max_restarts = 1000;
  int basis_size = 20;     ///< Krylov vectors kept between restarts, at least 3; up to this d dense
  std::uint64_t seed = 0;  ///< of the start vector

  /// Throws std::invalid_argument naming the violated inequality.
  void check() const;
};

struct LargestEigenvalue {
  double value = 0;
  Eigen::VectorXd vector;  ///< unit eigenvector: (d); 0 where not converged
  double residual = 0;     ///< |∇²L v − λv|, recomputed at the end
  int products = 0;        ///< Hessian-vector products used
  bool converged = false;
};

/// λ_max, the largest algebraic eigenvalue, by thick-restart Lanczos. Not converging is a status, with the
/// value NaN.
LargestEigenvalue largest_eigenvalue(const HessianVectorProduct& hvp, int d,
                                     const LanczosOptions& options = {});

struct LargestEigenvalues {
  Eigen::VectorXd values;   ///< descending: (k)
  Eigen::MatrixXd vectors;  ///< orthonormal eigenvectors: (d × k)
  Eigen::VectorXd residuals;  ///< |∇²L v_i − λ_i v_i|, recomputed at the end: some eigenvalue is that close
  int products = 0;
  bool converged = false;
};

/// The k largest algebraic eigenvalues with their multiplicities, by thick-restart Lanczos with full
/// reorthogonalization (Wu & Simon 2000). A Krylov space holds one vector of each eigenspace, so what was
/// found is taken out of ∇²L and λ_max of the rest is compared with the least of it, until nothing is
/// missing. Not converging is a status, with values NaN. Throws std::invalid_argument unless 1 ≤ k ≤ d.
LargestEigenvalues largest_eigenvalues(const HessianVectorProduct& hvp, int d, int k,
                                       const LanczosOptions& options = {});

}  // namespace slowsde
