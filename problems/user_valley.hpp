// The valley of minima along the x axis with walls of the user's choice.
#pragma once

#include <cmath>
#include <utility>
#include <vector>

#include "slowsde/problems/jet.hpp"
#include "slowsde/problems/steepness.hpp"

namespace slowsde {

/// f(x, y) = √a(x)·y with target 0: L = ½a(x)y², Γ = {y = 0}, ∇²L = diag(0, a(x)) on Γ. With label noise of
/// variance σ² on B samples the slow SDE is the ODE ẋ = −(σ²/4B)·a'(x)·(1 + (K−1)ψ(2ηH·a(x))) [G23]: SGD for
/// K = 1 and, for H ∝ 1/η², K times that [G24].
template <class Steepness = QuadraticSteepness>
struct UserValley {
  static constexpr int dim = 2, outputs_count = 1;

  Steepness a{};

  UserValley() = default;
  explicit UserValley(Steepness steepness) : a(std::move(steepness)) { check(); }
  /// Throws std::invalid_argument where a has a check and fails it.
  void check() const { detail::check_function(a); }

  int samples() const { return 1; }
  template <class T, class I>
  SLOWSDE_HD void outputs(const T* theta, const I&, T* f) const {
    using std::sqrt;
    f[0] = sqrt(a(theta[0])) * theta[1];
  }
  template <class I, class T>
  SLOWSDE_HD void targets(const I&, T* y) const {
    y[0] = T(0.0);
  }

  template <class T, class I>
  SLOWSDE_HD void add_sample_gradient(const T* theta, const I&, const T* eps, T* g, T*) const {
    using std::sqrt;
    const Dual<T, 1> root = sqrt(a(Dual<T, 1>::variable(theta[0], 0)));  // √a with its slope a'/2√a
    const T residual = root.v * theta[1] - eps[0];
    g[0] = g[0] + residual * (root.d[0] * theta[1]);
    g[1] = g[1] + residual * root.v;
  }
  int scratch_size() const { return 0; }

  /// tr ∇²L on Γ: a(x).
  template <class T>
  SLOWSDE_HD T trace_on_manifold(const T* theta) const {
    return a(theta[0]);
  }
  std::vector<double> default_start() const { return {1.5, 0.0}; }
};

}  // namespace slowsde
