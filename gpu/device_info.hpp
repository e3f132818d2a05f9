// Which GPUs this process can compute on, and if none, why.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace slowsde {

struct Gpu {
  std::string name;
  int major = 0, minor = 0;  ///< compute capability
  int multiprocessors = 0;
  int clock_khz = 0;  ///< highest clock of the multiprocessors
  std::uint64_t memory_bytes = 0;

  /// "NVIDIA H100 80GB HBM3, 132 multiprocessors, compute capability 9.0, 85.0 GB"
  std::string description() const;
};

struct GpuReport {
  std::vector<Gpu> gpus;
  std::string why_none;  ///< empty where there are some
};

/// Never throws for want of a GPU, a driver or CUDA: that is the report.
GpuReport find_gpus();

}  // namespace slowsde
