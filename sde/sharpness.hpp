// Sharpness: trace, largest eigenvalue and spectrum of ∇²L from Hessian-vector products alone.
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
  Eigen::VectorXd vector;  ///< unit eigenvector: (d)
  double residual = 0;     ///< |∇²L v − λv|, recomputed at the end
  int products = 0;        ///< Hessian-vector products used
  bool converged = false;
};

/// λ_max, the largest algebraic eigenvalue, by restarted Lanczos (Spectra). Not converging is a status, with
/// the value NaN.
LargestEigenvalue largest_eigenvalue(const HessianVectorProduct& hvp, int d,
                                     const LanczosOptions& options = {});

struct TraceEstimate {
  double mean = 0;
  double standard_error = 0;  ///< of the mean, from the probes' sample variance; 0 when they all agree
  int probes = 0;
};

/// Hutchinson's estimate of tr ∇²L: the mean of zᵀ∇²L z over Rademacher probes, probe p being the bits of
/// (seed, Stream::probe, replica p). Its variance is 2Σ_{i≠j} (∇²L)_ij² per probe. Throws
/// std::invalid_argument when probes < 2.
TraceEstimate hutchinson_trace(const HessianVectorProduct& hvp, int d, int probes, std::uint64_t seed);

}  // namespace slowsde
