// The local steps of one worker's multilayer perceptron by a block of threads, with everything that a step
// touches in the block's memory. Written for any executor of blocks: on a GPU each phase is run by all
// threads at once and ended by a barrier, in tests by a loop over the threads. The bits depend neither on the
// number of threads nor on their order within a phase.
#pragma once

#include <cstdint>

#include "slowsde/gpu/batch_source.hpp"
#include "slowsde/gpu/loop_block.hpp"
#include "slowsde/gpu/mlp_layout.hpp"
#include "slowsde/optim/update_formula.hpp"
#include "slowsde/problems/host_device.hpp"
#include "slowsde/problems/pack_math.hpp"

namespace slowsde {

namespace detail {

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

}  // namespace detail

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

/// One worker's network in its block's memory. memory: (layout.numbers), on a boundary of four numbers.
template <class Real, class Block>
class MlpBlock {
 public:
  SLOWSDE_HD MlpBlock(const Block& block, const MlpLayout& layout, const BatchSource& source,
                      std::uint32_t worker, Real* memory)
      : block_(block), layout_(layout), source_(source), worker_(worker), memory_(memory) {}

  /// Takes θ and clears all else.
  SLOWSDE_HD void load(const Real* theta) {
    block_.run([&](int thread, int threads) {
      for (int j = thread; j < layout_.numbers; j += threads) memory_[j] = Real{0};
    });
    block_.run([&](int thread, int threads) {
      each_parameter(thread, threads, [&](Real& parameter, int j) { parameter = theta[j]; });
    });
  }
  SLOWSDE_HD void store(Real* theta) {
    block_.run([&](int thread, int threads) {
      each_parameter(thread, threads, [&](Real& parameter, int j) { theta[j] = parameter; });
    });
  }

  /// Forward and reverse pass over the batch of step k; then sink(θ_j, g_j, j) once for each parameter, and
  /// the mean loss of the batch is added to `loss`.
  template <class Sink>
  SLOWSDE_HD void step(std::uint64_t k, double& loss, Sink&& sink) {
    const MlpLayout& m = layout_;
    int* const chosen = reinterpret_cast<int*>(memory_ + m.chosen);
    int* const labels = chosen + m.batch;
    block_.run([&](int thread, int threads) { source_.choose(thread, threads, worker_, k, chosen, labels); });
    block_.run([&](int thread, int threads) {
      source_.gather(thread, threads, chosen, memory_ + m.layer[0].in, m.batch_row);
      if (m.loss == LossKind::squared)
        source_.targets(thread, threads, worker_, k, labels, memory_ + m.targets, m.batch_row);
    });
    for (int l = 0; l < m.layers; ++l)
      block_.run([&](int thread, int threads) { forward(m.layer[l], thread, threads); });
    block_.run([&](int thread, int threads) { losses(thread, threads, labels); });
    for (int l = m.layers - 1; l > 0; --l)
      block_.run([&](int thread, int threads) { backward(m.layer[l], m.layer[l - 1], thread, threads); });
    // Every adjoint is known, so no weight is needed any more and all may change at once.
    block_.run([&](int thread, int threads) {
      for (int l = 0; l < m.layers; ++l) gradients(m.layer[l], thread, threads, sink);
      if (thread == 0) {
        double sum = 0;
        for (int b = 0; b < m.batch; ++b) sum += static_cast<double>(memory_[m.losses + b]);
        loss += sum / m.batch;
      }
    });
  }

 private:
  static constexpr int forward_rows = 2;  // a tile of 2 × 4: more of them for small batches

  template <class Visit>
  SLOWSDE_HD void each_parameter(int thread, int threads, Visit&& visit) {
    for (int l = 0; l < layout_.layers; ++l) {
      const MlpLayout::Layer& layer = layout_.layer[l];
      const int weights = layer.outputs * layer.inputs;
      for (int j = thread; j < weights; j += threads) {
        const int o = j / layer.inputs;
        visit(memory_[layer.weights + o * layer.row + (j - o * layer.inputs)], layer.theta + j);
      }
      for (int o = thread; o < layer.outputs; o += threads)
        visit(memory_[layer.biases + o], layer.theta + weights + o);
    }
  }

  SLOWSDE_HD void forward(const MlpLayout::Layer& layer, int thread, int threads) {
    const MlpLayout& m = layout_;
    const int column_tiles = detail::tiles_of(m.batch, 4),
              row_tiles = detail::tiles_of(layer.outputs, forward_rows);
    for (int tile = thread; tile < column_tiles * row_tiles; tile += threads) {
      const int first = tile / column_tiles, b = 4 * (tile - first * column_tiles);
      Real sum[forward_rows][4] = {};
      detail::forward_tile(memory_ + layer.weights, layer.row, memory_ + layer.in, m.batch_row, layer.inputs,
                           layer.outputs, first, row_tiles, b, sum);
      SLOWSDE_UNROLL(8)
      for (int r = 0; r < forward_rows; ++r) {
        const int o = first + r * row_tiles;
        if (o >= layer.outputs) break;
        const Real bias = memory_[layer.biases + o];
        SLOWSDE_UNROLL(8)
        for (int s = 0; s < 4; ++s) {
          if (b + s >= m.batch) break;
          const int at = o * m.batch_row + b + s;
          Real z = sum[r][s] + bias, p{0};
          if (layer.activated) z = activated(m.activation, z, p);
          memory_[layer.out + at] = z;
          if (layer.activated && m.activation == Activation::silu) memory_[layer.logistic + at] = p;
        }
      }
    }
  }

  SLOWSDE_HD void losses(int thread, int threads, const int* labels) {
    const MlpLayout& m = layout_;
    const MlpLayout::Layer& last = m.layer[m.layers - 1];
    for (int b = thread; b < m.batch; b += threads)
      memory_[m.losses + b] =
          sample_loss(m.loss, last.outputs, memory_ + last.out + b, memory_ + m.targets + b, labels[b],
                      m.batch_row, Real{1} / static_cast<Real>(m.batch), memory_ + last.delta + b);
  }

  /// The adjoint of the layer below.
  SLOWSDE_HD void backward(const MlpLayout::Layer& layer, const MlpLayout::Layer& below, int thread,
                           int threads) {
    const MlpLayout& m = layout_;
    const int column_tiles = detail::tiles_of(m.batch, 4), row_tiles = detail::tiles_of(layer.inputs, 4);
    for (int tile = thread; tile < column_tiles * row_tiles; tile += threads) {
      const int first = tile / column_tiles, i = 4 * first, b = 4 * (tile - first * column_tiles);
      Real sum[4][4] = {};
      detail::backward_tile(memory_ + layer.weights, layer.row, memory_ + layer.delta, m.batch_row,
                            layer.outputs, i, b, sum);
      SLOWSDE_UNROLL(8)
      for (int r = 0; r < 4; ++r) {
        if (i + r >= layer.inputs) break;
        SLOWSDE_UNROLL(8)
        for (int s = 0; s < 4; ++s) {
          if (b + s >= m.batch) break;
          const int at = (i + r) * m.batch_row + b + s;
          const bool silu = m.activation == Activation::silu;
          const Real factor = below.activated ? slope(m.activation, memory_[below.out + at],
                                                      silu ? memory_[below.logistic + at] : Real{0})
                                              : Real{1};
          memory_[below.delta + at] = sum[r][s] * factor;
        }
      }
    }
  }

  template <class Sink>
  SLOWSDE_HD void gradients(const MlpLayout::Layer& layer, int thread, int threads, Sink& sink) {
    const MlpLayout& m = layout_;
    const Real* const delta = memory_ + layer.delta;
    const int in_tiles = detail::tiles_of(layer.inputs, 4), out_tiles = detail::tiles_of(layer.outputs, 4);
    for (int tile = thread; tile < in_tiles * out_tiles; tile += threads) {
      const int row = tile / in_tiles, column = tile - row * in_tiles;
      int o[4], i[4];
      SLOWSDE_UNROLL(8)
      for (int r = 0; r < 4; ++r) {
        o[r] = row + r * out_tiles;
        i[r] = column + r * in_tiles;
      }
      const int last_o = layer.outputs - 1, last_i = layer.inputs - 1;
      const int in_o[4] = {o[0], o[1] < last_o ? o[1] : last_o, o[2] < last_o ? o[2] : last_o,
                           o[3] < last_o ? o[3] : last_o};
      const int in_i[4] = {i[0], i[1] < last_i ? i[1] : last_i, i[2] < last_i ? i[2] : last_i,
                           i[3] < last_i ? i[3] : last_i};
      Real sum[4][4] = {};
      detail::gradient_tile(delta, memory_ + layer.in, m.batch_row, m.batch, in_o, in_i, sum);
      SLOWSDE_UNROLL(8)
      for (int r = 0; r < 4; ++r) {
        if (o[r] > last_o) break;
        SLOWSDE_UNROLL(8)
        for (int s = 0; s < 4; ++s) {
          if (i[s] > last_i) break;
          sink(memory_[layer.weights + o[r] * layer.row + i[s]], sum[r][s],
               layer.theta + o[r] * layer.inputs + i[s]);
        }
      }
    }
    for (int o = thread; o < layer.outputs; o += threads) {
      Real sum{0};
      for (int b = 0; b < m.batch; ++b) sum = sum + delta[o * m.batch_row + b];
      sink(memory_[layer.biases + o], sum, layer.theta + layer.outputs * layer.inputs + o);
    }
  }

  const Block& block_;
  const MlpLayout& layout_;
  const BatchSource& source_;
  std::uint32_t worker_;
  Real* memory_;
};

/// Applies an update rule where the gradient appears. state: (vectors × stride), of one worker.
template <class Formula, class Real>
struct UpdateSink {
  typename Formula::template Coefficients<Real> c;
  Real* state;
  std::int64_t stride;

  SLOWSDE_HD static UpdateSink of(const UpdateNumbers<Real>& numbers, Real* state, std::int64_t stride) {
    UpdateSink sink{{}, state, stride};
    static_assert(sizeof sink.c <= sizeof numbers.value);
    __builtin_memcpy(&sink.c, numbers.value, sizeof sink.c);
    return sink;
  }

  SLOWSDE_HD void operator()(Real& parameter, Real g, int j) const {
    constexpr int V = Formula::vectors;
    Real s[V > 0 ? V : 1] = {};
    SLOWSDE_UNROLL(8)
    for (int v = 0; v < V; ++v) s[v] = state[v * stride + j];
    Formula::template advance<Real>(parameter, g, s, c);
    SLOWSDE_UNROLL(8)
    for (int v = 0; v < V; ++v) state[v * stride + j] = s[v];
  }
};

/// H steps from step k of one worker, all in its block's memory: θ from `start`, the last θ to `end`.
/// numbers: (H), one for each step, in the block's reach; returns the sum of the batches' losses to the
/// thread with number 0.
template <class Formula, class Real, class Block>
SLOWSDE_HD double mlp_local_steps(const Block& block, const MlpLayout& layout, const BatchSource& source,
                                  std::uint32_t worker, std::uint64_t k, std::int64_t H,
                                  const UpdateNumbers<Real>* numbers, const Real* start, Real* state,
                                  std::int64_t stride, Real* end, Real* memory) {
  MlpBlock<Real, Block> network(block, layout, source, worker, memory);
  network.load(start);
  double loss = 0;
  for (std::int64_t h = 0; h < H; ++h) {
    const auto sink = UpdateSink<Formula, Real>::of(numbers[h], state, stride);
    network.step(k + static_cast<std::uint64_t>(h), loss, sink);
  }
  network.store(end);
  return loss;
}

}  // namespace slowsde
