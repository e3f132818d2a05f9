// Loss functions of a network's outputs as series: the mean loss and the adjoints with which a reverse pass
// starts. f: (outputs × columns) per coefficient, as in NetworkPass.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>

#include "slowsde/problems/pack_math.hpp"
#include "slowsde/problems/series_kernels.hpp"

namespace slowsde {

namespace detail {

/// 1 where the label is class c, else 0.
template <class V>
SLOWSDE_INLINE V indicator(const V& label, int c) {
  if constexpr (lane_count < V >> 1)
    return select(label == V(c), V(1.0), V(0.0));
  else
    return V(label == V(c) ? 1.0 : 0.0);
}
template <class V>
SLOWSDE_INLINE V larger(const V& a, const V& b) {
  if constexpr (lane_count < V >> 1)
    return max(a, b);
  else
    return a < b ? b : a;
}

}  // namespace detail

/// Samples among the first `size` whose largest output (the first of equals) is their label's, for columns
/// whose lanes are samples.
template <class V>
std::int64_t count_correct(int outputs, int columns, const V* f, const V* labels, int size) {
  std::int64_t correct = 0;
  for (int c = 0; c < columns; ++c) {
    V top = f[c], best(0.0);
    for (int o = 1; o < outputs; ++o) {
      const auto above = f[o * columns + c] > top;
      top = select(above, f[o * columns + c], top);
      best = select(above, V(o), best);
    }
    for (int l = 0; l < V::width && c * V::width + l < size; ++l) correct += best[l] == labels[c][l];
  }
  return correct;
}

/// Σ_columns w ½|f − y|²: returns it lane by lane and writes its adjoints w(f − y). y: (outputs × columns);
/// weight(column): w, zero for columns that hold no sample.
template <int N, class V, class Weight>
V squared_loss(int outputs, int columns, const detail::Coefficients<V*, N>& f, const V* y, Weight&& weight,
               const detail::Coefficients<V*, N>& adjoint) {
  V value(0.0);
  for (int o = 0; o < outputs; ++o) {
    for (int c = 0; c < columns; ++c) {
      const int i = o * columns + c;
      const V w = weight(c), r = f[0][i] - y[i];
      value = value + 0.5 * (w * r * r);
      adjoint[0][i] = w * r;
      for (int k = 1; k <= N; ++k) adjoint[k][i] = w * f[k][i];
    }
  }
  return value;
}

/// Σ_columns w (log Σ_o e^{f_o} − f_label), with adjoints w(p − 1_label), p = softmax f. label(column): the
/// classes as numbers. The largest output is subtracted first, so nothing overflows.
/// With flip > 0 the mean over labels that are one of the others with that probability: 1_label is then
/// 1 − flip at the label and flip/(outputs − 1) elsewhere (LabelFlip).
template <int N, class V, class Label, class Weight>
V cross_entropy_loss(int outputs, int columns, const detail::Coefficients<V*, N>& f, Label&& label,
                     Weight&& weight, const detail::Coefficients<V*, N>& adjoint, double flip = 0) {
  using std::exp;
  using std::log;
  const double other = flip > 0 ? flip / (outputs - 1) : 0, excess = 1 - flip - other;
  V value(0.0);
  for (int c = 0; c < columns; ++c) {
    const V w = weight(c), own = label(c);
    V top = f[0][c], chosen(0.0);
    for (int o = 0; o < outputs; ++o) {
      const V f_o = f[0][o * columns + c];
      top = detail::larger(top, f_o);
      chosen = chosen + detail::indicator(own, o) * f_o;
    }
    if (flip > 0) {
      chosen = excess * chosen;
      for (int o = 0; o < outputs; ++o) chosen = chosen + other * f[0][o * columns + c];
    }
    // e = exp(f − top) as a series: e' = f' e
    detail::Coefficients<V, N> sum, p;
    for (int k = 0; k <= N; ++k) sum[k] = V(0.0);
    for (int o = 0; o < outputs; ++o) {
      const detail::Coefficients<V, N> f_o = detail::load<V, N>(f, o * columns + c);
      detail::Coefficients<V, N> e;
      e[0] = exp(f_o[0] - top);
      for (int k = 1; k <= N; ++k) e[k] = detail::chain_term(f_o, e, k);
      for (int k = 0; k <= N; ++k) sum[k] = sum[k] + e[k];
      detail::store<0, V, N>(e, adjoint, o * columns + c);
    }
    value = value + w * (log(sum[0]) + (top - chosen));
    const V inverse = 1.0 / sum[0];
    for (int o = 0; o < outputs; ++o) {
      const detail::Coefficients<V, N> e = detail::load<V, N>(adjoint, o * columns + c);
      for (int k = 0; k <= N; ++k) {  // sum·p = e
        p[k] = e[k];
        for (int j = 1; j <= k; ++j) p[k] = p[k] - sum[j] * p[k - j];
        p[k] = p[k] * inverse;
      }
      p[0] = p[0] - (excess * detail::indicator(own, o) + other);
      for (int k = 0; k <= N; ++k) p[k] = w * p[k];
      detail::store<0, V, N>(p, adjoint, o * columns + c);
    }
  }
  return value;
}

}  // namespace slowsde
