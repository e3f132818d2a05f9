#include "slowsde/optim/finite_step_moment.hpp"

#include <algorithm>
#include <sstream>
#include <stdexcept>

#include "slowsde/sde/psi.hpp"

namespace slowsde {

double FiniteStepMoment::coefficient(double lambda_i, double lambda_j, const Round& round) const {
  const double a = round.eta * lambda_i, b = round.eta * lambda_j;
  if (!(a < 2 && b < 2)) {
    std::ostringstream message;
    message << "no stationary second moment: eta*lambda < 2 is violated by " << std::max(a, b);
    throw std::domain_error(message.str());
  }
  // 1 − ρ = a + b − ab, written without cancellation for a, b up to 2
  const double gap = a * (1 - b / 2) + b * (1 - a / 2);
  return round.eta * (1 + (round.workers - 1) * psi_finite_of_gap(gap, round.local_steps)) / gap;
}

}  // namespace slowsde
