#include "slowsde/gpu/device_info.hpp"

#include <doctest/doctest.h>

#include "slowsde/gpu/cuda_check.hpp"

using namespace slowsde;

TEST_CASE("there are GPUs or there is a reason why not") {
  const GpuReport report = find_gpus();
  CHECK(report.gpus.empty() == !report.why_none.empty());
  for (const Gpu& gpu : report.gpus) {
    CHECK(!gpu.name.empty());
    CHECK(gpu.multiprocessors > 0);
    CHECK(gpu.memory_bytes > 0);
    CHECK(gpu.description().find(gpu.name) == 0);
  }
}

#if defined(SLOWSDE_CUDA)
TEST_CASE("a failed call says what it was for") {
  CHECK_NOTHROW(check_cuda(cudaSuccess, "nothing"));
  try {
    check_cuda(cudaErrorInvalidValue, "copying the states");
    FAIL("no exception");
  } catch (const DeviceError& e) {
    const std::string text = e.what();
    CHECK(text.find("copying the states") != std::string::npos);
    CHECK(text.find("cudaErrorInvalidValue") != std::string::npos);
  }
}
#endif
