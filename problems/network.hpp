// Architectures of small networks: which layers, where each one's parameters lie in θ, and initial weights.
// What is computed with an architecture lies in network_pass.hpp and its users.
#pragma once

#include <Eigen/Core>
#include <cstdint>
#include <variant>
#include <vector>

#include "slowsde/problems/activation.hpp"
#include "slowsde/problems/image_shape.hpp"

namespace slowsde {

/// z = W a + b with W (outputs × inputs, row-major), then b, in θ. An image is flattened.
struct Dense {
  int outputs = 1;
};

/// z_{c,y,x} = b_c + Σ_{c',i,j} w_{c,c',i,j} a_{c', stride·y+i−padding, stride·x+j−padding}, zero outside the
/// image. θ: w (channels × input channels × kernel × kernel, row-major), then b (channels) if there is one.
struct Convolution {
  int channels = 1;
  int kernel = 3;
  int padding = 1;
  int stride = 1;
  bool bias = true;
};

/// y_c = γ_c (z_c − μ)/√(v + eps) + β_c, with mean μ and variance v of one sample over the channels of a
/// group and all positions. θ: γ (channels), β (channels). Batch normalisation is not offered: its μ and v
/// are those of a minibatch, hence differ between workers, and a loss that depends on who else is in the
/// batch is no mean over samples, which is what the gradient noise of every theory here is a covariance of.
struct GroupNorm {
  int groups = 1;
  double eps = 1e-5;
};

/// The mean of each `size` × `size` window; windows do not overlap.
struct AveragePool {
  int size = 2;
};

using Layer = std::variant<Dense, Convolution, GroupNorm, Activation, AveragePool>;

/// Which entries of the input a dense or convolutional layer multiplies by which weights, as lists. Weights
/// are w[(r·channels_in + q)·taps + t] for output channel r, input channel q and tap t of the kernel;
/// features are channel·positions + position. A dense layer has one position and one tap.
struct LinearTaps {
  struct Tap {
    int weight;    ///< t
    int position;  ///< at which the other side is read
  };
  struct Contact {
    int output, input;  ///< positions that one tap connects
  };
  std::vector<Tap> from_output;  ///< per output position, the taps inside the image
  std::vector<int> from_output_begin;
  std::vector<Tap> from_input;  ///< per input position, the output positions it reaches
  std::vector<int> from_input_begin;
  std::vector<Contact> contacts;  ///< per tap
  std::vector<int> contacts_begin;
};

/// An architecture; immutable.
class Network {
 public:
  /// A layer at its place.
  struct Step {
    Layer layer;
    ImageShape in, out;
    int offset = 0;       ///< of its parameters in θ
    int parameters = 0;   ///< how many
    int weights = 0;      ///< dense, convolution: entries of W, which come first
    int channels_in = 0;  ///< dense, convolution: channels that W connects (a dense layer's are its inputs)
    int channels_out = 0;
    LinearTaps taps;  ///< dense, convolution
    bool linear() const { return weights > 0; }
  };

  /// Throws std::invalid_argument: sizes ≥ 1; kernel ≤ image + 2·padding, 0 ≤ padding < kernel; groups divide
  /// channels, eps > 0; the pool's size divides height and width; at least one dense or convolutional layer.
  Network(ImageShape input, std::vector<Layer> layers);

  const ImageShape& input() const { return input_; }
  const std::vector<Step>& steps() const { return steps_; }
  int inputs() const { return input_.size(); }
  int outputs() const { return steps_.back().out.size(); }
  int dim() const { return dim_; }                          ///< d
  int weighted_layers() const { return weighted_layers_; }  ///< dense and convolutional ones

  /// Weights independent N(0, gain²/fan-in), biases and β zero, γ one: (d). Addressed by (seed, weighted
  /// layer, index): an MLP's are those of MlpShape.
  Eigen::VectorXd initial_parameters(std::uint64_t seed, double gain = 1) const;
  /// The same with a gain per weighted layer. Throws std::invalid_argument for another number of gains.
  Eigen::VectorXd initial_parameters(std::uint64_t seed, const std::vector<double>& gains) const;

 private:
  ImageShape input_;
  std::vector<Step> steps_;
  int dim_ = 0, weighted_layers_ = 0;
};

/// Dense layers with an activation between them: θ = (W_0, b_0, W_1, b_1, …), as in MlpShape.
Network mlp_network(const std::vector<int>& widths, Activation activation = Activation::tanh);

/// Per entry of `channels`: convolution 3×3 (padding 1), group norm with `groups` groups, activation, average
/// pool; then a dense layer to the classes. The convolutions have no bias: the group norm's shift is one.
/// With groups = 0 there is no group norm and the convolutions have biases.
Network cnn_network(ImageShape input, const std::vector<int>& channels, int classes,
                    Activation activation = Activation::silu, int groups = 2, int pool = 2);

}  // namespace slowsde
