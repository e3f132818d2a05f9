// Where one block of GPU threads keeps one worker's multilayer perceptron while it trains: weights,
// activations and adjoints in the block's own memory. A plain struct, passed to the kernels by value.
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

/// Offsets are in numbers from the start of the block's memory. Numbers beyond a matrix's columns are zero
/// and stay so, hence products may run over whole fours.
struct MlpLayout {
  static constexpr int most_layers = 8;

  struct Layer {
    int inputs = 0, outputs = 0;
    int theta = 0;           ///< of its weights in θ; the biases follow them
    int row = 0;             ///< numbers from one row of W to the next
    int weights = 0;         ///< W: (outputs × row)
    int biases = 0;          ///< b: (outputs)
    int in = 0, out = 0;     ///< activations below and above: (features × batch_row)
    int logistic = 0;        ///< SiLU: 1/(1 + e^{−z}), (outputs × batch_row)
    int delta = 0;           ///< adjoint of z: (outputs × batch_row)
    bool activated = false;  ///< whether an activation follows
  };

  int layers = 0, dim = 0, batch = 0, batch_row = 0;
  Activation activation = Activation::tanh;
  LossKind loss = LossKind::cross_entropy;
  Layer layer[most_layers];
  int targets = 0;  ///< squared loss: (outputs × batch_row)
  int losses = 0;   ///< (batch)
  int chosen = 0;   ///< ints: samples (batch), labels (batch)
  int numbers = 0;  ///< all of it, a multiple of four

  SLOWSDE_HD int inputs() const { return layer[0].inputs; }
  SLOWSDE_HD int outputs() const { return layer[layers - 1].outputs; }
};

/// The layout for a batch of B samples. `why_not` says why a network has none, and is empty if it has one:
/// dense layers with one kind of activation between them are supported.
MlpLayout make_mlp_layout(const Network& network, LossKind loss, int batch, std::string& why_not);

}  // namespace slowsde
