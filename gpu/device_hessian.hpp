// Hessian-vector products of a network's mean loss on a GPU.
#pragma once

#include <memory>

#include "slowsde/gpu/network_layout.hpp"
#include "slowsde/problems/batch.hpp"
#include "slowsde/problems/loss_kind.hpp"

namespace slowsde {

class Network;

struct DeviceHessianParams {
  int directions = 64;  ///< multiplied at once, at most; device memory grows with it
  /// Where given, the seconds that products take on the device are added to it, without the copies from and
  /// to the host: measured at some cost, so not for the end-to-end time. The caller owns it.
  double* kernel_seconds = nullptr;

  /// Throws std::invalid_argument naming what is violated.
  void check() const;
};

/// ∇²L(θ) for L(θ) = the mean loss over all samples of a batch, as NetworkDerivatives has it; a weight decay
/// is part of an update rule, not of L. Sums have a fixed order: the bits do not depend on the run, on one
/// model of GPU. One user at a time.
template <class Real>
class DeviceHessian {
 public:
  virtual ~DeviceHessian() = default;
  /// Evaluates the passes at θ: (d) that `products` starts from; costs less than a gradient.
  virtual void set_point(const Real* theta) = 0;
  /// out = ∇²L(θ) v for each of the directions v: (count × d), at the last set_point. Throws
  /// std::invalid_argument without a point, DeviceError where the GPU refuses.
  virtual void products(int count, const Real* v, Real* out) = 0;
};

/// The layout of the network for all samples. Throws std::invalid_argument where it has other layers than
/// dense ones, each with at most one activation behind it and none behind the last.
NetworkLayout hessian_layout(const Network& network, LossKind loss, int samples);

/// Copies the samples, whose number and stride may be any, to the calling thread's current GPU. Throws
/// std::invalid_argument for a network as hessian_layout does, for a batch that is empty or lacks what the
/// loss needs, for labels that are no outputs; DeviceError where the GPU refuses, and in a build without
/// CUDA.
template <class Real>
std::unique_ptr<DeviceHessian<Real>> make_device_hessian(const Network& network, LossKind loss,
                                                         const Batch<Real>& samples,
                                                         const DeviceHessianParams& params = {});

extern template std::unique_ptr<DeviceHessian<float>> make_device_hessian(const Network&, LossKind,
                                                                          const Batch<float>&,
                                                                          const DeviceHessianParams&);
extern template std::unique_ptr<DeviceHessian<double>> make_device_hessian(const Network&, LossKind,
                                                                           const Batch<double>&,
                                                                           const DeviceHessianParams&);

namespace detail {

/// The same of what was checked; in a build with CUDA.
template <class Real>
std::unique_ptr<DeviceHessian<Real>> make_layered_hessian(const NetworkLayout& layout,
                                                          const Batch<Real>& samples,
                                                          const DeviceHessianParams& params);

}  // namespace detail
}  // namespace slowsde
