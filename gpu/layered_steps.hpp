// One local step of all workers, layer by layer: batched matrix products, and between them small functions of
// one index. Written for any machine that can do both: on a GPU cuBLAS and kernels with a thread for each
// index, in tests plain loops.
#pragma once

#include <cstdint>

#include "slowsde/gpu/batch_source.hpp"
#include "slowsde/gpu/mlp_layout.hpp"
#include "slowsde/gpu/mlp_steps.hpp"
#include "slowsde/problems/host_device.hpp"

namespace slowsde {

/// C_w = op(A_w) op(B_w) for w < count, column-major as BLAS has them: op(A) is (m × k), op(B) is (k × n).
template <class Real>
struct BatchedProduct {
  bool transpose_a = false, transpose_b = false;
  int m = 0, n = 0, k = 0;
  const Real *a = nullptr, *b = nullptr;
  Real* c = nullptr;
  int row_a = 0, row_b = 0, row_c = 0;                    ///< leading dimensions
  std::int64_t stride_a = 0, stride_b = 0, stride_c = 0;  ///< from one worker to the next
  int count = 1;
};

/// What changes from step to step, in memory that the functions can read.
template <class Real>
struct StepInputs {
  BatchSource source;
  std::uint64_t step = 0, first = 0;             ///< k, and the step of numbers[0]
  const UpdateNumbers<Real>* numbers = nullptr;  ///< of the steps from `first` on
};

/// Where the workers' activations are: matrices (features × B) without padding, for each layer all workers'.
/// Offsets in numbers.
struct LayeredPlan {
  MlpLayout shape;  ///< sizes only
  std::uint32_t first_worker = 0;
  int workers = 1;
  std::int64_t activations[MlpLayout::most_layers + 1] = {};  ///< of layer l's input; the last: outputs
  std::int64_t logistic[MlpLayout::most_layers] = {}, delta[MlpLayout::most_layers] = {};
  std::int64_t targets = 0, losses = 0, gradients = 0;
  std::int64_t numbers = 0;  ///< all of it

  LayeredPlan(const MlpLayout& layout, std::uint32_t first, int count)
      : shape(layout), first_worker(first), workers(count) {
    const auto take = [&](std::int64_t features) {
      const std::int64_t at = numbers;
      numbers += (features * workers + 31) / 32 * 32;
      return at;
    };
    const std::int64_t B = shape.batch;
    activations[0] = take(shape.inputs() * B);
    for (int l = 0; l < shape.layers; ++l) {
      const std::int64_t size = shape.layer[l].outputs * B;
      activations[l + 1] = take(size);
      if (shape.activation == Activation::silu) logistic[l] = take(size);
      delta[l] = take(size);
    }
    targets = take(shape.loss == LossKind::squared ? shape.outputs() * B : 0);
    losses = take(B);
    gradients = take(shape.dim);
  }
  std::int64_t chosen() const { return 2 * static_cast<std::int64_t>(workers) * shape.batch; }  ///< ints
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
  int batch, features;
  Real* x;
  SLOWSDE_HD void operator()(std::int64_t i) const {
    const int size = batch * features, w = static_cast<int>(i / size);
    inputs->source.gather(static_cast<int>(i - static_cast<std::int64_t>(w) * size), size,
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

/// z ← φ(z + b); p: SiLU's.
template <class Real>
struct AddBiasAndActivate {
  const Real* bias;  ///< of worker 0
  std::int64_t stride;
  int outputs, batch;
  bool activated;
  Activation activation;
  Real *z, *p;
  SLOWSDE_HD void operator()(std::int64_t i) const {
    const int size = outputs * batch;
    const std::int64_t w = i / size;
    const int o = static_cast<int>(i - w * size) / batch;
    Real value = z[i] + bias[w * stride + o], logistic{0};
    if (activated) value = slowsde::activated(activation, value, logistic);
    z[i] = value;
    if (activated && activation == Activation::silu) p[i] = logistic;
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

/// δ ← δ φ'(z).
template <class Real>
struct ApplySlope {
  Activation activation;
  const Real *a, *p;
  Real* delta;
  SLOWSDE_HD void operator()(std::int64_t i) const {
    delta[i] = delta[i] * slope(activation, a[i], activation == Activation::silu ? p[i] : Real{0});
  }
};

/// g_o = Σ_b δ(o, b).
template <class Real>
struct BiasGradients {
  const Real* delta;
  int outputs, batch;
  Real* g;  ///< of worker 0
  std::int64_t stride;
  SLOWSDE_HD void operator()(std::int64_t i) const {
    const std::int64_t w = i / outputs;
    Real sum{0};
    for (int b = 0; b < batch; ++b) sum = sum + delta[i * batch + b];
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

/// The pointers of one device. theta: worker w's parameters at theta + w·theta_stride.
template <class Real>
struct LayeredMemory {
  StepInputs<Real>* inputs = nullptr;
  int* chosen = nullptr;     ///< (plan.chosen())
  Real* memory = nullptr;    ///< (plan.numbers)
  double* losses = nullptr;  ///< (workers)
};

/// Enqueues the gradients of inputs->step at the workers' θ into g: (workers × d), and adds the losses, but
/// does not begin the next step.
template <class Real, class Machine>
void layered_gradients(Machine& machine, const LayeredPlan& plan, const LayeredMemory<Real>& at,
                       bool one_by_one, const Real* theta, std::int64_t theta_stride, Real* g) {
  const MlpLayout& shape = plan.shape;
  const int K = plan.workers, B = shape.batch, L = shape.layers;
  const auto matrix = [&](std::int64_t offset) { return at.memory + offset; };
  const int choosers = one_by_one ? 1 : B;
  machine.for_each(static_cast<std::int64_t>(K) * choosers,
                   detail::ChooseSamples<Real>{at.inputs, at.chosen, plan.first_worker, B, choosers});
  machine.for_each(
      static_cast<std::int64_t>(K) * B * shape.inputs(),
      detail::GatherInputs<Real>{at.inputs, at.chosen, B, shape.inputs(), matrix(plan.activations[0])});
  if (shape.loss == LossKind::squared)
    machine.for_each(static_cast<std::int64_t>(K) * B * shape.outputs(),
                     detail::MakeTargets<Real>{at.inputs, at.chosen, plan.first_worker, B, shape.outputs(),
                                               matrix(plan.targets)});

  // A matrix (rows × columns) by rows is the transposed one by columns: Zᵀ = Aᵀ Wᵀ, all three as they lie in
  // memory.
  for (int l = 0; l < L; ++l) {
    const MlpLayout::Layer& layer = shape.layer[l];
    const std::int64_t below = static_cast<std::int64_t>(layer.inputs) * B,
                       above = static_cast<std::int64_t>(layer.outputs) * B;
    Real* const z = matrix(plan.activations[l + 1]);
    machine.multiply(BatchedProduct<Real>{.m = B,
                                          .n = layer.outputs,
                                          .k = layer.inputs,
                                          .a = matrix(plan.activations[l]),
                                          .b = theta + layer.theta,
                                          .c = z,
                                          .row_a = B,
                                          .row_b = layer.inputs,
                                          .row_c = B,
                                          .stride_a = below,
                                          .stride_b = theta_stride,
                                          .stride_c = above,
                                          .count = K});
    machine.for_each(K * above,
                     detail::AddBiasAndActivate<Real>{theta + layer.theta + layer.outputs * layer.inputs,
                                                      theta_stride, layer.outputs, B, layer.activated,
                                                      shape.activation, z, matrix(plan.logistic[l])});
  }
  machine.for_each(static_cast<std::int64_t>(K) * B,
                   detail::SampleLosses<Real>{shape.loss, shape.outputs(), B, matrix(plan.activations[L]),
                                              matrix(plan.targets), at.chosen, matrix(plan.delta[L - 1]),
                                              matrix(plan.losses)});
  for (int l = L - 1; l >= 0; --l) {
    const MlpLayout::Layer& layer = shape.layer[l];
    const std::int64_t below = static_cast<std::int64_t>(layer.inputs) * B,
                       above = static_cast<std::int64_t>(layer.outputs) * B;
    const Real* const delta = matrix(plan.delta[l]);
    // G = δ Aᵀ, that is Gᵀ = A δᵀ
    machine.multiply(BatchedProduct<Real>{.transpose_a = true,
                                          .m = layer.inputs,
                                          .n = layer.outputs,
                                          .k = B,
                                          .a = matrix(plan.activations[l]),
                                          .b = delta,
                                          .c = g + layer.theta,
                                          .row_a = B,
                                          .row_b = B,
                                          .row_c = layer.inputs,
                                          .stride_a = below,
                                          .stride_b = above,
                                          .stride_c = shape.dim,
                                          .count = K});
    machine.for_each(static_cast<std::int64_t>(K) * layer.outputs,
                     detail::BiasGradients<Real>{delta, layer.outputs, B,
                                                 g + layer.theta + layer.outputs * layer.inputs, shape.dim});
    if (l == 0) break;
    // D = Wᵀ δ, that is Dᵀ = δᵀ W
    Real* const under = matrix(plan.delta[l - 1]);
    machine.multiply(BatchedProduct<Real>{.transpose_b = true,
                                          .m = B,
                                          .n = layer.inputs,
                                          .k = layer.outputs,
                                          .a = delta,
                                          .b = theta + layer.theta,
                                          .c = under,
                                          .row_a = B,
                                          .row_b = layer.inputs,
                                          .row_c = B,
                                          .stride_a = above,
                                          .stride_b = theta_stride,
                                          .stride_c = below,
                                          .count = K});
    if (shape.layer[l - 1].activated)
      machine.for_each(K * below, detail::ApplySlope<Real>{shape.activation, matrix(plan.activations[l]),
                                                           matrix(plan.logistic[l - 1]), under});
  }
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
