// The local steps of one worker's network by a block of threads, with what a step touches in the block's
// memory as far as it fits. Written for any executor of blocks: on a GPU each phase is run by all threads at
// once and ended by a barrier, in tests by a loop over the threads. The bits depend neither on the number of
// threads nor on their order within a phase.
#pragma once

#include <cstdint>

#include "slowsde/gpu/batch_source.hpp"
#include "slowsde/gpu/layer_functions.hpp"
#include "slowsde/gpu/loop_block.hpp"
#include "slowsde/gpu/network_layout.hpp"
#include "slowsde/gpu/product_tiles.hpp"
#include "slowsde/gpu/update_sink.hpp"
#include "slowsde/optim/update_formula.hpp"
#include "slowsde/problems/host_device.hpp"

namespace slowsde {

/// One worker's network in its block's memory. parameters: (layout.parameter_numbers), work:
/// (layout.work_numbers), each on a boundary of four numbers. only_dense: the layout has dense layers alone,
/// and no code for others is made.
template <class Real, class Block, bool only_dense = false>
class NetworkBlock {
 public:
  SLOWSDE_HD NetworkBlock(const Block& block, const NetworkLayout& layout, const BatchSource& source,
                          std::uint32_t worker, Real* parameters, Real* work)
      : block_(block),
        layout_(layout),
        source_(source),
        worker_(worker),
        parameters_(parameters),
        work_(work) {}

  /// Takes θ and clears all else.
  SLOWSDE_HD void load(const Real* theta) {
    block_.run([&](int thread, int threads) {
      for (int j = thread; j < layout_.parameter_numbers; j += threads) parameters_[j] = Real{0};
      for (int j = thread; j < layout_.work_numbers; j += threads) work_[j] = Real{0};
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
    const NetworkLayout& m = layout_;
    int* const chosen = reinterpret_cast<int*>(work_ + m.chosen);
    int* const labels = chosen + m.batch;
    block_.run([&](int thread, int threads) { source_.choose(thread, threads, worker_, k, chosen, labels); });
    block_.run([&](int thread, int threads) {
      source_.gather(thread, threads, worker_, k, chosen, work_ + m.layer[0].in, m.batch_row);
      if (m.loss == LossKind::squared)
        source_.targets(thread, threads, worker_, k, labels, work_ + m.targets, m.batch_row);
    });
    for (int l = 0; l < m.layers; ++l) {
      if (only_dense || m.layer[l].kind == LayerKind::dense)
        block_.run([&](int thread, int threads) { forward_dense(m.layer[l], thread, threads); });
      else if constexpr (!only_dense)
        forward(m.layer[l]);
    }
    block_.run([&](int thread, int threads) { losses(thread, threads, labels); });
    for (int l = m.layers - 1; l >= m.lowest; --l) {
      const Layer* const below = l > m.lowest ? &m.layer[l - 1] : nullptr;
      if (only_dense || m.layer[l].kind == LayerKind::dense) {
        if (below)
          block_.run([&](int thread, int threads) { backward_dense(m.layer[l], *below, thread, threads); });
      } else if constexpr (!only_dense) {
        backward(m.layer[l], below);
      }
    }
    // Every adjoint is known, so no weight is needed any more and all may change at once.
    block_.run([&](int thread, int threads) {
      for (int l = m.lowest; l < m.layers; ++l) {
        const Layer& layer = m.layer[l];
        if (only_dense || layer.kind == LayerKind::dense) {
          dense_gradients(layer, thread, threads, sink);
        } else if constexpr (!only_dense) {
          if (layer.kind == LayerKind::convolution) convolution_partials(layer, thread, threads);
          if (layer.kind == LayerKind::group_norm) group_norm_gradients(layer, thread, threads, sink);
        }
      }
      if (thread == 0) {
        double sum = 0;
        for (int b = 0; b < m.batch; ++b) sum += static_cast<double>(work_[m.losses + b]);
        loss += sum / m.batch;
      }
    });
    if constexpr (!only_dense) {
      bool partial = false;
      for (int l = m.lowest; l < m.layers; ++l)
        partial = partial || m.layer[l].kind == LayerKind::convolution;
      if (!partial) return;
      block_.run([&](int thread, int threads) {
        for (int l = m.lowest; l < m.layers; ++l)
          if (m.layer[l].kind == LayerKind::convolution)
            convolution_gradients(m.layer[l], thread, threads, sink);
      });
    }
  }

 private:
  using Layer = NetworkLayout::Layer;
  static constexpr int forward_rows = 2;  // a tile of 2 × 4: more of them for small batches

  template <class Visit>
  SLOWSDE_HD void each_parameter(int thread, int threads, Visit&& visit) {
    for (int l = 0; l < layout_.layers; ++l) {
      const Layer& layer = layout_.layer[l];
      for (int j = thread; j < layer.weight_count; j += threads)
        visit(parameters_[layer.weight(j)], layer.theta + j);
      for (int o = thread; o < layer.bias_count; o += threads)
        visit(parameters_[layer.biases + o], layer.theta + layer.weight_count + o);
    }
  }

  /// z of one feature and sample, and what follows it.
  SLOWSDE_HD void put_output(const Layer& layer, int feature, int b, Real z) {
    const int at = feature * layout_.batch_row + b;
    write_output(layer, z, work_ + layer.out + at, work_ + layer.logistic + at);
  }
  /// The adjoint of z from that of φ(z).
  SLOWSDE_HD void put_adjoint(const Layer& layer, int feature, int b, Real adjoint) {
    const int at = feature * layout_.batch_row + b;
    work_[layer.delta + at] =
        adjoint_of_z(layer, work_ + layer.out + at, work_ + layer.logistic + at, adjoint);
  }

  SLOWSDE_HD void losses(int thread, int threads, const int* labels) {
    const NetworkLayout& m = layout_;
    const Layer& last = m.layer[m.layers - 1];
    for (int b = thread; b < m.batch; b += threads)
      work_[m.losses + b] =
          sample_loss(m.loss, last.outputs, work_ + last.out + b, work_ + m.targets + b, labels[b],
                      m.batch_row, Real{1} / static_cast<Real>(m.batch), work_ + last.delta + b);
  }

  SLOWSDE_HD void forward_dense(const Layer& layer, int thread, int threads) {
    const NetworkLayout& m = layout_;
    const int column_tiles = detail::tiles_of(m.batch, 4),
              row_tiles = detail::tiles_of(layer.outputs, forward_rows);
    for (int tile = thread; tile < column_tiles * row_tiles; tile += threads) {
      const int first = tile / column_tiles, b = 4 * (tile - first * column_tiles);
      Real sum[forward_rows][4] = {};
      detail::forward_tile(parameters_ + layer.weights, layer.row, work_ + layer.in, m.batch_row,
                           layer.inputs, layer.outputs, first, row_tiles, b, sum);
      SLOWSDE_UNROLL(8)
      for (int r = 0; r < forward_rows; ++r) {
        const int o = first + r * row_tiles;
        if (o >= layer.outputs) break;
        const Real bias = parameters_[layer.biases + o];
        SLOWSDE_UNROLL(8)
        for (int s = 0; s < 4; ++s) {
          if (b + s >= m.batch) break;
          put_output(layer, o, b + s, sum[r][s] + bias);
        }
      }
    }
  }

  /// The adjoint of the layer below.
  SLOWSDE_HD void backward_dense(const Layer& layer, const Layer& below, int thread, int threads) {
    const NetworkLayout& m = layout_;
    const int column_tiles = detail::tiles_of(m.batch, 4), row_tiles = detail::tiles_of(layer.inputs, 4);
    for (int tile = thread; tile < column_tiles * row_tiles; tile += threads) {
      const int first = tile / column_tiles, i = 4 * first, b = 4 * (tile - first * column_tiles);
      Real sum[4][4] = {};
      detail::backward_tile(parameters_ + layer.weights, layer.row, work_ + layer.delta, m.batch_row,
                            layer.outputs, i, b, sum);
      SLOWSDE_UNROLL(8)
      for (int r = 0; r < 4; ++r) {
        if (i + r >= layer.inputs) break;
        SLOWSDE_UNROLL(8)
        for (int s = 0; s < 4; ++s) {
          if (b + s >= m.batch) break;
          put_adjoint(below, i + r, b + s, sum[r][s]);
        }
      }
    }
  }

  template <class Sink>
  SLOWSDE_HD void dense_gradients(const Layer& layer, int thread, int threads, Sink& sink) {
    const NetworkLayout& m = layout_;
    const Real* const delta = work_ + layer.delta;
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
      detail::gradient_tile(delta, work_ + layer.in, m.batch_row, m.batch, in_o, in_i, sum);
      SLOWSDE_UNROLL(8)
      for (int r = 0; r < 4; ++r) {
        if (o[r] > last_o) break;
        SLOWSDE_UNROLL(8)
        for (int s = 0; s < 4; ++s) {
          if (i[s] > last_i) break;
          sink(parameters_[layer.weights + o[r] * layer.row + i[s]], sum[r][s],
               layer.theta + o[r] * layer.inputs + i[s]);
        }
      }
    }
    for (int o = thread; o < layer.outputs; o += threads) {
      Real sum{0};
      for (int b = 0; b < m.batch; ++b) sum = sum + delta[o * m.batch_row + b];
      sink(parameters_[layer.biases + o], sum, layer.theta + layer.outputs * layer.inputs + o);
    }
  }

  /// f(c, b) for each channel and sample, by the block.
  template <class Function>
  SLOWSDE_HD void each_column(int rows, Function&& f) {
    block_.run([&](int thread, int threads) {
      for (int i = thread; i < rows * layout_.batch; i += threads) {
        const int row = i / layout_.batch;
        f(row, i - row * layout_.batch);
      }
    });
  }
  SLOWSDE_HD GroupNormSample<Real> group_norm(const Layer& layer, int b) const {
    return {&layer,
            layout_.batch_row,
            parameters_ + layer.weights,
            parameters_ + layer.biases,
            work_ + layer.in + b,
            work_ + layer.normed + b,
            work_ + layer.root + b,
            work_ + layer.sums + b};
  }

  /// Layers that are not dense.
  SLOWSDE_HD void forward(const Layer& layer) {
    switch (layer.kind) {
      case LayerKind::dense:
        break;
      case LayerKind::convolution:
        block_.run([&](int thread, int threads) { forward_convolution(layer, thread, threads); });
        break;
      case LayerKind::group_norm:
        each_column(layer.channels_in, [&](int c, int b) { group_norm(layer, b).sum(c); });
        each_column(layer.channels_in, [&](int c, int b) { group_norm(layer, b).sum_squares(c); });
        each_column(layer.channels_in, [&](int c, int b) {
          group_norm(layer, b).apply(c, [&](int f, Real y) { put_output(layer, f, b, y); });
        });
        break;
      case LayerKind::average_pool:
        each_column(layer.outputs, [&](int f, int b) {
          put_output(layer, f, b, pooled(layer, work_ + layer.in + b, layout_.batch_row, f));
        });
        break;
      case LayerKind::pointwise:
        each_column(layer.outputs, [&](int f, int b) {
          put_output(layer, f, b, work_[layer.in + f * layout_.batch_row + b]);
        });
        break;
    }
  }

  /// The adjoint of the layer below, where there is one that needs it.
  SLOWSDE_HD void backward(const Layer& layer, const Layer* below) {
    if (layer.kind == LayerKind::group_norm)
      each_column(layer.channels_in,
                  [&](int c, int b) { group_norm(layer, b).sum_adjoints(c, work_ + layer.delta + b); });
    if (!below) return;
    switch (layer.kind) {
      case LayerKind::dense:
        break;
      case LayerKind::convolution:
        block_.run([&](int thread, int threads) { backward_convolution(layer, *below, thread, threads); });
        break;
      case LayerKind::group_norm:
        each_column(layer.channels_in, [&](int c, int b) {
          group_norm(layer, b).reverse(c, work_ + layer.delta + b,
                                       [&](int f, Real d) { put_adjoint(*below, f, b, d); });
        });
        break;
      case LayerKind::average_pool:
        each_column(layer.inputs, [&](int f, int b) {
          put_adjoint(*below, f, b, unpooled(layer, work_ + layer.delta + b, layout_.batch_row, f));
        });
        break;
      case LayerKind::pointwise:
        each_column(layer.inputs, [&](int f, int b) {
          put_adjoint(*below, f, b, work_[layer.delta + f * layout_.batch_row + b]);
        });
        break;
    }
  }

  SLOWSDE_HD void forward_convolution(const Layer& layer, int thread, int threads) {
    const NetworkLayout& m = layout_;
    const int column_tiles = detail::tiles_of(m.batch, 4), positions = layer.positions_out(),
              tiles = detail::tiles_of(layer.channels_out, 4) * positions * column_tiles;
    for (int tile = thread; tile < tiles; tile += threads) {
      const int at = tile / column_tiles, b = 4 * (tile - at * column_tiles);
      const int o = 4 * (at / positions), position = at % positions;
      const int y = position / layer.width_out, x = position - y * layer.width_out;
      Real sum[4][4] = {};
      detail::convolution_tile(layer, parameters_ + layer.weights, work_ + layer.in, m.batch_row, o, y, x, b,
                               sum);
      SLOWSDE_UNROLL(8)
      for (int r = 0; r < 4; ++r) {
        if (o + r >= layer.channels_out) break;
        const Real bias = layer.bias_count > 0 ? parameters_[layer.biases + o + r] : Real{0};
        SLOWSDE_UNROLL(8)
        for (int s = 0; s < 4; ++s) {
          if (b + s >= m.batch) break;
          put_output(layer, (o + r) * positions + position, b + s, sum[r][s] + bias);
        }
      }
    }
  }

  SLOWSDE_HD void backward_convolution(const Layer& layer, const Layer& below, int thread, int threads) {
    const NetworkLayout& m = layout_;
    const int column_tiles = detail::tiles_of(m.batch, 4), positions = layer.positions_in(),
              tiles = detail::tiles_of(layer.channels_in, 4) * positions * column_tiles;
    for (int tile = thread; tile < tiles; tile += threads) {
      const int at = tile / column_tiles, b = 4 * (tile - at * column_tiles);
      const int first = 4 * (at / positions), position = at % positions, last = layer.channels_in - 1;
      const int y = position / layer.width_in, x = position - y * layer.width_in;
      const int q[4] = {first, first + 1 < last ? first + 1 : last, first + 2 < last ? first + 2 : last,
                        first + 3 < last ? first + 3 : last};
      Real sum[4][4] = {};
      detail::convolution_backward_tile(layer, parameters_ + layer.weights, work_ + layer.delta, m.batch_row,
                                        q, y, x, b, sum);
      SLOWSDE_UNROLL(8)
      for (int r = 0; r < 4; ++r) {
        if (first + r > last) break;
        SLOWSDE_UNROLL(8)
        for (int s = 0; s < 4; ++s) {
          if (b + s >= m.batch) break;
          put_adjoint(below, (first + r) * positions + position, b + s, sum[r][s]);
        }
      }
    }
  }

  /// Sums of the gradient over parts of the image's rows.
  SLOWSDE_HD void convolution_partials(const Layer& layer, int thread, int threads) {
    const NetworkLayout& m = layout_;
    const Real* const delta = work_ + layer.delta;
    Real* const partials = work_ + layer.partials;
    const auto part_begin = [&](int part) { return layer.height_out * part / layer.parts; };
    const int taps = layer.taps(), in_tiles = detail::tiles_of(layer.channels_in, 2),
              out_tiles = detail::tiles_of(layer.channels_out, 4);
    for (int tile = thread; tile < layer.parts * out_tiles * in_tiles * taps; tile += threads) {
      const int product = tile / taps, tap = tile - product * taps, i = tap / layer.kernel,
                j = tap - i * layer.kernel;
      const int in_tile = product % in_tiles, part = product / in_tiles / out_tiles,
                out_tile = product / in_tiles - part * out_tiles;
      const int last_o = layer.channels_out - 1, last_q = layer.channels_in - 1;
      int o[4], q[2];
      SLOWSDE_UNROLL(8)
      for (int r = 0; r < 4; ++r) o[r] = 4 * out_tile + r < last_o ? 4 * out_tile + r : last_o;
      SLOWSDE_UNROLL(8)
      for (int s = 0; s < 2; ++s) q[s] = 2 * in_tile + s < last_q ? 2 * in_tile + s : last_q;
      Real sum[4][2] = {};
      detail::convolution_gradient_tile(layer, delta, work_ + layer.in, m.batch_row, m.batch,
                                        part_begin(part), part_begin(part + 1), i, j, o, q, sum);
      SLOWSDE_UNROLL(8)
      for (int r = 0; r < 4; ++r) {
        if (4 * out_tile + r > last_o) break;
        SLOWSDE_UNROLL(8)
        for (int s = 0; s < 2; ++s) {
          if (2 * in_tile + s > last_q) break;
          partials[part * layer.parameters() + (o[r] * layer.channels_in + q[s]) * taps + tap] = sum[r][s];
        }
      }
    }
    for (int i = thread; i < layer.parts * layer.bias_count; i += threads) {
      const int part = i / layer.bias_count, o = i - part * layer.bias_count;
      Real sum{0};
      for (int p = o * layer.positions_out() + part_begin(part) * layer.width_out;
           p < o * layer.positions_out() + part_begin(part + 1) * layer.width_out; ++p)
        for (int b = 0; b < m.batch; ++b) sum = sum + delta[p * m.batch_row + b];
      partials[part * layer.parameters() + layer.weight_count + o] = sum;
    }
  }

  template <class Sink>
  SLOWSDE_HD void convolution_gradients(const Layer& layer, int thread, int threads, Sink& sink) {
    for (int j = thread; j < layer.parameters(); j += threads) {
      Real sum{0};
      for (int part = 0; part < layer.parts; ++part)
        sum = sum + work_[layer.partials + part * layer.parameters() + j];
      sink(parameters_[j < layer.weight_count ? layer.weight(j) : layer.biases + j - layer.weight_count], sum,
           layer.theta + j);
    }
  }

  template <class Sink>
  SLOWSDE_HD void group_norm_gradients(const Layer& layer, int thread, int threads, Sink& sink) {
    const int channels = layer.channels_in;
    for (int i = thread; i < 2 * channels; i += threads) {
      // Σ δ, which are ∇β's, come before Σ δ ẑ.
      const bool scale = i < channels;
      const int row = scale ? channels + i : i - channels;
      Real sum{0};
      for (int b = 0; b < layout_.batch; ++b) sum = sum + work_[layer.sums + row * layout_.batch_row + b];
      sink(parameters_[scale ? layer.weights + i : layer.biases + i - channels], sum, layer.theta + i);
    }
  }

  const Block& block_;
  const NetworkLayout& layout_;
  const BatchSource& source_;
  std::uint32_t worker_;
  Real *parameters_, *work_;
};

/// H steps from step k of one worker: θ from `start`, the last θ to `end`. parameters and work as
/// NetworkBlock has them, state: (vectors × stride); numbers: (H), one for each step. Returns the sum of the
/// batches' losses to the thread with number 0.
template <class Formula, bool only_dense = false, class Real, class Block>
SLOWSDE_HD double network_local_steps(const Block& block, const NetworkLayout& layout,
                                      const BatchSource& source, std::uint32_t worker, std::uint64_t k,
                                      std::int64_t H, const UpdateNumbers<Real>* numbers, const Real* start,
                                      Real* state, std::int64_t stride, Real* end, Real* parameters,
                                      Real* work) {
  NetworkBlock<Real, Block, only_dense> network(block, layout, source, worker, parameters, work);
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
