// Heavy ball as plain SGD with the effective learning rate.
#pragma once

#include "slowsde/sde/moment_formula.hpp"

namespace slowsde {

/// The coefficient of `Moment` at η_e = η/(1−β) without momentum, on the slow time η_e²k. For SgdMoment this
/// is the limit η → 0 of SGD with heavy ball (Wang et al. 2024), for PsiMoment that of Local SGD whose
/// buffers are averaged or kept. At a finite η it is not the moment of heavy ball: see HeavyBallMoment.
template <class Moment>
class EffectiveRateMoment final : public SecondMoment {
 public:
  std::string_view name() const override { return "effective-rate"; }
  double coefficient(double lambda_i, double lambda_j, const Round& round) const override {
    return moment_.coefficient(lambda_i, lambda_j, at_effective_rate(round));
  }
  MomentFormula formula() const override {
    switch (moment_.formula()) {
      case MomentFormula::sgd:  // which does not ask for the rate
        return MomentFormula::sgd;
      case MomentFormula::psi:
        return MomentFormula::psi_of_effective_rate;
      default:
        return MomentFormula::other;
    }
  }
  double slow_time_per_step(const Round& round) const override {
    return 1 / ((1 - round.momentum) * (1 - round.momentum));
  }

 private:
  Moment moment_;
};

}  // namespace slowsde
