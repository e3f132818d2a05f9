#include "slowsde/gpu/device_info.hpp"

#include <cstdio>

#include "slowsde/gpu/cuda_check.hpp"

namespace slowsde {

std::string Gpu::description() const {
  char size[32];
  std::snprintf(size, sizeof size, "%.1f GB", static_cast<double>(memory_bytes) * 1e-9);
  return name + ", " + std::to_string(multiprocessors) + " multiprocessors, compute capability " +
         std::to_string(major) + "." + std::to_string(minor) + ", " + size;
}

#if defined(SLOWSDE_CUDA)

GpuReport find_gpus() {
  GpuReport report;
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess) {
    static_cast<void>(cudaGetLastError());
    int driver = 0;
    const bool driver_known = cudaDriverGetVersion(&driver) == cudaSuccess && driver > 0;
    report.why_none = driver_known ? cudaGetErrorString(status) : "this machine has no NVIDIA driver";
    return report;
  }
  for (int device = 0; device < count; ++device) {
    cudaDeviceProp properties;
    check_cuda(cudaGetDeviceProperties(&properties, device), "asking for a device's properties");
    Gpu gpu;
    gpu.name = properties.name;
    gpu.major = properties.major;
    gpu.minor = properties.minor;
    gpu.multiprocessors = properties.multiProcessorCount;
    gpu.memory_bytes = properties.totalGlobalMem;
    check_cuda(cudaDeviceGetAttribute(&gpu.clock_khz, cudaDevAttrClockRate, device),
               "asking for a device's clock");
    report.gpus.push_back(gpu);
  }
  if (report.gpus.empty()) report.why_none = "the driver shows no device";
  return report;
}

#else

GpuReport find_gpus() { return {{}, "this slowsde was built without CUDA"}; }

#endif

}  // namespace slowsde
