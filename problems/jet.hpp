// Jets: scalars that carry derivatives. `Taylor<T, N>` is a truncated power series in one variable, `Dual<T,
// D>` a value with D first derivatives; they nest (Dual<Taylor<double, 2>, D> holds the gradient of a second
// directional derivative) and take packs as their T. A problem written over a scalar type T is differentiated
// by evaluating it.
#pragma once

#include <array>
#include <cmath>
#include <type_traits>

#include "slowsde/problems/host_device.hpp"

namespace slowsde {

/// Σ_{k≤N} c[k] s^k + O(s^{N+1}).
template <class T, int N>
struct Taylor {
  using Scalar = T;
  std::array<T, N + 1> c;

  Taylor() = default;
  /// A constant.
  template <class U>
  requires std::is_convertible_v<U, T> SLOWSDE_HD Taylor(const U& value) {
    c[0] = T(value);
    for (int k = 1; k <= N; ++k) c[k] = T(0);
  }
  /// x + s·u.
  SLOWSDE_HD static Taylor line(const T& x, const T& u) {
    Taylor result(x);
    if constexpr (N >= 1) result.c[1] = u;
    return result;
  }
  /// k-th derivative at s = 0: k!·c[k].
  SLOWSDE_HD T derivative(int k) const {
    double factorial = 1;
    for (int j = 2; j <= k; ++j) factorial *= j;
    return c[k] * T(factorial);
  }

  SLOWSDE_HD friend Taylor operator+(const Taylor& a, const Taylor& b) {
    Taylor r;
    for (int k = 0; k <= N; ++k) r.c[k] = a.c[k] + b.c[k];
    return r;
  }
  SLOWSDE_HD friend Taylor operator-(const Taylor& a, const Taylor& b) {
    Taylor r;
    for (int k = 0; k <= N; ++k) r.c[k] = a.c[k] - b.c[k];
    return r;
  }
  SLOWSDE_HD friend Taylor operator-(const Taylor& a) {
    Taylor r;
    for (int k = 0; k <= N; ++k) r.c[k] = -a.c[k];
    return r;
  }
  SLOWSDE_HD friend Taylor operator*(const Taylor& a, const Taylor& b) {
    Taylor r;
    for (int k = 0; k <= N; ++k) {
      r.c[k] = a.c[0] * b.c[k];
      for (int j = 1; j <= k; ++j) r.c[k] = r.c[k] + a.c[j] * b.c[k - j];
    }
    return r;
  }
  SLOWSDE_HD friend Taylor operator/(const Taylor& a, const Taylor& b) {  // b·r = a, solved for r.c[k]
    Taylor r;
    for (int k = 0; k <= N; ++k) {
      T numerator = a.c[k];
      for (int j = 1; j <= k; ++j) numerator = numerator - b.c[j] * r.c[k - j];
      r.c[k] = numerator / b.c[0];
    }
    return r;
  }
  SLOWSDE_HD friend Taylor& operator+=(Taylor& a, const Taylor& b) { return a = a + b; }
  SLOWSDE_HD friend Taylor& operator-=(Taylor& a, const Taylor& b) { return a = a - b; }
  SLOWSDE_HD friend Taylor& operator*=(Taylor& a, const Taylor& b) { return a = a * b; }
  SLOWSDE_HD friend Taylor& operator/=(Taylor& a, const Taylor& b) { return a = a / b; }
};

template <class T, int N>
SLOWSDE_HD Taylor<T, N> sqrt(const Taylor<T, N>& a) {  // r² = a
  using std::sqrt;
  Taylor<T, N> r;
  r.c[0] = sqrt(a.c[0]);
  for (int k = 1; k <= N; ++k) {
    T rest = a.c[k];
    for (int j = 1; j < k; ++j) rest = rest - r.c[j] * r.c[k - j];
    r.c[k] = rest / (T(2.0) * r.c[0]);
  }
  return r;
}

template <class T, int N>
SLOWSDE_HD Taylor<T, N> exp(const Taylor<T, N>& a) {  // r' = a'r
  using std::exp;
  Taylor<T, N> r;
  r.c[0] = exp(a.c[0]);
  for (int k = 1; k <= N; ++k) {
    T sum(0);
    for (int j = 1; j <= k; ++j) sum = sum + T(j) * a.c[j] * r.c[k - j];
    r.c[k] = sum / T(k);
  }
  return r;
}

template <class T, int N>
SLOWSDE_HD Taylor<T, N> log(const Taylor<T, N>& a) {  // a r' = a'
  using std::log;
  Taylor<T, N> r;
  r.c[0] = log(a.c[0]);
  for (int k = 1; k <= N; ++k) {
    T sum(0);
    for (int j = 1; j < k; ++j) sum = sum + T(j) * r.c[j] * a.c[k - j];
    r.c[k] = (a.c[k] - sum / T(k)) / a.c[0];
  }
  return r;
}

template <class T, int N>
SLOWSDE_HD void sin_cos(const Taylor<T, N>& a, Taylor<T, N>& s, Taylor<T, N>& c) {  // s' = a'c, c' = −a's
  using std::cos;
  using std::sin;
  s.c[0] = sin(a.c[0]);
  c.c[0] = cos(a.c[0]);
  for (int k = 1; k <= N; ++k) {
    T sine(0), cosine(0);
    for (int j = 1; j <= k; ++j) {
      sine = sine + T(j) * a.c[j] * c.c[k - j];
      cosine = cosine - T(j) * a.c[j] * s.c[k - j];
    }
    s.c[k] = sine / T(k);
    c.c[k] = cosine / T(k);
  }
}
template <class T, int N>
SLOWSDE_HD Taylor<T, N> sin(const Taylor<T, N>& a) {
  Taylor<T, N> s, c;
  sin_cos(a, s, c);
  return s;
}
template <class T, int N>
SLOWSDE_HD Taylor<T, N> cos(const Taylor<T, N>& a) {
  Taylor<T, N> s, c;
  sin_cos(a, s, c);
  return c;
}

template <class T, int N>
SLOWSDE_HD Taylor<T, N> tanh(const Taylor<T, N>& a) {  // r' = a'(1 − r²)
  using std::tanh;
  Taylor<T, N> r, w;  // w = 1 − r², built one coefficient behind r
  r.c[0] = tanh(a.c[0]);
  w.c[0] = T(1.0) - r.c[0] * r.c[0];
  for (int k = 1; k <= N; ++k) {
    T sum(0);
    for (int j = 1; j <= k; ++j) sum = sum + T(j) * a.c[j] * w.c[k - j];
    r.c[k] = sum / T(k);
    T square(0);
    for (int j = 0; j <= k; ++j) square = square + r.c[j] * r.c[k - j];
    w.c[k] = -square;
  }
  return r;
}

/// A value and its first derivatives with respect to D variables.
template <class T, int D>
struct Dual {
  using Scalar = T;
  T v;
  std::array<T, D> d;

  Dual() = default;
  /// A constant.
  template <class U>
  requires std::is_convertible_v<U, T> SLOWSDE_HD Dual(const U& value) : v(value) {
    for (int i = 0; i < D; ++i) d[i] = T(0);
  }
  /// The variable number i.
  SLOWSDE_HD static Dual variable(const T& value, int i) {
    Dual result(value);
    result.d[i] = T(1);
    return result;
  }
  /// f(a) with value f and derivative f'.
  SLOWSDE_HD static Dual chain(const T& f, const T& slope, const Dual& a) {
    Dual r;
    r.v = f;
    for (int i = 0; i < D; ++i) r.d[i] = slope * a.d[i];
    return r;
  }

  SLOWSDE_HD friend Dual operator+(const Dual& a, const Dual& b) {
    Dual r;
    r.v = a.v + b.v;
    for (int i = 0; i < D; ++i) r.d[i] = a.d[i] + b.d[i];
    return r;
  }
  SLOWSDE_HD friend Dual operator-(const Dual& a, const Dual& b) {
    Dual r;
    r.v = a.v - b.v;
    for (int i = 0; i < D; ++i) r.d[i] = a.d[i] - b.d[i];
    return r;
  }
  SLOWSDE_HD friend Dual operator-(const Dual& a) { return chain(-a.v, T(-1.0), a); }
  SLOWSDE_HD friend Dual operator*(const Dual& a, const Dual& b) {
    Dual r;
    r.v = a.v * b.v;
    for (int i = 0; i < D; ++i) r.d[i] = a.d[i] * b.v + a.v * b.d[i];
    return r;
  }
  SLOWSDE_HD friend Dual operator/(const Dual& a, const Dual& b) {
    Dual r;
    const T inverse = T(1.0) / b.v;
    r.v = a.v * inverse;
    for (int i = 0; i < D; ++i) r.d[i] = (a.d[i] - r.v * b.d[i]) * inverse;
    return r;
  }
  SLOWSDE_HD friend Dual& operator+=(Dual& a, const Dual& b) { return a = a + b; }
  SLOWSDE_HD friend Dual& operator-=(Dual& a, const Dual& b) { return a = a - b; }
  SLOWSDE_HD friend Dual& operator*=(Dual& a, const Dual& b) { return a = a * b; }
  SLOWSDE_HD friend Dual& operator/=(Dual& a, const Dual& b) { return a = a / b; }
};

template <class T, int D>
SLOWSDE_HD Dual<T, D> sqrt(const Dual<T, D>& a) {
  using std::sqrt;
  const T root = sqrt(a.v);
  return Dual<T, D>::chain(root, T(0.5) / root, a);
}
template <class T, int D>
SLOWSDE_HD Dual<T, D> exp(const Dual<T, D>& a) {
  using std::exp;
  const T e = exp(a.v);
  return Dual<T, D>::chain(e, e, a);
}
template <class T, int D>
SLOWSDE_HD Dual<T, D> log(const Dual<T, D>& a) {
  using std::log;
  return Dual<T, D>::chain(log(a.v), T(1.0) / a.v, a);
}
template <class T, int D>
SLOWSDE_HD Dual<T, D> sin(const Dual<T, D>& a) {
  using std::cos;
  using std::sin;
  return Dual<T, D>::chain(sin(a.v), cos(a.v), a);
}
template <class T, int D>
SLOWSDE_HD Dual<T, D> cos(const Dual<T, D>& a) {
  using std::cos;
  using std::sin;
  return Dual<T, D>::chain(cos(a.v), -sin(a.v), a);
}
template <class T, int D>
SLOWSDE_HD Dual<T, D> tanh(const Dual<T, D>& a) {
  using std::tanh;
  const T t = tanh(a.v);
  return Dual<T, D>::chain(t, T(1.0) - t * t, a);
}

template <class T, int N>
SLOWSDE_HD Taylor<T, N> rsqrt(const Taylor<T, N>& a) {
  return Taylor<T, N>(1.0) / sqrt(a);
}
template <class T, int D>
SLOWSDE_HD Dual<T, D> rsqrt(const Dual<T, D>& a) {
  return Dual<T, D>(1.0) / sqrt(a);
}

namespace detail {

template <class Jet>
SLOWSDE_HD Jet jet_power(Jet base, int n) {
  Jet result(1.0);
  for (unsigned m = n < 0 ? 0u - static_cast<unsigned>(n) : static_cast<unsigned>(n); m != 0; m >>= 1) {
    if (m & 1u) result = result * base;
    if (m > 1) base = base * base;
  }
  return n < 0 ? Jet(1.0) / result : result;
}

}  // namespace detail

template <class T, int N>
SLOWSDE_HD Taylor<T, N> pow(const Taylor<T, N>& a, int n) {
  return detail::jet_power(a, n);
}
template <class T, int D>
SLOWSDE_HD Dual<T, D> pow(const Dual<T, D>& a, int n) {
  return detail::jet_power(a, n);
}

}  // namespace slowsde
