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

  /// Packs (or numbers) of memory that a pass over this many columns works in.
  static std::size_t memory_size(const Network& network, int columns) {
    NetworkPass pass(network, columns, nullptr);
    return pass.used_;
  }

  /// `memory`: (memory_size(network, columns)); it and the network outlive the pass.
  NetworkPass(const Network& network, int columns, V* memory)
      : network_(&network), columns_(columns), memory_(memory) {
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
      if (step.parameters > 0 && first_ < 0) first_ = static_cast<int>(l);
      if (kept) places_[l].delta = take(size);
    }
    if constexpr (!kept) {
      // Adjoints of layers' outputs, of which two at a time are alive.
      const Coefficients even = take(largest), odd = take(largest);
      for (std::size_t l = 0; l < steps.size(); ++l) places_[l].delta = l % 2 ? odd : even;
    }
  }

  int columns() const { return columns_; }
  /// f and its adjoint ∂L/∂f, coefficient k: (outputs × columns). The caller writes the adjoint before
  /// `reverse`.
  V* output(int k) { return places_.back().out[k]; }
  V* output_adjoint(int k) { return places_.back().delta[k]; }

  /// Coefficients First … N of all layers; x: (inputs × columns), which must stay until the reverse pass.
  /// First = 1 continues a pass at the same θ_0 and x.
  template <int First = 0>
  void forward(const Parameters& theta, const V* x) {
    input_ = {};
    input_[0] = const_cast<V*>(x);  // read only
    const auto& steps = network_->steps();
    for (std::size_t l = 0; l < steps.size(); ++l) {
      std::visit(
          [&](const auto& layer) { forward_layer<First>(layer, steps[l], places_[l], theta, input(l)); },
          steps[l].layer);
    }
  }

  /// Adjoints from the output's down to the lowest layer with parameters; `sink(Contact)` is called for each
  /// of those, the last first. First = 1 continues a reverse pass at the same θ_0, x and adjoint_0.
  template <int First = 0, class Sink>
  void reverse(const Parameters& theta, Sink&& sink) {
    const auto& steps = network_->steps();
    for (int l = static_cast<int>(steps.size()) - 1; l >= first_; --l) {
      const Network::Step& step = steps[l];
      const Place& place = places_[l];
      if (step.parameters > 0) sink(Contact{step, step.linear() ? input(l) : place.extra, place.delta});
      if (l == first_) return;
      std::visit(
          [&](const auto& layer) { reverse_layer<First>(layer, step, place, theta, places_[l - 1].delta); },
          step.layer);
    }
  }

 private:
  // A pass that may be continued at higher order keeps the adjoints of all layers.
  static constexpr bool kept = N > 0;

  struct Place {
    Coefficients out{}, delta{};
    Coefficients extra{};  // group norm: ẑ; SiLU: 1/(1 + e^{−z})
    Coefficients root{};   // group norm: (v + eps)^{−1/2}, (groups × columns)
  };

  std::size_t packs(int features) const { return static_cast<std::size_t>(features) * columns_; }
  Coefficients take(std::size_t size) {
    Coefficients c;
    for (V*& matrix : c) {
      matrix = memory_ ? memory_ + used_ : nullptr;
      used_ += size;
    }
    return c;
  }
  const Coefficients& input(std::size_t l) const { return l == 0 ? input_ : places_[l - 1].out; }

  /// Visits the terms θ_j x_{k−j} of a product's coefficient k.
  template <class Visit>
  static void over_terms(const Parameters& theta, const Coefficients& x, int k, Visit&& visit) {
    if (x[k]) visit(theta.base, x[k]);
    for (int j = 1; j <= k; ++j)
      if (theta.direction[j - 1] && x[k - j]) visit(theta.direction[j - 1], x[k - j]);
  }

  /// out_k = start_k + Σ_j θ_j x_{k−j} over one list of taps. `bias` < 0: none.
  template <int RowStep, int TermStep>
  void add_products(const Parameters& theta, const Network::Step& step, int bias,
                    const detail::ProductShape& shape, const LinearTaps::Tap* taps, int count,
                    const Coefficients& x, const Coefficients& out, int k, std::ptrdiff_t out_offset) const {
    bool started = false;
    V* target = out[k] + out_offset;
    const auto with_bias = [&](auto&& use) {
      if (bias < 0) {
        use(detail::StartAtZero{});
      } else if (k == 0) {
        use(detail::StartAtBias<detail::SharedWeights<V, W>>{theta.base.from(step.offset + bias)});
      } else if constexpr (N > 0) {
        if (theta.direction[k - 1])
          use(detail::StartAtBias<Direction>{theta.direction[k - 1].from(step.offset + bias)});
        else
          use(detail::StartAtZero{});
      }
    };
    over_terms(theta, x, k, [&](const auto& weights, const V* a) {
      const auto run = [&](const auto& start) {
        detail::product<RowStep, TermStep>(shape, weights.from(step.offset), taps, count, a, target, columns_,
                                           start);
      };
      if (started)
        run(detail::StartAtOutput{});
      else
        with_bias(run);
      started = true;
    });
    if (started) return;
    with_bias([&](const auto& start) {
      for (int r = 0; r < shape.rows; ++r)
        for (int c = 0; c < columns_; ++c) {
          V& entry = target[r * shape.row_features * columns_ + c];
          entry = start(entry, r, c);
        }
    });
  }

  template <int First>
  void forward_linear(const Network::Step& step, const Place& place, const Parameters& theta,
                      const Coefficients& x) {
    const LinearTaps& taps = step.taps;
    const int reach = static_cast<int>(taps.contacts_begin.size()) - 1;
    const int in_positions = step.in.size() / step.channels_in;
    const int out_positions = step.out.size() / step.channels_out;
    const detail::ProductShape shape{.rows = step.channels_out,
                                     .terms = step.channels_in,
                                     .row_weights = step.channels_in * reach,
                                     .term_weights = reach,
                                     .term_features = in_positions,
                                     .row_features = out_positions};
    const int bias = step.parameters > step.weights ? step.weights : -1;
    for (int k = First; k <= N; ++k) {
      for (int p = 0; p < out_positions; ++p) {
        const int first = taps.from_output_begin[p], count = taps.from_output_begin[p + 1] - first;
        const std::ptrdiff_t offset = static_cast<std::ptrdiff_t>(p) * columns_;
        if (reach == 1)
          add_products<0, 1>(theta, step, bias, shape, taps.from_output.data() + first, count, x, place.out,
                             k, offset);
        else
          add_products<0, 0>(theta, step, bias, shape, taps.from_output.data() + first, count, x, place.out,
                             k, offset);
      }
    }
  }
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
    const detail::ProductShape shape{.rows = step.channels_in,
                                     .terms = step.channels_out,
                                     .row_weights = reach,
                                     .term_weights = step.channels_in * reach,
                                     .term_features = out_positions,
                                     .row_features = in_positions};
    for (int k = First; k <= N; ++k) {
      for (int p = 0; p < in_positions; ++p) {
        const int first = taps.from_input_begin[p], count = taps.from_input_begin[p + 1] - first;
        const std::ptrdiff_t offset = static_cast<std::ptrdiff_t>(p) * columns_;
        if (reach == 1)
          add_products<1, 0>(theta, step, -1, shape, taps.from_input.data() + first, count, place.delta,
                             below, k, offset);
        else
          add_products<0, 0>(theta, step, -1, shape, taps.from_input.data() + first, count, place.delta,
                             below, k, offset);
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
  int columns_;
  V* memory_;
  std::size_t used_ = 0;
  int first_ = -1;  // lowest layer with parameters
  std::vector<Place> places_;
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

  GradientSum(int columns, V* scratch, W* g) : columns_(columns), scratch_(scratch), g_(g) {}

  template <class Contact>
  void operator()(const Contact& contact) const {
    const Network::Step& step = contact.step;
    W* g = g_ + step.offset;
    if (!step.linear()) {
      add_scales(contact, g);
      return;
    }
    // ∇W = Σ_j δ_j a_{K−j}ᵀ, ∇b = Σ δ_K
    for (int j = 0; j <= K; ++j) {
      const V* a = contact.input[K - j];
      if (!a) continue;
      if constexpr (!std::is_same_v<V, W>) {
        if (std::holds_alternative<Dense>(step.layer)) {
          detail::transpose_features(a, step.channels_in, columns_, scratch_);
          detail::add_outer_products(contact.delta[j], step.channels_out, columns_, scratch_,
                                     step.channels_in, g);
          continue;
        }
      }
      detail::add_contact_products(step, contact.delta[j], a, columns_, g);
    }
    if (step.parameters > step.weights)
      detail::add_row_sums(contact.delta[K], step.channels_out,
                           step.out.size() / step.channels_out * columns_, g + step.weights);
  }

 private:
  /// ∇γ_c = Σ δ ẑ, ∇β_c = Σ δ
  template <class Contact>
  void add_scales(const Contact& contact, W* g) const {
    const int channels = contact.step.in.channels;
    const std::ptrdiff_t row = static_cast<std::ptrdiff_t>(contact.step.in.positions()) * columns_;
    for (int c = 0; c < channels; ++c) {
      V sum(0.0);
      for (std::ptrdiff_t i = c * row; i < (c + 1) * row; ++i)
        for (int j = 0; j <= K; ++j) sum = sum + contact.delta[j][i] * contact.input[K - j][i];
      if constexpr (std::is_same_v<V, W>)
        g[c] = g[c] + sum;
      else
        g[c] += detail::lane_sum(sum);
    }
    detail::add_row_sums(contact.delta[K], channels, static_cast<int>(row), g + channels);
  }

  int columns_;
  V* scratch_;
  W* g_;
};

}  // namespace slowsde
