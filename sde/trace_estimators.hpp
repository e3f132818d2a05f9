// Traces of functions of a symmetric operator too large to form, from products with random probes: each
// estimate with its standard error and what it cost.
//
//   const SymmetricOperator A = [&](const Eigen::VectorXd& x, Eigen::VectorXd& y) {
//     model.hessian_vector_product(theta, x, y);
//   };
//   const TraceEstimate trace = hutch_plus_plus_trace(A, d, 60);
//   const SpectralDensity spectrum = stochastic_lanczos_quadrature(A, d);
//   const TraceEstimate squares = spectrum.trace_of([](double lambda) { return lambda * lambda; });
#pragma once

#include <Eigen/Core>
#include <cstdint>
#include <functional>
#include <vector>

#include "slowsde/sde/sharpness.hpp"

namespace slowsde {

/// y = A x, both (d), A = Aᵀ. `y` arrives with any size and must leave with d entries.
using SymmetricOperator = HessianVectorProduct;

/// A trace by sampling. A product that is not finite makes `value` or `standard_error` NaN, or both.
struct TraceEstimate {
  double value = 0;
  double standard_error = 0;  ///< of `value`, from the probes' sample variance; 0 when they all agree
  int products = 0;           ///< products with A that were used
};

/// Independent entries with mean 0 and variance 1. A Rademacher probe has the smaller variance, 2Σ_{i≠j}A_ij²
/// in zᵀAz; a Gaussian's, 2‖A‖²_F, does not depend on the basis.
enum class Probe { rademacher, gaussian };

struct ProbeOptions {
  Probe probe = Probe::rademacher;
  std::uint64_t seed = 0;
};

/// Probe number p: (d). A pure function of (seed, Stream::probe, replica p), whatever else is drawn.
Eigen::VectorXd trace_probe(const ProbeOptions& options, std::uint64_t p, int d);

/// tr A by the mean of zᵀAz over the probes (Hutchinson 1990). Its standard error falls as 1/√probes, with
/// variance 2Σ_{i≠j}A_ij² (Rademacher) or 2‖A‖²_F (Gaussian) per probe. One product per probe. Throws
/// std::invalid_argument when d < 1 or probes < 2.
TraceEstimate hutchinson_trace(const SymmetricOperator& A, int d, int probes,
                               const ProbeOptions& options = {});

/// tr A by Hutch++ (Meyer, Musco, Musco & Woodruff 2021, Algorithm 1): with Q an orthonormal basis of A·S for
/// a third of the products, S of probes,
///   tr A = tr QᵀAQ + tr (I − QQᵀ)A(I − QQᵀ),
/// the first part exactly and the second by Hutchinson's estimate from independent probes. Unbiased given Q,
/// so that the standard error is that of the second part alone; for positive semidefinite A it falls as
/// 1/products. At most `products` products, fewer where Q spans everything. Throws std::invalid_argument when
/// d < 1 or products < 6.
TraceEstimate hutch_plus_plus_trace(const SymmetricOperator& A, int d, int products,
                                    const ProbeOptions& options = {});

struct QuadratureOptions {
  int probes = 10;  ///< at least 2
  int steps = 60;   ///< m: Lanczos steps per probe, at most d; m·d numbers of memory
  std::uint64_t seed = 0;

  /// Throws std::invalid_argument naming the violated inequality.
  void check() const;
};

/// The distribution of A's eigenvalues as weighted Ritz values.
struct SpectralDensity {
  /// zᵀf(A)z/|z|² ≈ Σ_k w_k f(θ_k) for one probe z: Gauss quadrature for z's spectral measure.
  struct Rule {
    Eigen::VectorXd nodes;    ///< θ_k, ascending: at most m, fewer where the Krylov space ended
    Eigen::VectorXd weights;  ///< w_k ≥ 0, Σw_k = 1

    /// Σ_k w_k f(θ_k); f is not evaluated where w_k = 0. NaN for an empty rule.
    double mean_of(const std::function<double(double)>& f) const;
  };
  std::vector<Rule> rules;  ///< one per probe; empty where a product was not finite
  int dim = 0;              ///< d
  int products = 0;
  bool finite = true;

  /// tr f(A) = d·mean Σ_k w_k f(θ_k); NaN unless `finite`. The standard error is that of the probes. The
  /// error of the quadrature comes on top: none for a polynomial of degree ≤ 2m − 1, and for an analytic f
  /// geometrically small in m (Ubaru, Chen & Saad 2017, Theorem 4.1).
  TraceEstimate trace_of(const std::function<double(double)>& f) const;
  /// tr Aᵏ. For k = 1 it is Hutchinson's estimate from the same probes.
  TraceEstimate moment(int k) const;
  /// Share of the eigenvalues that are ≤ x, estimated: `value` in [0, 1].
  TraceEstimate share_below(double x) const;
  /// (1/d) Σ_i N(x; λ_i, width²) at the points of a grid: integrates to 1. Throws std::invalid_argument when
  /// width ≤ 0.
  Eigen::VectorXd smoothed(const Eigen::VectorXd& grid, double width) const;
};

/// The spectrum by stochastic Lanczos quadrature (Golub & Meurant 2010, chapters 6 and 11; Ubaru, Chen & Saad
/// 2017): m Lanczos steps with full reorthogonalization from each Rademacher probe, for which |z|² = d, so
/// that every rule is a probability measure; nodes are the eigenvalues of the tridiagonal matrix, weights the
/// squared first components of its eigenvectors. Throws std::invalid_argument when d < 1.
SpectralDensity stochastic_lanczos_quadrature(const SymmetricOperator& A, int d,
                                              const QuadratureOptions& options = {});

/// The rule for one vector z ≠ 0 that is given: zᵀf(A)z = |z|²·rule.mean_of(f). As many products as it has
/// nodes, at most min(steps, d); empty where a product is not finite. Throws std::invalid_argument when z is
/// empty or steps < 1.
SpectralDensity::Rule lanczos_quadrature(const SymmetricOperator& A, const Eigen::VectorXd& z, int steps);

}  // namespace slowsde
