// Multilayer perceptrons as least-squares problems, with two faces: MlpFit, whose scalar type is free
// (double, jets, packs across replicas), and MlpModel, which works on all samples at once.
#pragma once

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "slowsde/problems/dataset.hpp"
#include "slowsde/problems/network.hpp"
#include "slowsde/problems/network_model.hpp"
#include "slowsde/problems/pack.hpp"

namespace slowsde {

/// a_0 = x, a_{l+1} = φ(W_l a_l + b_l), without φ in the last layer: f = a_L. Every layer has a bias.
/// θ = (W_0, b_0, W_1, b_1, …), W_l: (widths[l+1] × widths[l]) row-major. 64-40-10 has d = 3010.
struct MlpShape {
  std::vector<int> widths;  ///< inputs, hidden layers, outputs
  Activation activation = Activation::tanh;

  int layers() const { return static_cast<int>(widths.size()) - 1; }
  int inputs() const { return widths.front(); }
  int outputs() const { return widths.back(); }
  int dim() const { return weight_offset(layers()); }
  int weight_offset(int layer) const;  ///< of W_l in θ
  int bias_offset(int layer) const { return weight_offset(layer) + widths[layer] * widths[layer + 1]; }

  /// Throws std::invalid_argument: at least two widths, each ≥ 1; the activation is smooth (not ReLU).
  void check() const;
};

/// W_l entries independent N(0, gain²/widths[l]), biases zero; addressed by (seed, layer, index).
Eigen::VectorXd initial_parameters(const MlpShape& shape, std::uint64_t seed, double gain = 1);
/// The same with a gain per layer. Throws std::invalid_argument when there are not as many gains as layers.
Eigen::VectorXd initial_parameters(const MlpShape& shape, std::uint64_t seed,
                                   const std::vector<double>& gains);

/// L(θ) = (1/2n) Σ_i |f(θ, x_i) − y_i|², as a template over its scalar type.
class MlpFit {
 public:
  /// Throws std::invalid_argument when the shape's first and last widths are not the data's.
  MlpFit(MlpShape shape, Dataset data);

  int dim() const { return offsets_.back(); }
  int samples() const { return data_.n; }
  int outputs_count() const { return shape_.outputs(); }
  int scratch_size() const { return 2 * activations_size_ + 2 * widest_; }
  const MlpShape& shape() const { return shape_; }
  const Dataset& data() const { return data_; }

  /// f(θ, x_i): (C). Allocates its scratch.
  template <class T, class I>
  void outputs(const T* theta, const I& i, T* f) const {
    std::vector<T> scratch(scratch_size());
    const T* last = forward(theta, i, scratch.data(), scratch.data() + activations_size_);
    std::copy(last, last + outputs_count(), f);
  }

  template <class I, class T>
  void targets(const I& i, T* y) const {
    for (int c = 0; c < outputs_count(); ++c) y[c] = entry<T>(data_.y, i, outputs_count(), c);
  }

  /// g += ∇ ½|f(θ, x_i) − y_i − eps|² = J_iᵀ(f − y_i − eps).
  /// eps: (C); g: (d); scratch: (scratch_size()), contents irrelevant. The forward pass reads the weights
  /// once and the reverse pass those above the first layer once more; nothing is allocated.
  template <class T, class I>
  void add_sample_gradient(const T* theta, const I& i, const T* eps, T* g, T* scratch) const {
    T* a = scratch;                          // activations of all layers
    T* slope = scratch + activations_size_;  // φ'(z), same layout
    T* delta = scratch + 2 * activations_size_;
    T* below = delta + widest_;
    const T* f = forward(theta, i, a, slope);
    const int classes = outputs_count();
    for (int c = 0; c < classes; ++c) {
      delta[c] = f[c] - entry<T>(data_.y, i, classes, c) - eps[c];
    }
    for (int l = shape_.layers() - 1; l >= 0; --l) {
      const int in = shape_.widths[l], out = shape_.widths[l + 1];
      const T* w = theta + offsets_[l];
      T* gw = g + offsets_[l];
      T* gb = gw + in * out;
      const T* al = a + starts_[l];
      // ∇W_l += δ a_lᵀ, ∇b_l += δ
      for (int o = 0; o < out; ++o) {
        const T d = delta[o];
        gb[o] = gb[o] + d;
        T* row = gw + o * in;
        for (int j = 0; j < in; ++j) row[j] = row[j] + d * al[j];
      }
      if (l == 0) return;
      // δ <- (W_lᵀ δ) ∘ φ'(z_l)
      for (int j = 0; j < in; ++j) below[j] = w[j] * delta[0];
      for (int o = 1; o < out; ++o) {
        const T d = delta[o];
        const T* row = w + o * in;
        for (int j = 0; j < in; ++j) below[j] = below[j] + row[j] * d;
      }
      const T* sl = slope + starts_[l];
      for (int j = 0; j < in; ++j) below[j] = below[j] * sl[j];
      std::swap(delta, below);
    }
  }

 private:
  /// Entry (i, column) of a row-major table; a pack of indices gathers one sample per lane.
  template <class T, class I>
  static T entry(const std::vector<double>& table, const I& i, int width, int column) {
    return lookup<T>(table.data() + column, i * width);
  }

  /// Fills the activations and slopes of all layers; returns the last layer's activations.
  template <class T, class I>
  const T* forward(const T* theta, const I& i, T* a, T* slope) const {
    using std::tanh;
    const int inputs = shape_.inputs();
    for (int j = 0; j < inputs; ++j) a[j] = entry<T>(data_.x, i, inputs, j);
    for (int l = 0; l < shape_.layers(); ++l) {
      const int in = shape_.widths[l], out = shape_.widths[l + 1];
      const T* w = theta + offsets_[l];
      const T* b = w + in * out;
      const T* al = a + starts_[l];
      T* z = a + starts_[l + 1];
      int o = 0;
      // Four rows at a time: four independent sums hide the latency of the additions.
      for (; o + 4 <= out; o += 4) {
        const T *w0 = w + o * in, *w1 = w0 + in, *w2 = w1 + in, *w3 = w2 + in;
        T z0 = b[o], z1 = b[o + 1], z2 = b[o + 2], z3 = b[o + 3];
        for (int j = 0; j < in; ++j) {
          const T x = al[j];
          z0 = z0 + w0[j] * x;
          z1 = z1 + w1[j] * x;
          z2 = z2 + w2[j] * x;
          z3 = z3 + w3[j] * x;
        }
        z[o] = z0;
        z[o + 1] = z1;
        z[o + 2] = z2;
        z[o + 3] = z3;
      }
      for (; o < out; ++o) {
        T sum = b[o];
        for (int j = 0; j < in; ++j) sum = sum + w[o * in + j] * al[j];
        z[o] = sum;
      }
      if (l + 1 == shape_.layers()) return z;
      T* s = slope + starts_[l + 1];
      if (shape_.activation == Activation::tanh) {
        for (int j = 0; j < out; ++j) {
          z[j] = tanh(z[j]);
          s[j] = 1.0 - z[j] * z[j];
        }
      } else {
        for (int j = 0; j < out; ++j) {
          const T p = 0.5 * tanh(0.5 * z[j]) + 0.5;  // 1/(1 + e^{−z}), which cannot overflow
          z[j] = z[j] * p;
          s[j] = p + z[j] * (1.0 - p);
        }
      }
    }
    return a;
  }

  MlpShape shape_;
  Dataset data_;
  std::vector<int> offsets_;  // of W_l in θ, then d
  std::vector<int> starts_;   // of a_l among the activations
  int activations_size_ = 0;
  int widest_ = 0;
};

/// The same loss in double precision, all samples (or all residuals) at once: NetworkModel of a shape.
class MlpModel final : public NetworkModel {
 public:
  /// Throws std::invalid_argument when the shape's first and last widths are not the data's.
  MlpModel(MlpShape shape, const Dataset& data);

  const MlpShape& shape() const { return shape_; }

 private:
  MlpShape shape_;
};

}  // namespace slowsde
