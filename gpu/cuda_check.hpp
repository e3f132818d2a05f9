// Every call of the CUDA runtime goes through check_cuda: a failure becomes an exception that names the call.
// Without CUDA only the exception is declared, so that the header can be included anywhere.
#pragma once

#include <stdexcept>
#include <string>

#if defined(SLOWSDE_CUDA)
#include <cuda_runtime_api.h>
#endif

namespace slowsde {

/// A GPU refused: out of memory, a failed launch, no device.
class DeviceError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

#if defined(SLOWSDE_CUDA)

/// Throws DeviceError unless `status` is success. `what` names the call: "copying the states to the host".
inline void check_cuda(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  throw DeviceError(std::string("CUDA: ") + what + ": " + cudaGetErrorString(status) + " (" +
                    cudaGetErrorName(status) + ")");
}

/// After a kernel launch: throws where the launch itself was refused. What fails while the kernel runs is
/// reported by the next call that waits for it.
inline void check_launch(const char* kernel) { check_cuda(cudaGetLastError(), kernel); }

#endif

}  // namespace slowsde
