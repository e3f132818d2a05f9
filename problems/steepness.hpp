// Functions of the coordinate along a valley: its steepness a(x) > 0 and the height b(x) of its floor. Any
// type with `template <class T> T operator()(const T& x) const`, and `check()` where it has parameters, will
// do.
#pragma once

#include <cmath>

#include "slowsde/problems/host_device.hpp"
#include "slowsde/problems/requirement.hpp"

namespace slowsde {

/// a(x) = mean + amplitude·sin x.
struct SineSteepness {
  double mean = 2, amplitude = 1;

  template <class T>
  SLOWSDE_HD T operator()(const T& x) const {
    using std::sin;
    return mean + amplitude * sin(x);
  }
  /// Throws std::invalid_argument unless mean > |amplitude|, i.e. a > 0 everywhere.
  void check() const {
    detail::require(mean > std::abs(amplitude), "sine steepness", "mean - |amplitude| > 0",
                    mean - std::abs(amplitude));
  }
};

/// a(x) = base + curvature·x².
struct QuadraticSteepness {
  double base = 1, curvature = 1;

  template <class T>
  SLOWSDE_HD T operator()(const T& x) const {
    return base + curvature * (x * x);
  }
  /// Throws std::invalid_argument unless base > 0 and curvature ≥ 0.
  void check() const {
    detail::require(base > 0, "quadratic steepness", "base > 0", base);
    detail::require(curvature >= 0, "quadratic steepness", "curvature >= 0", curvature);
  }
};

/// a(x) = scale·e^{rate·x}.
struct ExponentialSteepness {
  double scale = 1, rate = 1;

  template <class T>
  SLOWSDE_HD T operator()(const T& x) const {
    using std::exp;
    return scale * exp(rate * x);
  }
  /// Throws std::invalid_argument unless scale > 0.
  void check() const { detail::require(scale > 0, "exponential steepness", "scale > 0", scale); }
};

/// b(x) = curvature·x²/2.
struct ParabolicFloor {
  double curvature = 1;

  template <class T>
  SLOWSDE_HD T operator()(const T& x) const {
    return (0.5 * curvature) * (x * x);
  }
  /// Throws std::invalid_argument unless the curvature is finite.
  void check() const {
    detail::require(std::isfinite(curvature), "parabolic floor", "|curvature| < infinity", curvature);
  }
};

namespace detail {

/// Calls f.check() where f has one.
template <class F>
void check_function(const F& f) {
  if constexpr (requires { f.check(); }) f.check();
}

}  // namespace detail
}  // namespace slowsde
