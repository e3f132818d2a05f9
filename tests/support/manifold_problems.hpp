// Small problems with a known manifold of minimizers, for tests of the geometry and of the slow SDEs.
#pragma once

#include <array>
#include <cmath>

namespace slowsde::test {

/// L = ½a(x)(y − b(x))², a = 2 + sin x, b = x²/2; Σ = S Sᵀ = [[1, .6], [.6, .8]] everywhere. Γ: y = b(x),
/// where ∇²L = a·m mᵀ with m = (−b', 1).
struct CurvedValleyForTest {
  static constexpr int dim = 2, noise_dim = 2;
  template <class T>
  T loss(const T* z) const {
    using std::sin;
    const T v = z[1] - 0.5 * z[0] * z[0];
    return 0.5 * (2.0 + sin(z[0])) * v * v;
  }
  template <class T>
  void noise_factor(const T*, T* S) const {
    S[0] = T(1.0);
    S[1] = T(0.0);
    S[2] = T(0.6);
    S[3] = T(0.66332495807108);  // √0.44
  }
};

/// L = ¼(|x|² − 1)² in R^d with Σ = ν²I: Γ is the unit sphere, ∇²L = 2xxᵀ there.
template <int d>
struct SphereForTest {
  static constexpr int dim = d, noise_dim = d;
  double nu = 1;
  template <class T>
  T loss(const T* x) const {
    T norm2(-1.0);
    for (int i = 0; i < d; ++i) norm2 = norm2 + x[i] * x[i];
    return 0.25 * norm2 * norm2;
  }
  template <class T>
  void noise_factor(const T*, T* S) const {
    for (int i = 0; i < d * d; ++i) S[i] = T(i % (d + 1) == 0 ? nu : 0.0);
  }
};

/// The circle with noise of unit variances and correlation c between its normal and tangent components.
struct CircleForTest {
  static constexpr int dim = 2, noise_dim = 2;
  double c = 0.5;
  template <class T>
  T loss(const T* x) const {
    const T e = x[0] * x[0] + x[1] * x[1] - 1.0;
    return 0.25 * e * e;
  }
  template <class T>
  void noise_factor(const T* x, T* S) const {
    using std::sqrt;
    const T r = sqrt(x[0] * x[0] + x[1] * x[1]);
    const T n0 = x[0] / r, n1 = x[1] / r, s = T(std::sqrt(1 - c * c));
    // columns n + c·t and s·t with t = (−n1, n0)
    S[0] = n0 - c * n1;
    S[1] = -(s * n1);
    S[2] = n1 + c * n0;
    S[3] = s * n0;
  }
};

/// f_i = √a_i(x)·y_i, i < 2, target 0, a_1 = 1.5 + sin x, a_2 = 6.5 − sin x, as two samples of one output or
/// as one sample with two. θ = (x, y_1, y_2); Γ: y = 0; ∇²L = diag(0, a_1, a_2)/n.
template <bool two_samples>
struct TwoValleysForTest {
  static constexpr int dim = 3, outputs_count = two_samples ? 1 : 2;
  int samples() const { return two_samples ? 2 : 1; }
  template <class T, class I>
  void outputs(const T* z, const I& i, T* f) const {
    using std::sin;
    using std::sqrt;
    const T first = sqrt(1.5 + sin(z[0])) * z[1], second = sqrt(6.5 - sin(z[0])) * z[2];
    if constexpr (two_samples) {
      f[0] = i == 0 ? first : second;
    } else {
      f[0] = first;
      f[1] = second;
    }
  }
  template <class I, class T>
  void targets(const I&, T* y) const {
    for (int c = 0; c < outputs_count; ++c) y[c] = T(0.0);
  }
};

}  // namespace slowsde::test
