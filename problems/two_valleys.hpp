// Two valleys above one floor: the smallest problem with several nonzero eigenvalues at once.
#pragma once

#include <cmath>
#include <utility>
#include <vector>

#include "slowsde/problems/jet.hpp"
#include "slowsde/problems/pack.hpp"
#include "slowsde/problems/steepness.hpp"

namespace slowsde {

/// Coordinates (x, y₁, y₂), outputs √a_i(x)·y_i with targets 0, Γ = {y = 0}. The outputs belong to two
/// samples of one output (Samples = 2: L = ¼(a₁y₁² + a₂y₂²), λ = a₁/2, a₂/2) or to one sample of two outputs
/// (Samples = 1: L = ½(a₁y₁² + a₂y₂²), λ = a₁, a₂). With label noise of variance σ² and F(z) = ∫₀^z ψ the
/// slow SDE is ẋ = −(σ²/4B)·d/dx Σ_i [λ_i + (K−1)·F(2ηHλ_i)/(2ηH)] [G23]. The default a₁ + a₂ = 8 makes the
/// trace constant: SGD stands still while Local SGD moves.
template <int Samples, class First = SineSteepness, class Second = SineSteepness>
struct TwoValleys {
  static_assert(Samples == 1 || Samples == 2);
  static constexpr int dim = 3, outputs_count = Samples == 2 ? 1 : 2;

  First a1{1.5, 1.0};
  Second a2{6.5, -1.0};

  TwoValleys() = default;
  TwoValleys(First first, Second second) : a1(std::move(first)), a2(std::move(second)) { check(); }
  /// Throws std::invalid_argument where a₁ or a₂ has a check and fails it.
  void check() const {
    detail::check_function(a1);
    detail::check_function(a2);
  }

  int samples() const { return Samples; }
  template <class T, class I>
  SLOWSDE_HD void outputs(const T* theta, const I& i, T* f) const {
    using std::sqrt;
    const T f1 = sqrt(a1(theta[0])) * theta[1], f2 = sqrt(a2(theta[0])) * theta[2];
    if constexpr (Samples == 2) {
      f[0] = share<T>(0, i) * f1 + share<T>(1, i) * f2;
    } else {
      f[0] = f1;
      f[1] = f2;
    }
  }
  template <class I, class T>
  SLOWSDE_HD void targets(const I&, T* y) const {
    for (int c = 0; c < outputs_count; ++c) y[c] = T(0.0);
  }

  template <class T, class I>
  SLOWSDE_HD void add_sample_gradient(const T* theta, const I& i, const T* eps, T* g, T*) const {
    using std::sqrt;
    const Dual<T, 1> x = Dual<T, 1>::variable(theta[0], 0);
    const Dual<T, 1> root1 = sqrt(a1(x)), root2 = sqrt(a2(x));
    T r1 = root1.v * theta[1], r2 = root2.v * theta[2];
    if constexpr (Samples == 2) {  // the lane's own sample has a residual, the other has none
      r1 = share<T>(0, i) * (r1 - eps[0]);
      r2 = share<T>(1, i) * (r2 - eps[0]);
    } else {
      r1 = r1 - eps[0];
      r2 = r2 - eps[1];
    }
    g[0] = g[0] + (r1 * (root1.d[0] * theta[1]) + r2 * (root2.d[0] * theta[2]));
    g[1] = g[1] + r1 * root1.v;
    g[2] = g[2] + r2 * root2.v;
  }
  int scratch_size() const { return 0; }

  /// tr ∇²L on Γ: (a₁ + a₂)/Samples.
  template <class T>
  SLOWSDE_HD T trace_on_manifold(const T* theta) const {
    return (a1(theta[0]) + a2(theta[0])) * T(1.0 / Samples);
  }
  std::vector<double> default_start() const { return {0.5, 0.0, 0.0}; }

 private:
  /// 1 in the lanes whose sample is `valley`, 0 in the others. The table is a local one: a GPU does not see a
  /// class's.
  template <class T, class I>
  SLOWSDE_HD static T share(int valley, const I& i) {
    const double of_sample[2] = {valley == 0 ? 1.0 : 0.0, valley == 1 ? 1.0 : 0.0};
    return lookup<T>(of_sample, i);
  }
};

}  // namespace slowsde
