// The products of small matrices that a network's passes consist of. Activations are feature-major, (features
// × columns) of V, where V is a pack whose lanes are samples (weights are then plain numbers W, the same for
// all lanes), a pack whose lanes are replicas (each lane has weights of its own: W = V), or a plain scalar or
// jet. Sums run in an order that depends on the shapes alone.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <type_traits>
#include <utility>

#include "slowsde/problems/host_device.hpp"
#include "slowsde/problems/network.hpp"
#include "slowsde/problems/pack.hpp"

namespace slowsde::detail {

/// a·b + c, with one rounding for floating-point numbers and packs of them.
template <class V>
SLOWSDE_INLINE V multiply_add(const V& a, const V& b, const V& c) {
  if constexpr (std::is_floating_point_v<V>) {
    return std::fma(a, b, c);
  } else if constexpr (lane_count<V> > 1) {
    return fma(a, b, c);
  } else {
    return a * b + c;
  }
}

/// One coefficient of the parameters, the same for all columns.
template <class V, class W>
struct SharedWeights {
  const W* w = nullptr;
  explicit operator bool() const { return w != nullptr; }
  SharedWeights from(int offset) const { return {w + offset}; }
  SLOWSDE_INLINE V at(std::ptrdiff_t index, int) const { return V(w[index]); }
};

/// A coefficient with parameters of their own in every lane of every column: entry `index` of column c at
/// w[c·dim + index].
template <class V>
struct ColumnWeights {
  const V* w = nullptr;
  std::ptrdiff_t dim = 0;
  explicit operator bool() const { return w != nullptr; }
  ColumnWeights from(int offset) const { return {w + offset, dim}; }
  SLOWSDE_INLINE V at(std::ptrdiff_t index, int column) const { return w[column * dim + index]; }
};

/// What a product is added to.
struct StartAtZero {
  template <class V>
  SLOWSDE_INLINE V operator()(const V&, int, int) const {
    return V(0.0);
  }
};
struct StartAtOutput {
  template <class V>
  SLOWSDE_INLINE V operator()(const V& out, int, int) const {
    return out;
  }
};
template <class Weights>
struct StartAtBias {
  Weights b;
  template <class V>
  SLOWSDE_INLINE V operator()(const V&, int row, int column) const {
    return b.at(row, column);
  }
};

/// Strides of out_r = Σ_q Σ_t w[r·row_weights + q·term_weights + t.weight] a[q·term_features + t.position].
struct ProductShape {
  int rows = 0, terms = 0;
  std::ptrdiff_t row_weights = 0, term_weights = 0;
  std::ptrdiff_t term_features = 1, row_features = 1;  ///< distances of q in `a` and of r in `out`
};

/// R rows × C columns of a product in registers. RowStep and TermStep fix the weights' strides where they are
/// 1, so that addresses become constants.
template <int R, int C, int RowStep, int TermStep, class V, class Weights, class Start>
SLOWSDE_INLINE void product_block(const ProductShape& s, const Weights& w, const LinearTaps::Tap* taps,
                                  int tap_count, const V* a, V* out, int columns, int row, int column,
                                  const Start& start) {
  const std::ptrdiff_t row_step = RowStep ? RowStep : s.row_weights;
  const std::ptrdiff_t term_step = TermStep ? TermStep : s.term_weights;
  V sum[R][C];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c)
      sum[r][c] = start(out[(row + r) * s.row_features * columns + column + c], row + r, column + c);
  const auto add_term = [&](std::ptrdiff_t weight, const V* x) __attribute__((always_inline)) {
    V term[C];
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) term[c] = x[c];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
      for (int c = 0; c < C; ++c)
        sum[r][c] = multiply_add(w.at(weight + (row + r) * row_step, column + c), term[c], sum[r][c]);
  };
  if (tap_count == 1) {
    const V* x = a + taps[0].position * columns + column;
#pragma GCC unroll 4
    for (int q = 0; q < s.terms; ++q)
      add_term(q * term_step + taps[0].weight, x + q * s.term_features * columns);
  } else {
    for (int q = 0; q < s.terms; ++q)
      for (int t = 0; t < tap_count; ++t)
        add_term(q * term_step + taps[t].weight,
                 a + (q * s.term_features + taps[t].position) * columns + column);
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) out[(row + r) * s.row_features * columns + column + c] = sum[r][c];
}

/// All rows of C columns, in blocks of R, R/2, … rows.
template <int R, int C, int RowStep, int TermStep, class V, class Weights, class Start>
SLOWSDE_INLINE int product_rows(const ProductShape& s, const Weights& w, const LinearTaps::Tap* taps,
                                int tap_count, const V* a, V* out, int columns, int row, int column,
                                const Start& start) {
  for (; row + R <= s.rows; row += R)
    product_block<R, C, RowStep, TermStep>(s, w, taps, tap_count, a, out, columns, row, column, start);
  if constexpr (R > 1)
    row =
        product_rows<R / 2, C, RowStep, TermStep>(s, w, taps, tap_count, a, out, columns, row, column, start);
  return row;
}

/// The product for all rows and columns.
template <int RowStep, int TermStep, class V, class Weights, class Start>
void product(const ProductShape& s, const Weights& w, const LinearTaps::Tap* taps, int tap_count, const V* a,
             V* out, int columns, const Start& start) {
  int column = 0;
  if constexpr (lane_count < V >> 1) {
    for (; column + 4 <= columns; column += 4)
      product_rows<6, 4, RowStep, TermStep>(s, w, taps, tap_count, a, out, columns, 0, column, start);
    for (; column + 2 <= columns; column += 2)
      product_rows<8, 2, RowStep, TermStep>(s, w, taps, tap_count, a, out, columns, 0, column, start);
  }
  for (; column < columns; ++column)
    product_rows<8, 1, RowStep, TermStep>(s, w, taps, tap_count, a, out, columns, 0, column, start);
}

// Sums over the lanes of packs, in a fixed tree.

template <class Vector, int... L>
SLOWSDE_INLINE Vector interleave_low(Vector a, Vector b, std::integer_sequence<int, L...>) {
  constexpr int W = sizeof...(L);
  return __builtin_shufflevector(a, b, (L % 2 == 0 ? L / 2 : W + L / 2)...);
}
template <class Vector, int... L>
SLOWSDE_INLINE Vector interleave_high(Vector a, Vector b, std::integer_sequence<int, L...>) {
  constexpr int W = sizeof...(L);
  return __builtin_shufflevector(a, b, (W / 2 + (L % 2 == 0 ? L / 2 : W + L / 2))...);
}

/// Transposes W packs of W lanes: log₂ W rounds that interleave pack k with pack k + W/2.
template <class Real, int W>
SLOWSDE_INLINE void transpose(Pack<Real, W> (&x)[W]) {
  constexpr auto lanes = std::make_integer_sequence<int, W>{};
#pragma GCC unroll 4
  for (int round = 1; round < W; round *= 2) {
    Pack<Real, W> y[W];
#pragma GCC unroll 16
    for (int k = 0; k < W / 2; ++k) {
      y[2 * k] = interleave_low(x[k].v, x[k + W / 2].v, lanes);
      y[2 * k + 1] = interleave_high(x[k].v, x[k + W / 2].v, lanes);
    }
#pragma GCC unroll 16
    for (int k = 0; k < W; ++k) x[k] = y[k];
  }
}

/// Lane l of the result is the sum over the lanes of x[l].
template <class Real, int W>
SLOWSDE_INLINE Pack<Real, W> lane_sums(const Pack<Real, W> (&x)[W]) {
  constexpr auto lanes = std::make_integer_sequence<int, W>{};
  Pack<Real, W> y[W];
#pragma GCC unroll 16
  for (int k = 0; k < W; ++k) y[k] = x[k];
    // Interleaving k with k + count/2 and adding the halves: after all rounds lane l holds the sum of pack l.
#pragma GCC unroll 4
  for (int count = W; count > 1; count /= 2) {
#pragma GCC unroll 8
    for (int k = 0; k < count / 2; ++k) {
      y[k] = Pack<Real, W>(interleave_low(y[k].v, y[k + count / 2].v, lanes)) +
             Pack<Real, W>(interleave_high(y[k].v, y[k + count / 2].v, lanes));
    }
  }
  return y[0];
}

/// The sum over all lanes; a scalar is its own.
template <class V>
SLOWSDE_INLINE auto lane_sum(const V& x) {
  if constexpr (lane_count<V> == 1) {
    return x;
  } else {
    V zeros[V::width];
    for (int k = 0; k < V::width; ++k) zeros[k] = V(0.0);
    zeros[0] = x;
    return lane_sums(zeros)[0];
  }
}

/// Adds the first `count` lanes of x to sum[0], sum[1], …
template <class Real, int W>
SLOWSDE_INLINE void add_lanes(Real* sum, const Pack<Real, W>& x, int count) {
  if (count >= W) {
    Pack<Real, W> old;
    std::memcpy(&old, sum, sizeof old);
    old += x;
    std::memcpy(sum, &old, sizeof old);
  } else {
    for (int l = 0; l < count; ++l) sum[l] += x[l];
  }
}

/// g_r += Σ_columns x_r over all lanes, r < rows, where W is a lane's number; per lane where it is the pack.
template <class V, class W>
void add_row_sums(const V* x, int rows, int columns, W* g) {
  const auto row_sum = [&](int r) {
    V sum = x[static_cast<std::ptrdiff_t>(r) * columns];
    for (int c = 1; c < columns; ++c) sum = sum + x[static_cast<std::ptrdiff_t>(r) * columns + c];
    return sum;
  };
  if constexpr (std::is_same_v<V, W>) {
    for (int r = 0; r < rows; ++r) g[r] = g[r] + row_sum(r);
  } else {
    constexpr int L = V::width;
    for (int r = 0; r < rows; r += L) {
      V sums[L];
      for (int k = 0; k < L; ++k) sums[k] = r + k < rows ? row_sum(r + k) : V(0.0);
      add_lanes(g + r, lane_sums(sums), rows - r);
    }
  }
}

/// Packs that hold the transpose of (features × columns) packs.
template <class V>
constexpr std::size_t transposed_size(int features, int columns) {
  return static_cast<std::size_t>((features + V::width - 1) / V::width) * V::width * columns;
}

/// Lanes along the features: pack p of sample b at out[b·⌈features/lanes⌉ + p], zero beyond the features.
template <class V>
void transpose_features(const V* x, int features, int columns, V* out) {
  constexpr int L = V::width;
  const int packs = (features + L - 1) / L;
  for (int c = 0; c < columns; ++c) {
    for (int p = 0; p < packs; ++p) {
      V block[L];
      if ((p + 1) * L <= features) {
        for (int k = 0; k < L; ++k) block[k] = x[static_cast<std::ptrdiff_t>(p * L + k) * columns + c];
      } else {
        for (int k = 0; k < L; ++k)
          block[k] = p * L + k < features ? x[static_cast<std::ptrdiff_t>(p * L + k) * columns + c] : V(0.0);
      }
      transpose(block);
      for (int k = 0; k < L; ++k) out[(static_cast<std::ptrdiff_t>(c) * L + k) * packs + p] = block[k];
    }
  }
}

template <int R, int C, class V, class Real>
SLOWSDE_INLINE void outer_block(const V* delta, int columns, const V* transposed, int packs, int inputs,
                                int row, int pack, Real* g) {
  constexpr int L = V::width;
  V sum[R][C];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) sum[r][c] = V(0.0);
  const V* x = transposed + pack;
  for (int column = 0; column < columns; ++column) {
    const V* d = delta + static_cast<std::ptrdiff_t>(row) * columns + column;
#pragma GCC unroll 4
    for (int l = 0; l < L; ++l, x += packs) {
      V a[C];
#pragma GCC unroll 4
      for (int c = 0; c < C; ++c) a[c] = x[c];
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
        const V b(d[r * columns].v[l]);
#pragma GCC unroll 4
        for (int c = 0; c < C; ++c) sum[r][c] = multiply_add(b, a[c], sum[r][c]);
      }
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c)
      add_lanes(g + static_cast<std::ptrdiff_t>(row + r) * inputs + (pack + c) * L, sum[r][c],
                inputs - (pack + c) * L);
}

template <int R, int C, class V, class Real>
SLOWSDE_INLINE void outer_rows(const V* delta, int rows, int columns, const V* transposed, int packs,
                               int inputs, int row, int pack, Real* g) {
  for (; row + R <= rows; row += R)
    outer_block<R, C>(delta, columns, transposed, packs, inputs, row, pack, g);
  if constexpr (R > 1) outer_rows<R / 2, C>(delta, rows, columns, transposed, packs, inputs, row, pack, g);
}

/// g (rows × inputs) += Σ over the samples of δ aᵀ, with a transposed: a sample's δ_r then multiplies whole
/// packs of inputs, and nothing is summed across lanes.
template <class V, class Real>
void add_outer_products(const V* delta, int rows, int columns, const V* transposed, int inputs, Real* g) {
  const int packs = (inputs + V::width - 1) / V::width;
  int pack = 0;
  for (; pack + 4 <= packs; pack += 4)
    outer_rows<6, 4>(delta, rows, columns, transposed, packs, inputs, 0, pack, g);
  for (; pack < packs; ++pack) outer_rows<8, 1>(delta, rows, columns, transposed, packs, inputs, 0, pack, g);
}

/// sum_{r,q} = Σ_contacts Σ_columns δ[r·out_positions + output] a[q·in_positions + input].
template <int R, int Q, class V>
SLOWSDE_INLINE void contact_block(const V* delta, int out_positions, const V* a, int in_positions,
                                  int columns, const LinearTaps::Contact* contacts, int count,
                                  V (&sum)[R][Q]) {
  for (int r = 0; r < R; ++r)
    for (int q = 0; q < Q; ++q) sum[r][q] = V(0.0);
  for (int k = 0; k < count; ++k) {
    const V* d = delta + static_cast<std::ptrdiff_t>(contacts[k].output) * columns;
    const V* x = a + static_cast<std::ptrdiff_t>(contacts[k].input) * columns;
    for (int c = 0; c < columns; ++c) {
      V right[Q];
#pragma GCC unroll 4
      for (int q = 0; q < Q; ++q) right[q] = x[static_cast<std::ptrdiff_t>(q) * in_positions * columns + c];
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) {
        const V left = d[static_cast<std::ptrdiff_t>(r) * out_positions * columns + c];
#pragma GCC unroll 4
        for (int q = 0; q < Q; ++q) sum[r][q] = multiply_add(left, right[q], sum[r][q]);
      }
    }
  }
}

/// g[(r·channels_in + q)·taps + t] += the sum over columns, and over lanes unless W is the pack itself, of
/// what output channel r and input channel q have in contact through tap t.
template <class V, class W>
void add_contact_products(const Network::Step& step, const V* delta, const V* a, int columns, W* g) {
  const int taps = static_cast<int>(step.taps.contacts_begin.size()) - 1;
  const int out_positions = step.out.size() / step.channels_out;
  const int in_positions = step.in.size() / step.channels_in;
  const auto block = [&]<int R, int Q>(std::integral_constant<int, R>, std::integral_constant<int, Q>, int r,
                                       int q) {
    for (int t = 0; t < taps; ++t) {
      const int first = step.taps.contacts_begin[t];
      V sum[R][Q];
      contact_block(delta + static_cast<std::ptrdiff_t>(r) * out_positions * columns, out_positions,
                    a + static_cast<std::ptrdiff_t>(q) * in_positions * columns, in_positions, columns,
                    step.taps.contacts.data() + first, step.taps.contacts_begin[t + 1] - first, sum);
      const auto target = [&](int i, int j) -> W& {
        return g[(static_cast<std::ptrdiff_t>(r + i) * step.channels_in + q + j) * taps + t];
      };
      if constexpr (std::is_same_v<V, W>) {
        for (int i = 0; i < R; ++i)
          for (int j = 0; j < Q; ++j) target(i, j) = target(i, j) + sum[i][j];
      } else {
        constexpr int L = V::width;
        for (int first_sum = 0; first_sum < R * Q; first_sum += L) {
          V rows[L];
          for (int k = 0; k < L; ++k) {
            const int index = first_sum + k;
            rows[k] = index < R * Q ? sum[index / Q][index % Q] : V(0.0);
          }
          const V sums = lane_sums(rows);
          for (int k = 0; k < L && first_sum + k < R * Q; ++k)
            target((first_sum + k) / Q, (first_sum + k) % Q) += sums[k];
        }
      }
    }
  };
  using One = std::integral_constant<int, 1>;
  using Four = std::integral_constant<int, 4>;
  int r = 0;
  for (; r + 4 <= step.channels_out; r += 4) {
    int q = 0;
    for (; q + 4 <= step.channels_in; q += 4) block(Four{}, Four{}, r, q);
    for (; q < step.channels_in; ++q) block(Four{}, One{}, r, q);
  }
  for (; r < step.channels_out; ++r)
    for (int q = 0; q < step.channels_in; ++q) block(One{}, One{}, r, q);
}

}  // namespace slowsde::detail
