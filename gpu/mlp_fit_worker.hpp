// One worker of an ensemble of iterates on a multilayer perceptron with the squared loss, by a group of
// threads that share its parameters, activations and adjoints. Written for any executor of blocks: on a GPU
// each phase is run by all threads at once and ended by a barrier, in tests by a loop over the threads. Every
// sum is one thread's and has the order of MlpFit::add_sample_gradient, every random number its address: the
// bits are those of the CPU's iterates, whatever the threads of a group and their order within a phase.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <type_traits>

#include "slowsde/gpu/group_worker.hpp"
#include "slowsde/gpu/round_table.hpp"
#include "slowsde/optim/stochastic_gradient.hpp"
#include "slowsde/problems/activation.hpp"
#include "slowsde/problems/pack_math.hpp"

namespace slowsde {

/// The same for all groups of a launch, passed to the kernels by value. Offsets are in numbers from the start
/// of a group's memory; x and y are in memory that the executing side can read.
template <class Real>
struct MlpFitSetup {
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
  int visits = 1;  ///< samples of one step, with repetitions
  Activation activation = Activation::tanh;
  Layer layer[most_layers];
  int chosen = 0;   ///< ints: (visits)
  int numbers = 0;  ///< of a group's memory
  bool minibatch = false;
  SamplerConstants constants;
  double label_scale = 0, inverse_visits = 1, inverse_workers = 1;
  int workers = 1;
  const Real* x = nullptr;  ///< (n × inputs)
  const Real* y = nullptr;  ///< (n × outputs)

  SLOWSDE_HD int inputs() const { return layer[0].inputs; }
  SLOWSDE_HD int outputs() const { return layer[layers - 1].outputs; }
  std::size_t bytes() const { return static_cast<std::size_t>(numbers) * sizeof(Real); }  ///< of a group
};

/// Without its pointers. Throws std::invalid_argument for what the kernels do not run.
template <class Real, class Fit>
MlpFitSetup<Real> make_mlp_fit_setup(const Fit& fit, const LocalSgd& algorithm,
                                     const GradientSource& source) {
  const auto refuse = [](const std::string& what) {
    throw std::invalid_argument("the kernels of networks have no " + what);
  };
  if (source.noise.kind == NoiseKind::gaussian) refuse("noise of that kind");
  if (algorithm.momentum != 0) refuse("momentum");
  if (source.svag != 1) refuse("SVAG");
  using Setup = MlpFitSetup<Real>;
  if (fit.shape().layers() > Setup::most_layers)
    refuse("networks of more than " + std::to_string(Setup::most_layers) + " layers");

  Setup setup;
  setup.minibatch = source.noise.kind == NoiseKind::minibatch;
  if (setup.minibatch) {
    setup.constants = sampler_constants<NoiseKind::minibatch>(fit, source);
    setup.label_scale = label_scale<NoiseKind::minibatch>(setup.constants);
    setup.visits = setup.constants.minibatch.batch;
  } else {
    setup.constants = sampler_constants<NoiseKind::label>(fit, source);
    setup.label_scale = label_scale<NoiseKind::label>(setup.constants);
    setup.visits = setup.constants.samples;
  }
  setup.inverse_visits = 1.0 / setup.visits;
  setup.workers = algorithm.workers;
  setup.inverse_workers = 1.0 / algorithm.workers;
  setup.layers = fit.shape().layers();
  setup.dim = fit.dim();
  setup.activation = fit.shape().activation;
  const auto take = [&](int count) {
    const int at = setup.numbers;
    setup.numbers += count;
    return at;
  };
  int below = take(setup.visits * fit.shape().inputs());
  for (int l = 0; l < setup.layers; ++l) {
    typename Setup::Layer& layer = setup.layer[l];
    layer.inputs = fit.shape().widths[static_cast<std::size_t>(l)];
    layer.outputs = fit.shape().widths[static_cast<std::size_t>(l) + 1];
    layer.theta = fit.shape().weight_offset(l);
    layer.row = layer.inputs + (layer.inputs % 2 == 0);
    layer.weights = take(layer.outputs * layer.row);
    layer.biases = take(layer.outputs);
    layer.below = below;
    const bool last = l + 1 == setup.layers;
    if (!last) {
      layer.above = below = take(setup.visits * layer.outputs);
      layer.slope = take(setup.visits * layer.outputs);
    }
    layer.delta = take(setup.visits * layer.outputs);
  }
  setup.chosen = take(setup.visits);
  return setup;
}

template <class Block, class Real>
class MlpFitWorker {
 public:
  using Setup = MlpFitSetup<Real>;

  /// memory: (setup.numbers).
  SLOWSDE_HD MlpFitWorker(const Block& block, const Setup& setup, std::uint64_t replica, std::uint32_t worker,
                          Real* memory)
      : block_(block),
        setup_(setup),
        replica_(replica),
        worker_(worker),
        memory_(memory),
        chosen_(reinterpret_cast<int*>(memory + setup.chosen)),
        label_scale_(static_cast<Real>(setup.label_scale)),
        inverse_(static_cast<Real>(setup.inverse_visits)) {}

  /// The rounds first … last − 1 of a worker that is alone, or one round of one among many: from `start` to
  /// `end`, (d) each, which may be the same.
  SLOWSDE_HD void run(const RoundView& table, std::int64_t first, std::int64_t last, const Real* start,
                      Real* end) {
    block_.run([&](int thread, int threads) {
      each_parameter(thread, threads,
                     [&](Real& parameter, int j, const Layer&, int, int) { parameter = start[j]; });
    });
    for (std::int64_t s = first; s < last; ++s) {
      const TableRound& round = table.rounds[s];
      const detail::RoundRates rates = table.rates_of(round);
      for (std::int64_t h = 0; h < round.local_steps; ++h)
        step(static_cast<std::uint64_t>(round.first_step + h), static_cast<Real>(rates[h]));
    }
    block_.run([&](int thread, int threads) {
      each_parameter(thread, threads,
                     [&](Real& parameter, int j, const Layer&, int, int) { end[j] = parameter; });
    });
  }

 private:
  using Layer = typename Setup::Layer;

  /// θ ← θ − ηg with the stochastic gradient of step k.
  SLOWSDE_HD void step(std::uint64_t k, Real eta) {
    block_.run([&](int thread, int threads) { draw(thread, threads, k); });
    block_.run([&](int thread, int threads) {
      const int inputs = setup_.inputs();
      Real* const a = memory_ + setup_.layer[0].below;
      for (int item = thread; item < setup_.visits * inputs; item += threads) {
        const int v = item / inputs;
        a[item] = setup_.x[static_cast<std::int64_t>(sample_of(v)) * inputs + (item - v * inputs)];
      }
    });
    for (int l = 0; l < setup_.layers; ++l)
      block_.run([&](int thread, int threads) {
        forward(setup_.layer[l], l + 1 == setup_.layers, thread, threads);
      });
    for (int l = setup_.layers - 1; l > 0; --l)
      block_.run(
          [&](int thread, int threads) { backward(setup_.layer[l], setup_.layer[l - 1], thread, threads); });
    // Every adjoint is known, so no weight is needed any more and all may change at once.
    block_.run([&](int thread, int threads) {
      each_parameter(thread, threads, [&](Real& parameter, int, const Layer& layer, int o, int i) {
        const Real* const delta = memory_ + layer.delta + o;
        const Real* const a = memory_ + layer.below + i;
        Real g(0);
        for (int v = 0; v < setup_.visits; ++v)
          g = g +
              (i < layer.inputs ? delta[v * layer.outputs] * a[v * layer.inputs] : delta[v * layer.outputs]);
        parameter = parameter - eta * (g * inverse_);
      });
    });
  }

  SLOWSDE_HD int sample_of(int visit) const { return setup_.minibatch ? chosen_[visit] : visit; }

  /// The step's label noise ε into the place of the outputs' adjoints, and its samples. Visit number v of
  /// step k has the address k·visits + v.
  SLOWSDE_HD void draw(int thread, int threads, std::uint64_t k) {
    const SamplerConstants& constants = setup_.constants;
    const int count = setup_.visits * setup_.outputs();
    Real* const eps = memory_ + setup_.layer[setup_.layers - 1].delta;
    if (setup_.label_scale != 0)
      share_normals(RandomPack<Real, 1>(constants.seed, Stream::label, replica_), worker_,
                    k * static_cast<std::uint64_t>(count), static_cast<std::uint64_t>(count), thread, threads,
                    [&](int i, Real normal) { eps[i] = label_scale_ * normal; });
    else
      for (int i = thread; i < count; i += threads) eps[i] = Real(0);
    if (!setup_.minibatch) return;
    const MinibatchSampler& minibatch = constants.minibatch;
    const auto integer = [&](int b, int m) {
      return static_cast<int>(
          integer_at(constants.seed, Stream::sample, replica_, worker_,
                     k * static_cast<std::uint64_t>(minibatch.batch) + static_cast<std::uint64_t>(b),
                     static_cast<std::uint32_t>(m)));
    };
    if (minibatch.replacement) {
      for (int b = thread; b < minibatch.batch; b += threads) chosen_[b] = integer(b, minibatch.samples);
    } else if (thread == 0) {  // distinct samples are drawn one after the other
      detail::draw_integers(minibatch.samples, minibatch.batch, false, integer, chosen_);
    }
  }

  /// z = W a + b, then φ and its slope, or the outputs' adjoint f − y − ε.
  SLOWSDE_HD void forward(const Layer& layer, bool last, int thread, int threads) {
    for (int item = thread; item < setup_.visits * layer.outputs; item += threads) {
      const int v = item / layer.outputs, o = item - v * layer.outputs;
      const Real* const w = memory_ + layer.weights + o * layer.row;
      const Real* const a = memory_ + layer.below + v * layer.inputs;
      Real z = memory_[layer.biases + o];
      SLOWSDE_UNROLL(8)
      for (int i = 0; i < layer.inputs; ++i) z = z + w[i] * a[i];
      if (last) {
        Real& delta = memory_[layer.delta + item];
        delta = z - setup_.y[static_cast<std::int64_t>(sample_of(v)) * layer.outputs + o] - delta;
      } else {
        activate(z, memory_[layer.above + item], memory_[layer.slope + item]);
      }
    }
  }

  SLOWSDE_HD void activate(Real z, Real& a, Real& slope) const {
    const auto tanh_of = [](Real x) { return tanh(Pack<Real, 1>(x)).v; };
    if (setup_.activation == Activation::tanh) {
      a = tanh_of(z);
      slope = Real(1) - a * a;
    } else {
      const Real p = Real(0.5) * tanh_of(Real(0.5) * z) + Real(0.5);
      a = z * p;
      slope = p + a * (Real(1) - p);
    }
  }

  /// δ of the layer below: (Wᵀδ) ∘ φ'(z).
  SLOWSDE_HD void backward(const Layer& layer, const Layer& below, int thread, int threads) {
    for (int item = thread; item < setup_.visits * layer.inputs; item += threads) {
      const int v = item / layer.inputs, i = item - v * layer.inputs;
      const Real* const w = memory_ + layer.weights + i;
      const Real* const delta = memory_ + layer.delta + v * layer.outputs;
      Real sum = w[0] * delta[0];
      SLOWSDE_UNROLL(8)
      for (int o = 1; o < layer.outputs; ++o) sum = sum + w[o * layer.row] * delta[o];
      memory_[below.delta + item] = sum * memory_[below.slope + item];
    }
  }

  /// visit(parameter, j, layer, o, i) for every θ_j: the weight of a layer's output o and input i, or its
  /// bias, which counts as the input after the last. Neighbouring threads have neighbouring inputs.
  template <class Visit>
  SLOWSDE_HD void each_parameter(int thread, int threads, Visit visit) {
    for (int l = 0; l < setup_.layers; ++l) {
      const Layer& layer = setup_.layer[l];
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

  const Block& block_;
  const Setup& setup_;
  std::uint64_t replica_;
  std::uint32_t worker_;
  Real* memory_;
  int* chosen_;
  Real label_scale_, inverse_;
};

}  // namespace slowsde
