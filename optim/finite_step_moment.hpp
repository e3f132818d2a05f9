// The second moment of Local SGD at the learning rate and the number of local steps that are in use.
#pragma once

#include "slowsde/sde/second_moment.hpp"

namespace slowsde {

/// c_ij = (1 + (K−1) ψ_H(ρ_ij))/(λ_i + λ_j − ηλ_iλ_j), ρ_ij = (1−ηλ_i)(1−ηλ_j): the exact moment of the
/// linearised iterates. Within a round a worker's own moment and the cross moment of two workers obey
///   C_{h+1} = ρ C_h + η²Σ/B_loc,  D_{h+1} = ρ D_h,
/// both restart from C_H/K + (1−1/K) D_H, and c_ij is B·mean_h C_h/(ηΣ) at the fixed point. It is SGD's
/// moment at H = 1 and PsiMoment's as η → 0 at fixed ηH.
class FiniteStepMoment : public SecondMoment {
 public:
  std::string_view name() const override { return "finite-step"; }
  /// Throws std::domain_error when ηλ ≥ 2, where no stationary moment exists.
  double coefficient(double lambda_i, double lambda_j, const Round& round) const override;
  MomentFormula formula() const override { return MomentFormula::finite_step; }
};

}  // namespace slowsde
