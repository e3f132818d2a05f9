// Tiles of matrix products and convolutions in the memory of a block of GPU threads: what one thread computes
// in registers. Four numbers are loaded at once.
#pragma once

#include "slowsde/gpu/network_layout.hpp"
#include "slowsde/problems/host_device.hpp"

namespace slowsde::detail {

/// Four numbers that are loaded at once.
template <class Real>
struct alignas(4 * sizeof(Real)) Four {
  Real v[4];
};
template <class Real>
SLOWSDE_HD SLOWSDE_INLINE Four<Real> load_four(const Real* from) {
  return *reinterpret_cast<const Four<Real>*>(from);
}

SLOWSDE_HD SLOWSDE_INLINE float fused(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
SLOWSDE_HD SLOWSDE_INLINE double fused(double a, double b, double c) { return __builtin_fma(a, b, c); }

SLOWSDE_HD constexpr int tiles_of(int n, int size) { return (n + size - 1) / size; }

// Tiles of a product. A tile's rows are `apart` rows from each other (tile t has the rows t, t + apart, …),
// so that neighbouring threads load neighbouring rows; its columns, where they are contiguous in memory,
// follow each other. Rows beyond the last one are computed with the last one's factors and dropped by the
// caller.

/// sum(r, s) = Σ_i W(o_r, i) A(i, b + s): W by rows of `row`, A by rows of `column_row`; R outputs × 4
/// columns.
template <int R, class Real>
SLOWSDE_HD SLOWSDE_INLINE void forward_tile(const Real* W, int row, const Real* A, int column_row, int terms,
                                            int outputs, int first, int apart, int b, Real (&sum)[R][4]) {
  const Real* w_row[R];
  SLOWSDE_UNROLL(8)
  for (int r = 0; r < R; ++r) {
    const int o = first + r * apart;
    w_row[r] = W + (o < outputs ? o : outputs - 1) * row;
  }
  for (int i = 0; i < terms; i += 4) {
    Four<Real> w[R], a[4];
    SLOWSDE_UNROLL(8)
    for (int r = 0; r < R; ++r) w[r] = load_four(w_row[r] + i);
    SLOWSDE_UNROLL(8)
    for (int q = 0; q < 4; ++q) a[q] = load_four(A + (i + q) * column_row + b);
    SLOWSDE_UNROLL(8)
    for (int q = 0; q < 4; ++q) SLOWSDE_UNROLL(8)
    for (int r = 0; r < R; ++r) SLOWSDE_UNROLL(8)
    for (int s = 0; s < 4; ++s) sum[r][s] = fused(w[r].v[q], a[q].v[s], sum[r][s]);
  }
}

/// sum(r, s) = Σ_o W(o, i + r) D(o, b + s): 4 inputs × 4 columns.
template <class Real>
SLOWSDE_HD SLOWSDE_INLINE void backward_tile(const Real* W, int row, const Real* D, int column_row, int terms,
                                             int i, int b, Real (&sum)[4][4]) {
  SLOWSDE_UNROLL(4)
  for (int o = 0; o < terms; ++o) {
    const Four<Real> w = load_four(W + o * row + i), d = load_four(D + o * column_row + b);
    SLOWSDE_UNROLL(8)
    for (int r = 0; r < 4; ++r) SLOWSDE_UNROLL(8)
    for (int s = 0; s < 4; ++s) sum[r][s] = fused(w.v[r], d.v[s], sum[r][s]);
  }
}

/// sum(r, s) = Σ_b D(o_r, b) A(i_s, b): 4 outputs × 4 inputs.
template <class Real>
SLOWSDE_HD SLOWSDE_INLINE void gradient_tile(const Real* D, const Real* A, int column_row, int batch,
                                             const int (&o)[4], const int (&i)[4], Real (&sum)[4][4]) {
  for (int b = 0; b < batch; b += 4) {
    Four<Real> d[4], a[4];
    SLOWSDE_UNROLL(8)
    for (int r = 0; r < 4; ++r) d[r] = load_four(D + o[r] * column_row + b);
    SLOWSDE_UNROLL(8)
    for (int s = 0; s < 4; ++s) a[s] = load_four(A + i[s] * column_row + b);
    SLOWSDE_UNROLL(8)
    for (int q = 0; q < 4; ++q) SLOWSDE_UNROLL(8)
    for (int r = 0; r < 4; ++r) SLOWSDE_UNROLL(8)
    for (int s = 0; s < 4; ++s) sum[r][s] = fused(d[r].v[q], a[s].v[q], sum[r][s]);
  }
}

// Tiles of a convolution of four columns each; features are channel·positions + position. W is the layer's
// matrix in its layout.

/// sum(r, s) = Σ_{q,i,j} w(o + r; q, i, j) A((q, stride·y + i − padding, stride·x + j − padding), b + s): 4
/// outputs of one position × 4 columns. o is a multiple of four; rows beyond the last output are zero.
template <class Real>
SLOWSDE_HD SLOWSDE_INLINE void convolution_tile(const NetworkLayout::Layer& c, const Real* W, const Real* A,
                                                int column_row, int o, int y, int x, int b,
                                                Real (&sum)[4][4]) {
  const int taps = c.taps(), top = c.stride * y - c.padding, left = c.stride * x - c.padding;
  for (int i = 0; i < c.kernel; ++i) {
    if (top + i < 0 || top + i >= c.height_in) continue;
    for (int j = 0; j < c.kernel; ++j) {
      if (left + j < 0 || left + j >= c.width_in) continue;
      const Real* w = W + (i * c.kernel + j) * c.row + o;
      const Real* a = A + ((top + i) * c.width_in + left + j) * column_row + b;
      SLOWSDE_UNROLL(4)
      for (int q = 0; q < c.channels_in; ++q) {
        const Four<Real> four_w = load_four(w + q * taps * c.row),
                         four_a = load_four(a + q * c.positions_in() * column_row);
        SLOWSDE_UNROLL(8)
        for (int r = 0; r < 4; ++r) SLOWSDE_UNROLL(8)
        for (int s = 0; s < 4; ++s) sum[r][s] = fused(four_w.v[r], four_a.v[s], sum[r][s]);
      }
    }
  }
}

/// sum(r, s) = Σ_{o,i,j} w(o; q_r, i, j) D((o, the positions that reach (y, x) by (i, j)), b + s): 4 inputs
/// of one position × 4 columns.
template <class Real>
SLOWSDE_HD SLOWSDE_INLINE void convolution_backward_tile(const NetworkLayout::Layer& c, const Real* W,
                                                         const Real* D, int column_row, const int (&q)[4],
                                                         int y, int x, int b, Real (&sum)[4][4]) {
  const int last = c.channels_out - 1, channel_row = c.positions_out() * column_row;
  // Output row `above`/stride reads row y by tap i, where that is an output row.
  const auto reaches = [&](int above, int extent) {
    return above >= 0 && above % c.stride == 0 && above / c.stride < extent;
  };
  for (int i = 0; i < c.kernel; ++i) {
    const int above = y + c.padding - i;
    if (!reaches(above, c.height_out)) continue;
    for (int j = 0; j < c.kernel; ++j) {
      const int before = x + c.padding - j;
      if (!reaches(before, c.width_out)) continue;
      const int tap = i * c.kernel + j;
      const Real* const at = D + (above / c.stride * c.width_out + before / c.stride) * column_row + b;
      for (int o = 0; o < c.channels_out; o += 4) {
        Four<Real> d[4];
        SLOWSDE_UNROLL(8)
        for (int u = 0; u < 4; ++u) d[u] = load_four(at + (o + u < last ? o + u : last) * channel_row);
        SLOWSDE_UNROLL(8)
        for (int r = 0; r < 4; ++r) {
          const Four<Real> w = load_four(W + (q[r] * c.taps() + tap) * c.row + o);
          SLOWSDE_UNROLL(8)
          for (int u = 0; u < 4; ++u) SLOWSDE_UNROLL(8)
          for (int s = 0; s < 4; ++s) sum[r][s] = fused(w.v[u], d[u].v[s], sum[r][s]);
        }
      }
    }
  }
}

/// sum(r, s) = Σ_{x,y,b} D((o_r, y, x), b) A((q_s, stride·y + i − padding, stride·x + j − padding), b) over
/// the rows y of [first, end): 4 outputs × 2 inputs of one tap (i, j).
template <class Real>
SLOWSDE_HD SLOWSDE_INLINE void convolution_gradient_tile(const NetworkLayout::Layer& c, const Real* D,
                                                         const Real* A, int column_row, int batch, int first,
                                                         int end, int i, int j, const int (&o)[4],
                                                         const int (&q)[2], Real (&sum)[4][2]) {
  for (int y = first; y < end; ++y) {
    const int row = c.stride * y + i - c.padding;
    if (row < 0 || row >= c.height_in) continue;
    for (int x = 0; x < c.width_out; ++x) {
      const int column = c.stride * x + j - c.padding;
      if (column < 0 || column >= c.width_in) continue;
      const Real* const at_d = D + (y * c.width_out + x) * column_row;
      const Real* const at_a = A + (row * c.width_in + column) * column_row;
      for (int b = 0; b < batch; b += 4) {
        Four<Real> d[4], a[2];
        SLOWSDE_UNROLL(8)
        for (int r = 0; r < 4; ++r) d[r] = load_four(at_d + o[r] * c.positions_out() * column_row + b);
        SLOWSDE_UNROLL(8)
        for (int s = 0; s < 2; ++s) a[s] = load_four(at_a + q[s] * c.positions_in() * column_row + b);
        SLOWSDE_UNROLL(8)
        for (int v = 0; v < 4; ++v) SLOWSDE_UNROLL(8)
        for (int r = 0; r < 4; ++r) SLOWSDE_UNROLL(8)
        for (int s = 0; s < 2; ++s) sum[r][s] = fused(d[r].v[v], a[s].v[v], sum[r][s]);
      }
    }
  }
}

}  // namespace slowsde::detail
