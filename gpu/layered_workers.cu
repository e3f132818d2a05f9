#include "slowsde/gpu/captured_work.hpp"
#include "slowsde/gpu/cublas_machine.cuh"
#include "slowsde/gpu/device_array.hpp"
#include "slowsde/gpu/layered_steps.hpp"
#include "slowsde/gpu/with_formula.hpp"
#include "slowsde/gpu/worker_steps.hpp"

namespace slowsde {
namespace {

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
