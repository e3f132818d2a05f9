// The update rules' formulas for one component, for every scalar type and on the GPU. update_rule.hpp has the
// rules themselves, with their parameters.
#pragma once

#include <cmath>

#include "slowsde/problems/host_device.hpp"

namespace slowsde {

/// Which of the formulas below a rule is.
enum class UpdateFormula { sgd, heavy_ball, nesterov, adamw, other };

// Each has the number of its state vectors, the numbers of one step as a struct of at most eight Reals, and
// advance(θ, g, state, c) for T = Real or a pack of them.

struct SgdFormula {
  static constexpr UpdateFormula formula = UpdateFormula::sgd;
  static constexpr int vectors = 0;
  template <class Real>
  struct Coefficients {
    Real eta, lambda;
  };
  template <class T, class C>
  SLOWSDE_HD static void advance(T& theta, T g, T*, const C& c) {
    theta = theta - T(c.eta) * (g + T(c.lambda) * theta);
  }
};

/// A buffer v, β, and decay that is part of the gradient.
struct MomentumFormula {
  static constexpr int vectors = 1;
  template <class Real>
  struct Coefficients {
    Real eta, beta, lambda;
  };
};

struct HeavyBallFormula : MomentumFormula {
  static constexpr UpdateFormula formula = UpdateFormula::heavy_ball;
  template <class T, class C>
  SLOWSDE_HD static void advance(T& theta, T g, T* v, const C& c) {
    v[0] = T(c.beta) * v[0] + (g + T(c.lambda) * theta);
    theta = theta - T(c.eta) * v[0];
  }
};

struct NesterovFormula : MomentumFormula {
  static constexpr UpdateFormula formula = UpdateFormula::nesterov;
  template <class T, class C>
  SLOWSDE_HD static void advance(T& theta, T g, T* v, const C& c) {
    const T decayed = g + T(c.lambda) * theta;
    v[0] = T(c.beta) * v[0] + decayed;
    theta = theta - T(c.eta) * (decayed + T(c.beta) * v[0]);
  }
};

struct AdamWFormula {
  static constexpr UpdateFormula formula = UpdateFormula::adamw;
  static constexpr int vectors = 2;  // m, v
  template <class Real>
  struct Coefficients {
    Real beta1, rest1, beta2, rest2, rate, inverse2, epsilon, decay;
  };
  template <class T, class C>
  SLOWSDE_HD static void advance(T& theta, T g, T* s, const C& c) {
    using std::sqrt;
    s[0] = T(c.beta1) * s[0] + T(c.rest1) * g;
    s[1] = T(c.beta2) * s[1] + T(c.rest2) * (g * g);
    theta = theta - (T(c.rate) * s[0] / (sqrt(s[1] * T(c.inverse2)) + T(c.epsilon)) + T(c.decay) * theta);
  }
};

/// The numbers of one step of any rule, as the bytes of its formula's Coefficients.
template <class Real>
struct UpdateNumbers {
  Real value[8] = {};
};

}  // namespace slowsde
