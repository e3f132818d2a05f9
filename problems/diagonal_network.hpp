// The diagonal linear network on sparse regression: label noise drives it from a dense interpolator to a
// sparse one.
#pragma once

#include <cstdint>
#include <vector>

#include "slowsde/problems/host_device.hpp"
#include "slowsde/problems/pack.hpp"

namespace slowsde {

/// Noiseless linear data y = Xβ*.
struct RegressionData {
  int samples = 0, features = 0;     ///< n, p
  std::vector<double> inputs;        ///< X: (n × p), row-major
  std::vector<double> targets;       ///< y: (n)
  std::vector<double> coefficients;  ///< β*: (p); empty where it is not known
};

/// Recipe of a sparse regression: Gaussian inputs x_ij ~ N(0, 1), β* with `sparsity` entries ±1 at random
/// places. All draws are addressed by the seed.
struct SparseRegression {
  int samples = 40, features = 100, sparsity = 5;
  std::uint64_t seed = 1;

  /// Throws std::invalid_argument unless n ≥ 1, p ≥ 1, n·p < 2³¹ and 0 ≤ sparsity ≤ p.
  void check() const;
  RegressionData generate() const;
};

/// β_c = u_c² − v_c² of θ = (u, v): see FeatureMap.
struct DiagonalFeatures {
  static constexpr bool componentwise = true;
  int p = 1;

  SLOWSDE_HD int dim() const { return 2 * p; }
  SLOWSDE_HD int features() const { return p; }
  template <class T>
  SLOWSDE_HD T feature(const T* theta, int c) const {
    return theta[c] * theta[c] - theta[p + c] * theta[p + c];
  }
  template <class T>
  SLOWSDE_HD T pullback(const T* theta, const T* w, int j) const {
    return j < p ? T(2.0) * w[j] * theta[j] : T(-2.0) * w[j - p] * theta[j];
  }
};

/// f_i = ⟨u⊙u − v⊙v, x_i⟩ with θ = (u, v), d = 2p, β = u⊙u − v⊙v; one output per sample, L = (1/2n)Σ_i r_i²,
/// Γ = {Xβ = y}. With m_j = (1/n)Σ_i x_ij², tr ∇²L = 4Σ_j m_j(u_j² + v_j²) on Γ, so that SGD and QSR with
/// label noise flow to the interpolator of least Σ_j m_j|β_j| [L22, section 6]. ∇²L has rank n on Γ while at
/// least n coordinates (u_j, v_j) ≠ 0 matter; near a β with fewer than n entries its least eigenvalues
/// vanish, and with them the slow SDE's premise.
class DiagonalNetwork {
 public:
  static constexpr int outputs_count = 1;

  /// The network on SparseRegression{}.
  DiagonalNetwork() : DiagonalNetwork(SparseRegression{}.generate()) {}
  /// Throws std::invalid_argument when the sizes are not positive or do not match the arrays.
  explicit DiagonalNetwork(RegressionData data);

  int dim() const { return 2 * p_; }
  int samples() const { return data_.samples; }
  int features() const { return p_; }
  const RegressionData& data() const { return data_; }

  DiagonalFeatures feature_map() const { return {p_}; }
  const std::vector<double>& measurements() const { return data_.inputs; }
  const std::vector<double>& target_values() const { return data_.targets; }

  template <class T, class I>
  SLOWSDE_HD void outputs(const T* theta, const I& i, T* f) const {
    f[0] = output(theta, i);
  }
  template <class I, class T>
  SLOWSDE_HD void targets(const I& i, T* y) const {
    y[0] = lookup<T>(data_.targets.data(), i);
  }
  /// ∂f_i = (2x_i⊙u, −2x_i⊙v).
  template <class T, class I>
  SLOWSDE_HD void add_sample_gradient(const T* theta, const I& i, const T* eps, T* g, T*) const {
    const T twice = 2.0 * (output(theta, i) - lookup<T>(data_.targets.data(), i) - eps[0]);
    const I row = i * I(p_);
    for (int j = 0; j < p_; ++j) {
      const T pull = twice * lookup<T>(data_.inputs.data() + j, row);
      g[j] = g[j] + pull * theta[j];
      g[p_ + j] = g[p_ + j] - pull * theta[p_ + j];
    }
  }
  int scratch_size() const { return 0; }

  /// tr ∇²L on Γ: 4Σ_j m_j(u_j² + v_j²).
  template <class T>
  SLOWSDE_HD T trace_on_manifold(const T* theta) const {
    T sum(0.0);
    for (int j = 0; j < p_; ++j)
      sum = sum + second_moments_[static_cast<std::size_t>(j)] *
                      (theta[j] * theta[j] + theta[p_ + j] * theta[p_ + j]);
    return 4.0 * sum;
  }
  /// β: (p).
  std::vector<double> coefficients(const double* theta) const;
  /// m_j = (1/n)Σ_i x_ij²: (p).
  const std::vector<double>& second_moments() const { return second_moments_; }

  /// The dense interpolator β = Xᵀ(XXᵀ)⁻¹y of least norm with u_j v_j = 1, the far end from a sparse
  /// solution. Throws std::invalid_argument when no β interpolates (n > p without noiseless targets).
  std::vector<double> default_start() const;

 private:
  template <class T, class I>
  SLOWSDE_HD T output(const T* theta, const I& i) const {
    const I row = i * I(p_);
    const DiagonalFeatures beta{p_};
    T sum(0.0);
    for (int j = 0; j < p_; ++j) sum = sum + lookup<T>(data_.inputs.data() + j, row) * beta.feature(theta, j);
    return sum;
  }

  RegressionData data_;
  int p_;
  std::vector<double> second_moments_;
};

}  // namespace slowsde
