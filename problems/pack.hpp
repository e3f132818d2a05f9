// SIMD packs: W replicas side by side in one arithmetic value. A pack is 64 bytes whatever the instruction
// set; a narrower machine splits it. Every operation is an elementwise IEEE operation, so the bits of a lane
// depend neither on the instruction set nor on what the other lanes hold. A pack of one lane is a plain
// number with the same bits: what a CUDA thread computes with.
#pragma once

#if defined(__AVX512F__) || defined(__FMA__)
#include <immintrin.h>
#endif

#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include "slowsde/problems/host_device.hpp"

namespace slowsde {

/// Lanes of a pack: 8 doubles or 16 floats.
template <class Real>
inline constexpr int native_width = 64 / static_cast<int>(sizeof(Real));

namespace detail {

template <class Real, int W>
struct VectorOf {
  typedef Real type __attribute__((vector_size(W * sizeof(Real))));
};
template <class Real>
struct VectorOf<Real, 1> {
  using type = Real;
};

template <class Real>
using SignedOf = std::conditional_t<sizeof(Real) == 8, std::int64_t, std::int32_t>;
template <class Real>
using UnsignedOf = std::conditional_t<sizeof(Real) == 8, std::uint64_t, std::uint32_t>;

}  // namespace detail

/// The result of comparing packs: all bits of a lane set or none. Packs have no `if` and no `?:`; use
/// `select`.
template <class Real, int W>
struct Mask {
  using Vector = typename detail::VectorOf<detail::SignedOf<Real>, W>::type;
  Vector v;

  SLOWSDE_HD bool operator[]([[maybe_unused]] int lane) const {
    if constexpr (W == 1)
      return v != 0;
    else
      return v[lane] != 0;
  }
  friend SLOWSDE_HD SLOWSDE_INLINE Mask operator&(Mask a, Mask b) { return {a.v & b.v}; }
  friend SLOWSDE_HD SLOWSDE_INLINE Mask operator|(Mask a, Mask b) { return {a.v | b.v}; }
  friend SLOWSDE_HD SLOWSDE_INLINE Mask operator!(Mask a) { return {a.v == 0}; }
};

#if SLOWSDE_VECTORS
namespace detail {
template <class Vector, int... L>
SLOWSDE_HD SLOWSDE_INLINE auto either_half(Vector v, std::integer_sequence<int, L...>) {
  return __builtin_shufflevector(v, v, L...) | __builtin_shufflevector(v, v, (L + int(sizeof...(L)))...);
}
}  // namespace detail
#endif

/// Halves are joined in registers; lane by lane a wide mask would cost as much as a step.
template <class Real, int W>
SLOWSDE_HD SLOWSDE_INLINE bool any(Mask<Real, W> m) {
  if constexpr (W == 1) {
    return m.v != 0;
#if SLOWSDE_VECTORS
  } else if constexpr (sizeof(m.v) > 16) {
    return any(Mask<Real, W / 2>{detail::either_half(m.v, std::make_integer_sequence<int, W / 2>{})});
#endif
  } else {
    detail::SignedOf<Real> bits = 0;
    for (int l = 0; l < W; ++l) bits |= m.v[l];
    return bits != 0;
  }
}
template <class Real, int W>
SLOWSDE_HD inline bool all(Mask<Real, W> m) {
  return !any(!m);
}

template <class Real, int W = native_width<Real>>
struct Pack {
  using Scalar = Real;
  using Vector = typename detail::VectorOf<Real, W>::type;
  static constexpr int width = W;

  Vector v;

  Pack() = default;
  SLOWSDE_HD SLOWSDE_INLINE Pack(Vector vector) : v(vector) {}
  /// A number fills all lanes; it is rounded to Real first, so literals do not widen a float pack.
  template <class Number>
  requires std::is_arithmetic_v<Number> SLOWSDE_HD SLOWSDE_INLINE Pack(Number x)
      : v(static_cast<Real>(x) - Vector{}) {}

  SLOWSDE_HD Real operator[]([[maybe_unused]] int lane) const {
    if constexpr (W == 1)
      return v;
    else
      return v[lane];
  }
  SLOWSDE_HD void set([[maybe_unused]] int lane, Real x) {
    if constexpr (W == 1)
      v = x;
    else
      v[lane] = x;
  }

  friend SLOWSDE_HD SLOWSDE_INLINE Pack operator+(Pack a, Pack b) { return a.v + b.v; }
  friend SLOWSDE_HD SLOWSDE_INLINE Pack operator-(Pack a, Pack b) { return a.v - b.v; }
  friend SLOWSDE_HD SLOWSDE_INLINE Pack operator*(Pack a, Pack b) { return a.v * b.v; }
  friend SLOWSDE_HD SLOWSDE_INLINE Pack operator/(Pack a, Pack b) { return a.v / b.v; }
  friend SLOWSDE_HD SLOWSDE_INLINE Pack operator-(Pack a) { return -a.v; }
  friend SLOWSDE_HD SLOWSDE_INLINE Pack& operator+=(Pack& a, Pack b) { return a.v += b.v, a; }
  friend SLOWSDE_HD SLOWSDE_INLINE Pack& operator-=(Pack& a, Pack b) { return a.v -= b.v, a; }
  friend SLOWSDE_HD SLOWSDE_INLINE Pack& operator*=(Pack& a, Pack b) { return a.v *= b.v, a; }
  friend SLOWSDE_HD SLOWSDE_INLINE Pack& operator/=(Pack& a, Pack b) { return a.v /= b.v, a; }
  friend SLOWSDE_HD SLOWSDE_INLINE Mask<Real, W> operator<(Pack a, Pack b) { return {a.v < b.v}; }
  friend SLOWSDE_HD SLOWSDE_INLINE Mask<Real, W> operator<=(Pack a, Pack b) { return {a.v <= b.v}; }
  friend SLOWSDE_HD SLOWSDE_INLINE Mask<Real, W> operator>(Pack a, Pack b) { return {a.v > b.v}; }
  friend SLOWSDE_HD SLOWSDE_INLINE Mask<Real, W> operator>=(Pack a, Pack b) { return {a.v >= b.v}; }
  friend SLOWSDE_HD SLOWSDE_INLINE Mask<Real, W> operator==(Pack a, Pack b) { return {a.v == b.v}; }
  friend SLOWSDE_HD SLOWSDE_INLINE Pack select(Mask<Real, W> m, Pack a, Pack b) { return m.v ? a.v : b.v; }
};

namespace detail {

/// Reinterprets the bits of a pack as another of the same size.
template <class To, class From>
SLOWSDE_HD SLOWSDE_INLINE To bits_as(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}

/// Every element converted to the element type of To.
template <class To, class From>
SLOWSDE_HD SLOWSDE_INLINE To converted(From from) {
  if constexpr (std::is_arithmetic_v<To>)
    return static_cast<To>(from);
  else
    return __builtin_convertvector(from, To);
}

template <class Real, int W>
using IntVector = typename VectorOf<SignedOf<Real>, W>::type;
template <class Real, int W>
using WordVector = typename VectorOf<UnsignedOf<Real>, W>::type;

}  // namespace detail

template <class Real, int W>
SLOWSDE_HD SLOWSDE_INLINE Pack<Real, W> abs(Pack<Real, W> x) {
  using Words = detail::WordVector<Real, W>;
  const Words sign = Words{} + (detail::UnsignedOf<Real>{1} << (8 * sizeof(Real) - 1));
  return detail::bits_as<typename Pack<Real, W>::Vector>(detail::bits_as<Words>(x.v) & ~sign);
}

/// |x| with the sign of y, also that of a zero.
template <class Real, int W>
SLOWSDE_HD SLOWSDE_INLINE Pack<Real, W> copysign(Pack<Real, W> x, Pack<Real, W> y) {
  using Words = detail::WordVector<Real, W>;
  const Words sign = Words{} + (detail::UnsignedOf<Real>{1} << (8 * sizeof(Real) - 1));
  return detail::bits_as<typename Pack<Real, W>::Vector>((detail::bits_as<Words>(x.v) & ~sign) |
                                                         (detail::bits_as<Words>(y.v) & sign));
}

template <class Real, int W>
SLOWSDE_HD SLOWSDE_INLINE Pack<Real, W> min(Pack<Real, W> a, Pack<Real, W> b) {
  return select(b < a, b, a);
}
template <class Real, int W>
SLOWSDE_HD SLOWSDE_INLINE Pack<Real, W> max(Pack<Real, W> a, Pack<Real, W> b) {
  return select(a < b, b, a);
}

/// √x, correctly rounded in every lane.
template <class Real, int W>
SLOWSDE_HD SLOWSDE_INLINE Pack<Real, W> sqrt(Pack<Real, W> x) {
  if constexpr (W == 1) {
    return std::sqrt(x.v);
#if SLOWSDE_VECTORS && defined(__AVX512F__)
  } else if constexpr (sizeof(x) == 64 && std::is_same_v<Real, double>) {
    return detail::bits_as<typename Pack<Real, W>::Vector>(_mm512_sqrt_pd(detail::bits_as<__m512d>(x.v)));
  } else if constexpr (sizeof(x) == 64) {
    return detail::bits_as<typename Pack<Real, W>::Vector>(_mm512_sqrt_ps(detail::bits_as<__m512>(x.v)));
#endif
  } else {
    Pack<Real, W> result;
    for (int l = 0; l < W; ++l) result.v[l] = std::sqrt(x.v[l]);
    return result;
  }
}

/// a·b + c with one rounding on every machine.
template <class Real, int W>
SLOWSDE_HD SLOWSDE_INLINE Pack<Real, W> fma(Pack<Real, W> a, Pack<Real, W> b, Pack<Real, W> c) {
  using Vector [[maybe_unused]] = typename Pack<Real, W>::Vector;
  if constexpr (W == 1) {
    return std::fma(a.v, b.v, c.v);
#if SLOWSDE_VECTORS && defined(__AVX512F__)
  } else if constexpr (sizeof(Vector) == 64 && std::is_same_v<Real, double>) {
    return detail::bits_as<Vector>(_mm512_fmadd_pd(
        detail::bits_as<__m512d>(a.v), detail::bits_as<__m512d>(b.v), detail::bits_as<__m512d>(c.v)));
  } else if constexpr (sizeof(Vector) == 64) {
    return detail::bits_as<Vector>(_mm512_fmadd_ps(detail::bits_as<__m512>(a.v), detail::bits_as<__m512>(b.v),
                                                   detail::bits_as<__m512>(c.v)));
#endif
  } else {
    Pack<Real, W> result;
    for (int l = 0; l < W; ++l) result.v[l] = std::fma(a.v[l], b.v[l], c.v[l]);
    return result;
  }
}

/// `table[index]`, lane by lane where the index is a pack of integers; a constant where T is a jet. The table
/// is double whatever T is.
template <class T, class Index>
SLOWSDE_HD SLOWSDE_INLINE T lookup(const double* table, const Index& index) {
  if constexpr (std::is_integral_v<Index>) {
    return T(table[index]);
  } else if constexpr (!requires { T::width; }) {
    return T(lookup<typename T::Scalar>(table, index));
  } else {
    T result;
    for (int l = 0; l < T::width; ++l) result.set(l, static_cast<typename T::Scalar>(table[index[l]]));
    return result;
  }
}

// Lanes of packs and of plain doubles alike, for code that is written for both.

SLOWSDE_HD inline double select(bool m, double a, double b) { return m ? a : b; }
SLOWSDE_HD inline bool any(bool m) { return m; }

template <class T>
inline constexpr int lane_count = 1;
template <class Real, int W>
inline constexpr int lane_count<Pack<Real, W>> = W;

inline double lane_of(double x, int) { return x; }
template <class Real, int W>
double lane_of(const Pack<Real, W>& x, int lane) {
  return static_cast<double>(x[lane]);
}
inline void set_lane(double& x, int, double value) { x = value; }
template <class Real, int W>
void set_lane(Pack<Real, W>& x, int lane, double value) {
  x.set(lane, static_cast<Real>(value));
}

/// Indices of one sample per lane; as many lanes as the Real pack they accompany.
template <int W>
using IndexPack = Pack<std::int32_t, W>;

}  // namespace slowsde
