// exp, log, sin, cos and tanh of packs as polynomials of our own: no library call lies in a step loop, and
// the bits are the same on every instruction set. The series are truncated where their remainder falls below
// half a unit in the last place; the measured errors stand beside each function and are held by its test.
#pragma once

#include <array>
#include <concepts>
#include <limits>
#include <type_traits>

#include "slowsde/problems/pack.hpp"

namespace slowsde {
namespace detail {

/// Horner's rule in fused steps; coefficients from the highest power down.
template <class P, std::size_t N>
SLOWSDE_HD SLOWSDE_INLINE P horner(P x, const std::array<double, N>& coefficients) {
  P result(coefficients[0]);
  SLOWSDE_UNROLL(32)
  for (std::size_t k = 1; k < N; ++k) result = fma(result, x, P(coefficients[k]));
  return result;
}

/// Σ_k x^k/(k+shift)! for k < N, from the highest power down: the tails of the exponential series.
template <std::size_t N>
constexpr std::array<double, N> inverse_factorials(int shift, int stride, bool alternate) {
  std::array<double, N> result{};
  for (std::size_t k = 0; k < N; ++k) {
    double factorial = 1;
    const int n = static_cast<int>(k) * stride + shift;
    for (int j = 2; j <= n; ++j) factorial *= j;
    result[N - 1 - k] = ((alternate && k % 2 == 1) ? -1.0 : 1.0) / factorial;
  }
  return result;
}

/// 2/(2k+3), from the highest power down: log((1+s)/(1−s)) = 2s + s³ Σ_k 2 s^{2k}/(2k+3).
template <std::size_t N>
constexpr std::array<double, N> log_series() {
  std::array<double, N> result{};
  for (std::size_t k = 0; k < N; ++k) result[N - 1 - k] = 2.0 / (2.0 * static_cast<double>(k) + 3.0);
  return result;
}

template <class Real>
struct Float;
template <>
struct Float<double> {
  static constexpr int mantissa = 52, bias = 1023;
  static constexpr double round_magic = 6755399441055744.0;  // 1.5·2^52: adding it rounds to an integer
  static constexpr double ln2_high = 0x1.62e42fefa3p-1, ln2_low = 0x1.3de6af278ece6p-42;
  static constexpr double half_pi[3] = {0x1.921fb544p+0, 0x1.0b4611a6p-34, 0x1.3198a2e037073p-69};
  static constexpr std::size_t exp_terms = 14, sin_terms = 7, cos_terms = 8, log_terms = 10;
  static constexpr double exp_largest = 709.782712893384, exp_least = -745.2;
};
template <>
struct Float<float> {
  static constexpr int mantissa = 23, bias = 127;
  static constexpr double round_magic = 12582912.0;
  static constexpr double ln2_high = 0x1.62ep-1, ln2_low = 0x1.0bfbe8e7bcd5ep-15;
  static constexpr double half_pi[3] = {0x1.92p+0, 0x1.fbp-12, 0x1.5110b4611a626p-22};
  static constexpr std::size_t exp_terms = 8, sin_terms = 4, cos_terms = 4, log_terms = 5;
  static constexpr double exp_largest = 88.72283, exp_least = -104;
};

// The pieces below work on `Chains` independent packs, each step for all of them before the next: one chain
// alone would wait for the latency of every multiply-add.
#define SLOWSDE_EACH(g, Chains) SLOWSDE_UNROLL(16) for (int g = 0; g < Chains; ++g)

/// result[g] = polynomial at x[g], by Horner's rule in fused steps; coefficients from the highest power down.
template <class P, int Chains, std::size_t N>
SLOWSDE_HD SLOWSDE_INLINE void horner(const P (&x)[Chains], const std::array<double, N>& coefficients,
                                      P (&result)[Chains]) {
  SLOWSDE_EACH(g, Chains) result[g] = P(coefficients[0]);
  SLOWSDE_UNROLL(32)
  for (std::size_t k = 1; k < N; ++k)
    SLOWSDE_EACH(g, Chains) result[g] = fma(result[g], x[g], P(coefficients[k]));
}

/// s ← sin s, c ← cos s for |s| ≤ π/4.
template <class Real, int W, int Chains>
SLOWSDE_HD SLOWSDE_INLINE void sin_cos_reduced(Pack<Real, W> (&s)[Chains], Pack<Real, W> (&c)[Chains]) {
  using P = Pack<Real, W>;
  constexpr auto sin_series = inverse_factorials<Float<Real>::sin_terms>(3, 2, true);
  constexpr auto cos_series = inverse_factorials<Float<Real>::cos_terms>(4, 2, true);
  P z[Chains], p[Chains];
  SLOWSDE_EACH(g, Chains) z[g] = s[g] * s[g];
  horner(z, cos_series, p);
  // 1 − x²/2 + x⁴(1/4! − x²/6! + …)
  SLOWSDE_EACH(g, Chains) c[g] = fma(z[g] * z[g], p[g], fma(z[g], P(-0.5), P(1.0)));
  horner(z, sin_series, p);
  SLOWSDE_EACH(g, Chains) s[g] = fma(-(s[g] * z[g]), p[g], s[g]);  // x − x³(1/3! − x²/5! + …)
}

/// x ← ln x for positive normal x, without the checks of `log`.
template <class Real, int W, int Chains>
SLOWSDE_HD SLOWSDE_INLINE void log_of_normal(Pack<Real, W> (&x)[Chains]) {
  using P = Pack<Real, W>;
  using Ints = IntVector<Real, W>;
  using F = Float<Real>;
  using Int = SignedOf<Real>;
  // x = 2^e·m with m in [√½, √2): shifting the bits by those of √½ makes the carry choose e.
  const Int root_half_bits =
      sizeof(Real) == 8 ? static_cast<Int>(0x3fe6a09e667f3bcdLL) : static_cast<Int>(0x3f3504f3);
  P exponent[Chains], s[Chains], z[Chains], p[Chains];
  SLOWSDE_EACH(g, Chains) {
    const Ints bits = bits_as<Ints>(x[g].v);
    const Ints e = (bits - root_half_bits) >> F::mantissa;
    const P m = bits_as<typename P::Vector>(bits - (e << F::mantissa));
    exponent[g] = converted<typename P::Vector>(e);
    s[g] = (m - P(1.0)) / (m + P(1.0));
  }
  SLOWSDE_EACH(g, Chains) z[g] = s[g] * s[g];
  constexpr auto series = log_series<F::log_terms>();
  horner(z, series, p);
  SLOWSDE_EACH(g, Chains) {
    // log m = 2s + s³·series; the low part of e·ln 2 joins the small terms.
    const P tail = fma(s[g] * z[g], p[g], exponent[g] * P(F::ln2_low));
    x[g] = fma(exponent[g], P(F::ln2_high), s[g] + s[g] + tail);
  }
}

/// y[g] = 1/√x[g]; see `rsqrt`.
template <class Real, int W, int Chains>
SLOWSDE_HD SLOWSDE_INLINE void rsqrt(const Pack<Real, W> (&x)[Chains], Pack<Real, W> (&y)[Chains]) {
  using P = Pack<Real, W>;
  using Ints = IntVector<Real, W>;
  using Int = SignedOf<Real>;
  constexpr bool wide = sizeof(Real) == 8;
  const Int magic = wide ? static_cast<Int>(0x5fe6eb50c7b537a9LL) : static_cast<Int>(0x5f3759df);
  P half_x[Chains];
  SLOWSDE_EACH(g, Chains) {
    y[g] = bits_as<typename P::Vector>(magic - (bits_as<Ints>(x[g].v) >> 1));
    half_x[g] = P(0.5) * x[g];
  }
  SLOWSDE_UNROLL(4)
  for (int step = 0; step < (wide ? 4 : 3); ++step)
    SLOWSDE_EACH(g, Chains) y[g] = fma(y[g], fma(-(half_x[g] * y[g]), y[g], P(0.5)), y[g]);
}

/// u ← √(−2 ln u), the radius of Box–Muller, for 0 < u ≤ 1.
template <class Real, int W, int Chains>
SLOWSDE_HD SLOWSDE_INLINE void radius_of(Pack<Real, W> (&u)[Chains]) {
  using P = Pack<Real, W>;
  P root[Chains];
  log_of_normal(u);
  // ln u is rounded to ≤ 0 but for u = 1 in single precision, where −0 would do as well.
  SLOWSDE_EACH(g, Chains) u[g] = max(P(-2.0) * u[g], P(0.0));
  rsqrt(u, root);
  SLOWSDE_EACH(g, Chains) u[g] = u[g] * root[g];
}

/// x[g] ← tanh x[g]; see `tanh`.
template <class Real, int W, int Chains>
SLOWSDE_HD SLOWSDE_INLINE void tanh_of(Pack<Real, W> (&x)[Chains]) {
  using P = Pack<Real, W>;
  using F = Float<Real>;
  using Ints = IntVector<Real, W>;
  P y[Chains], n[Chains], r[Chains], p[Chains];
  SLOWSDE_EACH(g, Chains) {
    y[g] = min(abs(x[g]) * P(2.0), P(44.0));
    n[g] = fma(y[g], P(1.4426950408889634), P(F::round_magic)) - P(F::round_magic);
    r[g] = fma(n[g], P(-F::ln2_low), fma(n[g], P(-F::ln2_high), y[g]));
  }
  constexpr auto series = inverse_factorials<F::exp_terms - 1>(1, 1, false);
  horner(r, series, p);
  SLOWSDE_EACH(g, Chains) {
    // e^y − 1 = 2^n(e^r − 1) + (2^n − 1): both terms have the same sign or the second vanishes.
    const Ints k = converted<Ints>(n[g].v);
    const P two_n = bits_as<typename P::Vector>((k + F::bias) << F::mantissa);
    const P q = fma(two_n, r[g] * p[g], two_n - P(1.0));
    const P magnitude = q / (q + P(2.0));
    x[g] = select(x[g] == x[g], select(x[g] < P(0.0), -magnitude, magnitude), x[g]);
  }
}

}  // namespace detail

/// 1/√x for positive normal x; a large finite number at 0, so that x·rsqrt(x) is 0 there. Newton's iteration
/// y ← y + y(½ − ½x·y²) from the halved exponent: multiplications only, where √ and / would queue for the one
/// divider. Error ≤ 2 ulp.
template <class Real, int W>
SLOWSDE_HD SLOWSDE_INLINE Pack<Real, W> rsqrt(Pack<Real, W> x) {
  const Pack<Real, W> in[1] = {x};
  Pack<Real, W> out[1];
  detail::rsqrt(in, out);
  return out[0];
}
/// A template, so that it yields to CUDA's own rsqrt where a problem's text sees both.
template <std::same_as<double> Real>
SLOWSDE_HD Real rsqrt(Real x) {
  return 1 / std::sqrt(x);
}

/// e^x; overflows to ∞, underflows gradually to 0. Error ≤ 1.5 ulp in normal range.
template <class Real, int W>
SLOWSDE_HD SLOWSDE_INLINE Pack<Real, W> exp(Pack<Real, W> x) {
  using P = Pack<Real, W>;
  using F = detail::Float<Real>;
  using Ints = detail::IntVector<Real, W>;
  const P clamped = min(max(x, P(F::exp_least)), P(F::exp_largest + 1));
  const P shifted = fma(clamped, P(1.4426950408889634), P(F::round_magic));
  const P n = shifted - P(F::round_magic);
  const P r = fma(n, P(-F::ln2_low), fma(n, P(-F::ln2_high), clamped));
  constexpr auto series = detail::inverse_factorials<F::exp_terms>(0, 1, false);
  const P p = detail::horner(r, series);
  // 2^n in two factors: n reaches beyond the exponents that one normal number can hold.
  const Ints k = detail::converted<Ints>(n.v);
  const Ints k1 = k >> 1, k2 = k - k1;
  const P two_k1 = detail::bits_as<typename P::Vector>((k1 + F::bias) << F::mantissa);
  const P two_k2 = detail::bits_as<typename P::Vector>((k2 + F::bias) << F::mantissa);
  const P result = p * two_k1 * two_k2;
  return select(x == x, result, x);
}

/// ln x; −∞ at 0, NaN below. Subnormal x counts as 0. Error ≤ 2 ulp.
template <class Real, int W>
SLOWSDE_HD SLOWSDE_INLINE Pack<Real, W> log(Pack<Real, W> x) {
  using P = Pack<Real, W>;
  constexpr Real infinity = std::numeric_limits<Real>::infinity();
  P result_of[1] = {x};
  detail::log_of_normal(result_of);
  const P result = result_of[0];
  const P least(std::numeric_limits<Real>::min());
  P fixed =
      select(x < least, select(x < P(0.0), P(std::numeric_limits<Real>::quiet_NaN()), P(-infinity)), result);
  fixed = select(x == P(infinity), x, fixed);
  return select(x == x, fixed, x);
}

/// sin x and cos x together, for |x| ≤ 10⁵ (beyond, the reduction loses digits). Absolute error ≤ 1.5 ulp
/// of 1.
template <class Real, int W>
SLOWSDE_HD SLOWSDE_INLINE void sin_cos(Pack<Real, W> x, Pack<Real, W>& sine, Pack<Real, W>& cosine) {
  using P = Pack<Real, W>;
  using F = detail::Float<Real>;
  using Ints = detail::IntVector<Real, W>;
  const P n = fma(x, P(0.63661977236758134), P(F::round_magic)) - P(F::round_magic);
  constexpr double high = F::half_pi[0], middle = F::half_pi[1], low = F::half_pi[2];
  P r = fma(n, P(-high), x);
  r = fma(n, P(-middle), r);
  r = fma(n, P(-low), r);
  P s_of[1] = {r}, c_of[1];
  detail::sin_cos_reduced(s_of, c_of);
  const P s = s_of[0], c = c_of[0];
  const Ints q = detail::converted<Ints>(n.v);
  const Mask<Real, W> swapped{(q & 1) != 0};
  const Mask<Real, W> sine_negative{(q & 2) != 0};
  const Mask<Real, W> cosine_negative{((q + 1) & 2) != 0};
  const P s0 = select(swapped, c, s), c0 = select(swapped, s, c);
  sine = select(sine_negative, -s0, s0);
  cosine = select(cosine_negative, -c0, c0);
}

template <class Real, int W>
SLOWSDE_HD SLOWSDE_INLINE Pack<Real, W> sin(Pack<Real, W> x) {
  Pack<Real, W> s, c;
  sin_cos(x, s, c);
  return s;
}
template <class Real, int W>
SLOWSDE_HD SLOWSDE_INLINE Pack<Real, W> cos(Pack<Real, W> x) {
  Pack<Real, W> s, c;
  sin_cos(x, s, c);
  return c;
}

/// tanh x = sign(x)·q/(q + 2) with q = e^{2|x|} − 1, computed without cancellation. Error ≤ 3 ulp.
template <class Real, int W>
SLOWSDE_HD SLOWSDE_INLINE Pack<Real, W> tanh(Pack<Real, W> x) {
  Pack<Real, W> y[1] = {x};
  detail::tanh_of(y);
  return y[0];
}

/// x^n by repeated squaring; the exponent is the same in all lanes.
template <class Real, int W>
SLOWSDE_HD SLOWSDE_INLINE Pack<Real, W> pow(Pack<Real, W> x, int n) {
  Pack<Real, W> result(1.0), base = x;
  for (unsigned m = n < 0 ? 0u - static_cast<unsigned>(n) : static_cast<unsigned>(n); m != 0; m >>= 1) {
    if (m & 1u) result = result * base;
    base = base * base;
  }
  return n < 0 ? Pack<Real, W>(1.0) / result : result;
}

}  // namespace slowsde
