// The second moment of (Local) SGD with heavy-ball momentum at the learning rate in use.
#pragma once

#include "slowsde/optim/buffer_policy.hpp"
#include "slowsde/sde/second_moment.hpp"

namespace slowsde {

/// v ← βv + g, θ ← θ − ηv, with H local steps per round and the buffers treated as `BufferPolicy` says. Slow
/// time is η_e² per step, η_e = η/(1−β), and c_ij = B·mean_h w_h M_h/(η_e Σ_ij), where M_h is the
/// (displacement, displacement) entry of a worker's stationary moment before local step h, from the exact
/// recursion of the linearised iterates,
///   C_{h+1} = T_i C_h T_jᵀ + Σ_ij (−η,1)ᵀ(−η,1)/B_loc,  T_i = [[1−ηλ_i, −ηβ], [λ_i, β]] on (displacement,
///   buffer),
/// and w_h = 1, except that a buffer which is reset carries only the fraction w_h = 1 − β^{H−h} of gradient h
/// into the average. As η → 0 at fixed ηH this is EffectiveRateMoment<PsiMoment>'s coefficient (Wang et al.
/// 2024 for SGD); the difference is of relative size 1/(H(1−β)).
class HeavyBallMoment final : public SecondMoment {
 public:
  explicit HeavyBallMoment(BufferPolicy buffers = BufferPolicy::averaged) : buffers_(buffers) {}
  std::string_view name() const override { return "heavy-ball"; }
  /// Throws std::domain_error when ηλ ≥ 2(1+β), or when a round with kept or reset buffers does not contract,
  /// which reset buffers can already miss at smaller ηλ.
  double coefficient(double lambda_i, double lambda_j, const Round& round) const override;
  double slow_time_per_step(const Round& round) const override;
  /// Reset buffers: mean_h w_h². Otherwise 1.
  double diffusion_weight(const Round& round) const override;
  MomentFormula formula() const override;
  BufferPolicy buffers() const { return buffers_; }

 private:
  BufferPolicy buffers_;
};

/// SGD with heavy ball in closed form, heavy_ball_sgd_formula.
double heavy_ball_sgd_coefficient(double lambda_i, double lambda_j, double eta, double beta);

}  // namespace slowsde
