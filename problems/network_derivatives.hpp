// Loss, gradient, Hessian-vector products and third contractions of a network over a fixed set of samples.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include "slowsde/problems/network_gradient.hpp"

namespace slowsde {

/// Runs body(0), …, body(count − 1), in any order and by any threads; an empty one stands for a plain loop.
using ParallelLoop = std::function<void(std::size_t count, const std::function<void(std::size_t)>& body)>;

/// Derivatives of L(θ) = the mean loss over all samples of a batch. The samples are cut into chunks of a
/// fixed size, whose contributions are added in the order of the chunks: the bits do not depend on the loop.
/// One user at a time: the passes share one workspace per chunk.
template <class Real>
class NetworkDerivatives {
 public:
  /// Copies the samples, whose number and stride may be any. With label_flip > 0 the cross-entropy is its
  /// mean over labels that are flipped with that probability (LabelFlip). Throws std::invalid_argument when
  /// the batch is empty or lacks what the loss needs, unless 0 ≤ label_flip ≤ 1, or for one output and
  /// label_flip > 0.
  NetworkDerivatives(const Network& network, LossKind loss, const Batch<Real>& samples,
                     ParallelLoop loop = {}, double label_flip = 0);
  ~NetworkDerivatives();
  NetworkDerivatives(NetworkDerivatives&&) noexcept;
  NetworkDerivatives& operator=(NetworkDerivatives&&) noexcept;

  const Network& network() const;
  int samples() const;

  double loss(const Real* theta);
  /// g = ∇L(θ): (d); returns L(θ).
  double gradient(const Real* theta, Real* g);
  /// Samples whose largest output is their label's; 0 for a data set without labels.
  std::int64_t correct(const Real* theta);
  /// Evaluates the passes at θ that `hessian_vector_product` starts from; costs a gradient.
  void set_point(const Real* theta);
  /// out = ∇²L(θ) u: (d), at the point of the last set_point.
  void hessian_vector_product(const Real* u, Real* out);
  /// out = ∇³L(θ)[u uᵀ]: (d)
  void third_contraction(const Real* theta, const Real* u, Real* out);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

extern template class NetworkDerivatives<float>;
extern template class NetworkDerivatives<double>;

}  // namespace slowsde
