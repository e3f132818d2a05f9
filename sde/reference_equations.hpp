// Nonlinear SDEs with known expectations, for each class of noise: what the orders of steppers and the errors
// of Monte Carlo methods are measured on. Four of them are smooth images of Gaussian processes, the way
// Rößler (2009, SIAM Journal on Numerical Analysis 47:1713) builds his: X = F(Y), Y = y0 + μt + SW. In
// Stratonovich's calculus their drift is that of Y carried over; Itô's adds ½ Σ_j (B_j·∇)B_j.
#pragma once

#include <array>
#include <cmath>

#include "slowsde/sde/ito_sde.hpp"

namespace slowsde {

/// p(z) = z³ − 6z² + 8z, Rößler's polynomial.
inline double roessler_polynomial(double z) { return ((z - 6) * z + 8) * z; }
/// E p(Z) for Z ~ N(m, v).
inline double mean_of_roessler_polynomial(double m, double v) {
  return m * m * m + 3 * m * v - 6 * (m * m + v) + 8 * m;
}
/// E f(Z) for Z ~ N(m, v) by the trapezoidal rule on ±10 standard deviations, which converges geometrically.
template <class F>
double gaussian_mean(double m, double v, F f) {
  constexpr int n = 400;
  constexpr double h = 20.0 / n;
  double sum = 0;
  for (int i = 0; i <= n; ++i) {
    const double z = -10 + i * h;
    sum += std::exp(-0.5 * z * z) * f(m + std::sqrt(v) * z);
  }
  return sum * h / std::sqrt(2 * M_PI);
}

/// Beneš' equation dX = tanh X dt + dW, additive noise. By Girsanov's theorem the law of X(t) is the mixture
/// of N(x0 ± t, t) with weights e^{±x0}/2cosh x0.
struct BenesSde {
  static constexpr NoiseClass noise = NoiseClass::additive;
  static constexpr Calculus calculus = Calculus::ito;
  double x0 = 0.5;

  int dim() const { return 1; }
  int noise_dim() const { return 1; }
  void start(double* x) const { x[0] = x0; }
  template <class T>
  void drift(const T* x, double, T* out) const {
    using std::tanh;
    out[0] = tanh(x[0]);
  }
  template <class T>
  void diffusion(const T*, double, T* S) const {
    S[0] = T(1.0);
  }
  double observe(const double* x) const { return x[0] * x[0]; }
  double expectation(double t) const { return x0 * x0 + t + t * t + 2 * x0 * t * std::tanh(x0); }
};

/// X = sinh Y, Y = y0 + μt + sW (Rößler 2009, §6, with μ = s = 1): dX = √(1 + X²)∘(μ dt + s dW), diagonal
/// noise.
template <Calculus C = Calculus::ito>
struct SinhSde {
  static constexpr NoiseClass noise = NoiseClass::diagonal;
  static constexpr Calculus calculus = C;
  double y0 = -1, mu = 1.5, s = 0.3;

  int dim() const { return 1; }
  int noise_dim() const { return 1; }
  void start(double* x) const { x[0] = std::sinh(y0); }
  template <class T>
  void drift(const T* x, double, T* out) const {
    using std::sqrt;
    out[0] = sqrt(x[0] * x[0] + 1.0) * mu;
    if constexpr (C == Calculus::ito) out[0] = out[0] + x[0] * (0.5 * s * s);
  }
  template <class T>
  void diffusion(const T* x, double, T* S) const {
    using std::sqrt;
    S[0] = sqrt(x[0] * x[0] + 1.0) * s;
  }
  double observe(const double* x) const { return roessler_polynomial(std::asinh(x[0])); }
  double expectation(double t) const { return mean_of_roessler_polynomial(y0 + mu * t, s * s * t); }
};

/// X = (sinh Y₁, Y₂ cosh Y₁), Y = y0 + μt + SW, S (2 × M): the fields ∂F/∂y₁ = (√(1+x₁²), x₁x₂/√(1+x₁²)) and
/// ∂F/∂y₂ = (0, √(1+x₁²)) commute. M = 1: one field, scalar multiplicative noise; M = 2: commutative noise
/// that is not diagonal.
template <int M, Calculus C = Calculus::ito>
struct ShearedSinhSde {
  static constexpr NoiseClass noise = NoiseClass::general;
  static constexpr Calculus calculus = C;
  std::array<double, 2> y0{0.2, 0.5}, mu{1.0, 0.5};
  std::array<double, 4> S{0.28, 0.12, 0.24, 0.32};  // row-major (2 × 2); column j < M is that of W_j

  int dim() const { return 2; }
  int noise_dim() const { return M; }
  void start(double* x) const {
    x[0] = std::sinh(y0[0]);
    x[1] = y0[1] * std::cosh(y0[0]);
  }
  template <class T>
  void drift(const T* x, double, T* out) const {
    using std::sqrt;
    const T c = sqrt(x[0] * x[0] + 1.0);
    out[0] = c * mu[0];
    out[1] = x[0] * x[1] / c * mu[0] + c * mu[1];
    if constexpr (C == Calculus::ito) {  // ½ Σ_j (S₁ⱼ² ∂²F/∂y₁² + 2 S₁ⱼS₂ⱼ ∂²F/∂y₁∂y₂)
      double v11 = 0, v12 = 0;
      for (std::size_t j = 0; j < M; ++j) {
        v11 += S[j] * S[j];
        v12 += S[j] * S[2 + j];
      }
      out[0] = out[0] + x[0] * (0.5 * v11);
      out[1] = out[1] + x[1] * (0.5 * v11) + x[0] * v12;
    }
  }
  template <class T>
  void diffusion(const T* x, double, T* B) const {
    using std::sqrt;
    const T c = sqrt(x[0] * x[0] + 1.0), shear = x[0] * x[1] / c;
    for (std::size_t j = 0; j < M; ++j) {
      B[j] = c * S[j];
      B[M + j] = shear * S[j] + c * S[2 + j];
    }
  }
  double observe(const double* x) const {
    return roessler_polynomial(x[1] / std::sqrt(1 + x[0] * x[0]));  // p(Y₂)
  }
  double expectation(double t) const {
    double v = 0;
    for (std::size_t j = 0; j < M; ++j) v += S[2 + j] * S[2 + j];
    return mean_of_roessler_polynomial(y0[1] + mu[1] * t, v * t);
  }
};

/// dX₁ = √(1+X₁²)∘(μ dt + s dV₁),  dX₂ = (g√(1+X₁²) − κX₂)dt + c√(1+X₁²) dV₂ with V = QW, Q a rotation, so
/// that every column moves along every other: general noise. The fields of V₁ and V₂ do not commute.
/// X₁ = sinh Y₁.
template <Calculus C = Calculus::ito>
struct NonCommutingSinhSde {
  static constexpr NoiseClass noise = NoiseClass::general;
  static constexpr Calculus calculus = C;
  double y0 = 0.2, x2 = 0.5, mu = 1.0, s = 0.5, g = 1.0, kappa = 0.5, c = 0.3;
  double cosine = 0.6, sine = 0.8;  // of Q's angle

  int dim() const { return 2; }
  int noise_dim() const { return 2; }
  void start(double* x) const {
    x[0] = std::sinh(y0);
    x[1] = x2;
  }
  template <class T>
  void drift(const T* x, double, T* out) const {
    using std::sqrt;
    out[0] = sqrt(x[0] * x[0] + 1.0) * mu;
    if constexpr (C == Calculus::ito) out[0] = out[0] + x[0] * (0.5 * s * s);
    out[1] = sqrt(x[0] * x[0] + 1.0) * g - x[1] * kappa;
  }
  template <class T>
  void diffusion(const T* x, double, T* B) const {
    using std::sqrt;
    const T root = sqrt(x[0] * x[0] + 1.0);
    B[0] = root * (s * cosine), B[1] = root * (-s * sine);
    B[2] = root * (c * sine), B[3] = root * (c * cosine);
  }
  double observe(const double* x) const { return x[1] * x[1]; }
  /// X₂(t) = e^{−κt}X₂(0) + ∫ e^{−κ(t−r)} cosh Y₁(r) (g dr + c dV₂(r)), with Gaussian Y₁ and
  /// 2 cosh a cosh b = cosh(a + b) + cosh(a − b).
  double expectation(double t) const {
    const auto mean = [&](double r) { return y0 + mu * r; };
    const auto both = [&](double r, double q) {  // E cosh Y₁(r) cosh Y₁(q), r ≤ q
      return 0.5 * (std::cosh(mean(r) + mean(q)) * std::exp(0.5 * s * s * (3 * r + q)) +
                    std::cosh(mean(q) - mean(r)) * std::exp(0.5 * s * s * (q - r)));
    };
    const auto decay = [&](double r) { return std::exp(-kappa * (t - r)); };
    const double first =
        simpson(0, t, [&](double r) { return decay(r) * std::cosh(mean(r)) * std::exp(0.5 * s * s * r); });
    const double second = 2 * simpson(0, t, [&](double q) {
                            return decay(q) * simpson(0, q, [&](double r) { return decay(r) * both(r, q); });
                          });
    const double noise_part = simpson(0, t, [&](double r) { return decay(r) * decay(r) * both(r, r); });
    const double start_part = decay(0) * x2;
    return start_part * start_part + 2 * start_part * g * first + g * g * second + c * c * noise_part;
  }

 private:
  template <class F>
  static double simpson(double a, double b, F f) {
    constexpr int n = 200;
    const double h = (b - a) / n;
    double sum = f(a) + f(b);
    for (int i = 1; i < n; ++i) sum += (i % 2 == 1 ? 4 : 2) * f(a + i * h);
    return sum * h / 3;
  }
};

/// On the unit circle: X = (−tanh Y, 1/cosh Y), Y = y0 + μt + Σ_j s_j W_j, M columns along one field,
/// dX = x₂JX∘(μ dt + s·dW) with J the rotation by a right angle.
template <int M>
struct CircleSde {
  static constexpr NoiseClass noise = NoiseClass::general;
  static constexpr Calculus calculus = Calculus::ito;
  double y0 = -1, mu = 1;
  std::array<double, 2> s{0.3, 0.15};

  int dim() const { return 2; }
  int noise_dim() const { return M; }
  void start(double* x) const {
    x[0] = -std::tanh(y0);
    x[1] = 1 / std::cosh(y0);
  }
  double variance_rate() const { return M == 1 ? s[0] * s[0] : s[0] * s[0] + s[1] * s[1]; }
  template <class T>
  void drift(const T* x, double, T* out) const {
    const double half_v = 0.5 * variance_rate();
    const T square = x[1] * x[1];
    out[0] = square * -mu - x[0] * square * (2 * half_v);
    out[1] = x[0] * x[1] * mu + x[1] * (x[0] * x[0] - square) * half_v;
  }
  template <class T>
  void diffusion(const T* x, double, T* B) const {
    for (std::size_t j = 0; j < M; ++j) {
      B[j] = x[1] * x[1] * -s[j];
      B[M + j] = x[0] * x[1] * s[j];
    }
  }
  double observe(const double* x) const { return x[0] * x[0]; }
  double expectation(double t) const {
    return gaussian_mean(y0 + mu * t, variance_rate() * t,
                         [](double y) { return std::tanh(y) * std::tanh(y); });
  }
};

/// Brownian motion of rate s² on the unit sphere in a rotation: dX = (ωn×X − s²X)dt + s(I − XXᵀ)dW, general
/// noise.
struct SphereSde {
  static constexpr NoiseClass noise = NoiseClass::general;
  static constexpr Calculus calculus = Calculus::ito;
  double s = 0.3, omega = 2;

  int dim() const { return 3; }
  int noise_dim() const { return 3; }
  void start(double* x) const { x[0] = 0.6, x[1] = 0, x[2] = 0.8; }
  template <class T>
  void drift(const T* x, double, T* out) const {  // n = e₁
    out[0] = x[0] * (-s * s);
    out[1] = x[1] * (-s * s) - x[2] * omega;
    out[2] = x[2] * (-s * s) + x[1] * omega;
  }
  template <class T>
  void diffusion(const T* x, double, T* B) const {
    for (int i = 0; i < 3; ++i)
      for (int j = 0; j < 3; ++j) B[3 * i + j] = ((i == j ? 1.0 : 0.0) - x[i] * x[j]) * s;
  }
  double observe(const double* x) const { return x[1]; }
  /// E X turns with the rotation and decays at the rate of the Laplacian's first eigenvalue, 2·s²/2.
  double expectation(double t) const { return -0.8 * std::sin(omega * t) * std::exp(-s * s * t); }
};

/// x/|x|: the retraction of the last two.
template <int D>
struct Normalise {
  template <class T>
  void operator()(T* x) const {
    using std::sqrt;
    T square = x[0] * x[0];
    for (int i = 1; i < D; ++i) square = square + x[i] * x[i];
    const T length = sqrt(square);
    for (int i = 0; i < D; ++i) x[i] = x[i] / length;
  }
};

}  // namespace slowsde
