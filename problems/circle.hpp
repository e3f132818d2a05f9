// The unit circle as a manifold of minima, with noise given in its own frame: drift by cross terms alone.
#pragma once

#include <cmath>
#include <vector>

#include "slowsde/problems/host_device.hpp"
#include "slowsde/problems/requirement.hpp"

namespace slowsde {

/// L = ¼(|x|² − 1)², Γ = S¹ with normal eigenvalue λ = 2. The noise has unit variances and correlation c in
/// the frame (normal n = x/|x|, tangent t = n turned by +90°): Σ = nnᵀ + ttᵀ + c(ntᵀ + tnᵀ). The slow SDE's
/// mean angle is E φ(t) = φ₀ − (c·t/B)(1 + (K−1)ψ(2ηH)) [G23]: only the tangent–normal entries of the second
/// moment push, and both orders of the pair count.
struct Circle {
  static constexpr int dim = 2, noise_dim = 2;

  double correlation = 0.6;  ///< c

  /// Throws std::invalid_argument unless |c| ≤ 1.
  void check() const {
    detail::require(std::abs(correlation) <= 1, "circle", "|correlation| <= 1", correlation);
  }

  template <class T>
  SLOWSDE_HD T loss(const T* x) const {
    const T e = x[0] * x[0] + x[1] * x[1] - 1.0;
    return 0.25 * (e * e);
  }
  /// S = [n + c·t, √(1−c²)·t]: (2 × 2). Undefined at the centre.
  template <class T>
  SLOWSDE_HD void noise_factor(const T* x, T* S) const {
    using std::sqrt;
    const T radius = sqrt(x[0] * x[0] + x[1] * x[1]);
    const T n0 = x[0] / radius, n1 = x[1] / radius;
    const double rest = std::sqrt(1 - correlation * correlation);
    S[0] = n0 - correlation * n1;
    S[1] = -rest * n1;
    S[2] = n1 + correlation * n0;
    S[3] = rest * n0;
  }
  /// Φ(x) = x/|x|: the flow is radial.
  template <class T>
  SLOWSDE_HD void phi(const T* x, T* out) const {
    using std::sqrt;
    const T radius = sqrt(x[0] * x[0] + x[1] * x[1]);
    out[0] = x[0] / radius;
    out[1] = x[1] / radius;
  }
  /// tr ∇²L on Γ: 2.
  template <class T>
  SLOWSDE_HD T trace_on_manifold(const T*) const {
    return T(2.0);
  }
  std::vector<double> default_start() const { return {1.0, 0.0}; }
};

}  // namespace slowsde
