// Work on a GPU that is recorded as a CUDA graph and repeated.
#pragma once

#if defined(SLOWSDE_CUDA)

#include <cuda_runtime_api.h>

#include "slowsde/gpu/cuda_check.hpp"
#include "slowsde/gpu/own_stream.hpp"

namespace slowsde {

/// Work that is enqueued as it is once, which loads its kernels, then captured, and launched again and again.
class CapturedWork {
 public:
  CapturedWork() = default;
  ~CapturedWork() {
    if (executable_) cudaGraphExecDestroy(executable_);
  }
  CapturedWork(const CapturedWork&) = delete;
  CapturedWork& operator=(const CapturedWork&) = delete;

  /// Does the work once on `stream`. enqueue(s) puts it on the stream s; the one that is captured is apart
  /// from the default stream, whose copies in other threads would break the capture.
  template <class Enqueue>
  void launch(cudaStream_t stream, Enqueue&& enqueue) {
    if (!loaded_) {
      enqueue(stream);
      loaded_ = true;
      return;
    }
    if (!executable_) {
      const OwnStream apart(cudaStreamNonBlocking);
      check_cuda(cudaStreamBeginCapture(apart, cudaStreamCaptureModeThreadLocal), "beginning a capture");
      cudaGraph_t graph = nullptr;
      try {
        enqueue(static_cast<cudaStream_t>(apart));
      } catch (...) {
        // What was thrown says what failed.
        static_cast<void>(cudaStreamEndCapture(apart, &graph));
        if (graph) static_cast<void>(cudaGraphDestroy(graph));
        throw;
      }
      check_cuda(cudaStreamEndCapture(apart, &graph), "ending a capture");
      const cudaError_t status = cudaGraphInstantiate(&executable_, graph, 0);
      const cudaError_t given_up = cudaGraphDestroy(graph);
      check_cuda(status, "instantiating a graph");
      check_cuda(given_up, "giving up a captured graph");
    }
    check_cuda(cudaGraphLaunch(executable_, stream), "launching a graph");
  }

 private:
  bool loaded_ = false;
  cudaGraphExec_t executable_ = nullptr;
};

}  // namespace slowsde

#endif
