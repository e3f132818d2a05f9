// What a network's layers do one number, one sample or one channel at a time: activations, losses, group norm
// and pools, for the device trainer's paths. Matrices have a row for each feature or channel and a column for
// each sample; pointers are to a sample's column, `row` is from one row to the next.
#pragma once

#include "slowsde/gpu/network_layout.hpp"
#include "slowsde/problems/host_device.hpp"
#include "slowsde/problems/pack_math.hpp"

namespace slowsde {

/// φ(z); p: SiLU's 1/(1 + e^{−z}).
template <class Real>
SLOWSDE_HD SLOWSDE_INLINE Real activated(Activation activation, Real z, Real& p) {
  const auto tanh_of = [](Real x) { return tanh(Pack<Real, 1>(x)).v; };
  if (activation == Activation::tanh) return tanh_of(z);
  if (activation == Activation::relu) return z > Real{0} ? z : Real{0};
  p = Real(0.5) * tanh_of(Real(0.5) * z) + Real(0.5);  // which cannot overflow
  return z * p;
}

/// φ'(z) from a = φ(z) and p.
template <class Real>
SLOWSDE_HD SLOWSDE_INLINE Real slope(Activation activation, Real a, Real p) {
  if (activation == Activation::tanh) return Real{1} - a * a;
  if (activation == Activation::relu) return a > Real{0} ? Real{1} : Real{0};
  return p + (a - a * p);
}

/// φ''(z) from a = φ(z) and p. SiLU: a = zp and p' = p(1 − p), hence φ' = p + a(1 − p), φ'' = (1 − p)(2p + a
/// − 2ap).
template <class Real>
SLOWSDE_HD SLOWSDE_INLINE Real curvature(Activation activation, Real a, Real p) {
  if (activation == Activation::tanh) return Real{-2} * a * (Real{1} - a * a);
  if (activation == Activation::relu) return Real{0};
  return (Real{1} - p) * (Real{2} * p + (a - Real{2} * a * p));
}

/// φ(z) of a layer with an activation, else z; with SiLU its 1/(1 + e^{−z}) too.
template <class Real>
SLOWSDE_HD SLOWSDE_INLINE void write_output(const NetworkLayout::Layer& layer, Real z, Real* out,
                                            Real* logistic) {
  Real p{0};
  if (layer.activated) z = activated(layer.activation, z, p);
  *out = z;
  if (layer.activated && layer.activation == Activation::silu) *logistic = p;
}

/// The adjoint of a layer's z from that of its output.
template <class Real>
SLOWSDE_HD SLOWSDE_INLINE Real adjoint_of_z(const NetworkLayout::Layer& layer, const Real* out,
                                            const Real* logistic, Real adjoint) {
  if (!layer.activated) return adjoint;
  return adjoint * slope(layer.activation, *out, layer.activation == Activation::silu ? *logistic : Real{0});
}

/// Loss of one sample from its outputs f[c·row], and its adjoint times `weight` in place of d[c·row].
template <class Real>
SLOWSDE_HD SLOWSDE_INLINE Real sample_loss(LossKind loss, int outputs, const Real* f, const Real* target,
                                           int label, int row, Real weight, Real* d) {
  Real value{0};
  if (loss == LossKind::squared) {
    for (int c = 0; c < outputs; ++c) {
      const Real r = f[c * row] - target[c * row];
      value = value + Real(0.5) * (r * r);
      d[c * row] = weight * r;
    }
    return value;
  }
  Real top = f[0], sum{0};
  for (int c = 1; c < outputs; ++c) top = top < f[c * row] ? f[c * row] : top;
  for (int c = 0; c < outputs; ++c) {
    const Real e = exp(Pack<Real, 1>(f[c * row] - top)).v;
    sum = sum + e;
    d[c * row] = e;
  }
  value = log(Pack<Real, 1>(sum)).v + (top - f[label * row]);
  const Real inverse = Real{1} / sum;
  for (int c = 0; c < outputs; ++c)
    d[c * row] = weight * (d[c * row] * inverse - (c == label ? Real{1} : Real{0}));
  return value;
}

/// Group norm of one sample, one channel at a time: the sums of a group's channels are added by each of them.
/// Each function needs what the one before it did for all channels.
template <class Real>
struct GroupNormSample {
  const NetworkLayout::Layer* layer = nullptr;
  int row = 0;
  const Real *gamma = nullptr, *beta = nullptr;
  const Real* z = nullptr;                  ///< (features)
  Real *normed = nullptr, *root = nullptr;  ///< ẑ: (features), may be z; (v + eps)^{−1/2}: (channels)
  Real* sums = nullptr;                     ///< (2 channels)

  /// Σ z
  SLOWSDE_HD void sum(int c) const {
    sums[c * row] = over_positions(c, [&](int at) { return z[at]; });
  }
  /// Σ (z − μ)²
  SLOWSDE_HD void sum_squares(int c) const {
    const Real mean = mean_over_group(c, [&](int k) { return sums[k * row]; });
    sums[second(c)] = over_positions(c, [&](int at) {
      const Real centred = z[at] - mean;
      return centred * centred;
    });
  }
  /// put(f, γ ẑ_f + β) for the channel's features f.
  template <class Put>
  SLOWSDE_HD void apply(int c, Put&& put) const {
    const Real mean = mean_over_group(c, [&](int k) { return sums[k * row]; });
    const Real variance = mean_over_group(c, [&](int k) { return sums[second(k)]; });
    const Real r = Real{1} / sqrt(Pack<Real, 1>(variance + static_cast<Real>(layer->eps))).v;
    root[c * row] = r;
    const int positions = layer->positions_in();
    for (int f = c * positions; f < (c + 1) * positions; ++f) {
      const Real unit = (z[f * row] - mean) * r;
      normed[f * row] = unit;
      put(f, gamma[c] * unit + beta[c]);
    }
  }

  /// Σ δ and Σ δ ẑ, which are the sample's share of ∇β_c and ∇γ_c.
  SLOWSDE_HD void sum_adjoints(int c, const Real* delta) const {
    sums[c * row] = over_positions(c, [&](int at) { return delta[at]; });
    sums[second(c)] = over_positions(c, [&](int at) { return delta[at] * normed[at]; });
  }
  /// put(f, δz_f), δz = r(δẑ − mean δẑ − ẑ mean(δẑ ẑ)), δẑ = γ δ; put may overwrite δ_f.
  template <class Put>
  SLOWSDE_HD void reverse(int c, const Real* delta, Put&& put) const {
    const Real mean = mean_over_group(c, [&](int k) { return gamma[k] * sums[k * row]; });
    const Real along = mean_over_group(c, [&](int k) { return gamma[k] * sums[second(k)]; });
    const int positions = layer->positions_in();
    for (int f = c * positions; f < (c + 1) * positions; ++f)
      put(f, root[c * row] * (gamma[c] * delta[f * row] - mean - normed[f * row] * along));
  }

 private:
  SLOWSDE_HD int second(int c) const { return (layer->channels_in + c) * row; }
  template <class Term>
  SLOWSDE_HD Real over_positions(int c, Term&& term) const {
    const int positions = layer->positions_in();
    Real total{0};
    for (int f = c * positions; f < (c + 1) * positions; ++f) total = total + term(f * row);
    return total;
  }
  /// The mean over the group that channel c is in, from sums over the positions.
  template <class Term>
  SLOWSDE_HD Real mean_over_group(int c, Term&& term) const {
    const int channels = layer->channels_in / layer->groups, first = c - c % channels;
    Real total{0};
    for (int k = first; k < first + channels; ++k) total = total + term(k);
    return total * (Real{1} / static_cast<Real>(channels * layer->positions_in()));
  }
};

/// Output feature f of an average pool.
template <class Real>
SLOWSDE_HD SLOWSDE_INLINE Real pooled(const NetworkLayout::Layer& pool, const Real* a, int row, int f) {
  const int channel = f / pool.positions_out(), at = f - channel * pool.positions_out();
  const int y = at / pool.width_out, x = at - y * pool.width_out;
  Real sum{0};
  for (int i = 0; i < pool.kernel; ++i)
    for (int j = 0; j < pool.kernel; ++j)
      sum = sum +
            a[((channel * pool.height_in + y * pool.kernel + i) * pool.width_in + x * pool.kernel + j) * row];
  return sum * (Real{1} / static_cast<Real>(pool.taps()));
}

/// The adjoint of an average pool's input feature f.
template <class Real>
SLOWSDE_HD SLOWSDE_INLINE Real unpooled(const NetworkLayout::Layer& pool, const Real* delta, int row, int f) {
  const int channel = f / pool.positions_in(), at = f - channel * pool.positions_in();
  const int y = at / pool.width_in, x = at - y * pool.width_in;
  return delta[((channel * pool.height_out + y / pool.kernel) * pool.width_out + x / pool.kernel) * row] *
         (Real{1} / static_cast<Real>(pool.taps()));
}

}  // namespace slowsde
