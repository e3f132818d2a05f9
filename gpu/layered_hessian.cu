#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "slowsde/gpu/captured_work.hpp"
#include "slowsde/gpu/cublas_machine.cuh"
#include "slowsde/gpu/device_array.hpp"
#include "slowsde/gpu/device_hessian.hpp"
#include "slowsde/gpu/device_timer.cuh"
#include "slowsde/gpu/layered_hessian.hpp"
#include "slowsde/gpu/own_stream.hpp"
#include "slowsde/problems/requirement.hpp"

namespace slowsde {
namespace {

template <class Real>
class LayeredHessian final : public DeviceHessian<Real> {
 public:
  LayeredHessian(const NetworkLayout& layout, const Batch<Real>& samples, const DeviceHessianParams& params)
      : plan_(layout, std::min(params.directions, HessianPlan::most_directions(layout))),
        kernel_seconds_(params.kernel_seconds),
        machine_(stream_),
        chosen_(static_cast<std::size_t>(plan_.point.chosen())),
        memory_(static_cast<std::size_t>(plan_.numbers)),
        theta_(static_cast<std::size_t>(layout.dim)),
        v_(static_cast<std::size_t>(plan_.directions * plan_.row)),
        products_(static_cast<std::size_t>(plan_.directions * plan_.row)),
        at_{chosen_.data(), memory_.data()} {
    const auto place = [&](const Real* matrix, int rows, std::int64_t at) {
      copy(memory_.data() + at, layout.batch, matrix, samples.stride, layout.batch, rows,
           cudaMemcpyHostToDevice);
    };
    place(samples.x, layout.inputs(), plan_.point.place[0].in);
    if (layout.loss == LossKind::squared) place(samples.y, layout.outputs(), plan_.point.targets);
    std::vector<int> chosen(chosen_.size(), 0);
    if (samples.labels) std::copy_n(samples.labels, samples.size, chosen.begin() + samples.size);
    chosen_.upload(chosen.data(), chosen.size());
  }

  void set_point(const Real* theta) override {
    theta_.upload(theta, theta_.size());
    set_hessian_point<Real>(machine_, plan_, at_, theta_.data());
    stream_.wait("evaluating the passes at a point");
    has_point_ = true;
  }

  void products(int count, const Real* v, Real* out) override {
    detail::require(has_point_, "device Hessian", "set_point comes first", "no point");
    for (int done = 0; done < count; done += plan_.directions) {
      const int now = std::min(plan_.directions, count - done);
      const std::int64_t d = plan_.point.shape.dim, first = done * d;
      copy(v_.data(), plan_.row, v + first, d, d, now, cudaMemcpyHostToDevice);
      DeviceTimer timer;
      if (kernel_seconds_) timer.start(stream_);
      along_[now].launch(stream_, [&](cudaStream_t apart) {
        machine_.use(apart);
        layered_hessian_products<Real>(machine_, plan_, at_, theta_.data(), now, v_.data(), products_.data());
        machine_.use(stream_);
      });
      if (kernel_seconds_) timer.stop(stream_);
      stream_.wait("multiplying by the Hessian");
      copy(out + first, d, products_.data(), plan_.row, d, now, cudaMemcpyDeviceToHost);
      if (kernel_seconds_) *kernel_seconds_ += timer.seconds();
    }
  }

 private:
  /// The first `width` columns of a matrix, whose rows may be further apart on either side. Waits.
  static void copy(Real* to, std::int64_t to_row, const Real* from, std::int64_t from_row, std::int64_t width,
                   int rows, cudaMemcpyKind kind) {
    const auto bytes = [](std::int64_t numbers) { return static_cast<std::size_t>(numbers) * sizeof(Real); };
    check_cuda(cudaMemcpy2D(to, bytes(to_row), from, bytes(from_row), bytes(width),
                            static_cast<std::size_t>(rows), kind),
               "copying rows from or to the device");
  }

  HessianPlan plan_;
  double* kernel_seconds_;
  OwnStream stream_{cudaStreamDefault};
  CublasMachine machine_;
  DeviceArray<int> chosen_;
  DeviceArray<Real> memory_, theta_, v_, products_;
  HessianMemory<Real> at_;
  std::map<int, CapturedWork> along_;  // by the number of directions
  bool has_point_ = false;
};

}  // namespace

namespace detail {

template <class Real>
std::unique_ptr<DeviceHessian<Real>> make_layered_hessian(const NetworkLayout& layout,
                                                          const Batch<Real>& samples,
                                                          const DeviceHessianParams& params) {
  return std::make_unique<LayeredHessian<Real>>(layout, samples, params);
}

template std::unique_ptr<DeviceHessian<float>> make_layered_hessian(const NetworkLayout&, const Batch<float>&,
                                                                    const DeviceHessianParams&);
template std::unique_ptr<DeviceHessian<double>> make_layered_hessian(const NetworkLayout&,
                                                                     const Batch<double>&,
                                                                     const DeviceHessianParams&);

}  // namespace detail
}  // namespace slowsde
