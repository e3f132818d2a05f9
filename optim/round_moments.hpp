// The workers' covariance inside a round of Local SGD, as the theory with minibatch sampling says it. It
// belongs to the algorithms: what a round does to two workers is a statement about the optimizer, to which
// the geometry contributes eigenvalues and per-sample Hessians.
//
//   GramGeometry geometry(model);
//   geometry.move_to(zeta);                                     // a point of Γ
//   const auto moments = round_moments(geometry, SamplingMoment(), round, sigma, {1, H});
//   const double spread = moments.steps[1].spread().trace();    // E of worker_spread(…).trace after H steps
#pragma once

#include <Eigen/Core>
#include <cstdint>
#include <vector>

#include "slowsde/optim/finite_step_moment.hpp"
#include "slowsde/sde/gram_geometry.hpp"
#include "slowsde/sde/second_moment.hpp"

namespace slowsde {

/// Second moments of the displacement from Γ after h local steps, in the basis of GramGeometry::eigenvalues.
struct StepMoments {
  std::int64_t step = 0;  ///< h: 0 is the shared start of the round, H the workers' ends before the average
  Eigen::MatrixXd own;    ///< C_h = E δ_w δ_wᵀ of one worker: (rank × rank)
  Eigen::MatrixXd cross;  ///< D_h = E δ_w δ_w'ᵀ of two workers: (rank × rank)

  /// C_h − D_h: the expectation of the workers' sample covariance with the normalization 1/(K−1); the mean
  /// squared distance of a worker from the workers' mean is (1−1/K) times its trace.
  Eigen::MatrixXd spread() const { return own - cross; }
};

struct RoundMomentsOptions {
  double tolerance = 1e-10;  ///< relative residual at which the fixed point over a round counts as found
  int max_iterations = 200;  ///< of conjugate gradients, each of which is one round

  /// Throws std::invalid_argument naming the violated inequality.
  void check() const;
};

struct RoundMoments {
  std::vector<StepMoments> steps;  ///< those asked for; empty unless converged
  Eigen::MatrixXd mean_own;        ///< mean of C_h over h = 0 … H−1: η times Ā
  int iterations = 0;
  double last_residual = 0;
  bool converged = false;
};

/// Label noise σ, plain steps. With 𝓗's eigenvalues λ, ρ_ij = (1−ηλ_i)(1−ηλ_j), and w the sampling weight of
/// the model,
///   C_{h+1} = ρ∘C_h + (η²/B_loc)(σ²𝓗 + w(E_s[h_s C_h h_s] − 𝓗C_h𝓗)),   D_{h+1} = ρ∘D_h,
/// and both restart from C_H/K + (1−1/K)D_H: the fixed point of that, exactly for the linearized iterates.
/// The sum of the own moments is the second moment that `SamplingMoment` models; the model feeds the noise of
/// all steps with their mean instead of with C_h, which is the same for H = 1 and for K = 1.
///
/// The map of a round, M = (R+F)^H/K + (1−1/K)R^H with R the product by ρ and F the feedback, is symmetric in
/// the Frobenius inner product, and so is its part without feedback: conjugate gradients preconditioned by
/// 1−ρ^H. One iteration costs H products of (nC × rank) and (rank × rank) matrices where w ≠ 0. Not converged
/// where the round has no fixed point (ηλ ≥ 2, or sampling noise outgrows the contraction).
///
/// Throws std::invalid_argument for σ < 0, momentum ≠ 0, a step outside 0 … H, and what Round::check throws.
RoundMoments round_moments(const GramGeometry& geometry, const FiniteStepMoment& moment, const Round& round,
                           double sigma, const std::vector<std::int64_t>& steps,
                           const RoundMomentsOptions& options = {});

/// (C_h − D_h)_ii/Σ_ii without feedback of sampling, (η²/B_loc)(1−ρ^h)/(1−ρ), ρ = (1−ηλ)²: the variance of
/// the workers after h local steps along an eigenvector with eigenvalue λ, per unit of gradient noise. It
/// needs neither K nor the fixed point, hence nothing but a spectrum: for label noise, Σ = σ²𝓗,
///   density.trace_of([&](double l) { return sigma * sigma * l * spread_per_noise(l, round, h); })
/// is the expected trace of `worker_spread` on a network too large for the route above, λ ≤ 0 included.
/// Throws std::invalid_argument for h < 0 and what Round::check throws.
double spread_per_noise(double lambda, const Round& round, std::int64_t h);

}  // namespace slowsde
