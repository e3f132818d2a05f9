// Loss, gradient and accuracy of a network on a batch of samples: what a training loop calls.
#pragma once

#include <cstdint>
#include <memory>

#include "slowsde/problems/batch.hpp"
#include "slowsde/problems/loss_kind.hpp"
#include "slowsde/problems/network.hpp"

namespace slowsde {

/// One object per thread: it owns the workspace of its passes, and nothing is allocated while batches keep
/// one size. Bits depend on θ and the batch alone.
template <class Real>
class NetworkGradient {
 public:
  /// Throws std::invalid_argument: max_batch ≥ 1. The network is copied.
  NetworkGradient(const Network& network, LossKind loss, int max_batch);
  ~NetworkGradient();
  NetworkGradient(NetworkGradient&&) noexcept;
  NetworkGradient& operator=(NetworkGradient&&) noexcept;

  const Network& network() const;
  LossKind loss() const;

  /// Mean loss of the batch; g = its gradient (d), overwritten. Throws std::invalid_argument when the batch
  /// is empty, larger than max_batch, or lacks what the loss needs.
  Real value_and_gradient(const Real* theta, const Batch<Real>& batch, Real* g);

  /// θ ← θ − ηg with that gradient g, in one pass that never writes g; returns the mean loss at the old θ.
  /// Throws as value_and_gradient does, and unless η > 0.
  Real descend(Real* theta, const Batch<Real>& batch, Real eta);

  struct Evaluation {
    double loss_sum = 0;       ///< over the samples, not the mean
    std::int64_t correct = 0;  ///< samples whose largest output is their label's; 0 without labels
  };
  Evaluation evaluate(const Real* theta, const Batch<Real>& batch);

 private:
  struct Workspace;
  std::unique_ptr<Workspace> workspace_;
};

extern template class NetworkGradient<float>;
extern template class NetworkGradient<double>;

}  // namespace slowsde
