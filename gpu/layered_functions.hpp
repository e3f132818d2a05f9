// Functions of one index of the layered step: what all workers' layers do between the matrix products.
#pragma once

#include <cstdint>

#include "slowsde/gpu/batch_source.hpp"
#include "slowsde/gpu/layer_functions.hpp"
#include "slowsde/gpu/network_layout.hpp"
#include "slowsde/gpu/update_sink.hpp"
#include "slowsde/problems/host_device.hpp"

namespace slowsde {

/// What changes from step to step, in memory that the functions can read.
template <class Real>
struct StepInputs {
  BatchSource source;
  std::uint64_t step = 0, first = 0;             ///< k, and the step of numbers[0]
  const UpdateNumbers<Real>* numbers = nullptr;  ///< of the steps from `first` on
};

namespace detail {

// Functions of one index. `inputs` is what changes from step to step; workers are counted from 0 on this
// device.

template <class Real>
struct ChooseSamples {
  const StepInputs<Real>* inputs;
  int* chosen;  ///< (workers × 2 × B)
  std::uint32_t first_worker;
  int batch, threads;  ///< threads: 1 where samples are drawn one after the other, else B
  SLOWSDE_HD void operator()(std::int64_t i) const {
    const int w = static_cast<int>(i / threads),
              thread = static_cast<int>(i - static_cast<std::int64_t>(w) * threads);
    int* const own = chosen + static_cast<std::int64_t>(w) * 2 * batch;
    inputs->source.choose(thread, threads, first_worker + static_cast<std::uint32_t>(w), inputs->step, own,
                          own + batch);
  }
};

template <class Real>
struct GatherInputs {
  const StepInputs<Real>* inputs;
  const int* chosen;
  std::uint32_t first_worker;
  int batch, features;
  Real* x;
  SLOWSDE_HD void operator()(std::int64_t i) const {
    const int size = batch * features, w = static_cast<int>(i / size);
    inputs->source.gather(static_cast<int>(i - static_cast<std::int64_t>(w) * size), size,
                          first_worker + static_cast<std::uint32_t>(w), inputs->step,
                          chosen + static_cast<std::int64_t>(w) * 2 * batch,
                          x + static_cast<std::int64_t>(w) * size, batch);
  }
};

template <class Real>
struct MakeTargets {
  const StepInputs<Real>* inputs;
  const int* chosen;
  std::uint32_t first_worker;
  int batch, outputs;
  Real* targets;
  SLOWSDE_HD void operator()(std::int64_t i) const {
    const int size = batch * outputs, w = static_cast<int>(i / size);
    inputs->source.targets(static_cast<int>(i - static_cast<std::int64_t>(w) * size), size,
                           first_worker + static_cast<std::uint32_t>(w), inputs->step,
                           chosen + static_cast<std::int64_t>(w) * 2 * batch + batch,
                           targets + static_cast<std::int64_t>(w) * size, batch);
  }
};

/// z ← φ(z + b).
template <class Real>
struct AddBiasAndActivate {
  NetworkLayout::Layer layer;
  int columns;
  const Real* bias;  ///< of worker 0
  std::int64_t stride;
  Real *z, *p;
  SLOWSDE_HD void operator()(std::int64_t i) const {
    const std::int64_t size = static_cast<std::int64_t>(layer.channels_out) * columns, w = i / size;
    const std::int64_t o = (i - w * size) / columns;
    write_output(layer, layer.bias_count > 0 ? z[i] + bias[w * stride + o] : z[i], z + i, p + i);
  }
};

template <class Real>
struct SampleLosses {
  LossKind loss;
  int outputs, batch;
  const Real *f, *targets;
  const int* chosen;
  Real *delta, *losses;
  SLOWSDE_HD void operator()(std::int64_t i) const {
    const std::int64_t w = i / batch;
    const int b = static_cast<int>(i - w * batch);
    const std::int64_t at = w * outputs * batch + b;
    losses[i] =
        sample_loss(loss, outputs, f + at, targets + (loss == LossKind::squared ? at : 0),
                    chosen[w * 2 * batch + batch + b], batch, Real{1} / static_cast<Real>(batch), delta + at);
  }
};

/// A number of a matrix (rows × B) for each worker.
struct MatrixIndex {
  std::int64_t worker;
  int row, column;
  SLOWSDE_HD static MatrixIndex of(std::int64_t i, int rows, int batch) {
    const std::int64_t all = i / batch, w = all / rows;
    return {w, static_cast<int>(all - w * rows), static_cast<int>(i - all * batch)};
  }
};

/// Where what a layer puts out goes, and the adjoint of its z.
template <class Real>
struct LayerOutputs {
  NetworkLayout::Layer layer;
  Real *out, *logistic, *delta;
  SLOWSDE_HD void put_output(std::int64_t at, Real z) const {
    write_output(layer, z, out + at, logistic + at);
  }
  SLOWSDE_HD void put_adjoint(std::int64_t at, Real adjoint) const {
    delta[at] = adjoint_of_z(layer, out + at, logistic + at, adjoint);
  }
};

/// δ ← δ φ'(z).
template <class Real>
struct ApplySlope {
  LayerOutputs<Real> below;
  SLOWSDE_HD void operator()(std::int64_t i) const { below.put_adjoint(i, below.delta[i]); }
};

/// The input that each weight meets at each output position, zero outside the image: (fan-in × positions·B).
template <class Real>
struct ToColumns {
  NetworkLayout::Layer layer;
  int batch;
  const Real* a;
  Real* columns;
  SLOWSDE_HD void operator()(std::int64_t i) const {
    const int positions = layer.positions_out();
    const MatrixIndex at = MatrixIndex::of(i, layer.fan_in * positions, batch);
    const int term = at.row / positions, position = at.row - term * positions;
    const int q = term / layer.taps(), tap = term - q * layer.taps();
    const int y = layer.stride * (position / layer.width_out) + tap / layer.kernel - layer.padding;
    const int x = layer.stride * (position % layer.width_out) + tap % layer.kernel - layer.padding;
    const bool inside = y >= 0 && y < layer.height_in && x >= 0 && x < layer.width_in;
    const std::int64_t feature = at.worker * layer.inputs + (q * layer.height_in + y) * layer.width_in + x;
    columns[i] = inside ? a[feature * batch + at.column] : Real{0};
  }
};

/// The adjoint of the input from that of its columns.
template <class Real>
struct FromColumns {
  NetworkLayout::Layer layer;
  int batch;
  const Real* columns;
  LayerOutputs<Real> below;
  SLOWSDE_HD void operator()(std::int64_t index) const {
    const MatrixIndex at = MatrixIndex::of(index, layer.inputs, batch);
    const int q = at.row / layer.positions_in(), position = at.row - q * layer.positions_in();
    const int y = position / layer.width_in, x = position - y * layer.width_in;
    // Output row `above`/stride reads row y by tap i, where that is an output row.
    const auto reaches = [&](int above, int extent) {
      return above >= 0 && above % layer.stride == 0 && above / layer.stride < extent;
    };
    Real sum{0};
    for (int i = 0; i < layer.kernel; ++i) {
      const int above = y + layer.padding - i;
      if (!reaches(above, layer.height_out)) continue;
      for (int j = 0; j < layer.kernel; ++j) {
        const int before = x + layer.padding - j;
        if (!reaches(before, layer.width_out)) continue;
        const std::int64_t term = at.worker * layer.fan_in + q * layer.taps() + i * layer.kernel + j;
        sum = sum + columns[(term * layer.positions_out() + above / layer.stride * layer.width_out +
                             before / layer.stride) *
                                batch +
                            at.column];
      }
    }
    below.put_adjoint(index, sum);
  }
};

/// What a group norm of all workers is given.
template <class Real>
struct GroupNormOfWorkers {
  NetworkLayout::Layer layer;
  int batch;
  const Real* gamma;  ///< of worker 0; β follows
  std::int64_t stride;
  const Real* z;
  Real *normed, *root, *sums;

  SLOWSDE_HD MatrixIndex index(std::int64_t i) const { return MatrixIndex::of(i, layer.channels_in, batch); }
  SLOWSDE_HD std::int64_t features(const MatrixIndex& at) const {
    return at.worker * layer.inputs * batch + at.column;
  }
  SLOWSDE_HD GroupNormSample<Real> sample(const MatrixIndex& at) const {
    const Real* const scale = gamma + at.worker * stride;
    const std::int64_t own = features(at), channels = at.worker * layer.channels_in * batch + at.column;
    return {&layer,  batch,        scale,           scale + layer.weight_count,
            z + own, normed + own, root + channels, sums + channels + at.worker * layer.channels_in * batch};
  }
};
template <class Real>
struct GroupNormSums {
  GroupNormOfWorkers<Real> norm;
  bool squares;
  SLOWSDE_HD void operator()(std::int64_t i) const {
    const MatrixIndex at = norm.index(i);
    if (squares)
      norm.sample(at).sum_squares(at.row);
    else
      norm.sample(at).sum(at.row);
  }
};
template <class Real>
struct ApplyGroupNorm {
  GroupNormOfWorkers<Real> norm;
  LayerOutputs<Real> outputs;
  SLOWSDE_HD void operator()(std::int64_t i) const {
    const MatrixIndex at = norm.index(i);
    const std::int64_t own = norm.features(at);
    norm.sample(at).apply(at.row, [&](int f, Real y) {
      outputs.put_output(own + static_cast<std::int64_t>(f) * norm.batch, y);
    });
  }
};
template <class Real>
struct GroupNormAdjointSums {
  GroupNormOfWorkers<Real> norm;
  const Real* delta;
  SLOWSDE_HD void operator()(std::int64_t i) const {
    const MatrixIndex at = norm.index(i);
    norm.sample(at).sum_adjoints(at.row, delta + norm.features(at));
  }
};
template <class Real>
struct ReverseGroupNorm {
  GroupNormOfWorkers<Real> norm;
  const Real* delta;
  LayerOutputs<Real> below;
  SLOWSDE_HD void operator()(std::int64_t i) const {
    const MatrixIndex at = norm.index(i);
    const std::int64_t own = norm.features(at);
    norm.sample(at).reverse(at.row, delta + own, [&](int f, Real d) {
      below.put_adjoint(own + static_cast<std::int64_t>(f) * norm.batch, d);
    });
  }
};
/// ∇γ and ∇β from the sums of each sample.
template <class Real>
struct GroupNormGradients {
  const Real* sums;
  int channels, batch;
  Real* g;  ///< of worker 0
  std::int64_t stride;
  SLOWSDE_HD void operator()(std::int64_t i) const {
    const std::int64_t w = i / (2 * channels);
    const int parameter = static_cast<int>(i - w * 2 * channels);
    // Σ δ, which are ∇β's, come before Σ δ ẑ.
    const int row = parameter < channels ? channels + parameter : parameter - channels;
    Real sum{0};
    for (int b = 0; b < batch; ++b) sum = sum + sums[(w * 2 * channels + row) * batch + b];
    g[w * stride + parameter] = sum;
  }
};

template <class Real>
struct Pool {
  const Real* a;
  int batch;
  LayerOutputs<Real> outputs;
  SLOWSDE_HD void operator()(std::int64_t i) const {
    const NetworkLayout::Layer& layer = outputs.layer;
    const MatrixIndex at = MatrixIndex::of(i, layer.outputs, batch);
    const Real* const sample = a + at.worker * layer.inputs * batch + at.column;
    outputs.put_output(i, pooled(layer, sample, batch, at.row));
  }
};
template <class Real>
struct Unpool {
  NetworkLayout::Layer layer;
  const Real* delta;
  int batch;
  LayerOutputs<Real> below;
  SLOWSDE_HD void operator()(std::int64_t i) const {
    const MatrixIndex at = MatrixIndex::of(i, layer.inputs, batch);
    const Real* const sample = delta + at.worker * layer.outputs * batch + at.column;
    below.put_adjoint(i, unpooled(layer, sample, batch, at.row));
  }
};

template <class Real>
struct PassOn {
  const Real* a;
  LayerOutputs<Real> outputs;
  SLOWSDE_HD void operator()(std::int64_t i) const { outputs.put_output(i, a[i]); }
};
template <class Real>
struct PassBack {
  const Real* delta;
  LayerOutputs<Real> below;
  SLOWSDE_HD void operator()(std::int64_t i) const { below.put_adjoint(i, delta[i]); }
};

/// g_o = Σ_c δ(o, c).
template <class Real>
struct BiasGradients {
  const Real* delta;
  int outputs, columns;
  Real* g;  ///< of worker 0
  std::int64_t stride;
  SLOWSDE_HD void operator()(std::int64_t i) const {
    const std::int64_t w = i / outputs;
    Real sum{0};
    for (int c = 0; c < columns; ++c) sum = sum + delta[i * columns + c];
    g[w * stride + (i - w * outputs)] = sum;
  }
};

template <class Formula, class Real>
struct UpdateParameters {
  const StepInputs<Real>* inputs;
  std::int64_t d;
  const Real* g;
  Real *theta, *state;
  SLOWSDE_HD void operator()(std::int64_t i) const {
    const std::int64_t w = i / d;
    const auto sink = UpdateSink<Formula, Real>::of(inputs->numbers[inputs->step - inputs->first],
                                                    state + w * Formula::vectors * d, d);
    sink(theta[i], g[i], static_cast<int>(i - w * d));
  }
};

/// Adds a step's losses and begins the next step.
template <class Real>
struct FinishStep {
  StepInputs<Real>* inputs;
  const Real* losses;
  int batch;
  double* sums;
  SLOWSDE_HD void operator()(std::int64_t w) const {
    double sum = 0;
    for (int b = 0; b < batch; ++b) sum += static_cast<double>(losses[w * batch + b]);
    sums[w] += sum / batch;
    if (w == 0) ++inputs->step;
  }
};

/// rows_w = θ.
template <class Real>
struct CopyToRows {
  const Real* theta;
  std::int64_t d;
  Real* rows;
  SLOWSDE_HD void operator()(std::int64_t i) const { rows[i] = theta[i % d]; }
};

}  // namespace detail
}  // namespace slowsde
