// The second moment of (Local) SGD with heavy ball, for every scalar type and on the GPU; optim/ has the
// model with what it assumes.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "slowsde/problems/pack.hpp"
#include "slowsde/sde/second_moment.hpp"

namespace slowsde {

/// SGD with heavy ball (K = 1, or H = 1 unless buffers are reset) in closed form:
///   1/c_ij = λ_i + λ_j − ηλ_iλ_j/(1+β) + ηβ(λ_i−λ_j)²/((1−β)²(1+β)).
template <class T>
SLOWSDE_HD T heavy_ball_sgd_formula(const T& lambda_i, const T& lambda_j, double eta, double beta) {
  const T difference = lambda_i - lambda_j;
  return T(1.0) / (lambda_i + lambda_j - T(eta) * lambda_i * lambda_j / T(1 + beta) +
                   T(eta * beta) * difference * difference / T((1 - beta) * (1 - beta) * (1 + beta)));
}

namespace detail {

template <class T>
struct TwoByTwo {
  T m[2][2];

  SLOWSDE_HD friend TwoByTwo operator*(const TwoByTwo& a, const TwoByTwo& b) {
    TwoByTwo c;
    for (int i = 0; i < 2; ++i)
      for (int j = 0; j < 2; ++j) c.m[i][j] = a.m[i][0] * b.m[0][j] + a.m[i][1] * b.m[1][j];
    return c;
  }
  SLOWSDE_HD friend TwoByTwo operator+(const TwoByTwo& a, const TwoByTwo& b) {
    TwoByTwo c;
    for (int i = 0; i < 2; ++i)
      for (int j = 0; j < 2; ++j) c.m[i][j] = a.m[i][j] + b.m[i][j];
    return c;
  }
  SLOWSDE_HD TwoByTwo transposed() const { return {{{m[0][0], m[1][0]}, {m[0][1], m[1][1]}}}; }
  SLOWSDE_HD TwoByTwo scaled(const T& factor) const {
    return {{{factor * m[0][0], factor * m[0][1]}, {factor * m[1][0], factor * m[1][1]}}};
  }
  /// Σ_ij a_ij b_ij
  SLOWSDE_HD T contracted(const TwoByTwo& b) const {
    return m[0][0] * b.m[0][0] + m[0][1] * b.m[0][1] + (m[1][0] * b.m[1][0] + m[1][1] * b.m[1][1]);
  }
};

/// What h consecutive steps do to the moment C of the pair (i, j), in units where the displacement is y, the
/// buffer is ηv and the noise per step is N = (−1,1)ᵀ(−1,1):
///   C_h = T_i C_0 T_jᵀ + P,   Σ_{k<h} C_k,yy = ⟨R, C_0⟩ + q,   Σ_{k<h} β^{h−k} C_k,yy = ⟨R_β, C_0⟩ + q_β.
/// Segments compose, so that H steps cost log₂ H compositions.
template <class T>
struct HeavyBallSegment {
  TwoByTwo<T> T_i, T_j, P, R, R_beta;
  T q, q_beta;
  double beta_power;

  SLOWSDE_HD static HeavyBallSegment one_step(const T& a_i, const T& a_j, double beta) {
    const T zero(0.0), one(1.0), b(beta);
    return {{{{one - a_i, -b}, {a_i, b}}},
            {{{one - a_j, -b}, {a_j, b}}},
            {{{one, -one}, {-one, one}}},
            {{{one, zero}, {zero, zero}}},
            {{{b, zero}, {zero, zero}}},
            zero,
            zero,
            beta};
  }
  SLOWSDE_HD static HeavyBallSegment compose(const HeavyBallSegment& first, const HeavyBallSegment& second) {
    HeavyBallSegment s;
    s.T_i = second.T_i * first.T_i;
    s.T_j = second.T_j * first.T_j;
    s.P = second.P + second.T_i * first.P * second.T_j.transposed();
    s.R = first.R + first.T_i.transposed() * second.R * first.T_j;
    s.q = first.q + second.q + second.R.contracted(first.P);
    s.R_beta = first.R_beta.scaled(T(second.beta_power)) + first.T_i.transposed() * second.R_beta * first.T_j;
    s.q_beta = T(second.beta_power) * first.q_beta + second.q_beta + second.R_beta.contracted(first.P);
    s.beta_power = first.beta_power * second.beta_power;
    return s;
  }
  SLOWSDE_HD static HeavyBallSegment steps(const HeavyBallSegment& one, std::int64_t H) {
    int bit = 0;
    while (bit < 62 && (H >> (bit + 1)) != 0) ++bit;
    HeavyBallSegment s = one;
    for (--bit; bit >= 0; --bit) {
      s = compose(s, s);
      if ((H >> bit) & 1) s = compose(s, one);
    }
    return s;
  }

  /// Whether a deviation in entry e dies out over the segment. A direction without curvature (T_yy = 1)
  /// diffuses; its product with a contracting one is still stationary.
  SLOWSDE_HD auto contracts(int e) const {
    using std::abs;
    const T t_i = abs(T_i.m[e][e]), t_j = abs(T_j.m[e][e]), most(1 + 1e-12);
    return (t_i <= most) & (t_j <= most) & (t_i * t_j < T(1.0));
  }
};

/// c_ij from the steps of one round; `formula`: one of the three of heavy ball. What does not contract gives
/// a number without meaning.
template <class T>
SLOWSDE_HD T heavy_ball_of_round(MomentFormula formula, const HeavyBallSegment<T>& over_round,
                                 const T& lambda_i, const T& lambda_j, const Round& round) {
  const double beta = round.momentum, K = round.workers;
  const T H(static_cast<double>(round.local_steps)), others(K - 1);
  // moments below are in units of η²Σ/B; c = B·M/(η_e Σ) = unit·M
  const T unit(round.eta * (1 - beta));

  if (formula == MomentFormula::heavy_ball_reset) {  // C_0 = diag(A_yy, 0), A_yy = T_yy A_yy T'_yy + P_yy
    const T A_yy = over_round.P.m[0][0] / (T(1.0) - over_round.T_i.m[0][0] * over_round.T_j.m[0][0]);
    const T sum = over_round.R.m[0][0] * A_yy + T(K) * over_round.q;
    const T sum_beta = over_round.R_beta.m[0][0] * A_yy + T(K) * over_round.q_beta;
    return unit * (sum - sum_beta) / H;
  }
  const T of_sgd = heavy_ball_sgd_formula(lambda_i, lambda_j, round.eta, beta);
  if (formula == MomentFormula::heavy_ball_averaged)  // M_h = A + (K−1)(A − T^h A T'^h)
    return of_sgd + unit * others * over_round.q / H;
  // M_h = A + D_h; D, the moment of a worker's deviation from the mean, restarts from diag(0, D_vv)
  const T D_vv =
      K > 1 ? others * over_round.P.m[1][1] / (T(1.0) - over_round.T_i.m[1][1] * over_round.T_j.m[1][1])
            : T(0.0);
  return of_sgd + unit * (others * over_round.q + over_round.R.m[1][1] * D_vv) / H;
}

}  // namespace detail

/// c_ij of heavy ball with buffers that are averaged, kept or reset; NaN where no stationary moment exists.
template <class T>
SLOWSDE_HD T heavy_ball_coefficient(MomentFormula formula, const T& lambda_i, const T& lambda_j,
                                    const Round& round) {
  using Segment = detail::HeavyBallSegment<T>;
  const T a_i = T(round.eta) * lambda_i, a_j = T(round.eta) * lambda_j, most(2 * (1 + round.momentum));
  const Segment over_round = Segment::steps(Segment::one_step(a_i, a_j, round.momentum), round.local_steps);
  auto exists = (a_i < most) & (a_j < most);
  if (formula == MomentFormula::heavy_ball_reset) exists = exists & over_round.contracts(0);
  if (formula == MomentFormula::heavy_ball_kept && round.workers > 1)
    exists = exists & over_round.contracts(1);
  return select(exists, detail::heavy_ball_of_round(formula, over_round, lambda_i, lambda_j, round),
                T(std::numeric_limits<double>::quiet_NaN()));
}

}  // namespace slowsde
