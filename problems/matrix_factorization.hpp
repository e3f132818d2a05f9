// Matrix factorization: the flattest of the equal products U Vᵀ is the balanced one.
#pragma once

#include <cstdint>
#include <vector>

#include "slowsde/problems/host_device.hpp"
#include "slowsde/problems/pack.hpp"

namespace slowsde {

/// Recipe of a random matrix of low rank, M = A Bᵀ/√rank with independent standard normal A (rows × rank) and
/// B (cols × rank), addressed by the seed.
struct RandomLowRank {
  int rows = 6, cols = 4, rank = 4;
  std::uint64_t seed = 1;

  /// Throws std::invalid_argument unless 1 ≤ rank ≤ min(rows, cols).
  void check() const;
  /// M: (rows × cols), row-major.
  std::vector<double> generate() const;
};

/// L = ½|U Vᵀ − M|² with U (p × r), V (q × r), θ = (U, V) row-major: least squares with one sample (n = 1) of
/// C = pq outputs. On Γ = {U Vᵀ = M}, tr ∇²L = q|U|² + p|V|², least, 2√(pq)·|M|_* (nuclear norm), where q·UᵀU
/// = p·VᵀV: by the arithmetic–geometric mean, q|U|² + p|V|² ≥ 2√(pq)|U||V| ≥ 2√(pq)|U Vᵀ|_*. ∇²L has rank pq
/// − (p − rank U)(q − rank V) on Γ. With label noise of variance σ², Σ = σ²∇²L.
class MatrixFactorization {
 public:
  /// A random 6 × 4 matrix of rank 4 and inner dimension r = 4.
  MatrixFactorization() : MatrixFactorization(RandomLowRank{}, 4) {}
  /// Throws std::invalid_argument unless the recipe is valid and r ≥ its rank.
  MatrixFactorization(const RandomLowRank& recipe, int inner);
  /// matrix: M (rows × cols), row-major. Throws std::invalid_argument unless sizes are positive and match.
  MatrixFactorization(std::vector<double> matrix, int rows, int cols, int inner);

  int dim() const { return (p_ + q_) * r_; }
  int samples() const { return 1; }
  int outputs_count() const { return p_ * q_; }
  int rows() const { return p_; }
  int cols() const { return q_; }
  int inner() const { return r_; }
  const std::vector<double>& matrix() const { return matrix_; }

  template <class T, class I>
  SLOWSDE_HD void outputs(const T* theta, const I&, T* f) const {
    for (int i = 0; i < p_; ++i)
      for (int j = 0; j < q_; ++j) f[i * q_ + j] = entry(theta, i, j);
  }
  template <class I, class T>
  SLOWSDE_HD void targets(const I&, T* y) const {
    for (int c = 0; c < p_ * q_; ++c) y[c] = T(matrix_[static_cast<std::size_t>(c)]);
  }
  /// With E = U Vᵀ − M − ε: ∂U = E V, ∂V = Eᵀ U.
  template <class T, class I>
  SLOWSDE_HD void add_sample_gradient(const T* theta, const I&, const T* eps, T* g, T*) const {
    const T* U = theta;
    const T* V = theta + p_ * r_;
    T* gU = g;
    T* gV = g + p_ * r_;
    for (int i = 0; i < p_; ++i)
      for (int j = 0; j < q_; ++j) {
        const int c = i * q_ + j;
        const T e = entry(theta, i, j) - matrix_[static_cast<std::size_t>(c)] - eps[c];
        for (int l = 0; l < r_; ++l) {
          gU[i * r_ + l] = gU[i * r_ + l] + e * V[j * r_ + l];
          gV[j * r_ + l] = gV[j * r_ + l] + e * U[i * r_ + l];
        }
      }
  }
  int scratch_size() const { return 0; }

  /// tr ∇²L on Γ: q|U|² + p|V|².
  template <class T>
  SLOWSDE_HD T trace_on_manifold(const T* theta) const {
    T u(0.0), v(0.0);
    for (int k = 0; k < p_ * r_; ++k) u = u + theta[k] * theta[k];
    for (int k = p_ * r_; k < dim(); ++k) v = v + theta[k] * theta[k];
    return static_cast<double>(q_) * u + static_cast<double>(p_) * v;
  }
  /// 2√(pq)·|M|_*, the least trace on Γ. Reached where the inner dimension is at least the rank of M.
  double least_trace() const;

  /// An unbalanced factorization by singular values, M = P S Qᵀ: columns 2^{±1}√S of P in U, 2^{∓1}√S of Q in
  /// V; columns beyond the rank vanish in U and keep V of full rank. Throws std::invalid_argument where r <
  /// rank M.
  std::vector<double> default_start() const;

 private:
  template <class T>
  SLOWSDE_HD T entry(const T* theta, int i, int j) const {
    const T* u = theta + i * r_;
    const T* v = theta + p_ * r_ + j * r_;
    T sum = u[0] * v[0];
    for (int l = 1; l < r_; ++l) sum = sum + u[l] * v[l];
    return sum;
  }

  std::vector<double> matrix_;
  int p_, q_, r_;
};

}  // namespace slowsde
