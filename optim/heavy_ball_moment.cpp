#include "slowsde/optim/heavy_ball_moment.hpp"

#include <algorithm>
#include <cmath>
#include <sstream>
#include <stdexcept>

#include "slowsde/sde/heavy_ball_formula.hpp"
#include "slowsde/sde/moment_formula.hpp"

namespace slowsde {
namespace {

[[noreturn]] void no_stationary_moment(const char* inequality, double value) {
  std::ostringstream message;
  message << "no stationary second moment: " << inequality << " is violated by " << value;
  throw std::domain_error(message.str());
}

}  // namespace

double HeavyBallMoment::coefficient(double lambda_i, double lambda_j, const Round& round) const {
  using Segment = detail::HeavyBallSegment<double>;
  const double a_i = round.eta * lambda_i, a_j = round.eta * lambda_j;
  if (!(std::max(a_i, a_j) < 2 * (1 + round.momentum)))
    no_stationary_moment("eta*lambda < 2(1+beta)", std::max(a_i, a_j));
  const Segment over_round = Segment::steps(Segment::one_step(a_i, a_j, round.momentum), round.local_steps);
  const auto require_contraction = [&](int e) {
    if (!over_round.contracts(e))
      no_stationary_moment("|T^H| < 1 over a round",
                           std::max(std::abs(over_round.T_i.m[e][e]), std::abs(over_round.T_j.m[e][e])));
  };
  if (buffers_ == BufferPolicy::kept && round.workers > 1) require_contraction(1);
  if (buffers_ == BufferPolicy::reset) require_contraction(0);
  return detail::heavy_ball_of_round(formula(), over_round, lambda_i, lambda_j, round);
}

MomentFormula HeavyBallMoment::formula() const {
  switch (buffers_) {
    case BufferPolicy::kept:
      return MomentFormula::heavy_ball_kept;
    case BufferPolicy::reset:
      return MomentFormula::heavy_ball_reset;
    case BufferPolicy::averaged:
      break;
  }
  return MomentFormula::heavy_ball_averaged;
}

double HeavyBallMoment::slow_time_per_step(const Round& round) const {
  return 1 / ((1 - round.momentum) * (1 - round.momentum));
}

double HeavyBallMoment::diffusion_weight(const Round& round) const {
  return moment_diffusion_weight(formula(), round);
}

double heavy_ball_sgd_coefficient(double lambda_i, double lambda_j, double eta, double beta) {
  return heavy_ball_sgd_formula(lambda_i, lambda_j, eta, beta);
}

}  // namespace slowsde
