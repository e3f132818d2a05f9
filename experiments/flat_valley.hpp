// The valley with a straight floor as a test bed: on it the slow SDE and the quasi-static process have means
// that can be computed to rounding, without a random number.
#pragma once

#include <functional>

#include "slowsde/problems/curved_valley.hpp"
#include "slowsde/sde/second_moment.hpp"

namespace slowsde {

/// L = ½(2 + sin x)y² with Σ = diag(Σ_xx, Σ_yy): λ(x) = 2 + sin x = tr ∇²L on Γ = {y = 0}, and x follows
///   dx = √(Σ_xx/B) dW − ½ λ'(x) c(λ, λ) Σ_yy/B dt,
/// periodic in x. Functions of x are represented by their values at 32 points of a period; means follow from
/// Kolmogorov's backward equation in Fourier space, exact to about 1e-9 for variances from 0.1 on.
struct FlatValley {
  double along = 1, across = 4;  ///< Σ_xx, Σ_yy

  CurvedValley<> problem() const { return CurvedValley<>({along, 0, 0, across}, {}, {.curvature = 0}); }

  using Observable = std::function<double(double x)>;  ///< of period 2π
  /// tr ∇²L.
  static double trace(double x);

  /// How strongly the two terms of the slow SDE act: {0, 1} is its drift, {1, 0} its diffusion alone.
  struct Strengths {
    double diffusion = 1, drift = 1;
  };
  /// E f(x(t)) of the slow SDE from x0.
  double slow_mean(const SecondMoment& moment, const Round& round, double x0, double t, const Observable& f,
                   const Strengths& strengths) const;
  double slow_mean(const SecondMoment& moment, const Round& round, double x0, double t,
                   const Observable& f = trace) const {
    return slow_mean(moment, round, x0, t, f, {});
  }

  /// E f(x(t)) of the quasi-static process: in each round of slow time alpha2, of which t is a multiple, K
  /// independent copies x_w of SGD's slow SDE with batch B_loc, then their mean. With the displacement
  /// x_w − x in place of x_w nothing is wrapped, and
  ///   E e^{ik·mean} = Π_w E e^{i(k/K)x_w}
  /// is the K-th power of one solution of the backward equation. Throws std::invalid_argument when t is no
  /// multiple of alpha2.
  double quasi_static_mean(const Round& round, double alpha2, double x0, double t,
                           const Observable& f = trace) const;
};

}  // namespace slowsde
