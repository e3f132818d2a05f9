// A valley of minima along the x axis whose walls steepen with |x|: the smallest problem with a slow drift.
#pragma once

#include <cmath>
#include <vector>

#include "slowsde/problems/host_device.hpp"
#include "slowsde/problems/pack_math.hpp"

namespace slowsde {

/// f(x, y) = √a(x)·y with target 0 and a = 1 + x²: L = ½(1 + x²)y², Γ = {y = 0}, ∇²L = diag(0, 1 + x²) on Γ.
/// With label noise of variance σ² the slow SDE is the ODE ẋ = −(σ²x/2B)(1 + (K−1)ψ(2ηH(1+x²))).
struct Valley {
  static constexpr int dim = 2, outputs_count = 1;

  int samples() const { return 1; }
  template <class T, class I>
  SLOWSDE_HD void outputs(const T* theta, const I&, T* f) const {
    using std::sqrt;
    f[0] = sqrt(1.0 + theta[0] * theta[0]) * theta[1];
  }
  template <class I, class T>
  SLOWSDE_HD void targets(const I&, T* y) const {
    y[0] = T(0.0);
  }

  /// J_iᵀ(f − ε) with J = (xy/√a, √a), from one reciprocal root.
  template <class T, class I>
  SLOWSDE_HD void add_sample_gradient(const T* theta, const I&, const T* eps, T* g, T*) const {
    const T a = 1.0 + theta[0] * theta[0];
    const T inverse_root = rsqrt(a), root = a * inverse_root;
    const T residual = root * theta[1] - eps[0];
    g[0] = g[0] + residual * (theta[0] * theta[1] * inverse_root);
    g[1] = g[1] + residual * root;
  }
  int scratch_size() const { return 0; }

  /// Φ: the flow conserves sign(x) and q = ln|x| + x²/2 − y²/2, so Φ(x, y) = (ξ, 0) with ln|ξ| + ξ²/2 = q.
  template <class T>
  SLOWSDE_HD void phi(const T* theta, T* out) const {
    using std::exp;
    using std::log;
    using std::sqrt;
    // Newton for u = ξ² in ln u + u = 2q, i.e. in w = ln u: w + e^w = c. Convex and increasing, so it
    // converges from any start; 12 steps reach roundoff for |x|, |y| up to 30.
    const T x2 = theta[0] * theta[0] + 1e-300;
    const T c = log(x2) + x2 - theta[1] * theta[1];
    T w = log(x2);
    for (int step = 0; step < 12; ++step) {
      const T e = exp(w);
      w = w - (w + e - c) / (1.0 + e);
    }
    out[0] = theta[0] * sqrt(exp(w) / x2);
    out[1] = T(0.0);
  }

  /// tr ∇²L on Γ: 1 + x².
  template <class T>
  SLOWSDE_HD T trace_on_manifold(const T* theta) const {
    return 1.0 + theta[0] * theta[0];
  }
  std::vector<double> default_start() const { return {1.5, 0.0}; }
};

}  // namespace slowsde
