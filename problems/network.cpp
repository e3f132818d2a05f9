#include "slowsde/problems/network.hpp"

#include <algorithm>
#include <cmath>

#include "slowsde/problems/random_address.hpp"
#include "slowsde/problems/requirement.hpp"

namespace slowsde {
namespace {

template <class Value>
void require(bool holds, const char* inequality, const Value& value) {
  detail::require(holds, "network", inequality, value);
}

// Lists of consecutive groups: `begin` has one entry more than there are groups.
template <class Entry>
void end_group(const std::vector<Entry>& entries, std::vector<int>& begin) {
  begin.push_back(static_cast<int>(entries.size()));
}

LinearTaps make_taps(const ImageShape& in, const ImageShape& out, const Convolution& c) {
  LinearTaps taps;
  // Row y of the output reads row stride·y + i − padding of the input; −1 outside.
  const auto source = [&](int y, int i, int extent) {
    const int row = c.stride * y + i - c.padding;
    return row >= 0 && row < extent ? row : -1;
  };
  const auto over_kernel = [&](auto&& visit) {
    for (int i = 0; i < c.kernel; ++i)
      for (int j = 0; j < c.kernel; ++j) visit(i, j, i * c.kernel + j);
  };
  std::vector<std::vector<LinearTaps::Tap>> reached(in.positions());
  taps.from_output_begin = {0};
  for (int y = 0; y < out.height; ++y) {
    for (int x = 0; x < out.width; ++x) {
      over_kernel([&](int i, int j, int t) {
        const int row = source(y, i, in.height), column = source(x, j, in.width);
        if (row < 0 || column < 0) return;
        taps.from_output.push_back({t, row * in.width + column});
        reached[row * in.width + column].push_back({t, y * out.width + x});
      });
      end_group(taps.from_output, taps.from_output_begin);
    }
  }
  taps.from_input_begin = {0};
  for (const auto& list : reached) {
    taps.from_input.insert(taps.from_input.end(), list.begin(), list.end());
    end_group(taps.from_input, taps.from_input_begin);
  }
  taps.contacts_begin = {0};
  over_kernel([&](int i, int j, int) {
    for (int y = 0; y < out.height; ++y) {
      for (int x = 0; x < out.width; ++x) {
        const int row = source(y, i, in.height), column = source(x, j, in.width);
        if (row >= 0 && column >= 0) taps.contacts.push_back({y * out.width + x, row * in.width + column});
      }
    }
    end_group(taps.contacts, taps.contacts_begin);
  });
  return taps;
}

void place(const Convolution& layer, Network::Step& step) {
  require(layer.channels >= 1, "convolution channels >= 1", layer.channels);
  require(layer.kernel >= 1, "kernel >= 1", layer.kernel);
  require(layer.padding >= 0 && layer.padding < layer.kernel, "0 <= padding < kernel", layer.padding);
  require(layer.stride >= 1, "stride >= 1", layer.stride);
  const int smallest = std::min(step.in.height, step.in.width) + 2 * layer.padding;
  require(layer.kernel <= smallest, "kernel <= image + 2 padding", layer.kernel);
  const auto extent = [&](int n) { return (n + 2 * layer.padding - layer.kernel) / layer.stride + 1; };
  step.out = {layer.channels, extent(step.in.height), extent(step.in.width)};
  step.channels_in = step.in.channels;
  step.channels_out = layer.channels;
  step.weights = layer.channels * step.in.channels * layer.kernel * layer.kernel;
  step.parameters = step.weights + (layer.bias ? layer.channels : 0);
  step.taps = make_taps(step.in, step.out, layer);
}

// A dense layer is a convolution over one position, whose channels are the flattened input.
void place(const Dense& layer, Network::Step& step) {
  require(layer.outputs >= 1, "width >= 1", layer.outputs);
  const ImageShape given = step.in;
  step.in = {given.size(), 1, 1};
  place(Convolution{.channels = layer.outputs, .kernel = 1, .padding = 0}, step);
  step.in = given;
}

void place(const GroupNorm& layer, Network::Step& step) {
  require(layer.groups >= 1, "groups >= 1", layer.groups);
  require(step.in.channels % layer.groups == 0, "groups divide the channels", layer.groups);
  require(layer.eps > 0, "eps > 0", layer.eps);
  step.parameters = 2 * step.in.channels;
}

void place(Activation, Network::Step&) {}

void place(const AveragePool& layer, Network::Step& step) {
  require(layer.size >= 1, "pool size >= 1", layer.size);
  require(step.in.height % layer.size == 0, "pool size divides the height", layer.size);
  require(step.in.width % layer.size == 0, "pool size divides the width", layer.size);
  step.out = {step.in.channels, step.in.height / layer.size, step.in.width / layer.size};
}

}  // namespace

Network::Network(ImageShape input, std::vector<Layer> layers) : input_(input) {
  require(input.channels >= 1, "input channels >= 1", input.channels);
  require(input.height >= 1, "input height >= 1", input.height);
  require(input.width >= 1, "input width >= 1", input.width);
  ImageShape shape = input;
  for (const Layer& layer : layers) {
    Step step{.layer = layer, .in = shape, .out = shape, .offset = dim_, .taps = {}};
    std::visit([&](const auto& kind) { place(kind, step); }, layer);
    shape = step.out;
    dim_ += step.parameters;
    weighted_layers_ += step.linear();
    steps_.push_back(std::move(step));
  }
  require(weighted_layers_ >= 1, "dense and convolutional layers >= 1", weighted_layers_);
}

Eigen::VectorXd Network::initial_parameters(std::uint64_t seed, double gain) const {
  return initial_parameters(seed, std::vector<double>(weighted_layers_, gain));
}

Eigen::VectorXd Network::initial_parameters(std::uint64_t seed, const std::vector<double>& gains) const {
  require(static_cast<int>(gains.size()) == weighted_layers_, "gains.size() = layers", gains.size());
  Eigen::VectorXd theta = Eigen::VectorXd::Zero(dim_);
  std::uint32_t layer = 0;
  for (const Step& step : steps_) {
    if (step.linear()) {
      const int fan_in = step.weights / step.channels_out;
      const double scale = gains[layer] / std::sqrt(static_cast<double>(fan_in));
      ++layer;
      for (int j = 0; j < step.weights; ++j) {
        theta[step.offset + j] = scale * normal_at(seed, Stream::initial, 0, layer, j);
      }
    } else if (step.parameters > 0) {
      theta.segment(step.offset, step.in.channels).setOnes();
    }
  }
  return theta;
}

Network mlp_network(const std::vector<int>& widths, Activation activation) {
  require(widths.size() >= 2, "widths.size() >= 2", widths.size());
  std::vector<Layer> layers;
  for (std::size_t l = 1; l < widths.size(); ++l) {
    layers.push_back(Dense{widths[l]});
    if (l + 1 < widths.size()) layers.push_back(activation);
  }
  return Network({widths.front(), 1, 1}, std::move(layers));
}

Network cnn_network(ImageShape input, const std::vector<int>& channels, int classes, Activation activation,
                    int groups, int pool) {
  std::vector<Layer> layers;
  for (const int c : channels) {
    layers.push_back(Convolution{.channels = c, .bias = groups == 0});
    if (groups > 0) layers.push_back(GroupNorm{groups});
    layers.push_back(activation);
    if (pool > 1) layers.push_back(AveragePool{pool});
  }
  layers.push_back(Dense{classes});
  return Network(input, std::move(layers));
}

}  // namespace slowsde
