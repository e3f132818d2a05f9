// The second moment of Local SGD as η → 0 with ηH fixed.
#pragma once

#include "slowsde/sde/psi.hpp"
#include "slowsde/sde/second_moment.hpp"

namespace slowsde {

/// c_ij = (1 + (K−1) ψ(ηH(λ_i + λ_j)))/(λ_i + λ_j) (Gu et al. 2023, Theorem 3.2).
class PsiMoment final : public SecondMoment {
 public:
  std::string_view name() const override { return "psi"; }
  double coefficient(double lambda_i, double lambda_j, const Round& round) const override {
    const double sum = lambda_i + lambda_j;
    const double eta_H = round.eta * static_cast<double>(round.local_steps);
    return (1 + (round.workers - 1) * psi(eta_H * sum)) / sum;
  }
};

}  // namespace slowsde
