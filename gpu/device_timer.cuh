// Time that kernels take on the device, added up over launches.
#pragma once

#include <utility>
#include <vector>

#include "slowsde/gpu/cuda_check.hpp"

namespace slowsde {

class DeviceTimer {
 public:
  DeviceTimer() = default;
  DeviceTimer(const DeviceTimer&) = delete;
  DeviceTimer& operator=(const DeviceTimer&) = delete;
  ~DeviceTimer() {
    for (const auto& [begin, end] : spans_) {
      cudaEventDestroy(begin);
      cudaEventDestroy(end);
    }
  }

  /// Before and after what is timed on the stream; neither waits.
  void start(cudaStream_t stream = nullptr) {
    spans_.emplace_back();
    check_cuda(cudaEventCreate(&spans_.back().first), "creating an event");
    check_cuda(cudaEventCreate(&spans_.back().second), "creating an event");
    check_cuda(cudaEventRecord(spans_.back().first, stream), "recording an event");
  }
  void stop(cudaStream_t stream = nullptr) {
    check_cuda(cudaEventRecord(spans_.back().second, stream), "recording an event");
  }

  /// Waits for all spans.
  double seconds() {
    double sum = 0;
    for (const auto& [begin, end] : spans_) {
      float milliseconds = 0;
      check_cuda(cudaEventSynchronize(end), "waiting for a kernel");
      check_cuda(cudaEventElapsedTime(&milliseconds, begin, end), "timing a kernel");
      sum += 1e-3 * static_cast<double>(milliseconds);
    }
    return sum;
  }

 private:
  std::vector<std::pair<cudaEvent_t, cudaEvent_t>> spans_;
};

}  // namespace slowsde
