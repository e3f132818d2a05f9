// The finite-step second moment with the part of the minibatch noise that is linear in the displacement.
#pragma once

#include "slowsde/optim/finite_step_moment.hpp"

namespace slowsde {

/// FiniteStepMoment plus feedback: drawing minibatches from n samples with Hessians h_s adds
/// w (η²/B)(E_s[h_s A h_s] − 𝓗A𝓗) to the moment per step, of the same order as the ηλ that the finite step
/// corrects.
class SamplingMoment final : public FiniteStepMoment {
 public:
  explicit SamplingMoment(bool replacement = true) : replacement_(replacement) {}
  std::string_view name() const override { return "sampling"; }
  /// w = 1 with replacement; (n − B_loc)/(n − 1) without, 0 for n = 1. Throws std::invalid_argument when n <
  /// 1 or when B_loc > n without replacement.
  double sampling_weight(const Round& round, int samples) const override;
  MomentFormula formula() const override { return MomentFormula::other; }

 private:
  bool replacement_;
};

}  // namespace slowsde
