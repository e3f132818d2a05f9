// The forward and reverse pass of a network over a truncated Taylor series of its parameters, written once
// for all layers. θ(s) = Σ_{k≤N} θ_k s^k gives activations, outputs and adjoints as series in s, one plain
// matrix per coefficient; coefficient k of the parameters' gradient is ∂^k/∂s^k ∇L(θ(s)) / k!. With θ_0 = θ
// and θ_1 = u: N = 0 gives ∇L, N = 1 gives ∇²L u, N = 2 gives ½∇³L[u uᵀ].
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <vector>

#include "slowsde/problems/matrix_kernels.hpp"
#include "slowsde/problems/network.hpp"
#include "slowsde/problems/series_kernels.hpp"

namespace slowsde {

/// Where a pass over a number of columns keeps what: offsets in its memory, in packs or numbers.
/// Made once per network and number of columns.
class PassPlan {
 public:
  /// For passes of this order or a lower one, which may continue each other when order ≥ 1.
  PassPlan(const Network& network, int columns, int order) : columns_(columns), order_(order) {
    const auto& steps = network.steps();
    places_.resize(steps.size());
    bool writable = false;  // whether a layer may overwrite its input
    std::size_t largest = 0;
    for (std::size_t l = 0; l < steps.size(); ++l) {
      const Network::Step& step = steps[l];
      const std::size_t size = packs(step.out.size());
      largest = std::max({largest, size, packs(step.in.size())});
      const bool pointwise = !step.linear() && step.in == step.out;
      places_[l].out = pointwise && writable ? places_[l - 1].out : take(size);
      if (const auto* norm = std::get_if<GroupNorm>(&step.layer)) {
        places_[l].extra = take(size);
        places_[l].root = take(packs(norm->groups));
      }
      const auto* activation = std::get_if<Activation>(&step.layer);
      if (activation && *activation == Activation::silu) places_[l].extra = take(size);
      writable = !activation;
      if (step.parameters > 0 && lowest_ < 0) lowest_ = static_cast<int>(l);
      if (order > 0) places_[l].delta = take(size);
    }
    if (order == 0) {  // two layers' adjoints at a time are alive, and nothing is continued at a higher order
      const Slot even = take(largest), odd = take(largest);
      for (std::size_t l = 0; l < steps.size(); ++l) places_[l].delta = l % 2 ? odd : even;
    }
  }

  int columns() const { return columns_; }
  /// Memory of the coefficients 0, which `forward<1>` and `reverse<1>` continue from, and of the others.
  std::size_t base_size() const { return base_size_; }
  std::size_t higher_size() const { return higher_size_; }
  std::size_t size() const { return base_size_ + higher_size_; }

 private:
  template <class V, int M, class W, bool PerColumn>
  friend class NetworkPass;

  /// A matrix per coefficient.
  struct Slot {
    std::size_t base = 0, higher = 0, size = 0;
  };
  struct Place {
    Slot out, delta;  // the layer's output and its adjoint
    Slot extra;       // group norm: ẑ; SiLU: 1/(1 + e^{−z})
    Slot root;        // group norm: (v + eps)^{−1/2}, (groups × columns)
  };

  std::size_t packs(int features) const { return static_cast<std::size_t>(features) * columns_; }
  Slot take(std::size_t size) {
    const Slot slot{base_size_, higher_size_, size};
    base_size_ += size;
    higher_size_ += order_ * size;
    return slot;
  }

  int columns_, order_;
  int lowest_ = -1;  // layer with parameters
  std::size_t base_size_ = 0, higher_size_ = 0;
  std::vector<Place> places_;
};

/// V: what a column holds. A pack whose lanes are samples, with W its lane's number: the weights are shared
/// by all lanes. Or a pack of replicas, a number or a jet, with W = V. With PerColumn every lane of every
/// column moves in a direction of its own: coefficients from 1 on are then (columns × d) of V.
template <class V, int N = 0, class W = V, bool PerColumn = false>
class NetworkPass {
 public:
  using Coefficients = detail::Coefficients<V*, N>;
  using Direction = std::conditional_t<PerColumn, detail::ColumnWeights<V>, detail::SharedWeights<V, W>>;

  /// θ_0 … θ_N; a null pointer is a zero coefficient and costs nothing.
  struct Parameters {
    detail::SharedWeights<V, W> base;
    std::array<Direction, N> direction{};

    Parameters(const W* theta) : base{theta} {}
    Parameters(const W* theta, Direction u) : base{theta} { direction[0] = u; }
  };

  /// What a layer with parameters met in a reverse pass: its input, for group norm the normed input ẑ, whose
  /// absent (zero) coefficients are null, and the adjoint of its output.
  struct Contact {
    const Network::Step& step;
    Coefficients input, delta;
  };

  /// `memory`: (plan.size()). All of it, the network and the plan (of order ≥ N) outlive the pass.
  NetworkPass(const Network& network, const PassPlan& plan, V* memory)
      : NetworkPass(network, plan, memory, memory + plan.base_size()) {}
  /// With the coefficients from 1 on in another place: `memory` (plan.base_size()), `higher`
  /// (plan.higher_size()).
  NetworkPass(const Network& network, const PassPlan& plan, V* memory, V* higher)
      : network_(&network), plan_(&plan), columns_(plan.columns()), memory_(memory), higher_(higher) {}

  int columns() const { return columns_; }
  /// f and its adjoint ∂L/∂f, coefficient k: (outputs × columns). The caller writes the adjoint before
  /// `reverse`.
  V* output(int k) const { return at(plan_->places_.back().out)[k]; }
  V* output_adjoint(int k) const { return at(plan_->places_.back().delta)[k]; }
  Coefficients outputs() const { return at(plan_->places_.back().out); }
  Coefficients output_adjoints() const { return at(plan_->places_.back().delta); }

  /// Coefficients First … N of all layers; x: (inputs × columns), which must stay until the reverse pass.
  /// First = 1 continues a pass at the same θ_0 and x.
  template <int First = 0>
  void forward(const Parameters& theta, const V* x) {
    input_.fill(nullptr);
    input_[0] = const_cast<V*>(x);  // read only
    const auto& steps = network_->steps();
    for (std::size_t l = 0; l < steps.size(); ++l) {
      std::visit([&](const auto& layer) { forward_layer<First>(layer, steps[l], place(l), theta, input(l)); },
                 steps[l].layer);
    }
  }

  /// Adjoints from the output's down to the lowest layer with parameters; `sink(Contact)` is called for each
  /// of those, the last first, when the layer's parameters have been used: it may change them. First = 1
  /// continues a reverse pass at the same θ_0, x and adjoint_0.
  template <int First = 0, class Sink>
  void reverse(const Parameters& theta, Sink&& sink) {
    const auto& steps = network_->steps();
    for (int l = static_cast<int>(steps.size()) - 1; l >= plan_->lowest_; --l) {
      const Network::Step& step = steps[l];
      const Place here = place(l);
      if (l > plan_->lowest_)
        std::visit(
            [&](const auto& layer) {
              reverse_layer<First>(layer, step, here, theta, at(plan_->places_[l - 1].delta));
            },
            step.layer);
      if (step.parameters > 0) sink(Contact{step, step.linear() ? input(l) : here.extra, here.delta});
    }
  }

 private:
  struct Place {
    Coefficients out, delta, extra, root;
  };

  Coefficients at(const PassPlan::Slot& slot) const {
    Coefficients c;
    c[0] = memory_ + slot.base;
    for (int k = 1; k <= N; ++k) c[k] = higher_ + slot.higher + (k - 1) * slot.size;
    return c;
  }
  Place place(std::size_t l) const {
    const auto& slots = plan_->places_[l];
    return {at(slots.out), at(slots.delta), at(slots.extra), at(slots.root)};
  }
  Coefficients input(std::size_t l) const { return l == 0 ? input_ : at(plan_->places_[l - 1].out); }
  std::size_t packs(int features) const { return static_cast<std::size_t>(features) * columns_; }

  /// out_k = start + Σ_j θ_j x_{k−j} over one list of taps, x_m null where it is zero. The start is
  /// coefficient k of the parameters at `bias` if bias ≥ 0, else zero.
  template <detail::ProductKind Kind, class Shape>
  void products(const Parameters& theta, const Network::Step& step, Shape shape, const LinearTaps::Tap* taps,
                int count, const Coefficients& x, const Coefficients& out, int k, int position,
                int bias) const {
    using Shared = detail::SharedWeights<V, W>;
    V* const target = out[k] + static_cast<std::ptrdiff_t>(position) * columns_;
    const auto prepare = [&](auto& p) {
      p.taps = taps;
      p.tap_count = count;
      p.columns = columns_;
      p.out = target;
      shape(p);
    };
    detail::Product<V, Shared> shared;
    prepare(shared);
    const auto add_pair = [&](auto& p, const auto& weights, const V* a) {
      p.w[p.pairs] = weights.from(step.offset);
      p.a[p.pairs++] = a;
    };
    if (x[k]) add_pair(shared, theta.base, x[k]);
    if constexpr (N == 0 || !PerColumn) {
      if (bias >= 0) shared.bias = coefficient(theta, k).from(bias);
      for (int j = 1; j <= k; ++j)
        if (theta.direction[j - 1] && x[k - j]) add_pair(shared, theta.direction[j - 1], x[k - j]);
      detail::product<Kind>(shared);
    } else {
      detail::Product<V, Direction> own;
      prepare(own);
      if (bias >= 0 && k == 0) shared.bias = theta.base.from(bias);
      if (bias >= 0 && k > 0) own.bias = theta.direction[k - 1].from(bias);
      for (int j = 1; j <= k; ++j)
        if (theta.direction[j - 1] && x[k - j]) add_pair(own, theta.direction[j - 1], x[k - j]);
      if (k > 0) {
        detail::product<Kind>(own);
        shared.add = true;
      }
      if (k == 0 || shared.pairs > 0) detail::product<Kind>(shared);
    }
  }
  static const auto& coefficient(const Parameters& theta, int k) {
    if constexpr (N > 0) {
      if (k > 0) return theta.direction[k - 1];
    }
    return theta.base;
  }

  template <int First>
  void forward_linear(const Network::Step& step, const Place& place, const Parameters& theta,
                      const Coefficients& x) {
    const LinearTaps& taps = step.taps;
    const int reach = static_cast<int>(taps.contacts_begin.size()) - 1;
    const int in_positions = step.in.size() / step.channels_in;
    const int out_positions = step.out.size() / step.channels_out;
    const auto shape = [&](auto& p) {
      p.rows = step.channels_out;
      p.terms = step.channels_in;
      p.row_weights = step.channels_in * reach;
      p.term_weights = reach;
      p.term_features = in_positions;
      p.row_features = out_positions;
    };
    const int bias = step.parameters > step.weights ? step.offset + step.weights : -1;
    for (int k = First; k <= N; ++k) {
      if (dense(step)) {
        products<detail::ProductKind::dense>(theta, step, shape, nullptr, 0, x, place.out, k, 0, bias);
        continue;
      }
      for (int p = 0; p < out_positions; ++p) {
        const int first = taps.from_output_begin[p], count = taps.from_output_begin[p + 1] - first;
        products<detail::ProductKind::convolution>(theta, step, shape, taps.from_output.data() + first, count,
                                                   x, place.out, k, p, bias);
      }
    }
  }
  static bool dense(const Network::Step& step) { return std::holds_alternative<Dense>(step.layer); }

  template <int First>
  void forward_layer(const Dense&, const Network::Step& step, const Place& place, const Parameters& theta,
                     const Coefficients& x) {
    forward_linear<First>(step, place, theta, x);
  }
  template <int First>
  void forward_layer(const Convolution&, const Network::Step& step, const Place& place,
                     const Parameters& theta, const Coefficients& x) {
    forward_linear<First>(step, place, theta, x);
  }

  template <int First>
  void reverse_linear(const Network::Step& step, const Place& place, const Parameters& theta,
                      const Coefficients& below) {
    const LinearTaps& taps = step.taps;
    const int reach = static_cast<int>(taps.contacts_begin.size()) - 1;
    const int in_positions = step.in.size() / step.channels_in;
    const int out_positions = step.out.size() / step.channels_out;
    const auto shape = [&](auto& p) {
      p.rows = step.channels_in;
      p.terms = step.channels_out;
      p.row_weights = reach;
      p.term_weights = step.channels_in * reach;
      p.term_features = out_positions;
      p.row_features = in_positions;
    };
    for (int k = First; k <= N; ++k) {
      if (dense(step)) {
        products<detail::ProductKind::dense_transposed>(theta, step, shape, nullptr, 0, place.delta, below, k,
                                                        0, -1);
        continue;
      }
      for (int p = 0; p < in_positions; ++p) {
        const int first = taps.from_input_begin[p], count = taps.from_input_begin[p + 1] - first;
        products<detail::ProductKind::convolution>(theta, step, shape, taps.from_input.data() + first, count,
                                                   place.delta, below, k, p, -1);
      }
    }
  }
  template <int First>
  void reverse_layer(const Dense&, const Network::Step& step, const Place& place, const Parameters& theta,
                     const Coefficients& below) {
    reverse_linear<First>(step, place, theta, below);
  }
  template <int First>
  void reverse_layer(const Convolution&, const Network::Step& step, const Place& place,
                     const Parameters& theta, const Coefficients& below) {
    reverse_linear<First>(step, place, theta, below);
  }

  /// The layer's input with matrices for the absent coefficients too, for layers that work element by
  /// element.
  Coefficients filled(const Coefficients& x, const Coefficients& out, std::size_t size) const {
    Coefficients all = x;
    for (int k = 1; k <= N; ++k) {
      if (all[k]) continue;
      all[k] = out[k];
      std::fill(out[k], out[k] + size, V(0.0));
    }
    return all;
  }

  template <int First>
  void forward_layer(const Activation& activation, const Network::Step& step, const Place& place,
                     const Parameters&, const Coefficients& x) {
    const std::size_t size = packs(step.out.size());
    detail::activate<First, V, N>(activation, static_cast<std::ptrdiff_t>(size), filled(x, place.out, size),
                                  place.out, place.extra);
  }
  template <int First>
  void reverse_layer(const Activation& activation, const Network::Step& step, const Place& place,
                     const Parameters&, const Coefficients& below) {
    detail::activate_reverse<First, V, N>(activation, static_cast<std::ptrdiff_t>(packs(step.out.size())),
                                          place.out, place.extra, place.delta, below);
  }

  /// The series of parameter `index` in column c.
  static auto parameter(const Parameters& theta, int index, int column) {
    detail::Coefficients<V, N> r;
    r[0] = theta.base.at(index, column);
    for (int k = 1; k <= N; ++k)
      r[k] = theta.direction[k - 1] ? theta.direction[k - 1].at(index, column) : V(0.0);
    return r;
  }
  static Coefficients shifted(const Coefficients& x, std::ptrdiff_t offset) {
    Coefficients r;
    for (int k = 0; k <= N; ++k) r[k] = x[k] + offset;
    return r;
  }
  template <class Visit>
  void over_groups(const GroupNorm& norm, const Network::Step& step, Visit&& visit) const {
    const int features = step.in.size() / norm.groups;
    for (int g = 0; g < norm.groups; ++g)
      for (int c = 0; c < columns_; ++c)
        visit(features, static_cast<std::ptrdiff_t>(g) * features * columns_ + c,
              static_cast<std::ptrdiff_t>(g) * columns_ + c,
              step.offset + g * (step.in.channels / norm.groups), c);
  }

  template <int First>
  void forward_layer(const GroupNorm& norm, const Network::Step& step, const Place& place,
                     const Parameters& theta, const Coefficients& given) {
    const Coefficients x = filled(given, place.out, packs(step.out.size()));
    const int positions = step.in.positions(), channels = step.in.channels;
    over_groups(norm, step, [&](int features, std::ptrdiff_t at, std::ptrdiff_t root, int scale, int c) {
      detail::group_norm<First, V, N>(
          features, columns_, norm.eps, shifted(x, at), shifted(place.extra, at), shifted(place.root, root),
          shifted(place.out, at), [&](int f) { return parameter(theta, scale + f / positions, c); },
          [&](int f) { return parameter(theta, scale + channels + f / positions, c); });
    });
  }
  template <int First>
  void reverse_layer(const GroupNorm& norm, const Network::Step& step, const Place& place,
                     const Parameters& theta, const Coefficients& below) {
    const int positions = step.in.positions();
    over_groups(norm, step, [&](int features, std::ptrdiff_t at, std::ptrdiff_t root, int scale, int c) {
      detail::group_norm_reverse<First, V, N>(
          features, columns_, shifted(place.extra, at), shifted(place.root, root), shifted(place.delta, at),
          shifted(below, at), [&](int f) { return parameter(theta, scale + f / positions, c); });
    });
  }

  /// The inputs that output position p averages.
  template <class Visit>
  void over_windows(const AveragePool& pool, const Network::Step& step, Visit&& visit) const {
    const ImageShape &in = step.in, &out = step.out;
    for (int channel = 0; channel < out.channels; ++channel)
      for (int y = 0; y < out.height; ++y)
        for (int x = 0; x < out.width; ++x) {
          const int to = (channel * out.height + y) * out.width + x;
          for (int i = 0; i < pool.size; ++i)
            for (int j = 0; j < pool.size; ++j)
              visit(to, (channel * in.height + y * pool.size + i) * in.width + x * pool.size + j, i + j == 0);
        }
  }
  template <int First>
  void forward_layer(const AveragePool& pool, const Network::Step& step, const Place& place,
                     const Parameters&, const Coefficients& x) {
    const double weight = 1.0 / (pool.size * pool.size);
    for (int k = First; k <= N; ++k) {
      V* out = place.out[k];
      if (!x[k]) {
        std::fill(out, out + packs(step.out.size()), V(0.0));
        continue;
      }
      over_windows(pool, step, [&](int to, int from, bool opens) {
        V* sum = out + packs(to);
        const V* a = x[k] + packs(from);
        for (int c = 0; c < columns_; ++c) sum[c] = opens ? a[c] : sum[c] + a[c];
      });
      for (std::size_t i = 0; i < packs(step.out.size()); ++i) out[i] = weight * out[i];
    }
  }
  template <int First>
  void reverse_layer(const AveragePool& pool, const Network::Step& step, const Place& place,
                     const Parameters&, const Coefficients& below) {
    const double weight = 1.0 / (pool.size * pool.size);
    for (int k = First; k <= N; ++k)
      over_windows(pool, step, [&](int to, int from, bool) {
        const V* d = place.delta[k] + packs(to);
        V* b = below[k] + packs(from);
        for (int c = 0; c < columns_; ++c) b[c] = weight * d[c];
      });
  }

  const Network* network_;
  const PassPlan* plan_;
  int columns_;
  V *memory_, *higher_;
  Coefficients input_{};
};

/// Adds coefficient K of the parameters' gradient, summed over columns (and over lanes where they are
/// samples), to g. A sink of NetworkPass::reverse.
template <int K, class V, class W>
class GradientSum {
 public:
  /// Packs of scratch.
  static std::size_t scratch_size(const Network& network, int columns) {
    std::size_t largest = 0;
    if constexpr (!std::is_same_v<V, W>) {
      for (const Network::Step& step : network.steps())
        if (std::holds_alternative<Dense>(step.layer))
          largest = std::max(largest, detail::transposed_size<V>(step.channels_in, columns));
    }
    return largest;
  }

  /// A matrix whose transpose, as `transpose_features` would make it, is at hand; null: none is.
  struct Transposed {
    const V* matrix = nullptr;
    const V* transpose = nullptr;
  };

  /// add: to what g holds; else g is overwritten, all of it.
  GradientSum(int columns, V* scratch, W* g, bool add = true, Transposed known = {})
      : columns_(columns), scratch_(scratch), g_(g), add_(add), known_(known) {}

  template <class Contact>
  void operator()(const Contact& contact) const {
    const Network::Step& step = contact.step;
    W* g = g_ + step.offset;
    if (step.linear()) {
      add_weights(contact, g);
      if (step.parameters > step.weights)
        detail::row_sums(contact.delta[K], step.channels_out, step.out.positions() * columns_,
                         g + step.weights, add_);
    } else {
      add_scales(contact, g);
    }
  }

 private:
  /// ∇W = Σ_j δ_j a_{K−j}ᵀ
  template <class Contact>
  void add_weights(const Contact& contact, W* g) const {
    const Network::Step& step = contact.step;
    bool add = add_;
    for (int j = 0; j <= K; ++j) {
      const V* a = contact.input[K - j];
      if (!a) continue;
      if constexpr (!std::is_same_v<V, W>) {
        if (std::holds_alternative<Dense>(step.layer)) {
          const V* transposed = a == known_.matrix ? known_.transpose : nullptr;
          if (!transposed) {
            detail::transpose_features(a, step.channels_in, columns_, scratch_);
            transposed = scratch_;
          }
          detail::outer_products(
              detail::OuterProduct<V, W>{.delta = contact.delta[j],
                                         .transposed = transposed,
                                         .rows = step.channels_out,
                                         .columns = columns_,
                                         .inputs = step.channels_in,
                                         .packs = (step.channels_in + V::width - 1) / V::width,
                                         .g = g,
                                         .add = add});
          add = true;
          continue;
        }
      }
      if (!add) std::fill_n(g, step.weights, W(0.0));
      add = true;
      detail::add_contact_products(step, contact.delta[j], a, columns_, g);
    }
  }

  /// ∇γ_c = Σ δ ẑ, ∇β_c = Σ δ
  template <class Contact>
  void add_scales(const Contact& contact, W* g) const {
    const int channels = contact.step.in.channels;
    const std::ptrdiff_t row = static_cast<std::ptrdiff_t>(contact.step.in.positions()) * columns_;
    for (int c = 0; c < channels; ++c) {
      V sum(0.0);
      for (std::ptrdiff_t i = c * row; i < (c + 1) * row; ++i)
        for (int j = 0; j <= K; ++j) sum = sum + contact.delta[j][i] * contact.input[K - j][i];
      W total;
      if constexpr (std::is_same_v<V, W>)
        total = sum;
      else
        total = detail::lane_sum(sum);
      g[c] = add_ ? g[c] + total : total;
    }
    detail::row_sums(contact.delta[K], channels, static_cast<int>(row), g + channels, add_);
  }

  int columns_;
  V* scratch_;
  W* g_;
  bool add_;
  Transposed known_;
};

}  // namespace slowsde
