#include "slowsde/gpu/network_layout.hpp"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <variant>

#include "slowsde/problems/network.hpp"

namespace slowsde {
namespace {

using Entry = NetworkLayout::Layer;

/// Counts the numbers of a memory. What is more than an int can count is an error at the end.
class Numbers {
 public:
  int take(std::int64_t count) {
    const std::int64_t at = taken_;
    taken_ += (count + 3) / 4 * 4;
    return fit() ? static_cast<int>(at) : 0;
  }
  bool fit() const { return taken_ <= std::numeric_limits<int>::max(); }
  int taken() const { return static_cast<int>(taken_); }

 private:
  std::int64_t taken_ = 0;
};

void describe(const Dense&, const Network::Step& step, Entry& layer) {
  layer.kind = LayerKind::dense;
  layer.channels_in = layer.fan_in = layer.inputs;
  layer.height_in = layer.width_in = 1;
  layer.weight_count = step.weights;
  layer.row = padded_row(layer.inputs);
}

void describe(const Convolution& convolution, const Network::Step& step, Entry& layer) {
  layer.kind = LayerKind::convolution;
  layer.kernel = convolution.kernel;
  layer.padding = convolution.padding;
  layer.stride = convolution.stride;
  layer.fan_in = layer.channels_in * layer.taps();
  layer.weight_count = step.weights;
  layer.row = (layer.channels_out + 3) / 4 * 4;
  // The gradient's sums run over positions and samples. They are cut along the image's rows, so that layers
  // with few weights have work for a block's threads.
  constexpr int threads = 256;
  const int tiles = (layer.channels_out + 3) / 4 * ((layer.channels_in + 1) / 2) * layer.taps();
  layer.parts = std::clamp((threads + tiles - 1) / tiles, 1, layer.height_out);
}

void describe(const GroupNorm& norm, const Network::Step&, Entry& layer) {
  layer.kind = LayerKind::group_norm;
  layer.groups = norm.groups;
  layer.eps = norm.eps;
  layer.weight_count = layer.channels_in;
}

void describe(const AveragePool& pool, const Network::Step&, Entry& layer) {
  layer.kind = LayerKind::average_pool;
  layer.kernel = layer.stride = pool.size;
}

void describe(Activation activation, const Network::Step&, Entry& layer) {
  layer.kind = LayerKind::pointwise;
  layer.activated = true;
  layer.activation = activation;
}

Entry layer_of(const Network::Step& step) {
  Entry layer;
  layer.inputs = step.in.size();
  layer.outputs = step.out.size();
  layer.channels_in = step.in.channels;
  layer.height_in = step.in.height;
  layer.width_in = step.in.width;
  layer.channels_out = step.out.channels;
  layer.height_out = step.out.height;
  layer.width_out = step.out.width;
  layer.theta = step.offset;
  std::visit([&](const auto& kind) { describe(kind, step, layer); }, step.layer);
  layer.bias_count = step.parameters - layer.weight_count;
  return layer;
}

/// What changes nothing, above the last layer's activation: the loss has its adjoint by what it is given.
Entry identity_above(const Entry& last) {
  Entry layer;
  layer.kind = LayerKind::pointwise;
  layer.inputs = layer.outputs = last.outputs;
  layer.channels_in = layer.channels_out = last.channels_out;
  layer.height_in = layer.height_out = last.height_out;
  layer.width_in = layer.width_out = last.width_out;
  return layer;
}

}  // namespace

bool NetworkLayout::dense() const {
  return std::all_of(layer, layer + layers, [](const Entry& l) { return l.kind == LayerKind::dense; });
}

NetworkLayout make_network_layout(const Network& network, LossKind loss, int batch, std::string& why_not) {
  NetworkLayout layout;
  layout.dim = network.dim();
  layout.batch = batch;
  layout.batch_row = padded_row(batch);
  layout.loss = loss;
  const auto add = [&](const Entry& layer) {
    if (layout.layers < NetworkLayout::most_layers)
      layout.layer[layout.layers++] = layer;
    else
      why_not = "it has more than " + std::to_string(NetworkLayout::most_layers) +
                " layers (an activation counts with the layer before it)";
  };
  for (const Network::Step& step : network.steps()) {
    const auto* activation = std::get_if<Activation>(&step.layer);
    Entry* const below = layout.layers > 0 ? &layout.layer[layout.layers - 1] : nullptr;
    if (activation && below && !below->activated) {
      below->activated = true;
      below->activation = *activation;
    } else {
      add(layer_of(step));
    }
  }
  if (layout.layer[layout.layers - 1].activated) add(identity_above(layout.layer[layout.layers - 1]));
  if (!why_not.empty()) return {};
  while (layout.layer[layout.lowest].parameters() == 0) ++layout.lowest;

  Numbers parameters, work;
  // Products read whole fours of features.
  const auto features = [&](int count) {
    return work.take(static_cast<std::int64_t>((count + 3) / 4 * 4) * layout.batch_row);
  };
  for (int l = 0; l < layout.layers; ++l) {
    Entry& layer = layout.layer[l];
    const Entry* const below = l > 0 ? &layout.layer[l - 1] : nullptr;
    const bool norm = layer.kind == LayerKind::group_norm;
    const int rows = layer.kind == LayerKind::dense ? layer.channels_out : layer.fan_in;
    layer.weights = norm ? parameters.take(layer.weight_count)
                         : parameters.take(layer.row == 0 ? 0 : static_cast<std::int64_t>(rows) * layer.row);
    layer.biases = parameters.take(layer.bias_count);
    layer.in = below ? below->out : features(layer.inputs);
    layer.out = features(layer.outputs);
    if (layer.activated && layer.activation == Activation::silu) layer.logistic = features(layer.outputs);
    if (norm) {
      layer.normed = below && below->activated ? features(layer.outputs) : layer.in;
      layer.root = features(layer.channels_out);
      layer.sums = features(2 * layer.channels_out);
    }
    // A group norm's adjoint is used up where that of its input is written.
    layer.delta = norm && below ? below->delta : features(layer.outputs);
    if (layer.kind == LayerKind::convolution)
      layer.partials = work.take(static_cast<std::int64_t>(layer.parts) * layer.parameters());
  }
  if (loss == LossKind::squared) layout.targets = features(layout.outputs());
  layout.losses = work.take(batch);
  layout.chosen = work.take(2 * static_cast<std::int64_t>(batch));  // an int needs no more room than a number
  if (!parameters.fit() || !work.fit()) {
    why_not = "a worker needs more than 2^31 numbers";
    return {};
  }
  layout.parameter_numbers = parameters.taken();
  layout.work_numbers = work.taken();
  return layout;
}

BlockPlacement place_in_block(const NetworkLayout& layout, int vectors, std::size_t bytes_of_number,
                              std::size_t most) {
  BlockPlacement placement;
  const auto place = [&](std::size_t numbers) {
    const std::size_t bytes = numbers * bytes_of_number;
    if (bytes > most - placement.bytes) return false;
    placement.bytes += bytes;
    return true;
  };
  placement.parameters = place(static_cast<std::size_t>(layout.parameter_numbers));
  placement.work = place(static_cast<std::size_t>(layout.work_numbers));
  placement.state = place(static_cast<std::size_t>(vectors) * static_cast<std::size_t>(layout.dim));
  return placement;
}

}  // namespace slowsde
