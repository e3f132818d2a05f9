#include "slowsde/gpu/device_hessian.hpp"

#include <stdexcept>
#include <string>

#include "slowsde/gpu/cuda_check.hpp"
#include "slowsde/problems/network.hpp"
#include "slowsde/problems/requirement.hpp"

namespace slowsde {
namespace {

template <class Value>
void require(bool holds, const char* inequality, const Value& value) {
  detail::require(holds, "device Hessian", inequality, value);
}

}  // namespace

void DeviceHessianParams::check() const { require(directions >= 1, "directions >= 1", directions); }

NetworkLayout hessian_layout(const Network& network, LossKind loss, int samples) {
  require(samples >= 1, "samples >= 1", samples);
  std::string why_not;
  const NetworkLayout layout = make_network_layout(network, loss, samples, why_not);
  if (why_not.empty() && !layout.dense())
    why_not =
        "it has other layers than dense ones, each with at most one activation behind it and none behind the "
        "last";
  if (!why_not.empty())
    throw std::invalid_argument("device Hessian: the network has no products on the device: " + why_not);
  return layout;
}

template <class Real>
std::unique_ptr<DeviceHessian<Real>> make_device_hessian(const Network& network, LossKind loss,
                                                         const Batch<Real>& samples,
                                                         const DeviceHessianParams& params) {
  params.check();
  [[maybe_unused]] const NetworkLayout layout = hessian_layout(network, loss, samples.size);
  require(samples.stride >= samples.size, "stride >= samples", samples.stride);
  require(samples.x != nullptr, "there are inputs", "none");
  if (loss == LossKind::squared) {
    require(samples.y != nullptr, "the squared loss has targets", "none");
  } else {
    require(samples.labels != nullptr, "the cross-entropy has labels", "none");
    for (int i = 0; i < samples.size; ++i)
      require(samples.labels[i] >= 0 && samples.labels[i] < network.outputs(), "0 <= label < outputs",
              samples.labels[i]);
  }
#if defined(SLOWSDE_CUDA)
  return detail::make_layered_hessian(layout, samples, params);
#else
  throw DeviceError("this slowsde was built without CUDA");
#endif
}

template std::unique_ptr<DeviceHessian<float>> make_device_hessian(const Network&, LossKind,
                                                                   const Batch<float>&,
                                                                   const DeviceHessianParams&);
template std::unique_ptr<DeviceHessian<double>> make_device_hessian(const Network&, LossKind,
                                                                    const Batch<double>&,
                                                                    const DeviceHessianParams&);

}  // namespace slowsde
