// What a theory of an algorithm says: the stationary second moment of a worker's displacement from the
// manifold.
#pragma once

#include <cstdint>
#include <string_view>

#include "slowsde/problems/host_device.hpp"

namespace slowsde {

/// The round an algorithm is in, as the slow SDE sees it.
struct Round {
  double eta = 0;                ///< learning rate η of the round
  std::int64_t local_steps = 1;  ///< H
  int workers = 1;               ///< K
  int local_batch = 1;           ///< B_loc
  double momentum = 0;           ///< heavy-ball β

  SLOWSDE_HD double global_batch() const {
    return static_cast<double>(workers) * local_batch;
  }  ///< B = K·B_loc

  bool operator==(const Round&) const = default;

  /// Throws std::invalid_argument naming the violated inequality: η > 0, H ≥ 1, K ≥ 1, B_loc ≥ 1, 0 ≤ β < 1.
  void check() const;
};

/// Which of the formulas of moment_formula.hpp the coefficient of a model is.
enum class MomentFormula {
  sgd,
  psi,
  psi_of_effective_rate,  ///< psi at η/(1−β)
  qsr,
  finite_step,
  heavy_ball_averaged,  ///< heavy ball with buffers that are averaged at a synchronization
  heavy_ball_kept,
  heavy_ball_reset,
  other
};

/// A model of Ā: the mean over a round of a worker's stationary second moment of displacement, divided by η,
/// without its tangent–tangent block. In the eigenbasis (λ_i, v_i) of 𝓗 = ∇²L on Γ,
///   Ā_ij = c_ij (Σ + η w (E_s[h_s Ā h_s] − 𝓗Ā𝓗))_ij / B ,
/// with c_ij from `coefficient` and w from `sampling_weight`; h_s is the Hessian of sample s. The slow SDE
/// then has the drift −½ P_∥ ∇³L[Ā] toward flat minima (Li, Wang & Arora 2022; Gu et al. 2023, Theorem 3.2).
class SecondMoment {
 public:
  virtual ~SecondMoment() = default;
  virtual std::string_view name() const = 0;

  /// c_ij for an ordered pair of eigenvalues, at least one of which is positive. Units: 1/λ.
  virtual double coefficient(double lambda_i, double lambda_j, const Round& round) const = 0;

  /// w: 0 without feedback of minibatch sampling, 1 for sampling with replacement, (n − B_loc)/(n − 1)
  /// without.
  virtual double sampling_weight(const Round&, int /*samples*/) const { return 0; }

  /// Slow time per step divided by η²: 1 for SGD, 1/(1−β)² for heavy ball.
  virtual double slow_time_per_step(const Round&) const { return 1; }

  /// What multiplies Σ_∥ in the SDE's noise and in its Itô term −(1/2B)𝓗^†∇³L[Σ_∥]: 1, unless an algorithm
  /// discards part of its gradients' noise, as heavy ball does when it resets its buffers.
  virtual double diffusion_weight(const Round&) const { return 1; }

  /// The formula of the model, for those who apply it elsewhere, lane by lane or on a GPU. A model that names
  /// one has its coefficient and diffusion_weight, and no sampling_weight.
  virtual MomentFormula formula() const { return MomentFormula::other; }
};

}  // namespace slowsde
