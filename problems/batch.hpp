// What one gradient of a network is taken over: a batch of samples side by side, lanes along the batch.
#pragma once

#include "slowsde/problems/pack.hpp"

namespace slowsde {

/// `size` rounded up to whole packs: columns of a batch of that many samples.
template <class Real>
constexpr int batch_stride(int size) {
  constexpr int W = native_width<Real>;
  return (size + W - 1) / W * W;
}

/// A view of a batch, feature-major: feature j of sample b is x[j·stride + b]. Columns b ≥ size are zero.
template <class Real>
struct Batch {
  int size = 0;
  int stride = 0;           ///< batch_stride<Real>(size)
  const Real* x = nullptr;  ///< (inputs × stride), aligned to 64 bytes
  /// The same sample by sample, or null: feature j of sample b is samples[b·batch_stride(inputs) + j], zero
  /// beyond the inputs; (stride × batch_stride(inputs)), aligned to 64 bytes. Saves a transposition.
  const Real* samples = nullptr;
  const int* labels = nullptr;  ///< (size), 0 … classes−1; null when the loss needs none
  const Real* y = nullptr;  ///< (outputs × stride), targets of the squared loss; null when it is not used
};

}  // namespace slowsde
