// Forward and backward passes of a multilayer perceptron with the squared loss, by a group of threads that
// share its parameters, activations and adjoints. Written for any executor of blocks: on a GPU each phase is
// run by all threads at once and ended by a barrier, in tests by a loop over the threads. Every sum is one
// thread's and has the order of MlpFit::add_sample_gradient, so the bits depend neither on the threads of a
// group nor on their order within a phase.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>

#include "slowsde/problems/activation.hpp"
#include "slowsde/problems/host_device.hpp"
#include "slowsde/problems/pack_math.hpp"

namespace slowsde {

/// Where a group has what, the same for all groups of a launch. Offsets are in numbers from the start of a
/// group's memory; x and y are in memory that the executing side can read.
template <class Real>
struct MlpFitLayout {
  static constexpr int most_layers = 8;

  struct Layer {
    int inputs = 0, outputs = 0;
    int theta = 0;    ///< of its weights in θ; the biases follow them
    int row = 0;      ///< numbers from one row of W to the next: odd, so that rows lie in other banks
    int weights = 0;  ///< W: (outputs × row)
    int biases = 0;   ///< b: (outputs)
    int below = 0, above = 0;  ///< activations: (visits × inputs), (visits × outputs)
    int slope = 0;             ///< φ'(z): (visits × outputs); of all layers but the last
    int delta = 0;             ///< adjoint of z: (visits × outputs); the last layer's holds ε before
  };

  int layers = 0, dim = 0;
  int visits = 1;  ///< samples of one pass, with repetitions
  Activation activation = Activation::tanh;
  Layer layer[most_layers];
  int numbers = 0;          ///< of a group's memory
  const Real* x = nullptr;  ///< (n × inputs)
  const Real* y = nullptr;  ///< (n × outputs)

  SLOWSDE_HD int inputs() const { return layer[0].inputs; }
  SLOWSDE_HD int outputs() const { return layer[layers - 1].outputs; }
  std::size_t bytes() const { return static_cast<std::size_t>(numbers) * sizeof(Real); }  ///< of a group

  /// So many numbers more; where they begin.
  int take(int count) {
    const int at = numbers;
    numbers += count;
    return at;
  }
};

/// Without its pointers. Throws std::invalid_argument for more layers than there is room for.
template <class Real, class Shape>
void lay_out(MlpFitLayout<Real>& layout, const Shape& shape, int visits) {
  using Layout = MlpFitLayout<Real>;
  if (shape.layers() > Layout::most_layers)
    throw std::invalid_argument("the kernels of networks have no networks of more than " +
                                std::to_string(Layout::most_layers) + " layers");
  layout.layers = shape.layers();
  layout.dim = shape.dim();
  layout.visits = visits;
  layout.activation = shape.activation;
  int below = layout.take(visits * shape.inputs());
  for (int l = 0; l < layout.layers; ++l) {
    typename Layout::Layer& layer = layout.layer[l];
    layer.inputs = shape.widths[static_cast<std::size_t>(l)];
    layer.outputs = shape.widths[static_cast<std::size_t>(l) + 1];
    layer.theta = shape.weight_offset(l);
    layer.row = layer.inputs + (layer.inputs % 2 == 0);
    layer.weights = layout.take(layer.outputs * layer.row);
    layer.biases = layout.take(layer.outputs);
    layer.below = below;
    const bool last = l + 1 == layout.layers;
    if (!last) {
      layer.above = below = layout.take(visits * layer.outputs);
      layer.slope = layout.take(visits * layer.outputs);
    }
    layer.delta = layout.take(visits * layer.outputs);
  }
}

/// SampleOf: visit → sample.
template <class Block, class Real>
class MlpFitPasses {
 public:
  using Layout = MlpFitLayout<Real>;
  using Layer = typename Layout::Layer;

  /// memory: (layout.numbers).
  SLOWSDE_HD MlpFitPasses(const Block& block, const Layout& layout, Real* memory)
      : block_(block), layout_(layout), memory_(memory) {}

  SLOWSDE_HD Real* memory() const { return memory_; }

  /// Takes the parameters from θ.
  SLOWSDE_HD void load(const Real* theta) const {
    block_.run([&](int thread, int threads) {
      each_parameter(thread, threads,
                     [&](Real& parameter, int j, const Layer&, int, int) { parameter = theta[j]; });
    });
  }
  SLOWSDE_HD void store(Real* theta) const {
    block_.run([&](int thread, int threads) {
      each_parameter(thread, threads,
                     [&](Real& parameter, int j, const Layer&, int, int) { theta[j] = parameter; });
    });
  }

  /// The inputs of the visits' samples.
  template <class SampleOf>
  SLOWSDE_HD void gather(SampleOf sample_of) const {
    block_.run([&](int thread, int threads) {
      const int inputs = layout_.inputs();
      Real* const a = memory_ + layout_.layer[0].below;
      for (int item = thread; item < layout_.visits * inputs; item += threads) {
        const int v = item / inputs;
        a[item] = layout_.x[static_cast<std::int64_t>(sample_of(v)) * inputs + (item - v * inputs)];
      }
    });
  }

  /// Activations and slopes; the outputs' adjoints f − y − ε take the place of ε.
  template <class SampleOf>
  SLOWSDE_HD void forward(SampleOf sample_of) const {
    for (int l = 0; l < layout_.layers; ++l)
      block_.run([&](int thread, int threads) {
        forward(layout_.layer[l], l + 1 == layout_.layers, sample_of, thread, threads);
      });
  }

  /// The adjoints of all layers from those of the outputs.
  SLOWSDE_HD void backward() const {
    for (int l = layout_.layers - 1; l > 0; --l)
      block_.run([&](int thread, int threads) {
        backward(layout_.layer[l], layout_.layer[l - 1], thread, threads);
      });
  }

  /// Of the visits' sum, after both passes: what output o of a layer and its input i add.
  SLOWSDE_HD Real gradient(const Layer& layer, int o, int i) const {
    const Real* const delta = memory_ + layer.delta + o;
    const Real* const a = memory_ + layer.below + i;
    Real g(0);
    for (int v = 0; v < layout_.visits; ++v)
      g = g + (i < layer.inputs ? delta[v * layer.outputs] * a[v * layer.inputs] : delta[v * layer.outputs]);
    return g;
  }

  /// visit(parameter, j, layer, o, i) for every θ_j: the weight of a layer's output o and input i, or its
  /// bias, which counts as the input after the last. Neighbouring threads have neighbouring inputs.
  template <class Visit>
  SLOWSDE_HD void each_parameter(int thread, int threads, Visit visit) const {
    for (int l = 0; l < layout_.layers; ++l) {
      const Layer& layer = layout_.layer[l];
      const int across = layer.inputs + 1, down = threads / across, right = threads - down * across;
      int o = thread / across, i = thread - o * across;
      while (o < layer.outputs) {
        if (i < layer.inputs)
          visit(memory_[layer.weights + o * layer.row + i], layer.theta + o * layer.inputs + i, layer, o, i);
        else
          visit(memory_[layer.biases + o], layer.theta + layer.outputs * layer.inputs + o, layer, o, i);
        o += down;
        i += right;
        if (i >= across) {
          i -= across;
          ++o;
        }
      }
    }
  }

 private:
  /// z = W a + b, then φ and its slope, or the outputs' adjoint f − y − ε.
  template <class SampleOf>
  SLOWSDE_HD void forward(const Layer& layer, bool last, SampleOf sample_of, int thread, int threads) const {
    for (int item = thread; item < layout_.visits * layer.outputs; item += threads) {
      const int v = item / layer.outputs, o = item - v * layer.outputs;
      const Real* const w = memory_ + layer.weights + o * layer.row;
      const Real* const a = memory_ + layer.below + v * layer.inputs;
      Real z = memory_[layer.biases + o];
      SLOWSDE_UNROLL(8)
      for (int i = 0; i < layer.inputs; ++i) z = z + w[i] * a[i];
      if (last) {
        Real& delta = memory_[layer.delta + item];
        delta = z - layout_.y[static_cast<std::int64_t>(sample_of(v)) * layer.outputs + o] - delta;
      } else {
        activate(z, memory_[layer.above + item], memory_[layer.slope + item]);
      }
    }
  }

  SLOWSDE_HD void activate(Real z, Real& a, Real& slope) const {
    const auto tanh_of = [](Real x) { return tanh(Pack<Real, 1>(x)).v; };
    if (layout_.activation == Activation::tanh) {
      a = tanh_of(z);
      slope = Real(1) - a * a;
    } else {
      const Real p = Real(0.5) * tanh_of(Real(0.5) * z) + Real(0.5);
      a = z * p;
      slope = p + a * (Real(1) - p);
    }
  }

  /// δ of the layer below: (Wᵀδ) ∘ φ'(z).
  SLOWSDE_HD void backward(const Layer& layer, const Layer& below, int thread, int threads) const {
    for (int item = thread; item < layout_.visits * layer.inputs; item += threads) {
      const int v = item / layer.inputs, i = item - v * layer.inputs;
      const Real* const w = memory_ + layer.weights + i;
      const Real* const delta = memory_ + layer.delta + v * layer.outputs;
      Real sum = w[0] * delta[0];
      SLOWSDE_UNROLL(8)
      for (int o = 1; o < layer.outputs; ++o) sum = sum + w[o * layer.row] * delta[o];
      memory_[below.delta + item] = sum * memory_[below.slope + item];
    }
  }

  const Block& block_;
  const Layout& layout_;
  Real* memory_;
};

}  // namespace slowsde
