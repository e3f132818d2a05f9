// The second moment of Local SGD as η → 0 with ηH fixed.
#pragma once

#include "slowsde/sde/moment_formula.hpp"

namespace slowsde {

/// c_ij = (1 + (K−1) ψ(ηH(λ_i + λ_j)))/(λ_i + λ_j) (Gu et al. 2023, Theorem 3.2).
class PsiMoment final : public SecondMoment {
 public:
  std::string_view name() const override { return "psi"; }
  double coefficient(double lambda_i, double lambda_j, const Round& round) const override {
    return psi_coefficient(lambda_i, lambda_j, round);
  }
  MomentFormula formula() const override { return MomentFormula::psi; }
};

}  // namespace slowsde
