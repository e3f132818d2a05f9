// Activations and group norm over truncated Taylor series x(s) = Σ_{k≤N} x_k s^k whose coefficients lie in
// separate matrices: element by element, with all coefficients of one element in registers.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>

#include "slowsde/problems/host_device.hpp"
#include "slowsde/problems/jet.hpp"
#include "slowsde/problems/network.hpp"
#include "slowsde/problems/pack_math.hpp"

namespace slowsde::detail {

/// Coefficients 0 … N of one element, or the matrices that hold them.
template <class V, int N>
using Coefficients = std::array<V, N + 1>;

template <class V, int N>
SLOWSDE_INLINE Coefficients<V, N> load(const Coefficients<V*, N>& x, std::ptrdiff_t i) {
  Coefficients<V, N> r;
  for (int k = 0; k <= N; ++k) r[k] = x[k][i];
  return r;
}
template <int First, class V, int N>
SLOWSDE_INLINE void store(const Coefficients<V, N>& r, const Coefficients<V*, N>& x, std::ptrdiff_t i) {
  for (int k = First; k <= N; ++k) x[k][i] = r[k];
}

/// (x·y)_k = Σ_j x_j y_{k−j}
template <class A, class B>
SLOWSDE_INLINE auto product_term(const A& x, const B& y, int k) {
  auto sum = x[0] * y[k];
  for (int j = 1; j <= k; ++j) sum = sum + x[j] * y[k - j];
  return sum;
}
template <class V, std::size_t M>
SLOWSDE_INLINE std::array<V, M> series_product(const std::array<V, M>& x, const std::array<V, M>& y) {
  std::array<V, M> r;
  for (int k = 0; k < static_cast<int>(M); ++k) r[k] = product_term(x, y, k);
  return r;
}

/// p' = q z': p_k = (1/k) Σ_{j≥1} j z_j q_{k−j}
template <class A>
SLOWSDE_INLINE auto chain_term(const A& z, const A& q, int k) {
  auto sum = z[1] * q[k - 1];
  for (int j = 2; j <= k; ++j) sum = sum + static_cast<double>(j) * (z[j] * q[k - j]);
  return k == 1 ? sum : (1.0 / k) * sum;
}

/// x where `sign` is positive, else 0.
template <class V>
SLOWSDE_INLINE V where_positive(const V& sign, const V& x) {
  if constexpr (requires { select(sign > sign, x, x); }) {
    return select(sign > V(0.0), x, V(0.0));
  } else {
    return sign > V(0.0) ? x : V(0.0);
  }
}
template <class T, int M>
Taylor<T, M> where_positive(const Taylor<T, M>& sign, const Taylor<T, M>& x) {
  Taylor<T, M> r;
  for (int k = 0; k <= M; ++k) r.c[k] = where_positive(sign.c[0], x.c[k]);
  return r;
}

// What a reverse pass needs of an activation beside its output a: for SiLU p = 1/(1 + e^{−z}) as well. With
// First = 1 coefficient 0 of a and p is given and the higher ones follow.

template <int First, class V, std::size_t M>
SLOWSDE_INLINE void tanh_series(const std::array<V, M>& z, std::array<V, M>& a) {
  using std::tanh;
  std::array<V, M> slope;
  if constexpr (First == 0) a[0] = tanh(z[0]);
  slope[0] = 1.0 - a[0] * a[0];
  for (int k = 1; k < static_cast<int>(M); ++k) {
    a[k] = chain_term(z, slope, k);
    slope[k] = -product_term(a, a, k);
  }
}
template <class V, std::size_t M>
SLOWSDE_INLINE std::array<V, M> tanh_slope(const std::array<V, M>& a) {
  std::array<V, M> slope;
  slope[0] = 1.0 - a[0] * a[0];
  for (int k = 1; k < static_cast<int>(M); ++k) slope[k] = -product_term(a, a, k);
  return slope;
}

template <class V, std::size_t M>
SLOWSDE_INLINE std::array<V, M> silu_slope(const std::array<V, M>& a, const std::array<V, M>& p) {
  std::array<V, M> slope;  // φ' = p + φ(1 − p)
  for (int k = 0; k < static_cast<int>(M); ++k) slope[k] = p[k] + (a[k] - product_term(a, p, k));
  return slope;
}
template <int First, class V, std::size_t M>
SLOWSDE_INLINE void silu_series(const std::array<V, M>& z, std::array<V, M>& a, std::array<V, M>& p) {
  using std::tanh;
  std::array<V, M> slope, q;  // q = p' = p − p²
  if constexpr (First == 0) {
    p[0] = 0.5 * tanh(0.5 * z[0]) + 0.5;  // which cannot overflow
    a[0] = z[0] * p[0];
  }
  q[0] = p[0] - p[0] * p[0];
  slope[0] = p[0] + a[0] * (1.0 - p[0]);
  for (int k = 1; k < static_cast<int>(M); ++k) {
    p[k] = chain_term(z, q, k);
    a[k] = chain_term(z, slope, k);
    q[k] = p[k] - product_term(p, p, k);
    slope[k] = p[k] + (a[k] - product_term(a, p, k));
  }
}

/// a = tanh z, four packs at a time: one alone would wait for the latency of every step.
template <class V>
SLOWSDE_INLINE void tanh_all(std::ptrdiff_t count, const V* z, V* a) {
  using std::tanh;
  std::ptrdiff_t i = 0;
  if constexpr (lane_count < V >> 1) {
    for (; i + 4 <= count; i += 4) {
      V x[4] = {z[i], z[i + 1], z[i + 2], z[i + 3]};
      tanh_of(x);
      for (int g = 0; g < 4; ++g) a[i + g] = x[g];
    }
  }
  for (; i < count; ++i) a[i] = tanh(z[i]);
}

/// a = φ(z) for coefficients First … N; z and a may be the same matrices. p: for SiLU only.
template <int First, class V, int N>
void activate(Activation activation, std::ptrdiff_t count, const Coefficients<V*, N>& z,
              const Coefficients<V*, N>& a, const Coefficients<V*, N>& p) {
  const auto over = [&](auto&& series) __attribute__((always_inline)) {
    for (std::ptrdiff_t i = 0; i < count; ++i) {
      Coefficients<V, N> x, y;
      for (int k = First; k <= N; ++k) x[k] = z[k][i];
      if constexpr (First > 0) y[0] = a[0][i];
      series(i, x, y);
      store<First, V, N>(y, a, i);
    }
  };
  switch (activation) {
    case Activation::tanh:
      if constexpr (N == 0) {
        tanh_all(count, z[0], a[0]);
        break;
      }
      over([&](std::ptrdiff_t, const auto& x, auto& y)
               __attribute__((always_inline)) { tanh_series<First>(x, y); });
      break;
    case Activation::silu:
      over([&](std::ptrdiff_t i, const auto& x, auto& y) __attribute__((always_inline)) {
        Coefficients<V, N> sigmoid;
        if constexpr (First > 0) sigmoid[0] = p[0][i];
        silu_series<First>(x, y, sigmoid);
        store<First, V, N>(sigmoid, p, i);
      });
      break;
    case Activation::relu:
      over([&](std::ptrdiff_t, const auto& x, auto& y) __attribute__((always_inline)) {
        const V on = First == 0 ? x[0] : y[0];  // a_0 is positive where z_0 is
        for (int k = First; k <= N; ++k) y[k] = where_positive(on, x[k]);
      });
  }
}

/// δz = δa·φ'(z) for coefficients First … N; δa and δz may be the same matrices.
template <int First, class V, int N>
void activate_reverse(Activation activation, std::ptrdiff_t count, const Coefficients<V*, N>& a,
                      const Coefficients<V*, N>& p, const Coefficients<V*, N>& da,
                      const Coefficients<V*, N>& dz) {
  const auto over = [&](auto&& slope_of) __attribute__((always_inline)) {
    for (std::ptrdiff_t i = 0; i < count; ++i) {
      const Coefficients<V, N> slope = slope_of(i), d = load<V, N>(da, i);
      for (int k = First; k <= N; ++k) dz[k][i] = product_term(d, slope, k);
    }
  };
  switch (activation) {
    case Activation::tanh:
      over([&](std::ptrdiff_t i) __attribute__((always_inline)) { return tanh_slope(load<V, N>(a, i)); });
      break;
    case Activation::silu:
      over([&](std::ptrdiff_t i)
               __attribute__((always_inline)) { return silu_slope(load<V, N>(a, i), load<V, N>(p, i)); });
      break;
    case Activation::relu:
      over([&](std::ptrdiff_t i) __attribute__((always_inline)) {
        Coefficients<V, N> slope;
        slope[0] = where_positive(a[0][i], V(1.0));
        for (int k = 1; k <= N; ++k) slope[k] = V(0.0);
        return slope;
      });
  }
}

/// v^{−1/2}: v r' = −½ v' r
template <class V, std::size_t M>
SLOWSDE_INLINE std::array<V, M> inverse_root(const std::array<V, M>& v) {
  using std::sqrt;
  std::array<V, M> r;
  r[0] = 1.0 / sqrt(v[0]);
  for (int k = 1; k < static_cast<int>(M); ++k) {
    V sum(0.0);
    for (int j = 1; j <= k; ++j) sum = sum + (-0.5 * j - (k - j)) * (v[j] * r[k - j]);
    r[k] = (1.0 / k) * sum / v[0];
  }
  return r;
}

/// Group norm of one group in one column: `features` entries per coefficient, `columns` apart. gamma(f),
/// beta(f): the series of feature f's scale and shift. Stores ẑ = (z − μ)r, r = (v + eps)^{−1/2} and y = γẑ +
/// β; z and y may be the same matrices. With First = 1, z_0 is not read: z_0 − μ_0 = ẑ_0/r_0.
template <int First, class V, int N, class Scale, class Shift>
SLOWSDE_INLINE void group_norm(int features, std::ptrdiff_t columns, double eps, const Coefficients<V*, N>& z,
                               const Coefficients<V*, N>& normed, const Coefficients<V*, N>& root,
                               const Coefficients<V*, N>& y, Scale&& gamma, Shift&& beta) {
  const double inverse_count = 1.0 / features;
  Coefficients<V, N> mean, variance;
  for (int k = 0; k <= N; ++k) mean[k] = variance[k] = V(0.0);
  for (int f = 0; f < features; ++f)
    for (int k = First; k <= N; ++k) mean[k] = mean[k] + z[k][f * columns];
  for (int k = First; k <= N; ++k) mean[k] = inverse_count * mean[k];
  const V deviation = First > 0 ? 1.0 / root[0][0] : V(0.0);
  const auto centred = [&](int f) __attribute__((always_inline)) {
    Coefficients<V, N> c;
    if constexpr (First > 0) c[0] = normed[0][f * columns] * deviation;
    for (int k = First; k <= N; ++k) c[k] = z[k][f * columns] - mean[k];
    return c;
  };
  for (int f = 0; f < features; ++f) {
    const Coefficients<V, N> c = centred(f);
    for (int k = 0; k <= N; ++k) variance[k] = variance[k] + product_term(c, c, k);
  }
  for (int k = 0; k <= N; ++k) variance[k] = inverse_count * variance[k];
  variance[0] = variance[0] + V(eps);
  Coefficients<V, N> r = inverse_root(variance);
  if constexpr (First > 0) r[0] = root[0][0];
  store<First, V, N>(r, root, 0);
  for (int f = 0; f < features; ++f) {
    const Coefficients<V, N> unit = series_product(centred(f), r), scale = gamma(f), shift = beta(f);
    store<First, V, N>(unit, normed, f * columns);
    for (int k = First; k <= N; ++k) y[k][f * columns] = product_term(scale, unit, k) + shift[k];
  }
}

/// δz = r(δẑ − mean δẑ − ẑ mean(δẑ ẑ)), δẑ = γ δy; δy and δz may be the same matrices.
template <int First, class V, int N, class Scale>
SLOWSDE_INLINE void group_norm_reverse(int features, std::ptrdiff_t columns,
                                       const Coefficients<V*, N>& normed, const Coefficients<V*, N>& root,
                                       const Coefficients<V*, N>& dy, const Coefficients<V*, N>& dz,
                                       Scale&& gamma) {
  const double inverse_count = 1.0 / features;
  Coefficients<V, N> mean, slope;
  for (int k = 0; k <= N; ++k) mean[k] = slope[k] = V(0.0);
  const auto scaled = [&](int f) __attribute__((always_inline)) {
    return series_product(gamma(f), load<V, N>(dy, f * columns));
  };
  for (int f = 0; f < features; ++f) {
    const Coefficients<V, N> d = scaled(f), unit = load<V, N>(normed, f * columns);
    for (int k = 0; k <= N; ++k) {
      mean[k] = mean[k] + d[k];
      slope[k] = slope[k] + product_term(d, unit, k);
    }
  }
  for (int k = 0; k <= N; ++k) {
    mean[k] = inverse_count * mean[k];
    slope[k] = inverse_count * slope[k];
  }
  const Coefficients<V, N> r = load<V, N>(root, 0);
  for (int f = 0; f < features; ++f) {
    const Coefficients<V, N> unit = load<V, N>(normed, f * columns);
    Coefficients<V, N> d = scaled(f);
    for (int k = 0; k <= N; ++k) d[k] = d[k] - mean[k] - product_term(unit, slope, k);
    for (int k = First; k <= N; ++k) dz[k][f * columns] = product_term(r, d, k);
  }
}

}  // namespace slowsde::detail
