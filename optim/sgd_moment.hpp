// The second moment of SGD as η → 0.
#pragma once

#include "slowsde/sde/moment_formula.hpp"

namespace slowsde {

/// c_ij = 1/(λ_i + λ_j) (Li, Wang & Arora 2022; Gu et al. 2023, eq. 4).
class SgdMoment final : public SecondMoment {
 public:
  std::string_view name() const override { return "sgd"; }
  double coefficient(double lambda_i, double lambda_j, const Round&) const override {
    return sgd_coefficient(lambda_i, lambda_j);
  }
  MomentFormula formula() const override { return MomentFormula::sgd; }
};

}  // namespace slowsde
