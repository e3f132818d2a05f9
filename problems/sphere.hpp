// The unit sphere as a manifold of minima under isotropic noise: the slow SDE is Brownian motion on it.
#pragma once

#include <cmath>
#include <vector>

#include "slowsde/problems/host_device.hpp"
#include "slowsde/problems/requirement.hpp"

namespace slowsde {

/// L = ¼(|x|² − 1)² in R^D, Γ = S^{D−1} with normal eigenvalue λ = 2, Σ = ν²I. All points of Γ are equally
/// sharp; SGD's slow SDE is Brownian motion on the sphere, E ζ(t) = ζ₀·e^{−(D−1)ν²t/2B} [L22].
template <int D = 3>
struct Sphere {
  static_assert(D >= 1);
  static constexpr int dim = D, noise_dim = D;

  double noise = 1;  ///< ν

  /// Throws std::invalid_argument unless 0 ≤ ν < ∞.
  void check() const {
    detail::require(noise >= 0 && std::isfinite(noise), "sphere", "0 <= noise < infinity", noise);
  }

  template <class T>
  SLOWSDE_HD T loss(const T* x) const {
    const T e = squared_norm(x) - 1.0;
    return 0.25 * (e * e);
  }
  /// S = ν·I: (D × D).
  template <class T>
  SLOWSDE_HD void noise_factor(const T*, T* S) const {
    for (int i = 0; i < D; ++i)
      for (int j = 0; j < D; ++j) S[i * D + j] = T(i == j ? noise : 0.0);
  }
  /// Φ(x) = x/|x|: the flow is radial.
  template <class T>
  SLOWSDE_HD void phi(const T* x, T* out) const {
    using std::sqrt;
    const T radius = sqrt(squared_norm(x));
    for (int i = 0; i < D; ++i) out[i] = x[i] / radius;
  }
  /// tr ∇²L on Γ: 2.
  template <class T>
  SLOWSDE_HD T trace_on_manifold(const T*) const {
    return T(2.0);
  }
  std::vector<double> default_start() const {
    std::vector<double> x(D, 0.0);
    x[0] = 1;
    return x;
  }

 private:
  template <class T>
  SLOWSDE_HD static T squared_norm(const T* x) {
    T sum = x[0] * x[0];
    for (int i = 1; i < D; ++i) sum = sum + x[i] * x[i];
    return sum;
  }
};

}  // namespace slowsde
