// Heavy ball as plain SGD with the effective learning rate.
#pragma once

#include "slowsde/sde/second_moment.hpp"

namespace slowsde {

/// The coefficient of `Moment` at η_e = η/(1−β) without momentum, on the slow time η_e²k. For SgdMoment this
/// is the limit η → 0 of SGD with heavy ball (Wang et al. 2024), for PsiMoment that of Local SGD whose
/// buffers are averaged or kept. At a finite η it is not the moment of heavy ball: see HeavyBallMoment.
template <class Moment>
class EffectiveRateMoment final : public SecondMoment {
 public:
  std::string_view name() const override { return "effective-rate"; }
  double coefficient(double lambda_i, double lambda_j, const Round& round) const override {
    Round effective = round;
    effective.eta = round.eta / (1 - round.momentum);
    effective.momentum = 0;
    return moment_.coefficient(lambda_i, lambda_j, effective);
  }
  double slow_time_per_step(const Round& round) const override {
    return 1 / ((1 - round.momentum) * (1 - round.momentum));
  }

 private:
  Moment moment_;
};

}  // namespace slowsde
