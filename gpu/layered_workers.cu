#include <cublas_v2.h>

#include <string>

#include "slowsde/gpu/cuda_check.hpp"
#include "slowsde/gpu/device_array.hpp"
#include "slowsde/gpu/layered_steps.hpp"
#include "slowsde/gpu/own_stream.hpp"
#include "slowsde/gpu/with_formula.hpp"
#include "slowsde/gpu/worker_steps.hpp"

namespace slowsde {
namespace {

void check_cublas(cublasStatus_t status, const char* what) {
  if (status != CUBLAS_STATUS_SUCCESS)
    throw DeviceError(std::string("cuBLAS: ") + what + ": " + cublasGetStatusString(status));
}

template <class Function>
__global__ void each(Function f, std::int64_t count) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < count) f(i);
}

/// Products by cuBLAS and functions by kernels, one after the other on a stream.
class CublasMachine {
 public:
  explicit CublasMachine(cudaStream_t stream) : workspace_(std::size_t{32} << 20) {
    check_cublas(cublasCreate(&handle_), "creating a handle");
    use(stream);
  }
  ~CublasMachine() { cublasDestroy(handle_); }
  CublasMachine(const CublasMachine&) = delete;
  CublasMachine& operator=(const CublasMachine&) = delete;

  /// Enqueues on another stream from now on.
  void use(cudaStream_t stream) {
    stream_ = stream;
    check_cublas(cublasSetStream(handle_, stream), "setting the stream");
    // Its own workspace, so that nothing is allocated while a step is captured; a new stream resets it.
    check_cublas(cublasSetWorkspace(handle_, workspace_.data(), workspace_.size()), "setting the workspace");
  }

  template <class Function>
  void for_each(std::int64_t count, const Function& f) {
    constexpr unsigned threads = 256;
    each<<<static_cast<unsigned>((count + threads - 1) / threads), threads, 0, stream_>>>(f, count);
    check_launch("launching a function of the layered step");
  }

  void multiply(const BatchedProduct<float>& p) {
    const float one = 1, zero = 0;
    check_cublas(cublasSgemmStridedBatched(handle_, op(p.transpose_a), op(p.transpose_b), p.m, p.n, p.k, &one,
                                           p.a, p.row_a, p.stride_a, p.b, p.row_b, p.stride_b, &zero, p.c,
                                           p.row_c, p.stride_c, p.count),
                 "multiplying");
  }
  void multiply(const BatchedProduct<double>& p) {
    const double one = 1, zero = 0;
    check_cublas(cublasDgemmStridedBatched(handle_, op(p.transpose_a), op(p.transpose_b), p.m, p.n, p.k, &one,
                                           p.a, p.row_a, p.stride_a, p.b, p.row_b, p.stride_b, &zero, p.c,
                                           p.row_c, p.stride_c, p.count),
                 "multiplying");
  }

 private:
  static cublasOperation_t op(bool transposed) { return transposed ? CUBLAS_OP_T : CUBLAS_OP_N; }

  cudaStream_t stream_ = nullptr;
  DeviceArray<unsigned char> workspace_;
  cublasHandle_t handle_ = nullptr;
};

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
        cudaStreamEndCapture(apart, &graph);
        if (graph) cudaGraphDestroy(graph);
        throw;
      }
      check_cuda(cudaStreamEndCapture(apart, &graph), "ending a capture");
      const cudaError_t status = cudaGraphInstantiate(&executable_, graph, 0);
      cudaGraphDestroy(graph);
      check_cuda(status, "instantiating a graph");
    }
    check_cuda(cudaGraphLaunch(executable_, stream), "launching a graph");
  }

 private:
  bool loaded_ = false;
  cudaGraphExec_t executable_ = nullptr;
};

template <class Real>
class LayeredWorkers final : public WorkerSteps<Real> {
 public:
  LayeredWorkers(const WorkerTask<Real>& task, cudaStream_t stream)
      : task_(task),
        stream_(stream),
        plan_(task.layout, task.first_worker, task.workers),
        inputs_(1),
        chosen_(static_cast<std::size_t>(plan_.chosen())),
        memory_(static_cast<std::size_t>(plan_.numbers)),
        machine_(stream) {
    at_ = {inputs_.data(), chosen_.data(), memory_.data(), task.losses};
  }

  const char* name() const override { return "layered"; }

  void take(const StepRange<Real>& range) override {
    upload(range);
    const std::int64_t d = task_.layout.dim;
    if (range.start)
      machine_.for_each(task_.workers * d, detail::CopyToRows<Real>{range.start, d, task_.rows});
    const bool one_by_one = drawn_one_by_one(range.source);
    for (std::int64_t h = 0; h < range.steps; ++h)
      step_[one_by_one].launch(stream_, [&](cudaStream_t apart) {
        machine_.use(apart);
        with_formula(task_.formula, [&]<class Formula>(Formula) {
          layered_step<Formula, Real>(machine_, plan_, at_, one_by_one, task_.rows, task_.state);
        });
        machine_.use(stream_);
      });
  }

  void gradients(const StepRange<Real>& range) override {
    upload(range);
    layered_gradients<Real>(machine_, plan_, at_, drawn_one_by_one(range.source), range.start, 0, task_.rows);
    machine_.for_each(task_.workers, detail::FinishStep<Real>{at_.inputs, at_.memory + plan_.losses,
                                                              plan_.shape.batch, at_.losses});
  }

 private:
  static bool drawn_one_by_one(const BatchSource& source) {
    return source.table == nullptr && !source.replacement;
  }
  void upload(const StepRange<Real>& range) {
    const StepInputs<Real> inputs{range.source, range.step, range.step, range.numbers};
    inputs_.upload(&inputs, 1);
  }

  WorkerTask<Real> task_;
  cudaStream_t stream_;
  LayeredPlan plan_;
  DeviceArray<StepInputs<Real>> inputs_;
  DeviceArray<int> chosen_;
  DeviceArray<Real> memory_;
  CublasMachine machine_;
  LayeredMemory<Real> at_;
  CapturedWork step_[2];  // with samples from a table or independent ones, and with distinct ones
};

}  // namespace

template <class Real>
std::unique_ptr<WorkerSteps<Real>> make_layered_workers(const WorkerTask<Real>& task, cudaStream_t stream) {
  return std::make_unique<LayeredWorkers<Real>>(task, stream);
}

template std::unique_ptr<WorkerSteps<float>> make_layered_workers(const WorkerTask<float>&, cudaStream_t);
template std::unique_ptr<WorkerSteps<double>> make_layered_workers(const WorkerTask<double>&, cudaStream_t);

}  // namespace slowsde
