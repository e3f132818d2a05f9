// The products of small matrices that a network's passes consist of. Activations are feature-major, (features
// × columns) of V, where V is a pack whose lanes are samples (weights are then plain numbers W, the same for
// all lanes), a pack whose lanes are replicas (each lane has weights of its own: W = V), or a plain scalar or
// jet. Sums run in an order that depends on the shapes alone.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
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

/// The same pointer, of which the compiler forgets where it comes from: it then forms addresses where they
/// are used, where it would keep them in registers that a block of sums has none to spare of.
template <class T>
SLOWSDE_INLINE T* forgotten(T* pointer) {
#if defined(__GNUC__)
  asm("" : "+r"(pointer));
#endif
  return pointer;
}

/// Sixteen rows of numbers at a common distance, addressed as x86 can: a pointer plus 1, 2, 4 or 8 times an
/// odd multiple of the distance in bytes. A pointer for each row would leave no register for anything else.
template <class W>
class SixteenRows {
 public:
  SixteenRows(const W* first, std::ptrdiff_t distance)
      : row0_(reinterpret_cast<const char*>(first)),
        row9_(reinterpret_cast<const char*>(first + 9 * distance)),
        one_(distance * static_cast<std::ptrdiff_t>(sizeof(W))),
        three_(3 * one_),
        five_(5 * one_),
        seven_(7 * one_) {}

  /// Number `q` of row `r`, which has to be a constant once loops are unrolled.
  SLOWSDE_INLINE W at(int r, int q) const {
    const char* const from = r < 9 ? row0_ : row9_;
    const std::ptrdiff_t last = q * static_cast<std::ptrdiff_t>(sizeof(W));
    W value;
    switch (r < 9 ? r : r - 9) {
      case 0:
        std::memcpy(&value, from + last, sizeof(W));
        break;
      case 1:
        std::memcpy(&value, from + one_ + last, sizeof(W));
        break;
      case 2:
        std::memcpy(&value, from + 2 * one_ + last, sizeof(W));
        break;
      case 3:
        std::memcpy(&value, from + three_ + last, sizeof(W));
        break;
      case 4:
        std::memcpy(&value, from + 4 * one_ + last, sizeof(W));
        break;
      case 5:
        std::memcpy(&value, from + five_ + last, sizeof(W));
        break;
      case 6:
        std::memcpy(&value, from + 2 * three_ + last, sizeof(W));
        break;
      case 7:
        std::memcpy(&value, from + seven_ + last, sizeof(W));
        break;
      default:
        std::memcpy(&value, from + 8 * one_ + last, sizeof(W));
        break;
    }
    return value;
  }
  SLOWSDE_INLINE void advance(int count) {
    row0_ = forgotten(row0_ + count * sizeof(W));
    row9_ = forgotten(row9_ + count * sizeof(W));
#if defined(__GNUC__)
    asm("" : "+r"(one_), "+r"(three_), "+r"(five_), "+r"(seven_));
#endif
  }

 private:
  const char *row0_, *row9_;
  std::ptrdiff_t one_, three_, five_, seven_;
};

/// One coefficient of the parameters, the same for all columns.
template <class V, class W>
struct SharedWeights {
  static constexpr bool numbers = std::is_arithmetic_v<W>;
  const W* w = nullptr;
  explicit operator bool() const { return w != nullptr; }
  SharedWeights from(std::ptrdiff_t offset) const { return {w ? w + offset : nullptr}; }
  SLOWSDE_INLINE V at(std::ptrdiff_t index, int) const { return V(w[index]); }
};

/// A coefficient with parameters of their own in every lane of every column: entry `index` of column c at
/// w[c·dim + index].
template <class V>
struct ColumnWeights {
  static constexpr bool numbers = false;
  const V* w = nullptr;
  std::ptrdiff_t dim = 0;
  explicit operator bool() const { return w != nullptr; }
  ColumnWeights from(std::ptrdiff_t offset) const { return {w ? w + offset : nullptr, dim}; }
  SLOWSDE_INLINE V at(std::ptrdiff_t index, int column) const { return w[column * dim + index]; }
};

/// out_r (+)= Σ_q Σ_t w[r·row_weights + q·term_weights + t.weight] a[q·term_features + t.position]: r < rows,
/// q < terms, t over a list of taps. `out` and `a` are (features × columns).
/// `a` and `w` may be several pairs, whose products are added up in registers.
template <class V, class Weights>
struct Product {
  static constexpr int most_pairs = 3;
  std::array<Weights, most_pairs> w{};
  std::array<const V*, most_pairs> a{};
  int pairs = 0;
  const LinearTaps::Tap* taps = nullptr;
  int tap_count = 0, rows = 0, terms = 0, columns = 0;
  std::ptrdiff_t row_weights = 0, term_weights = 0;
  std::ptrdiff_t row_features = 1, term_features = 1;
  V* out = nullptr;
  bool add = false;  ///< to what `out` holds
  Weights bias{};    ///< else to this, where it is not null
};

/// Which strides are known: of a dense layer forwards term_weights = 1, backwards row_weights = 1; both have
/// one tap at the first position.
enum class ProductKind { dense, dense_transposed, convolution };

/// R rows × C columns of a product in registers. Not inlined: the registers are the block's own. What it
/// needs of the product is copied: for all the compiler knows, writing `out` may change it.
template <ProductKind Kind, int R, int C, class V, class Weights>
__attribute__((noinline)) void product_block(const Product<V, Weights>& p, int row, int column) {
  const std::ptrdiff_t columns = p.columns, out_step = p.row_features * columns;
  const std::ptrdiff_t row_step = Kind == ProductKind::dense_transposed ? 1 : p.row_weights;
  const std::ptrdiff_t term_step = Kind == ProductKind::dense ? 1 : p.term_weights;
  const std::ptrdiff_t a_step = p.term_features * columns;
  const int pairs = p.pairs, terms = p.terms;
  V* const out = p.out + row * out_step + column;
  V sum[R][C];
  if (p.add) {
    SLOWSDE_UNROLL(16)
    for (int r = 0; r < R; ++r) SLOWSDE_UNROLL(4)
    for (int c = 0; c < C; ++c) sum[r][c] = out[r * out_step + c];
  } else if (p.bias) {
    SLOWSDE_UNROLL(16)
    for (int r = 0; r < R; ++r) SLOWSDE_UNROLL(4)
    for (int c = 0; c < C; ++c) sum[r][c] = p.bias.at(row + r, column + c);
  } else {
    SLOWSDE_UNROLL(16)
    for (int r = 0; r < R; ++r) SLOWSDE_UNROLL(4)
    for (int c = 0; c < C; ++c) sum[r][c] = V(0.0);
  }
  for (int pair = 0; pair < pairs; ++pair) {
    const Weights w = p.w[pair].from(row * row_step);
    const V* a = p.a[pair] + column;
    const auto add_term = [&](V(&to)[R][C], const auto& weight, const V* x) __attribute__((always_inline)) {
      V term[C];
      SLOWSDE_UNROLL(4)
      for (int c = 0; c < C; ++c) term[c] = x[c];
      SLOWSDE_UNROLL(16)
      for (int r = 0; r < R; ++r) SLOWSDE_UNROLL(4)
      for (int c = 0; c < C; ++c) to[r][c] = multiply_add(weight(r, c), term[c], to[r][c]);
    };
    if constexpr (Kind == ProductKind::convolution) {
      for (int q = 0; q < terms; ++q, a += a_step)
        for (int t = 0; t < p.tap_count; ++t)
          add_term(
              sum,
              [&](int r, int c) __attribute__((always_inline)) {
                return w.at(q * term_step + p.taps[t].weight + r * row_step, column + c);
              },
              a + p.taps[t].position * columns);
    } else if constexpr (Kind == ProductKind::dense && C == 1 && R == 16) {
      SixteenRows rows(w.w, row_step);
      int q = 0;
      for (; q + 4 <= terms; q += 4) {
        SLOWSDE_UNROLL(4)
        for (int k = 0; k < 4; ++k)
          add_term(
              sum, [&](int r, int) __attribute__((always_inline)) { return V(rows.at(r, k)); },
              a + k * a_step);
        a += 4 * a_step;
        rows.advance(4);
      }
      for (; q < terms; ++q, a += a_step) {
        add_term(
            sum, [&](int r, int) __attribute__((always_inline)) { return V(rows.at(r, 0)); }, a);
        rows.advance(1);
      }
    } else {
      SLOWSDE_UNROLL(4)
      for (int q = 0; q < terms; ++q, a += a_step) {
        if constexpr (Kind == ProductKind::dense_transposed && Weights::numbers)
          __builtin_prefetch(w.w + q * term_step + R);
        add_term(
            sum,
            [&](int r, int c)
                __attribute__((always_inline)) { return w.at(q * term_step + r * row_step, column + c); },
            a);
      }
    }
  }
  V* const to = forgotten(out);
  SLOWSDE_UNROLL(16)
  for (int r = 0; r < R; ++r) SLOWSDE_UNROLL(4)
  for (int c = 0; c < C; ++c) to[r * out_step + c] = sum[r][c];
}

/// All rows of C columns.
template <ProductKind Kind, int R, int C, class V, class Weights>
void product_columns(const Product<V, Weights>& p, int column) {
  int row = 0;
  for (; row + R <= p.rows; row += R) product_block<Kind, R, C>(p, row, column);
  if constexpr (R > 8)
    for (; row + 8 <= p.rows; row += 8) product_block<Kind, 8, C>(p, row, column);
  if constexpr (C == 4)
    for (; row + 4 <= p.rows; row += 4) product_block<Kind, 4, C>(p, row, column);
  for (; row + 2 <= p.rows; row += 2) product_block<Kind, 2, C>(p, row, column);
  for (; row < p.rows; ++row) product_block<Kind, 1, C>(p, row, column);
}

template <ProductKind Kind, class V, class Weights>
void product(const Product<V, Weights>& p) {
  int column = 0;
  if constexpr (lane_count < V >> 1) {
    for (; column + 4 <= p.columns; column += 4) product_columns<Kind, 6, 4>(p, column);
  }
  constexpr bool sixteen =
      Kind == ProductKind::dense_transposed || (Kind == ProductKind::dense && Weights::numbers);
  constexpr int rows = sixteen ? 16 : 8;
  for (; column < p.columns; ++column) product_columns<Kind, rows, 1>(p, column);
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

/// One round of `transpose`: interleaves pack k with pack k + W/2. Rounds are instances of a template, as GCC
/// keeps the packs in registers only where every index is a constant before its own loop unrolling.
template <int Rounds, class Real, int W>
SLOWSDE_INLINE void transpose_rounds(Pack<Real, W> (&x)[W]) {
  if constexpr (Rounds > 0) {
    constexpr auto lanes = std::make_integer_sequence<int, W>{};
    Pack<Real, W> y[W];
    SLOWSDE_UNROLL(16)
    for (int k = 0; k < W / 2; ++k) {
      y[2 * k] = interleave_low(x[k].v, x[k + W / 2].v, lanes);
      y[2 * k + 1] = interleave_high(x[k].v, x[k + W / 2].v, lanes);
    }
    transpose_rounds<Rounds - 1>(y);
    SLOWSDE_UNROLL(16)
    for (int k = 0; k < W; ++k) x[k] = y[k];
  }
}

/// Transposes W packs of W lanes: log₂ W rounds.
template <class Real, int W>
SLOWSDE_INLINE void transpose(Pack<Real, W> (&x)[W]) {
  transpose_rounds<std::countr_zero(static_cast<unsigned>(W))>(x);
}

/// Interleaving k with k + Count/2 and adding the halves: after all rounds lane l of y[0] holds the sum of
/// pack l.
template <int Count, class Real, int W>
SLOWSDE_INLINE void lane_sum_rounds(Pack<Real, W> (&y)[W]) {
  if constexpr (Count > 1) {
    constexpr auto lanes = std::make_integer_sequence<int, W>{};
    SLOWSDE_UNROLL(8)
    for (int k = 0; k < Count / 2; ++k) {
      y[k] = Pack<Real, W>(interleave_low(y[k].v, y[k + Count / 2].v, lanes)) +
             Pack<Real, W>(interleave_high(y[k].v, y[k + Count / 2].v, lanes));
    }
    lane_sum_rounds<Count / 2>(y);
  }
}

/// Lane l of the result is the sum over the lanes of x[l].
template <class Real, int W>
SLOWSDE_INLINE Pack<Real, W> lane_sums(const Pack<Real, W> (&x)[W]) {
  Pack<Real, W> y[W];
  SLOWSDE_UNROLL(16)
  for (int k = 0; k < W; ++k) y[k] = x[k];
  lane_sum_rounds<W>(y);
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

/// g_r (+)= Σ_columns x_r over all lanes, r < rows, where W is a lane's number; per lane where it is the
/// pack.
template <class V, class W>
void row_sums(const V* x, int rows, int columns, W* g, bool add) {
  const auto row_sum = [&](int r) {
    V sum = x[static_cast<std::ptrdiff_t>(r) * columns];
    for (int c = 1; c < columns; ++c) sum = sum + x[static_cast<std::ptrdiff_t>(r) * columns + c];
    return sum;
  };
  if constexpr (std::is_same_v<V, W>) {
    for (int r = 0; r < rows; ++r) g[r] = add ? g[r] + row_sum(r) : row_sum(r);
  } else {
    constexpr int L = V::width;
    int r = 0;
    for (; r + L <= rows; r += L) {
      V sums[L];
      SLOWSDE_UNROLL(16)
      for (int k = 0; k < L; ++k) sums[k] = row_sum(r + k);
      V total = lane_sums(sums), old;
      std::memcpy(&old, g + r, sizeof(V));
      if (add) total += old;
      std::memcpy(g + r, &total, sizeof(V));
    }
    if (r == rows) return;
    V sums[L];
    for (int k = 0; k < L; ++k) sums[k] = r + k < rows ? row_sum(r + k) : V(0.0);
    const V total = lane_sums(sums);
    for (int k = 0; r + k < rows; ++k) g[r + k] = add ? g[r + k] + total[k] : total[k];
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
        SLOWSDE_UNROLL(16)
        for (int k = 0; k < L; ++k) block[k] = x[static_cast<std::ptrdiff_t>(p * L + k) * columns + c];
      } else {
        for (int k = 0; k < L; ++k)
          block[k] = p * L + k < features ? x[static_cast<std::ptrdiff_t>(p * L + k) * columns + c] : V(0.0);
      }
      transpose(block);
      SLOWSDE_UNROLL(16)
      for (int k = 0; k < L; ++k) out[(static_cast<std::ptrdiff_t>(c) * L + k) * packs + p] = block[k];
    }
  }
}

/// Σ over the samples of δ aᵀ, with a transposed: a sample's δ_r then multiplies whole packs of inputs, and
/// nothing is summed across lanes.
template <class V, class Real>
struct OuterProduct {
  const V* delta = nullptr;  ///< (rows × columns)
  const V* transposed = nullptr;
  int rows = 0, columns = 0, inputs = 0, packs = 0;
  Real* g = nullptr;  ///< (rows × inputs)
  bool add = false;   ///< to what g holds
};

/// R rows × C packs of inputs in registers; the last pack may be only partly in g. What the block needs of
/// the product is copied: for all the compiler knows, writing g may change it.
template <int R, int C, bool Partial, class V, class Real>
__attribute__((noinline)) void outer_block(const OuterProduct<V, Real>& p, int row, int pack) {
  constexpr int L = V::width;
  const std::ptrdiff_t inputs = p.inputs, packs = p.packs, columns = p.columns;
  const bool add = p.add;
  Real* const g = p.g + row * inputs + pack * L;
  const std::size_t bytes = Partial ? (inputs - pack * L) * sizeof(Real) : sizeof(V);
  const V* x = p.transposed + pack;
  const V* d = p.delta + row * columns;
  const V* const last = d + columns;
  V sum[R][C];
  if (add) {
    const Real* from = g;
    SLOWSDE_UNROLL(16)
    for (int r = 0; r < R; ++r) {
      SLOWSDE_UNROLL(4)
      for (int c = 0; c < C; ++c) {
        if constexpr (Partial) sum[r][c] = V(0.0);
        std::memcpy(&sum[r][c], from + c * L, bytes);
      }
      from = forgotten(from + inputs);
    }
  } else {
    SLOWSDE_UNROLL(16)
    for (int r = 0; r < R; ++r) SLOWSDE_UNROLL(4)
    for (int c = 0; c < C; ++c) sum[r][c] = V(0.0);
  }
  // What the next block adds to, brought near while this one is summed.
  const Real* next = add ? g + R * inputs : g;
  do {
    SLOWSDE_UNROLL(4)
    for (int l = 0; l < L; ++l, x += packs) {
      if (l < R) {
        SLOWSDE_UNROLL(4)
        for (int c = 0; c < C; ++c) __builtin_prefetch(next + c * L, 1);
        next += inputs;
      }
      V a[C];
      SLOWSDE_UNROLL(4)
      for (int c = 0; c < C; ++c) a[c] = x[c];
      SLOWSDE_UNROLL(16)
      for (int r = 0; r < R; ++r) {
        const V b(d[r * columns].v[l]);
        SLOWSDE_UNROLL(4)
        for (int c = 0; c < C; ++c) sum[r][c] = multiply_add(b, a[c], sum[r][c]);
      }
    }
  } while (++d != last);
  Real* to = g;
  SLOWSDE_UNROLL(16)
  for (int r = 0; r < R; ++r) {
    SLOWSDE_UNROLL(4)
    for (int c = 0; c < C; ++c) std::memcpy(to + c * L, &sum[r][c], bytes);
    to = forgotten(to + inputs);
  }
}

template <int R, int C, bool Partial, class V, class Real>
void outer_rows(const OuterProduct<V, Real>& p, int pack) {
  int row = 0;
  for (; row + R <= p.rows; row += R) outer_block<R, C, Partial>(p, row, pack);
  for (; row + 4 <= p.rows; row += 4) outer_block<4, C, Partial>(p, row, pack);
  for (; row + 2 <= p.rows; row += 2) outer_block<2, C, Partial>(p, row, pack);
  for (; row < p.rows; ++row) outer_block<1, C, Partial>(p, row, pack);
}

template <class V, class Real>
void outer_products(const OuterProduct<V, Real>& p) {
  const int whole = p.inputs / V::width;
  int pack = 0;
  for (; pack + 4 <= whole; pack += 4) outer_rows<6, 4, false>(p, pack);
  for (; pack < whole; ++pack) outer_rows<8, 1, false>(p, pack);
  if (pack < p.packs) outer_rows<8, 1, true>(p, pack);
}

/// sum_{r,q} = Σ_contacts Σ_columns δ[r·out_positions + output] a[q·in_positions + input], over the columns
/// from `first` to `last` (exclusive) of `columns`.
template <int R, int Q, class V>
SLOWSDE_INLINE void contact_block(const V* delta, int out_positions, const V* a, int in_positions,
                                  int columns, int first, int last, const LinearTaps::Contact* contacts,
                                  int count, V (&sum)[R][Q]) {
  for (int r = 0; r < R; ++r)
    for (int q = 0; q < Q; ++q) sum[r][q] = V(0.0);
  const std::ptrdiff_t out_step = static_cast<std::ptrdiff_t>(out_positions) * columns;
  const std::ptrdiff_t in_step = static_cast<std::ptrdiff_t>(in_positions) * columns;
  for (int k = 0; k < count; ++k) {
    const V* d = delta + static_cast<std::ptrdiff_t>(contacts[k].output) * columns;
    const V* x = a + static_cast<std::ptrdiff_t>(contacts[k].input) * columns;
    for (int c = first; c < last; ++c) {
      V right[Q];
      SLOWSDE_UNROLL(4)
      for (int q = 0; q < Q; ++q) right[q] = x[q * in_step + c];
      SLOWSDE_UNROLL(4)
      for (int r = 0; r < R; ++r) {
        const V left = d[r * out_step + c];
        SLOWSDE_UNROLL(4)
        for (int q = 0; q < Q; ++q) sum[r][q] = multiply_add(left, right[q], sum[r][q]);
      }
    }
  }
}

/// For all output channels r, input channels q and taps t, in blocks: use(sum, r, q, t) with sum[i][j] what
/// channels r + i and q + j have in contact through t, in the columns from `first` to `last`.
template <class V, class Use>
SLOWSDE_INLINE void over_contacts(const Network::Step& step, const V* delta, const V* a, int columns,
                                  int first, int last, Use&& use) {
  const LinearTaps& list = step.taps;
  const int taps = static_cast<int>(list.contacts_begin.size()) - 1;
  const int out_positions = step.out.size() / step.channels_out;
  const int in_positions = step.in.size() / step.channels_in;
  const auto block = [&]<int R, int Q>(std::integral_constant<int, R>, std::integral_constant<int, Q>, int r,
                                       int q) {
    for (int t = 0; t < taps; ++t) {
      V sum[R][Q];
      contact_block(delta + static_cast<std::ptrdiff_t>(r) * out_positions * columns, out_positions,
                    a + static_cast<std::ptrdiff_t>(q) * in_positions * columns, in_positions, columns, first,
                    last, list.contacts.data() + list.contacts_begin[t],
                    list.contacts_begin[t + 1] - list.contacts_begin[t], sum);
      use(sum, r, q, t);
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

/// g[(r·channels_in + q)·taps + t] += the sum over columns, and over lanes unless W is the pack itself.
template <class V, class W>
void add_contact_products(const Network::Step& step, const V* delta, const V* a, int columns, W* g) {
  const int taps = static_cast<int>(step.taps.contacts_begin.size()) - 1;
  over_contacts(step, delta, a, columns, 0, columns, [&]<int R, int Q>(V(&sum)[R][Q], int r, int q, int t) {
    const auto target = [&](int k) -> W& {
      return g[(static_cast<std::ptrdiff_t>(r + k / Q) * step.channels_in + q + k % Q) * taps + t];
    };
    if constexpr (std::is_same_v<V, W>) {
      for (int k = 0; k < R * Q; ++k) target(k) = target(k) + sum[k / Q][k % Q];
    } else {
      constexpr int L = V::width;
      for (int begin = 0; begin < R * Q; begin += L) {
        V rows[L];
        for (int k = 0; k < L; ++k)
          rows[k] = begin + k < R * Q ? sum[(begin + k) / Q][(begin + k) % Q] : V(0.0);
        const V sums = lane_sums(rows);
        for (int k = 0; k < L && begin + k < R * Q; ++k) target(begin + k) += sums[k];
      }
    }
  });
}

/// The gradients of single columns: emit(parameter, column, value) for every parameter of the layer, lane by
/// lane. `input` and δ are those of NetworkPass::Contact.
template <class V, class Emit>
void over_column_gradients(const Network::Step& step, const V* input, const V* delta, int columns,
                           Emit&& emit) {
  const int taps = static_cast<int>(step.taps.contacts_begin.size()) - 1;
  if (step.linear() && step.out.size() == step.channels_out && taps == 1) {
    for (int r = 0; r < step.channels_out; ++r)
      for (int q = 0; q < step.channels_in; ++q)
        for (int c = 0; c < columns; ++c)
          emit(r * step.channels_in + q, c, delta[r * columns + c] * input[q * columns + c]);
  } else if (step.linear()) {
    for (int c = 0; c < columns; ++c)
      over_contacts(step, delta, input, columns, c, c + 1,
                    [&]<int R, int Q>(V(&sum)[R][Q], int r, int q, int t) {
                      for (int i = 0; i < R; ++i)
                        for (int j = 0; j < Q; ++j)
                          emit(((r + i) * step.channels_in + q + j) * taps + t, c, sum[i][j]);
                    });
  }
  // Biases, or a group norm's scales γ and shifts β.
  const int channels = step.out.channels, positions = step.out.positions();
  const auto over_positions = [&](int channel, int c, auto&& term) {
    V sum(0.0);
    for (int p = 0; p < positions; ++p)
      sum = sum + term(static_cast<std::ptrdiff_t>(channel * positions + p) * columns + c);
    return sum;
  };
  const auto shift = [&](std::ptrdiff_t i) { return delta[i]; };
  const auto scale = [&](std::ptrdiff_t i) { return delta[i] * input[i]; };
  for (int channel = 0; channel < channels; ++channel)
    for (int c = 0; c < columns; ++c) {
      if (!step.linear()) {
        emit(channel, c, over_positions(channel, c, scale));
        emit(channels + channel, c, over_positions(channel, c, shift));
      } else if (step.parameters > step.weights) {
        emit(step.weights + channel, c, over_positions(channel, c, shift));
      }
    }
}

}  // namespace slowsde::detail
