// A valley whose floor bends and whose noise has a full covariance: every term of the slow SDE is at work.
#pragma once

#include <array>
#include <cmath>
#include <utility>
#include <vector>

#include "slowsde/problems/covariance_factor.hpp"
#include "slowsde/problems/jet.hpp"
#include "slowsde/problems/steepness.hpp"

namespace slowsde {

/// L = ½a(x)(y − b(x))², Γ = {y = b(x)}, ∇²L = a·(−b', 1)ᵀ(−b', 1) on Γ: λ = a(x)(1 + b'(x)²), tangent
/// (1, b')/√(1 + b'²). Constant covariance Σ. By default a = 2 + sin x, b = x²/2, Σ = [[1, .6], [.6, .8]].
template <class Steepness = SineSteepness, class Floor = ParabolicFloor>
class CurvedValley {
 public:
  static constexpr int dim = 2, noise_dim = 2;

  /// covariance: Σ (2 × 2), row-major. Throws std::invalid_argument when Σ is not symmetric positive
  /// semidefinite or a or b fails its check.
  explicit CurvedValley(const std::array<double, 4>& covariance = {1.0, 0.6, 0.6, 0.8}, Steepness a = {},
                        Floor b = {})
      : a_(std::move(a)), b_(std::move(b)), covariance_(covariance) {
    detail::check_function(a_);
    detail::check_function(b_);
    const std::vector<double> S =
        covariance_factor(std::vector<double>(covariance.begin(), covariance.end()), 2);
    factor_ = {S[0], S[2], S[3]};
  }

  const std::array<double, 4>& covariance() const { return covariance_; }

  template <class T>
  SLOWSDE_HD T loss(const T* theta) const {
    const T r = theta[1] - b_(theta[0]);
    return 0.5 * (a_(theta[0]) * (r * r));
  }
  /// S: (2 × 2), lower triangular and constant.
  template <class T>
  SLOWSDE_HD void noise_factor(const T*, T* S) const {
    S[0] = T(factor_[0]);
    S[1] = T(0.0);
    S[2] = T(factor_[1]);
    S[3] = T(factor_[2]);
  }
  /// tr ∇²L on Γ: a(x)(1 + b'(x)²).
  template <class T>
  SLOWSDE_HD T trace_on_manifold(const T* theta) const {
    const Dual<T, 1> b = b_(Dual<T, 1>::variable(theta[0], 0));
    return a_(theta[0]) * (1.0 + b.d[0] * b.d[0]);
  }
  std::vector<double> default_start() const { return {0.5, b_(0.5)}; }

 private:
  Steepness a_;
  Floor b_;
  std::array<double, 4> covariance_;
  std::array<double, 3> factor_;  // S₀₀, S₁₀, S₁₁
};

}  // namespace slowsde
