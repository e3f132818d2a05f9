// The second-moment models that are closed formulas of two eigenvalues, for every scalar type and on the GPU.
// optim/ has the models themselves, with what they assume.
#pragma once

#include <limits>

#include "slowsde/problems/pack.hpp"
#include "slowsde/sde/heavy_ball_formula.hpp"
#include "slowsde/sde/psi.hpp"
#include "slowsde/sde/second_moment.hpp"

namespace slowsde {

/// 1/(λ_i + λ_j)
template <class T>
SLOWSDE_HD T sgd_coefficient(const T& lambda_i, const T& lambda_j) {
  return T(1.0) / (lambda_i + lambda_j);
}

/// K/(λ_i + λ_j)
template <class T>
SLOWSDE_HD T qsr_coefficient(const T& lambda_i, const T& lambda_j, const Round& round) {
  return T(static_cast<double>(round.workers)) / (lambda_i + lambda_j);
}

/// (1 + (K−1) ψ(ηH(λ_i + λ_j)))/(λ_i + λ_j)
template <class T>
SLOWSDE_HD T psi_coefficient(const T& lambda_i, const T& lambda_j, const Round& round) {
  const T sum = lambda_i + lambda_j;
  const double eta_H = round.eta * static_cast<double>(round.local_steps);
  return (T(1.0) + T(round.workers - 1.0) * psi(T(eta_H) * sum)) / sum;
}

/// (1 + (K−1) ψ_H(ρ))/(λ_i + λ_j − ηλ_iλ_j), ρ = (1−ηλ_i)(1−ηλ_j); NaN where ηλ ≥ 2 and no stationary moment
/// exists.
template <class T>
SLOWSDE_HD T finite_step_coefficient(const T& lambda_i, const T& lambda_j, const Round& round) {
  const T eta(round.eta), half(0.5), one(1.0), two(2.0);
  const T a = eta * lambda_i, b = eta * lambda_j;
  // 1 − ρ = a + b − ab, written without cancellation for a, b up to 2
  const T gap = a * (one - b * half) + b * (one - a * half);
  const T value = eta * (one + T(round.workers - 1.0) * psi_finite_of_gap(gap, round.local_steps)) / gap;
  return select((a < two) & (b < two), value, T(std::numeric_limits<double>::quiet_NaN()));
}

/// Round with the learning rate η/(1−β) and no momentum.
SLOWSDE_HD inline Round at_effective_rate(Round round) {
  round.eta /= 1 - round.momentum;
  round.momentum = 0;
  return round;
}

/// What multiplies Σ_∥ in the SDE's noise (SecondMoment::diffusion_weight).
SLOWSDE_HD inline double moment_diffusion_weight(MomentFormula formula, const Round& round) {
  if (formula != MomentFormula::heavy_ball_reset) return 1;
  // mean over m = 1..H of (1 − β^m)²; the mean of β^m is β(1 − ψ_H(β))
  const double beta = round.momentum;
  const double mean = beta * (1 - psi_finite(beta, round.local_steps));
  const double mean_of_squares = beta * beta * (1 - psi_finite(beta * beta, round.local_steps));
  return 1 - 2 * mean + mean_of_squares;
}

/// c_ij of a formula; NaN for `other`.
template <class T>
SLOWSDE_HD T moment_coefficient(MomentFormula formula, const T& lambda_i, const T& lambda_j,
                                const Round& round) {
  switch (formula) {
    case MomentFormula::sgd:
      return sgd_coefficient(lambda_i, lambda_j);
    case MomentFormula::psi:
      return psi_coefficient(lambda_i, lambda_j, round);
    case MomentFormula::psi_of_effective_rate:
      return psi_coefficient(lambda_i, lambda_j, at_effective_rate(round));
    case MomentFormula::heavy_ball_averaged:
    case MomentFormula::heavy_ball_kept:
    case MomentFormula::heavy_ball_reset:
      return heavy_ball_coefficient(formula, lambda_i, lambda_j, round);
    case MomentFormula::qsr:
      return qsr_coefficient(lambda_i, lambda_j, round);
    case MomentFormula::finite_step:
      return finite_step_coefficient(lambda_i, lambda_j, round);
    case MomentFormula::other:
      break;
  }
  return T(std::numeric_limits<double>::quiet_NaN());
}

}  // namespace slowsde
