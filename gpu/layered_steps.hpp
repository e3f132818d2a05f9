// One local step of all workers, layer by layer: batched matrix products, and between them small functions of
// one index. A convolution is a product with the columns of its input, one for each output position. Written
// for any machine that can do both: on a GPU cuBLAS and kernels with a thread for each index, in tests plain
// loops.
#pragma once

#include <algorithm>
#include <cstdint>

#include "slowsde/gpu/batched_product.hpp"
#include "slowsde/gpu/layered_functions.hpp"
#include "slowsde/gpu/network_layout.hpp"

namespace slowsde {

/// Where the workers' activations are: matrices (features × B) without padding, for each layer all workers'.
/// Offsets in numbers.
struct LayeredPlan {
  struct Place {
    std::int64_t in = 0, out = 0, logistic = 0, delta = 0;
    std::int64_t normed = 0, root = 0, sums = 0;  ///< group norm, as in NetworkLayout
  };

  NetworkLayout shape;  ///< sizes only
  std::uint32_t first_worker = 0;
  int workers = 1;
  Place place[NetworkLayout::most_layers];
  std::int64_t columns = 0;  ///< of one convolution at a time: (fan-in × positions·B)
  std::int64_t targets = 0, losses = 0, gradients = 0;
  std::int64_t numbers = 0;  ///< all of it

  LayeredPlan(const NetworkLayout& layout, std::uint32_t first, int count)
      : shape(layout), first_worker(first), workers(count) {
    const auto take = [&](std::int64_t size) {
      const std::int64_t at = numbers;
      numbers += (size * workers + 31) / 32 * 32;
      return at;
    };
    const std::int64_t B = shape.batch;
    std::int64_t most_columns = 0;
    for (int l = 0; l < shape.layers; ++l) {
      const NetworkLayout::Layer& layer = shape.layer[l];
      const NetworkLayout::Layer* const below = l > 0 ? &shape.layer[l - 1] : nullptr;
      Place& at = place[l];
      at.in = below ? place[l - 1].out : take(layer.inputs * B);
      at.out = take(layer.outputs * B);
      if (layer.activated && layer.activation == Activation::silu) at.logistic = take(layer.outputs * B);
      const bool norm = layer.kind == LayerKind::group_norm;
      if (norm) {
        at.normed = below && below->activated ? take(layer.outputs * B) : at.in;
        at.root = take(layer.channels_out * B);
        at.sums = take(2 * layer.channels_out * B);
      }
      at.delta = norm && below ? place[l - 1].delta : take(layer.outputs * B);
      if (layer.kind == LayerKind::convolution)
        most_columns = std::max(most_columns, columns_of(layer) * layer.fan_in);
    }
    columns = take(most_columns);
    targets = take(shape.loss == LossKind::squared ? shape.outputs() * B : 0);
    losses = take(B);
    gradients = take(shape.dim);
  }
  /// Of a dense layer's or a convolution's product.
  std::int64_t columns_of(const NetworkLayout::Layer& layer) const {
    return static_cast<std::int64_t>(layer.positions_out()) * shape.batch;
  }
  std::int64_t chosen() const { return 2 * static_cast<std::int64_t>(workers) * shape.batch; }  ///< ints
};

/// The pointers of one device.
template <class Real>
struct LayeredMemory {
  StepInputs<Real>* inputs = nullptr;
  int* chosen = nullptr;     ///< (plan.chosen())
  Real* memory = nullptr;    ///< (plan.numbers)
  double* losses = nullptr;  ///< (workers)
};

namespace detail {

/// The passes of one step through the layers. theta: worker w's parameters at theta + w·theta_stride.
template <class Real, class Machine>
class LayeredPass {
 public:
  LayeredPass(Machine& machine, const LayeredPlan& plan, Real* memory, const Real* theta,
              std::int64_t theta_stride)
      : machine_(machine), plan_(plan), memory_(memory), theta_(theta), theta_stride_(theta_stride) {}

  void forward(int l) {
    const Layer& layer = plan_.shape.layer[l];
    switch (layer.kind) {
      case LayerKind::dense:
      case LayerKind::convolution:
        forward_product(l);
        break;
      case LayerKind::group_norm:
        machine_.for_each(numbers(layer.channels_in), GroupNormSums<Real>{norm(l), false});
        machine_.for_each(numbers(layer.channels_in), GroupNormSums<Real>{norm(l), true});
        machine_.for_each(numbers(layer.channels_in), ApplyGroupNorm<Real>{norm(l), outputs(l)});
        break;
      case LayerKind::average_pool:
        machine_.for_each(numbers(layer.outputs), Pool<Real>{in(l), plan_.shape.batch, outputs(l)});
        break;
      case LayerKind::pointwise:
        machine_.for_each(numbers(layer.outputs), PassOn<Real>{in(l), outputs(l)});
        break;
    }
  }

  /// The gradients of the layer's parameters into g: (workers × d), and the adjoint of the layer below where
  /// there is one that needs it.
  void reverse(int l, Real* g) {
    const Layer& layer = plan_.shape.layer[l];
    const Real* const delta = memory_ + plan_.place[l].delta;
    const bool below = l > plan_.shape.lowest;
    switch (layer.kind) {
      case LayerKind::dense:
      case LayerKind::convolution:
        reverse_product(l, g, below);
        break;
      case LayerKind::group_norm:
        machine_.for_each(numbers(layer.channels_in), GroupNormAdjointSums<Real>{norm(l), delta});
        machine_.for_each(static_cast<std::int64_t>(plan_.workers) * layer.parameters(),
                          GroupNormGradients<Real>{memory_ + plan_.place[l].sums, layer.channels_in,
                                                   plan_.shape.batch, g + layer.theta, plan_.shape.dim});
        if (below)
          machine_.for_each(numbers(layer.channels_in),
                            ReverseGroupNorm<Real>{norm(l), delta, outputs(l - 1)});
        break;
      case LayerKind::average_pool:
        if (below)
          machine_.for_each(numbers(layer.inputs),
                            Unpool<Real>{layer, delta, plan_.shape.batch, outputs(l - 1)});
        break;
      case LayerKind::pointwise:
        if (below) machine_.for_each(numbers(layer.inputs), PassBack<Real>{delta, outputs(l - 1)});
        break;
    }
  }

 private:
  using Layer = NetworkLayout::Layer;

  /// Of matrices (rows × B) of all workers.
  std::int64_t numbers(int rows) const {
    return static_cast<std::int64_t>(plan_.workers) * rows * plan_.shape.batch;
  }
  Real* in(int l) const { return memory_ + plan_.place[l].in; }
  LayerOutputs<Real> outputs(int l) const {
    const LayeredPlan::Place& at = plan_.place[l];
    return {plan_.shape.layer[l], memory_ + at.out, memory_ + at.logistic, memory_ + at.delta};
  }
  GroupNormOfWorkers<Real> norm(int l) const {
    const Layer& layer = plan_.shape.layer[l];
    const LayeredPlan::Place& at = plan_.place[l];
    return {layer,           plan_.shape.batch,   theta_ + layer.theta, theta_stride_,
            memory_ + at.in, memory_ + at.normed, memory_ + at.root,    memory_ + at.sums};
  }
  /// What W is multiplied by: a convolution's columns, made here; a dense layer's input.
  Real* factors(int l) {
    const Layer& layer = plan_.shape.layer[l];
    if (layer.kind == LayerKind::dense) return in(l);
    Real* const columns = memory_ + plan_.columns;
    machine_.for_each(plan_.workers * plan_.columns_of(layer) * layer.fan_in,
                      ToColumns<Real>{layer, plan_.shape.batch, in(l), columns});
    return columns;
  }

  using Matrix = StridedMatrix<Real>;
  using Operand = StridedMatrix<const Real>;
  LayerProducts products(const Layer& layer) const {
    return {layer.fan_in, layer.channels_out, static_cast<int>(plan_.columns_of(layer)), plan_.workers};
  }
  Operand weights(const Layer& layer) const { return {theta_ + layer.theta, theta_stride_}; }
  std::int64_t below(const Layer& layer) const { return plan_.columns_of(layer) * layer.fan_in; }
  std::int64_t above(const Layer& layer) const { return plan_.columns_of(layer) * layer.channels_out; }

  void forward_product(int l) {
    const Layer& layer = plan_.shape.layer[l];
    Real* const z = memory_ + plan_.place[l].out;
    machine_.multiply(
        products(layer).forward(weights(layer), Operand{factors(l), below(layer)}, Matrix{z, above(layer)}));
    machine_.for_each(plan_.workers * above(layer),
                      AddBiasAndActivate<Real>{layer, static_cast<int>(plan_.columns_of(layer)),
                                               theta_ + layer.theta + layer.weight_count, theta_stride_, z,
                                               memory_ + plan_.place[l].logistic});
  }

  void reverse_product(int l, Real* g, bool has_below) {
    const Layer& layer = plan_.shape.layer[l];
    const Operand delta{memory_ + plan_.place[l].delta, above(layer)};
    machine_.multiply(products(layer).gradient(delta, Operand{factors(l), below(layer)},
                                               Matrix{g + layer.theta, plan_.shape.dim}));
    if (layer.bias_count > 0)
      machine_.for_each(
          static_cast<std::int64_t>(plan_.workers) * layer.channels_out,
          BiasGradients<Real>{delta.first, layer.channels_out, static_cast<int>(plan_.columns_of(layer)),
                              g + layer.theta + layer.weight_count, plan_.shape.dim});
    if (!has_below) return;
    // a convolution's in place of its columns
    const bool dense = layer.kind == LayerKind::dense;
    const LayerOutputs<Real> under = outputs(l - 1);
    Real* const product = dense ? under.delta : memory_ + plan_.columns;
    machine_.multiply(products(layer).adjoint(weights(layer), delta, Matrix{product, below(layer)}));
    if (!dense)
      machine_.for_each(numbers(layer.inputs), FromColumns<Real>{layer, plan_.shape.batch, product, under});
    else if (under.layer.activated)
      machine_.for_each(numbers(layer.inputs), ApplySlope<Real>{under});
  }

  Machine& machine_;
  const LayeredPlan& plan_;
  Real* memory_;
  const Real* theta_;
  std::int64_t theta_stride_;
};

}  // namespace detail

/// Enqueues the gradients of inputs->step at the workers' θ into g: (workers × d), and adds the losses, but
/// does not begin the next step. theta: worker w's parameters at theta + w·theta_stride.
template <class Real, class Machine>
void layered_gradients(Machine& machine, const LayeredPlan& plan, const LayeredMemory<Real>& at,
                       bool one_by_one, const Real* theta, std::int64_t theta_stride, Real* g) {
  const NetworkLayout& shape = plan.shape;
  const int K = plan.workers, B = shape.batch, L = shape.layers;
  const auto matrix = [&](std::int64_t offset) { return at.memory + offset; };
  const int choosers = one_by_one ? 1 : B;
  machine.for_each(static_cast<std::int64_t>(K) * choosers,
                   detail::ChooseSamples<Real>{at.inputs, at.chosen, plan.first_worker, B, choosers});
  machine.for_each(static_cast<std::int64_t>(K) * B * shape.inputs(),
                   detail::GatherInputs<Real>{at.inputs, at.chosen, plan.first_worker, B, shape.inputs(),
                                              matrix(plan.place[0].in)});
  if (shape.loss == LossKind::squared)
    machine.for_each(static_cast<std::int64_t>(K) * B * shape.outputs(),
                     detail::MakeTargets<Real>{at.inputs, at.chosen, plan.first_worker, B, shape.outputs(),
                                               matrix(plan.targets)});
  detail::LayeredPass<Real, Machine> pass(machine, plan, at.memory, theta, theta_stride);
  for (int l = 0; l < L; ++l) pass.forward(l);
  machine.for_each(static_cast<std::int64_t>(K) * B,
                   detail::SampleLosses<Real>{shape.loss, shape.outputs(), B, matrix(plan.place[L - 1].out),
                                              matrix(plan.targets), at.chosen,
                                              matrix(plan.place[L - 1].delta), matrix(plan.losses)});
  for (int l = L - 1; l >= shape.lowest; --l) pass.reverse(l, g);
}

/// Enqueues one local step of the workers, in place in their rows: (workers × d).
template <class Formula, class Real, class Machine>
void layered_step(Machine& machine, const LayeredPlan& plan, const LayeredMemory<Real>& at, bool one_by_one,
                  Real* rows, Real* state) {
  const std::int64_t d = plan.shape.dim;
  Real* const g = at.memory + plan.gradients;
  layered_gradients(machine, plan, at, one_by_one, static_cast<const Real*>(rows), d, g);
  machine.for_each(plan.workers * d, detail::UpdateParameters<Formula, Real>{at.inputs, d, g, rows, state});
  machine.for_each(plan.workers,
                   detail::FinishStep<Real>{at.inputs, at.memory + plan.losses, plan.shape.batch, at.losses});
}

}  // namespace slowsde
