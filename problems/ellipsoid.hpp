// An ellipsoid of minima under anisotropic noise: sharpness, diffusion and curvature all vary along Γ.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <vector>

#include "slowsde/problems/covariance_factor.hpp"
#include "slowsde/problems/host_device.hpp"
#include "slowsde/problems/requirement.hpp"

namespace slowsde {

/// L = ¼(xᵀAx − 1)² with A = diag(a) in R^D, Γ = {xᵀAx = 1}, ∇²L = 2(Ax)(Ax)ᵀ on Γ: one nonzero eigenvalue
/// λ = 2|Ax|². Σ is constant and full, so that Σ_∥, the cross terms and the sharpness change from point to
/// point.
template <int D = 2>
class Ellipsoid {
 public:
  static_assert(D >= 1);
  static constexpr int dim = D, noise_dim = D;

  /// a_i = i (i = 1 … D), Σ_ij = ½^{|i−j|}/√(ij).
  Ellipsoid() : Ellipsoid(default_curvatures(), default_covariance()) {}
  /// A = diag(curvatures), covariance: Σ (D × D), row-major. Throws std::invalid_argument unless every a_i is
  /// positive and finite and Σ is symmetric positive semidefinite.
  Ellipsoid(const std::array<double, D>& curvatures, const std::array<double, D * D>& covariance)
      : a_(curvatures), covariance_(covariance) {
    for (const double a : a_)
      detail::require(a > 0 && std::isfinite(a), "ellipsoid", "0 < curvature < infinity", a);
    const std::vector<double> factor =
        covariance_factor(std::vector<double>(covariance.begin(), covariance.end()), D);
    for (std::size_t k = 0; k < factor.size(); ++k) factor_[k] = factor[k];
  }

  const std::array<double, D>& curvatures() const { return a_; }
  const std::array<double, D * D>& covariance() const { return covariance_; }

  template <class T>
  SLOWSDE_HD T loss(const T* x) const {
    T e(-1.0);
    for (int i = 0; i < D; ++i) e = e + a_[index(i)] * (x[i] * x[i]);
    return 0.25 * (e * e);
  }
  /// S: (D × D), lower triangular and constant.
  template <class T>
  SLOWSDE_HD void noise_factor(const T*, T* S) const {
    for (int k = 0; k < D * D; ++k) S[k] = T(factor_[index(k)]);
  }
  /// Φ: in the time ds = (xᵀAx − 1)dτ the flow is x_i(s) = x_i·e^{−a_i s}; it ends where Σ a_i x_i² e^{−2a_i
  /// s} = 1. Undefined at the origin, which does not flow.
  template <class T>
  SLOWSDE_HD void phi(const T* x, T* out) const {
    using std::exp;
    using std::log;
    // Newton for ln Σ a_i x_i² e^{−2a_i s} = 0: convex and decreasing in s with slopes between −2·max a and
    // −2·min a, so it converges from any start; 16 steps reach roundoff for ratios of curvatures up to 100.
    T s(0.0);
    for (int step = 0; step < 16; ++step) {
      T q(0.0), slope(0.0);
      for (int i = 0; i < D; ++i) {
        const double a = a_[index(i)];
        const T term = a * (x[i] * x[i]) * exp(-2.0 * a * s);
        q = q + term;
        slope = slope + 2.0 * a * term;
      }
      s = s + log(q) * q / slope;
    }
    for (int i = 0; i < D; ++i) out[i] = x[i] * exp(-a_[index(i)] * s);
  }
  /// tr ∇²L on Γ: 2|Ax|².
  template <class T>
  SLOWSDE_HD T trace_on_manifold(const T* x) const {
    T sum(0.0);
    for (int i = 0; i < D; ++i) sum = sum + a_[index(i)] * a_[index(i)] * (x[i] * x[i]);
    return 2.0 * sum;
  }
  /// The point of Γ with equal coordinates.
  std::vector<double> default_start() const {
    double sum = 0;
    for (const double a : a_) sum += a;
    return std::vector<double>(D, 1 / std::sqrt(sum));
  }

 private:
  static constexpr std::size_t index(int i) { return static_cast<std::size_t>(i); }
  static std::array<double, D> default_curvatures() {
    std::array<double, D> a{};
    for (int i = 0; i < D; ++i) a[index(i)] = i + 1;
    return a;
  }
  static std::array<double, D * D> default_covariance() {
    std::array<double, D * D> sigma{};
    for (int i = 0; i < D; ++i)
      for (int j = 0; j < D; ++j)
        sigma[index(i * D + j)] = std::ldexp(1.0, -std::abs(i - j)) / std::sqrt((i + 1.0) * (j + 1.0));
    return sigma;
  }

  std::array<double, D> a_;
  std::array<double, D * D> covariance_;
  std::array<double, D * D> factor_;
};

}  // namespace slowsde
