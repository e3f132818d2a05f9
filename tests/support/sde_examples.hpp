// Small SDEs with known solutions or moments, and wrong noises, for the tests of the steppers.
#pragma once

#include <cmath>

#include "slowsde/sde/brownian.hpp"
#include "slowsde/sde/ito_sde.hpp"

namespace slowsde::test {

/// dX = μX dt + σX dW, X(0) = 1. Itô: X = exp((μ − σ²/2)t + σW), E X = e^{μt}, E X² = e^{(2μ+σ²)t}. As
/// Stratonovich's equation its drift is (μ − σ²/2)X.
template <Calculus C = Calculus::ito, NoiseClass N = NoiseClass::diagonal>
struct GeometricBrownianMotion {
  static constexpr NoiseClass noise = N;
  static constexpr Calculus calculus = C;
  double mu = 0.5, sigma = 0.6;
  double drift_rate = C == Calculus::ito ? mu : mu - 0.5 * sigma * sigma;

  int dim() const { return 1; }
  int noise_dim() const { return 1; }
  template <class T>
  void drift(const T* x, double, T* out) const {
    out[0] = x[0] * drift_rate;
  }
  template <class T>
  void diffusion(const T* x, double, T* S) const {
    S[0] = x[0] * sigma;
  }
  double solution(double t, double W) const { return std::exp((mu - 0.5 * sigma * sigma) * t + sigma * W); }
  double mean(double t) const { return std::exp(mu * t); }
  double mean_square(double t) const { return std::exp((2 * mu + sigma * sigma) * t); }
};

/// dX = −κX dt + s(1 + t) dW: additive noise whose size depends on time.
struct GrowingOrnsteinUhlenbeck {
  static constexpr NoiseClass noise = NoiseClass::additive;
  static constexpr Calculus calculus = Calculus::ito;
  double kappa = 1.5, s = 0.8, x0 = 1;

  int dim() const { return 1; }
  int noise_dim() const { return 1; }
  template <class T>
  void drift(const T* x, double, T* out) const {
    out[0] = x[0] * -kappa;
  }
  template <class T>
  void diffusion(const T*, double t, T* S) const {
    S[0] = T(s * (1 + t));
  }
  double mean(double t) const { return x0 * std::exp(-kappa * t); }
  /// v' = −2κv + s²(1 + t)²: a quadratic in t and the decaying remainder.
  double mean_square(double t) const {
    const double k = 2 * kappa, q = s * s;
    const double c2 = q / k, c1 = (2 * q - 2 * c2) / k, c0 = (q - c1) / k;
    return mean(t) * mean(t) + c0 + c1 * t + c2 * t * t - c0 * std::exp(-k * t);
  }
};

/// dX₁ = −X₁ dt + s dW₁,  dX₂ = (−X₂ + cos X₁)dt + sin X₁ dW₂: nonlinear, and the two fields do not commute.
/// No field changes along itself, so Itô's and Stratonovich's forms have the same drift. X₁ is Gaussian, and
///   X₂(t) = e^{−t}X₂(0) + ∫ e^{−(t−r)} cos X₁(r) dr + ∫ e^{−(t−r)} sin X₁(r) dW₂(r),
/// whose first two moments are integrals of E cos X₁(r) cos X₁(q), E sin² X₁(r).
template <Calculus C = Calculus::ito>
struct NonCommuting {
  static constexpr NoiseClass noise = NoiseClass::general;
  static constexpr Calculus calculus = C;
  double s = 1;
  double x0[2] = {0.5, 0.2};

  int dim() const { return 2; }
  int noise_dim() const { return 2; }
  template <class T>
  void drift(const T* x, double, T* out) const {
    using std::cos;
    out[0] = -x[0];
    out[1] = cos(x[0]) - x[1];
  }
  template <class T>
  void diffusion(const T* x, double, T* S) const {
    using std::sin;
    S[0] = T(s), S[1] = T(0.0);
    S[2] = T(0.0), S[3] = sin(x[0]);
  }

  double mean1(double t) const { return x0[0] * std::exp(-t); }
  double covariance1(double r, double q) const {  // Cov(X₁(r), X₁(q)), r ≤ q
    return s * s * std::exp(-(q - r)) * 0.5 * (1 - std::exp(-2 * r));
  }
  double mean2(double t) const {
    return std::exp(-t) * x0[1] + simpson(0, t, [&](double r) {
             return std::exp(-(t - r)) * std::cos(mean1(r)) * std::exp(-0.5 * covariance1(r, r));
           });
  }
  double mean_square2(double t) const {
    const auto both = [&](double r, double q) {  // E cos X₁(r) cos X₁(q), r ≤ q
      const double vr = covariance1(r, r), vq = covariance1(q, q), c = covariance1(r, q);
      return 0.5 * (std::cos(mean1(r) + mean1(q)) * std::exp(-0.5 * (vr + vq + 2 * c)) +
                    std::cos(mean1(r) - mean1(q)) * std::exp(-0.5 * (vr + vq - 2 * c)));
    };
    const double of_drift =
        2 * simpson(0, t, [&](double q) {
          return simpson(0, q, [&](double r) { return std::exp(-(t - r) - (t - q)) * both(r, q); });
        });
    const double of_noise = simpson(0, t, [&](double r) {
      return std::exp(-2 * (t - r)) * 0.5 * (1 - std::cos(2 * mean1(r)) * std::exp(-2 * covariance1(r, r)));
    });
    const double start = std::exp(-t) * x0[1];
    return start * start + 2 * start * (mean2(t) - start) + of_drift + of_noise;
  }

  template <class F>
  static double simpson(double a, double b, F f) {
    constexpr int n = 200;
    const double h = (b - a) / n;
    double sum = f(a) + f(b);
    for (int i = 1; i < n; ++i) sum += (i % 2 == 1 ? 4 : 2) * f(a + i * h);
    return sum * h / 3;
  }
};

/// Wrong theory: increments of size dt instead of √dt.
template <class T>
struct NoiseOfSizeDt : BrownianPath<T> {
  using BrownianPath<T>::BrownianPath;
  void increments(std::uint64_t k, double dt, T* dW) { increments_of(0, k, dt, dW); }
  void increments_of(int worker, std::uint64_t k, double dt, T* dW) {
    BrownianPath<T>::increments_of(worker, k, dt, dW);
    for (std::uint64_t c = 0; c < this->components(); ++c) dW[c] = dW[c] * T(std::sqrt(dt));
  }
};

/// Wrong theory: no noise.
template <class T>
struct NoNoise : BrownianPath<T> {
  using BrownianPath<T>::BrownianPath;
  void increments(std::uint64_t k, double dt, T* dW) { increments_of(0, k, dt, dW); }
  void increments_of(int, std::uint64_t, double, T* dW) {
    for (std::uint64_t c = 0; c < this->components(); ++c) dW[c] = T(0.0);
  }
};

/// Wrong theory: the fields are treated as if they commuted, V_rj = 0.
template <class T>
struct NoLevyArea : BrownianPath<T> {
  using BrownianPath<T>::BrownianPath;
  void signs(std::uint64_t, int count, T* out) {
    for (int i = 0; i < count; ++i) out[i] = T(0.0);
  }
};

}  // namespace slowsde::test
