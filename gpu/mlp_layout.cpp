#include "slowsde/gpu/mlp_layout.hpp"

#include <algorithm>
#include <variant>

#include "slowsde/problems/network.hpp"

namespace slowsde {

MlpLayout make_mlp_layout(const Network& network, LossKind loss, int batch, std::string& why_not) {
  MlpLayout layout;
  layout.dim = network.dim();
  layout.batch = batch;
  layout.batch_row = padded_row(batch);
  layout.loss = loss;
  const auto take = [&](int count) {
    const int at = layout.numbers;
    layout.numbers += (count + 3) / 4 * 4;
    return at;
  };
  // Products read whole fours of features.
  const auto take_features = [&](int features) { return take((features + 3) / 4 * 4 * layout.batch_row); };

  bool first_activation = true;
  for (const Network::Step& step : network.steps()) {
    if (const auto* activation = std::get_if<Activation>(&step.layer)) {
      MlpLayout::Layer* below = layout.layers > 0 ? &layout.layer[layout.layers - 1] : nullptr;
      if (!below || below->activated || (!first_activation && *activation != layout.activation)) {
        why_not = "its activations are not one after each hidden layer, all of one kind";
        return {};
      }
      below->activated = true;
      layout.activation = *activation;
      first_activation = false;
    } else if (std::holds_alternative<Dense>(step.layer)) {
      if (layout.layers == MlpLayout::most_layers) {
        why_not = "it has more than " + std::to_string(MlpLayout::most_layers) + " dense layers";
        return {};
      }
      MlpLayout::Layer& layer = layout.layer[layout.layers++];
      layer.inputs = step.in.size();
      layer.outputs = step.out.size();
      layer.theta = step.offset;
    } else {
      why_not = "it has layers that are neither dense nor activations (convolutions, group norm, pools)";
      return {};
    }
  }
  for (int l = 0; l < layout.layers; ++l) {
    MlpLayout::Layer& layer = layout.layer[l];
    layer.row = padded_row(layer.inputs);
    layer.weights = take(layer.outputs * layer.row);
    layer.biases = take(layer.outputs);
    layer.in = l == 0 ? take_features(layer.inputs) : layout.layer[l - 1].out;
    layer.out = take_features(layer.outputs);
    if (layer.activated && layout.activation == Activation::silu)
      layer.logistic = take_features(layer.outputs);
    layer.delta = take_features(layer.outputs);
  }
  if (layout.layer[layout.layers - 1].activated) {
    why_not = "an activation follows its last layer";
    return {};
  }
  if (loss == LossKind::squared) layout.targets = take_features(layout.outputs());
  layout.losses = take(batch);
  layout.chosen = take(2 * batch);  // an int needs no more room than a number
  return layout;
}

}  // namespace slowsde
