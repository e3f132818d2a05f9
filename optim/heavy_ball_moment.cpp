#include "slowsde/optim/heavy_ball_moment.hpp"

#include <Eigen/Core>
#include <Eigen/LU>
#include <algorithm>
#include <cmath>
#include <sstream>
#include <stdexcept>

#include "slowsde/sde/psi.hpp"

namespace slowsde {
namespace {

using Matrix = Eigen::Matrix2d;

// What h consecutive steps do to the moment C of the pair (i, j), in units where the displacement is y, the
// buffer is ηv and the noise per step is N = (−1,1)ᵀ(−1,1):
//   C_h = T_i C_0 T_jᵀ + P,   Σ_{k<h} C_k,yy = ⟨R, C_0⟩ + q,   Σ_{k<h} β^{h−k} C_k,yy = ⟨R_β, C_0⟩ + q_β.
// Segments compose, so that H steps cost log₂ H compositions.
struct Segment {
  Matrix T_i, T_j, P, R, R_beta;
  double q, q_beta, beta_power;
};

Segment one_step(double a_i, double a_j, double beta) {
  Segment s;
  s.T_i << 1 - a_i, -beta, a_i, beta;
  s.T_j << 1 - a_j, -beta, a_j, beta;
  s.P << 1, -1, -1, 1;
  s.R << 1, 0, 0, 0;
  s.R_beta << beta, 0, 0, 0;
  s.q = s.q_beta = 0;
  s.beta_power = beta;
  return s;
}

Segment compose(const Segment& first, const Segment& second) {
  Segment s;
  s.T_i = second.T_i * first.T_i;
  s.T_j = second.T_j * first.T_j;
  s.P = second.P + second.T_i * first.P * second.T_j.transpose();
  s.R = first.R + first.T_i.transpose() * second.R * first.T_j;
  s.q = first.q + second.q + second.R.cwiseProduct(first.P).sum();
  s.R_beta = second.beta_power * first.R_beta + first.T_i.transpose() * second.R_beta * first.T_j;
  s.q_beta = second.beta_power * first.q_beta + second.q_beta + second.R_beta.cwiseProduct(first.P).sum();
  s.beta_power = first.beta_power * second.beta_power;
  return s;
}

Segment steps(const Segment& one, std::int64_t H) {
  int bit = 0;
  while (bit < 62 && (H >> (bit + 1)) != 0) ++bit;
  Segment s = one;
  for (--bit; bit >= 0; --bit) {
    s = compose(s, s);
    if ((H >> bit) & 1) s = compose(s, one);
  }
  return s;
}

[[noreturn]] void no_stationary_moment(const char* inequality, double value) {
  std::ostringstream message;
  message << "no stationary second moment: " << inequality << " is violated by " << value;
  throw std::domain_error(message.str());
}

void require_contraction(const Segment& round, int entry) {
  // a direction without curvature (T_yy = 1) diffuses; its product with a contracting one is still stationary
  const double t_i = std::abs(round.T_i(entry, entry)), t_j = std::abs(round.T_j(entry, entry));
  if (!(std::max(t_i, t_j) <= 1 + 1e-12 && t_i * t_j < 1))
    no_stationary_moment("|T^H| < 1 over a round", std::max(t_i, t_j));
}

}  // namespace

double heavy_ball_sgd_coefficient(double lambda_i, double lambda_j, double eta, double beta) {
  const double difference = lambda_i - lambda_j;
  return 1 / (lambda_i + lambda_j - eta * lambda_i * lambda_j / (1 + beta) +
              eta * beta * difference * difference / ((1 - beta) * (1 - beta) * (1 + beta)));
}

double HeavyBallMoment::coefficient(double lambda_i, double lambda_j, const Round& round) const {
  const double eta = round.eta, beta = round.momentum;
  const double a_i = eta * lambda_i, a_j = eta * lambda_j;
  const double K = round.workers, H = static_cast<double>(round.local_steps);
  if (!(std::max(a_i, a_j) < 2 * (1 + beta)))
    no_stationary_moment("eta*lambda < 2(1+beta)", std::max(a_i, a_j));
  const Segment over_round = steps(one_step(a_i, a_j, beta), round.local_steps);
  // moments below are in units of η²Σ/B; c = B·M/(η_e Σ) = unit·M
  const double unit = eta * (1 - beta);

  if (buffers_ == BufferPolicy::averaged)  // M_h = A + (K−1)(A − T^h A T'^h)
    return heavy_ball_sgd_coefficient(lambda_i, lambda_j, eta, beta) + unit * (K - 1) * over_round.q / H;

  if (buffers_ == BufferPolicy::kept) {
    // M_h = A + D_h; D, the moment of a worker's deviation from the mean, restarts from diag(0, D_vv)
    double D_vv = 0;
    if (K > 1) {
      require_contraction(over_round, 1);
      D_vv = (K - 1) * over_round.P(1, 1) / (1 - over_round.T_i(1, 1) * over_round.T_j(1, 1));
    }
    return heavy_ball_sgd_coefficient(lambda_i, lambda_j, eta, beta) +
           unit * ((K - 1) * over_round.q + over_round.R(1, 1) * D_vv) / H;
  }

  // reset: C_0 = diag(A_yy, 0), A_yy = T_yy A_yy T'_yy + P_yy over a round
  require_contraction(over_round, 0);
  const double A_yy = over_round.P(0, 0) / (1 - over_round.T_i(0, 0) * over_round.T_j(0, 0));
  const double sum = over_round.R(0, 0) * A_yy + K * over_round.q;
  const double sum_beta = over_round.R_beta(0, 0) * A_yy + K * over_round.q_beta;
  return unit * (sum - sum_beta) / H;
}

double HeavyBallMoment::slow_time_per_step(const Round& round) const {
  return 1 / ((1 - round.momentum) * (1 - round.momentum));
}

double HeavyBallMoment::diffusion_weight(const Round& round) const {
  if (buffers_ != BufferPolicy::reset) return 1;
  // mean over m = 1..H of (1 − β^m)²; the mean of β^m is β(1 − ψ_H(β))
  const double beta = round.momentum;
  const double mean = beta * (1 - psi_finite(beta, round.local_steps));
  const double mean_of_squares = beta * beta * (1 - psi_finite(beta * beta, round.local_steps));
  return 1 - 2 * mean + mean_of_squares;
}

}  // namespace slowsde
