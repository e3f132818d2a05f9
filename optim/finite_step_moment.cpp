#include "slowsde/optim/finite_step_moment.hpp"

#include <algorithm>
#include <sstream>
#include <stdexcept>

#include "slowsde/sde/moment_formula.hpp"

namespace slowsde {

double FiniteStepMoment::coefficient(double lambda_i, double lambda_j, const Round& round) const {
  const double a = round.eta * lambda_i, b = round.eta * lambda_j;
  if (!(a < 2 && b < 2)) {
    std::ostringstream message;
    message << "no stationary second moment: eta*lambda < 2 is violated by " << std::max(a, b);
    throw std::domain_error(message.str());
  }
  return finite_step_coefficient(lambda_i, lambda_j, round);
}

}  // namespace slowsde
