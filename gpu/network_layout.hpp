// Where one block of GPU threads keeps one worker's network while it trains: parameters, activations and
// adjoints. A plain struct with a table of layers, passed to the kernels by value.
#pragma once

#include <cstddef>
#include <string>

#include "slowsde/problems/activation.hpp"
#include "slowsde/problems/host_device.hpp"
#include "slowsde/problems/loss_kind.hpp"

namespace slowsde {

class Network;

/// Rows of matrices begin at multiples of four numbers, an odd number of fours apart: four numbers are loaded
/// at once, and eight threads that load from eight rows in sequence meet all 32 banks.
SLOWSDE_HD constexpr int padded_row(int n) {
  const int fours = (n + 3) / 4;
  return 4 * (fours + (fours % 2 == 0));
}

/// What a layer computes from its input; an activation that follows a layer is part of it. `pointwise` is an
/// activation that follows none, or nothing.
enum class LayerKind { dense, convolution, group_norm, average_pool, pointwise };

/// Offsets are in numbers from the start of the parameters' memory or of the work's. A matrix of activations
/// or adjoints has a row for each feature, (features × batch_row). Numbers beyond a matrix's columns are zero
/// and stay so, hence products may run over whole fours.
struct NetworkLayout {
  static constexpr int most_layers = 24;

  struct Layer {
    LayerKind kind = LayerKind::dense;
    bool activated = false;  ///< whether an activation follows
    Activation activation = Activation::tanh;
    int inputs = 0, outputs = 0;  ///< features: channels × positions; a dense layer has one position
    int channels_in = 0, height_in = 1, width_in = 1;
    int channels_out = 0, height_out = 1, width_out = 1;
    int kernel = 1, padding = 0, stride = 1;  ///< convolution; of a pool's windows kernel = stride
    int groups = 1;
    double eps = 0;
    int theta = 0;                ///< its first parameter in θ
    int weight_count = 0;         ///< of W, or γ
    int bias_count = 0;           ///< of b, or β; they follow in θ
    int fan_in = 1;               ///< weights of one output channel
    int row = 0;                  ///< numbers from one row of the matrix of weights to the next
    int weights = 0, biases = 0;  ///< in the parameters' memory; see `weight`
    int in = 0, out = 0;          ///< activations below and above
    int logistic = 0;             ///< SiLU: 1/(1 + e^{−z}), (outputs × batch_row)
    int delta = 0;                ///< adjoint of z: (outputs × batch_row)
    int normed = 0;               ///< group norm: ẑ, where z was if nothing else reads that
    int root = 0;                 ///< group norm: (v + eps)^{−1/2}, (channels × batch_row)
    int sums = 0;                 ///< group norm: two of each channel, (2 channels × batch_row)
    int parts = 0, partials = 0;  ///< convolution: partial sums of the gradient, (parts × parameters)

    SLOWSDE_HD int parameters() const { return weight_count + bias_count; }
    SLOWSDE_HD int positions_in() const { return height_in * width_in; }
    SLOWSDE_HD int positions_out() const { return height_out * width_out; }
    SLOWSDE_HD int taps() const { return kernel * kernel; }
    /// Where weight j of θ lies. A dense layer's matrix is (outputs × row), as in θ. A convolution's is
    /// (fan-in × row) with the output channels in a row, so that four of them are loaded at once.
    SLOWSDE_HD int weight(int j) const {
      const int r = j / fan_in, i = j - r * fan_in;
      return weights + (kind == LayerKind::dense ? r * row + i : i * row + r);
    }
  };

  int layers = 0, dim = 0, batch = 0, batch_row = 0;
  int lowest = 0;  ///< layer with parameters
  LossKind loss = LossKind::cross_entropy;
  Layer layer[most_layers];
  int targets = 0;                              ///< squared loss: (outputs × batch_row)
  int losses = 0;                               ///< (batch)
  int chosen = 0;                               ///< ints: samples (batch), labels (batch)
  int parameter_numbers = 0, work_numbers = 0;  ///< of either memory, multiples of four

  SLOWSDE_HD int inputs() const { return layer[0].inputs; }
  SLOWSDE_HD int outputs() const { return layer[layers - 1].outputs; }
  /// Whether all layers are dense.
  bool dense() const;
};

/// The layout for a batch of B samples. `why_not` says why a network has none, and is empty if it has one.
NetworkLayout make_network_layout(const Network& network, LossKind loss, int batch, std::string& why_not);

/// What of a worker its block of threads keeps in shared memory; the rest is in device memory.
struct BlockPlacement {
  bool parameters = false, work = false;
  bool state = false;     ///< of the update rule
  std::size_t bytes = 0;  ///< of shared memory

  bool network() const { return parameters && work; }
};

/// Parameters first, then activations and adjoints, then the rule's `vectors` of state, each where it still
/// fits into `most` bytes.
BlockPlacement place_in_block(const NetworkLayout& layout, int vectors, std::size_t bytes_of_number,
                              std::size_t most);

}  // namespace slowsde
