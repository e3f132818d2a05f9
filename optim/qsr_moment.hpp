// The second moment of Local SGD as η → 0 with η²H fixed, the scaling of the Quadratic Synchronization Rule.
#pragma once

#include "slowsde/sde/moment_formula.hpp"

namespace slowsde {

/// c_ij = K/(λ_i + λ_j) (Gu et al. 2024, Theorem 3.1).
class QsrMoment final : public SecondMoment {
 public:
  std::string_view name() const override { return "qsr"; }
  double coefficient(double lambda_i, double lambda_j, const Round& round) const override {
    return qsr_coefficient(lambda_i, lambda_j, round);
  }
  MomentFormula formula() const override { return MomentFormula::qsr; }
};

}  // namespace slowsde
