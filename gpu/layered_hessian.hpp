// Hessian-vector products of a dense network's mean loss, layer by layer and for several directions at once,
// on any machine that layered_steps.hpp is written for: Pearlmutter's R-operator (Fast exact multiplication
// by the Hessian, Neural Computation 6, 1994), R{f} = d/dr f(θ + rv) at r = 0, applied to the passes. v has V
// and c where θ has the weights W and the biases b; ⁺ is of the layer above.
//
//   forward    z = W a + b              R{z} = V a + W R{a} + c
//              a⁺ = φ(z)                R{a⁺} = φ'(z) R{z}
//   loss       δ = ∂L/∂f                R{δ} = ∂²L/∂f² R{f}, at the outputs f
//   gradient   G = δ aᵀ                 R{G} = R{δ} aᵀ + δ R{a}ᵀ
//   reverse    u = W⁺ᵀ δ⁺               R{u} = V⁺ᵀ δ⁺ + W⁺ᵀ R{δ⁺}
//              δ = φ'(z) u              R{δ} = φ'(z) R{u} + φ''(z) u R{z}
//
// What the point alone determines (a, δ, φ'(z), φ''(z) u, the softmax of f) is kept from product to product.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include "slowsde/gpu/layered_steps.hpp"

namespace slowsde {

/// Where all this lies, offsets in numbers. Matrices (features × samples) are without padding; those along
/// the directions follow each other.
struct HessianPlan {
  struct Place {
    std::int64_t slope = 0, bend = 0;  ///< φ'(z) and φ''(z) u; none for the outputs
    std::int64_t z = 0;                ///< R{z}, in its place then R{δ}: (directions × outputs × n)
    std::int64_t a = 0;                ///< R{φ(z)}, in its place then R{u}; none for the outputs
  };

  LayeredPlan point;  ///< of one worker, whose batch all n samples are
  int directions;     ///< at most, at once
  std::int64_t row;   ///< from one direction or product to the next: d rounded up, so that all are aligned
  Place place[NetworkLayout::most_layers];
  std::int64_t probabilities = 0, ones = 0;
  std::int64_t numbers = 0;  ///< all of it

  /// Indices of the functions are ints: directions · n · width < 2³¹.
  static int most_directions(const NetworkLayout& layout) {
    std::int64_t size = 1;
    for (int l = 0; l < layout.layers; ++l)
      size = std::max<std::int64_t>(size, static_cast<std::int64_t>(layout.layer[l].outputs) * layout.batch);
    return static_cast<int>(std::numeric_limits<int>::max() / size);
  }

  /// The layout is of dense layers alone, its batch all samples; directions_ ≤ most_directions(layout).
  HessianPlan(const NetworkLayout& layout, int directions_)
      : point(layout, 0, 1),
        directions(directions_),
        row((layout.dim + 31) / 32 * 32),
        numbers(point.numbers) {
    const auto take = [&](std::int64_t size) {
      const std::int64_t at = numbers;
      numbers += (size + 31) / 32 * 32;
      return at;
    };
    for (int l = 0; l < layout.layers; ++l) {
      const std::int64_t size = static_cast<std::int64_t>(layout.layer[l].outputs) * layout.batch;
      place[l].z = take(directions * size);
      if (l + 1 == layout.layers) continue;
      place[l].a = take(directions * size);
      place[l].slope = take(size);
      place[l].bend = take(size);
    }
    if (layout.loss == LossKind::cross_entropy)
      probabilities = take(static_cast<std::int64_t>(layout.outputs()) * layout.batch);
    ones = take(layout.batch);
  }
};

/// The pointers of one device. The samples are there before a point is set: x at plan.point.place[0].in,
/// targets at plan.point.targets, labels (0 where the loss has none) in `chosen` from its n-th on.
template <class Real>
struct HessianMemory {
  int* chosen = nullptr;   ///< (plan.point.chosen())
  Real* memory = nullptr;  ///< (plan.numbers)
};

namespace detail {

// Functions of one index.

/// p_c = e^{f_c}/Σ e^f of each sample from its loss, Σ e^f = e^{f_label + L}.
template <class Real>
struct KeepProbabilities {
  int batch;
  const Real *f, *losses;
  const int* labels;
  Real* p;
  SLOWSDE_HD void operator()(std::int64_t i) const {
    const int b = static_cast<int>(i % batch);
    const Real of_label = f[static_cast<std::int64_t>(labels[b]) * batch + b];
    p[i] = exp(Pack<Real, 1>((f[i] - of_label) - losses[b])).v;
  }
};

/// φ'(z), φ''(z) u and δ = φ'(z) u, where u was.
template <class Real>
struct KeepSlopes {
  NetworkLayout::Layer layer;
  const Real *out, *logistic;
  Real *delta, *slopes, *bends;
  SLOWSDE_HD void operator()(std::int64_t i) const {
    Real first{1}, second{0};
    if (layer.activated) {
      const Real p = layer.activation == Activation::silu ? logistic[i] : Real{0};
      first = slope(layer.activation, out[i], p);
      second = curvature(layer.activation, out[i], p);
    }
    const Real u = delta[i];
    slopes[i] = first;
    bends[i] = second * u;
    delta[i] = first * u;
  }
};

template <class Real>
struct SetOnes {
  Real* ones;
  SLOWSDE_HD void operator()(std::int64_t i) const { ones[i] = Real{1}; }
};

/// A layer along the directions: number i of R{z} is V a + W R{a} without c.
template <class Real>
struct LayerAlong {
  int outputs, batch;
  const Real* bias;  ///< c of the first direction
  std::int64_t row;  ///< to the next direction's
  Real *z, *a;
  const Real *slopes, *bends;

  SLOWSDE_HD int in_matrix(int i) const { return i % (outputs * batch); }
  SLOWSDE_HD Real Rz(int i, int j) const { return z[i] + bias[i / (outputs * batch) * row + j / batch]; }
};
/// R{a} = φ'(z) R{z}
template <class Real>
struct ActivateAlong {
  LayerAlong<Real> layer;
  SLOWSDE_HD void operator()(std::int64_t index) const {
    const int i = static_cast<int>(index), j = layer.in_matrix(i);
    layer.a[i] = layer.slopes[j] * layer.Rz(i, j);
  }
};
/// R{δ} = φ'(z) R{u} + φ''(z) u R{z}
template <class Real>
struct ReverseAlong {
  LayerAlong<Real> layer;
  SLOWSDE_HD void operator()(std::int64_t index) const {
    const int i = static_cast<int>(index), j = layer.in_matrix(i);
    layer.z[i] = layer.slopes[j] * layer.a[i] + layer.bends[j] * layer.Rz(i, j);
  }
};

/// R{δ} of the outputs of each direction's samples: R{f}/n for the squared loss; for the cross-entropy, whose
/// δ is (p − e_label)/n, p∘(R{f} − ⟨p, R{f}⟩)/n.
template <class Real>
struct LossAlong {
  LossKind loss;
  LayerAlong<Real> layer;
  const Real* probabilities;
  SLOWSDE_HD void operator()(std::int64_t index) const {
    const int n = layer.batch, direction = static_cast<int>(index) / n, b = static_cast<int>(index) % n;
    const int first = direction * layer.outputs * n;
    const Real weight = Real{1} / static_cast<Real>(n);
    const bool squared = loss == LossKind::squared;
    Real mean{0};
    for (int j = b; !squared && j < layer.outputs * n; j += n)
      mean = mean + probabilities[j] * layer.Rz(first + j, j);
    for (int j = b; j < layer.outputs * n; j += n) {
      const Real Rf = layer.Rz(first + j, j);
      layer.z[first + j] = weight * (squared ? Rf : probabilities[j] * (Rf - mean));
    }
  }
};

/// The passes along directions v into the products, both (count × row).
template <class Real, class Machine>
class PassAlong {
 public:
  PassAlong(Machine& machine, const HessianPlan& plan, Real* memory, const Real* theta, int count,
            const Real* v, Real* products)
      : machine_(machine),
        plan_(plan),
        memory_(memory),
        theta_(theta),
        count_(count),
        v_(v),
        products_(products) {}

  void forward(int l) {
    const auto layer = products(l);
    const Matrix z = along(plan_.place[l].z, l);
    machine_.multiply(layer.forward(V(l), input(l), z));
    if (l > 0) machine_.multiply(added(layer.forward(W(l), Ra(l), z)));
    if (l + 1 < shape().layers) machine_.for_each(count_ * size(l), ActivateAlong<Real>{layer_along(l)});
  }

  void loss() {
    const int top = shape().layers - 1;
    machine_.for_each(static_cast<std::int64_t>(count_) * shape().batch,
                      LossAlong<Real>{shape().loss, layer_along(top), memory_ + plan_.probabilities});
  }

  void reverse(int l) {
    const NetworkLayout::Layer& of = shape().layer[l];
    const auto layer = products(l);
    const Matrix Rdelta = along(plan_.place[l].z, l), G{products_ + of.theta, plan_.row};
    machine_.multiply(layer.gradient(constant(Rdelta), input(l), G));
    if (l > 0) machine_.multiply(added(layer.gradient(delta(l), Ra(l), G)));
    // b is the weights of an input that is one
    const LayerProducts bias{1, of.outputs, shape().batch, count_};
    machine_.multiply(bias.gradient(constant(Rdelta), Operand{memory_ + plan_.ones, 0},
                                    Matrix{G.first + of.weight_count, G.stride}));
    if (l == 0) return;
    const Matrix Ru = along(plan_.place[l - 1].a, l - 1);
    machine_.multiply(layer.adjoint(W(l), constant(Rdelta), Ru));
    machine_.multiply(added(layer.adjoint(V(l), delta(l), Ru)));
    machine_.for_each(count_ * size(l - 1), ReverseAlong<Real>{layer_along(l - 1)});
  }

 private:
  using Matrix = StridedMatrix<Real>;
  using Operand = StridedMatrix<const Real>;

  static Operand constant(const Matrix& matrix) { return {matrix.first, matrix.stride}; }
  const NetworkLayout& shape() const { return plan_.point.shape; }
  std::int64_t size(int l) const {
    return static_cast<std::int64_t>(shape().layer[l].outputs) * shape().batch;
  }
  LayerProducts products(int l) const {
    return {shape().layer[l].fan_in, shape().layer[l].outputs, shape().batch, count_};
  }
  Operand W(int l) const { return {theta_ + shape().layer[l].theta, 0}; }
  Operand V(int l) const { return {v_ + shape().layer[l].theta, plan_.row}; }
  Operand input(int l) const { return {memory_ + plan_.point.place[l].in, 0}; }
  Operand delta(int l) const { return {memory_ + plan_.point.place[l].delta, 0}; }
  Matrix along(std::int64_t offset, int l) const { return {memory_ + offset, size(l)}; }
  Operand Ra(int l) const { return constant(along(plan_.place[l - 1].a, l - 1)); }
  LayerAlong<Real> layer_along(int l) const {
    const NetworkLayout::Layer& layer = shape().layer[l];
    const HessianPlan::Place& at = plan_.place[l];
    return {layer.outputs,      shape().batch,    v_ + layer.theta + layer.weight_count,
            plan_.row,          memory_ + at.z,   memory_ + at.a,
            memory_ + at.slope, memory_ + at.bend};
  }

  Machine& machine_;
  const HessianPlan& plan_;
  Real* memory_;
  const Real* theta_;
  int count_;
  const Real* v_;
  Real* products_;
};

}  // namespace detail

/// Enqueues the passes at θ: (d) that the products there start from.
template <class Real, class Machine>
void set_hessian_point(Machine& machine, const HessianPlan& plan, const HessianMemory<Real>& at,
                       const Real* theta) {
  const NetworkLayout& shape = plan.point.shape;
  const int n = shape.batch, top = shape.layers - 1;
  const auto matrix = [&](std::int64_t offset) { return at.memory + offset; };
  const auto place = [&](int l) -> const LayeredPlan::Place& { return plan.point.place[l]; };
  Real *const f = matrix(place(top).out), *const losses = matrix(plan.point.losses);
  detail::LayeredPass<Real, Machine> pass(machine, plan.point, at.memory, theta, 0);
  for (int l = 0; l <= top; ++l) pass.forward(l);
  machine.for_each(
      n, detail::SampleLosses<Real>{shape.loss, shape.outputs(), n, f, matrix(plan.point.targets), at.chosen,
                                    matrix(place(top).delta), losses});
  if (shape.loss == LossKind::cross_entropy)
    machine.for_each(
        static_cast<std::int64_t>(shape.outputs()) * n,
        detail::KeepProbabilities<Real>{n, f, losses, at.chosen + n, matrix(plan.probabilities)});
  machine.for_each(n, detail::SetOnes<Real>{matrix(plan.ones)});
  for (int l = top; l > 0; --l) {
    const NetworkLayout::Layer &layer = shape.layer[l], &below = shape.layer[l - 1];
    Real* const u = matrix(place(l - 1).delta);
    machine.multiply(LayerProducts{layer.fan_in, layer.outputs, n, 1}.adjoint(
        StridedMatrix<const Real>{theta + layer.theta}, StridedMatrix<const Real>{matrix(place(l).delta)},
        StridedMatrix<Real>{u}));
    machine.for_each(
        static_cast<std::int64_t>(below.outputs) * n,
        detail::KeepSlopes<Real>{below, matrix(place(l - 1).out), matrix(place(l - 1).logistic), u,
                                 matrix(plan.place[l - 1].slope), matrix(plan.place[l - 1].bend)});
  }
}

/// Enqueues products: (count × plan.row), ∇²L(θ) v for each of the directions v: (count × plan.row), at the
/// point θ that was set; count ≤ plan.directions. What is beyond d in a row is neither read nor written.
template <class Real, class Machine>
void layered_hessian_products(Machine& machine, const HessianPlan& plan, const HessianMemory<Real>& at,
                              const Real* theta, int count, const Real* v, Real* products) {
  detail::PassAlong<Real, Machine> pass(machine, plan, at.memory, theta, count, v, products);
  const int layers = plan.point.shape.layers;
  for (int l = 0; l < layers; ++l) pass.forward(l);
  pass.loss();
  for (int l = layers - 1; l >= 0; --l) pass.reverse(l);
}

}  // namespace slowsde
