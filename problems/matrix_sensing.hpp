// Matrix sensing: a low-rank matrix seen through random linear measurements.
#pragma once

#include <cstdint>
#include <vector>

#include "slowsde/problems/host_device.hpp"
#include "slowsde/problems/matrix_factorization.hpp"
#include "slowsde/problems/pack.hpp"

namespace slowsde {

/// y_k = ⟨A_k, M⟩, k = 1 … n.
struct SensingData {
  int samples = 0, rows = 0, cols = 0;  ///< n, p, q
  std::vector<double> measurements;     ///< A_k one after the other: (n × p × q)
  std::vector<double> targets;          ///< y: (n)
};

/// Recipe: M of RandomLowRank and A_k with independent standard normal entries, addressed by the matrix's
/// seed.
struct RandomSensing {
  RandomLowRank matrix{6, 6, 1, 1};
  int samples = 15;

  /// Throws std::invalid_argument unless the matrix's recipe is valid, n ≥ 1 and n·p·q < 2³¹.
  void check() const;
  SensingData generate() const;
};

/// The entries of U Vᵀ, row-major, of θ = (U, V): see FeatureMap. With W = Σ_k r_k A_k the gradient is
/// (W V, Wᵀ U).
struct ProductFeatures {
  static constexpr bool componentwise = false;
  int p = 1, q = 1, r = 1;

  SLOWSDE_HD int dim() const { return (p + q) * r; }
  SLOWSDE_HD int features() const { return p * q; }
  template <class T>
  SLOWSDE_HD T feature(const T* theta, int c) const {
    const int i = c / q;
    const T* u = theta + i * r;
    const T* v = theta + (p + c - i * q) * r;
    T sum = u[0] * v[0];
    for (int l = 1; l < r; ++l) sum = sum + u[l] * v[l];
    return sum;
  }
  template <class T>
  SLOWSDE_HD T pullback(const T* theta, const T* w, int j) const {
    const int row = j / r, l = j - row * r;
    T sum(0.0);
    if (row < p) {
      for (int k = 0; k < q; ++k) sum = sum + w[row * q + k] * theta[(p + k) * r + l];
    } else {
      for (int i = 0; i < p; ++i) sum = sum + w[i * q + row - p] * theta[i * r + l];
    }
    return sum;
  }
};

/// f_k = ⟨A_k, U Vᵀ⟩ with U (p × r), V (q × r), θ = (U, V) row-major; one output per sample, L = (1/2n)Σ_k
/// r_k², Γ = {f = y}. On Γ, tr ∇²L = (1/n)Σ_k(|A_kV|² + |A_kᵀU|²): where the literature writes L = ½Σ_k r_k²
/// the factor 1/n is absent. With label noise of variance σ², Σ = σ²∇²L for one of the n samples.
class MatrixSensing {
 public:
  static constexpr int outputs_count = 1;

  /// The problem RandomSensing{} with inner dimension r = 3.
  MatrixSensing() : MatrixSensing(RandomSensing{}.generate(), 3) {}
  /// Throws std::invalid_argument unless the sizes are positive and match the arrays.
  MatrixSensing(SensingData data, int inner);

  int dim() const { return (data_.rows + data_.cols) * r_; }
  int samples() const { return data_.samples; }
  int inner() const { return r_; }
  const SensingData& data() const { return data_; }

  ProductFeatures feature_map() const { return {data_.rows, data_.cols, r_}; }
  const std::vector<double>& measurements() const { return data_.measurements; }
  const std::vector<double>& target_values() const { return data_.targets; }

  template <class T, class I>
  SLOWSDE_HD void outputs(const T* theta, const I& k, T* f) const {
    const ProductFeatures product{data_.rows, data_.cols, r_};
    const I first = k * I(product.features());
    T sum(0.0);
    for (int c = 0; c < product.features(); ++c)
      sum = sum + lookup<T>(data_.measurements.data() + c, first) * product.feature(theta, c);
    f[0] = sum;
  }
  template <class I, class T>
  SLOWSDE_HD void targets(const I& k, T* y) const {
    y[0] = lookup<T>(data_.targets.data(), k);
  }
  /// ∂f_k = (A_kV, A_kᵀU), accumulated in the scratch while f_k = ⟨A_kV, U⟩ is summed.
  template <class T, class I>
  SLOWSDE_HD void add_sample_gradient(const T* theta, const I& k, const T* eps, T* g, T* scratch) const {
    const int p = data_.rows, q = data_.cols;
    const T* U = theta;
    const T* V = theta + p * r_;
    T* AV = scratch;            // (p, r)
    T* AtU = scratch + p * r_;  // (q, r)
    const I first = k * I(p * q);
    for (int m = 0; m < dim(); ++m) scratch[m] = T(0.0);
    for (int i = 0; i < p; ++i)
      for (int j = 0; j < q; ++j) {
        const T a = lookup<T>(data_.measurements.data() + (i * q + j), first);
        for (int l = 0; l < r_; ++l) {
          AV[i * r_ + l] = AV[i * r_ + l] + a * V[j * r_ + l];
          AtU[j * r_ + l] = AtU[j * r_ + l] + a * U[i * r_ + l];
        }
      }
    T f(0.0);
    for (int m = 0; m < p * r_; ++m) f = f + AV[m] * U[m];
    const T residual = f - lookup<T>(data_.targets.data(), k) - eps[0];
    for (int m = 0; m < dim(); ++m) g[m] = g[m] + residual * scratch[m];
  }
  int scratch_size() const { return dim(); }

  /// tr ∇²L on Γ: (1/n)Σ_k(|A_kV|² + |A_kᵀU|²).
  template <class T>
  SLOWSDE_HD T trace_on_manifold(const T* theta) const {
    const int p = data_.rows, q = data_.cols;
    T sum(0.0);
    for (int k = 0; k < data_.samples; ++k) {
      const double* A = data_.measurements.data() + static_cast<std::ptrdiff_t>(k) * p * q;
      for (int l = 0; l < r_; ++l) {
        for (int i = 0; i < p; ++i) {
          T entry(0.0);
          for (int j = 0; j < q; ++j) entry = entry + A[i * q + j] * theta[(p + j) * r_ + l];
          sum = sum + entry * entry;
        }
        for (int j = 0; j < q; ++j) {
          T entry(0.0);
          for (int i = 0; i < p; ++i) entry = entry + A[i * q + j] * theta[i * r_ + l];
          sum = sum + entry * entry;
        }
      }
    }
    return sum * T(1.0 / data_.samples);
  }

  /// An interpolator that is not M: normal V (of fixed address), then the U of least norm with f = y. Throws
  /// std::invalid_argument where no U interpolates (n > p·r).
  std::vector<double> default_start() const;

 private:
  SensingData data_;
  int r_;
};

}  // namespace slowsde
