// From an update rule's formula at run time to its type.
#pragma once

#include <stdexcept>

#include "slowsde/optim/update_formula.hpp"

namespace slowsde {

/// use(Formula{}); throws std::logic_error for `other`.
template <class Use>
void with_formula(UpdateFormula formula, Use&& use) {
  switch (formula) {
    case UpdateFormula::sgd:
      return use(SgdFormula{});
    case UpdateFormula::heavy_ball:
      return use(HeavyBallFormula{});
    case UpdateFormula::nesterov:
      return use(NesterovFormula{});
    case UpdateFormula::adamw:
      return use(AdamWFormula{});
    case UpdateFormula::other:
      break;
  }
  throw std::logic_error("the formula of this update rule is known to the rule alone");
}

}  // namespace slowsde
