#include "slowsde/gpu/device_trainer.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "slowsde/gpu/cuda_check.hpp"
#include "slowsde/gpu/current_gpu.hpp"
#include "slowsde/gpu/device_array.hpp"
#include "slowsde/gpu/displacement.hpp"
#include "slowsde/gpu/network_layout.hpp"
#include "slowsde/gpu/own_stream.hpp"
#include "slowsde/gpu/step_table.hpp"
#include "slowsde/gpu/trainer_kernels.hpp"
#include "slowsde/gpu/worker_steps.hpp"
#include "slowsde/problems/requirement.hpp"
#if defined(SLOWSDE_CUDA)
#include "slowsde/gpu/device_timer.cuh"
#endif

namespace slowsde {

DevicePath device_path(std::string_view name) {
  if (name == "auto") return DevicePath::automatic;
  if (name == "fused") return DevicePath::fused;
  if (name == "layered") return DevicePath::layered;
  throw std::invalid_argument("unknown path \"" + std::string(name) +
                              "\" of the device trainer; known: auto, fused, "
                              "layered");
}

void DeviceTrainerParams::check() const {
  using detail::require;
  require(threads >= 0 && threads <= 256, "device trainer", "0 <= threads <= 256", threads);
  require(gpu >= 0, "device trainer", "gpu >= 0", gpu);
  require(threads % 32 == 0, "device trainer", "threads is a multiple of 32", threads);
}

namespace {

NetworkLayout layout_of(const NetworkTask& task) {
  std::string why_not;
  const NetworkLayout layout =
      make_network_layout(*task.network, task.loss, task.sampling.local_batch, why_not);
  if (!why_not.empty())
    throw std::invalid_argument("device trainer: the network does not train on the device: " + why_not);
  return layout;
}

}  // namespace

void check_device_task(const TrainerParams& params, const NetworkTask& task) {
  if (params.update->formula() == UpdateFormula::other)
    throw std::invalid_argument("device trainer: the update rule " + std::string(params.update->name()) +
                                " has no formula for the device");
  layout_of(task);
}

#if defined(SLOWSDE_CUDA)

namespace {

template <class Real>
class DeviceTrainer final : public Trainer<Real> {
 public:
  DeviceTrainer(const TrainerParams& params, const std::vector<double>& start, const NetworkTask& task,
                std::uint64_t replica, const DeviceTrainerParams& device,
                std::shared_ptr<Communicator> communicator)
      : Trainer<Real>(params, start, std::move(communicator)),
        table_(task, replica, share_),
        gpu_(device.gpu),
        device_sum_(device.device_sum),
        bf16_(device.bf16),
        kernel_seconds_(device.kernel_seconds),
        own_(static_cast<std::size_t>(share_.count)),
        x_(task.data->x),
        labels_(task.data->labels),
        theta_(state_.theta),
        buffers_(state_.buffers),
        rows_(own_ * d_),
        losses_(own_),
        sum_(d_) {
    source_ = table_.source();
    source_.x = x_.data();
    source_.labels = labels_.data();
    WorkerTask<Real> workers;
    workers.layout = layout_of(task);
    workers.formula = params.update->formula();
    workers.vectors = static_cast<int>(vectors_);
    workers.first_worker = static_cast<std::uint32_t>(share_.first);
    workers.workers = share_.count;
    workers.state = buffers_.data();
    workers.rows = rows_.data();
    workers.losses = losses_.data();
    if (device.path != DevicePath::layered)
      workers_ = make_fused_workers(workers, device.threads, device.path == DevicePath::fused, stream_);
    if (!workers_) workers_ = make_layered_workers(workers, stream_);
  }

  const TrainerState<Real>& state() const override {
    copy_ = state_;
    buffers_.download(copy_.buffers.data(), copy_.buffers.size());
    return copy_;
  }

  void restore(TrainerState<Real> state) override {
    Trainer<Real>::restore(std::move(state));
    theta_.upload(state_.theta.data(), d_);
    buffers_.upload(state_.buffers.data(), state_.buffers.size());
  }

 private:
  using Trainer<Real>::params_, Trainer<Real>::d_, Trainer<Real>::vectors_, Trainer<Real>::communicator_,
      Trainer<Real>::share_, Trainer<Real>::state_;

  double train(std::int64_t H, const typename Trainer<Real>::Hook& before_average) override {
    gpu_.set();  // the caller may be another thread than the maker
    check_cuda(cudaMemsetAsync(losses_.data(), 0, own_ * sizeof(double), stream_), "clearing the losses");
    double loss = 0;
    if (params_.exchange == Exchange::gradients) {
      workers_->gradients(range(state_.step, 1, theta_.data()));
      if (device_sum_)
        loss = gradients_over_gpus();
      else
        mean_over_workers(rows_.data(), static_cast<std::int64_t>(d_), rows_.data(), 1);
      const double eta = params_.lr(state_.step);
      enqueue_update(params_.update->formula(), params_.update->numbers(eta, state_.buffer_steps + 1, Real{}),
                     static_cast<std::int64_t>(d_), rows_.data(), theta_.data(), buffers_.data(), stream_);
      fetch_average();
      this->show(before_average, {});
    } else {
      const std::int64_t at_once = table_.at_once();
      DeviceTimer timer;
      for (std::int64_t h = 0; h < H; h += at_once) {
        const StepRange<Real> steps =
            range(state_.step + h, std::min(at_once, H - h), h == 0 ? theta_.data() : nullptr, h);
        if (kernel_seconds_) timer.start(stream_);
        workers_->take(steps);
        if (kernel_seconds_) timer.stop(stream_);
      }
      if (before_average) show_workers(before_average);
      if (kernel_seconds_) timer.start(stream_);
      if (device_sum_)
        loss = average_over_gpus();
      else
        average();
      if (kernel_seconds_) timer.stop(stream_);
      fetch_average();
      if (kernel_seconds_) *kernel_seconds_ += timer.seconds();
    }
    return device_sum_ ? loss : this->sum_over_workers(own_losses());
  }

  std::vector<double> own_losses() const {
    std::vector<double> losses(own_);
    losses_.download(losses.data(), own_);
    return losses;
  }

  /// Uploads what the steps need; `taken`: steps of the round before them.
  StepRange<Real> range(std::int64_t step, std::int64_t steps, const Real* start, std::int64_t taken = 0) {
    StepRange<Real> range{.source = source_,
                          .step = static_cast<std::uint64_t>(step),
                          .steps = steps,
                          .numbers = nullptr,
                          .start = start};
    const std::vector<int>& chosen = table_.rows(step, steps);
    if (!chosen.empty()) {
      if (chosen.size() > chosen_.size()) chosen_ = DeviceArray<int>(chosen.size());
      chosen_.upload(chosen.data(), chosen.size());
      range.source.table = chosen_.data();
      range.source.table_step = range.step;
    }
    numbers_host_.clear();
    for (std::int64_t h = 0; h < steps; ++h)
      numbers_host_.push_back(
          params_.update->numbers(params_.lr(step + h), state_.buffer_steps + taken + h + 1, Real{}));
    if (numbers_host_.size() > numbers_.size())
      numbers_ = DeviceArray<UpdateNumbers<Real>>(numbers_host_.size());
    numbers_.upload(numbers_host_.data(), numbers_host_.size());
    range.numbers = numbers_.data();
    return range;
  }

  /// The mean over the workers of all ranks, in `count` copies `apart` from each other.
  void mean_over_workers(const Real* rows, std::int64_t stride, Real* to, int count, std::int64_t apart = 0) {
    const auto d = static_cast<std::int64_t>(d_);
    enqueue_sum_of_rows(rows, share_.count, stride, d, sum_.data(), stream_);
    if (communicator_->size() == 1) {
      enqueue_divided(sum_.data(), params_.workers, d, to, count, apart, stream_);
    } else {
      stream_.wait("running the local steps");
      sums_.resize(d_);
      own_sums_.resize(d_);
      sum_.download(own_sums_.data(), d_);
      communicator_->ordered_sum(sums_, [this](std::size_t begin, std::size_t end) {
        for (std::size_t j = begin; j < end; ++j)
          sums_[j] = (communicator_->rank() == 0 ? 0.0 : sums_[j]) + own_sums_[j];
      });
      sum_.upload(sums_.data(), d_);
      enqueue_divided(sum_.data(), params_.workers, d, to, count, apart, stream_);
    }
  }

  void average() {
    const auto d = static_cast<std::int64_t>(d_), apart = static_cast<std::int64_t>(vectors_) * d;
    mean_over_workers(rows_.data(), d, theta_.data(), 1);
    reset_buffers();
    for (std::size_t v = 0; v < averaged_vectors(); ++v) {
      Real* const first = buffers_.data() + v * d_;
      mean_over_workers(first, apart, first, share_.count, apart);
    }
  }

  void reset_buffers() {
    if (params_.buffers == BufferPolicy::reset && buffers_.size() > 0)
      check_cuda(cudaMemsetAsync(buffers_.data(), 0, buffers_.size() * sizeof(Real), stream_),
                 "resetting the buffers");
  }
  /// Of a worker's state.
  std::size_t averaged_vectors() const { return params_.buffers == BufferPolicy::averaged ? vectors_ : 0; }

  /// Part number `part` of the message: this rank's part of the mean of rows, or with `start` of their mean
  /// displacement from it.
  void put(std::size_t part, const Real* rows, std::int64_t stride, const Real* start = nullptr) {
    const auto d = static_cast<std::int64_t>(d_);
    float* const to = message_.data() + part * d_;
    enqueue_sum_of_rows(rows, share_.count, stride, d, sum_.data(), stream_);
    if (start)
      enqueue_part_of_displacement(sum_.data(), share_.count, params_.workers, start, d, to, stream_);
    else
      enqueue_divided(sum_.data(), params_.workers, d, to, 1, 0, stream_);
  }

  void make_room(std::size_t parts) {
    if (message_.size() < parts * d_ + LossHalves::count)
      message_ = DeviceArray<float>(parts * d_ + LossHalves::count);
  }

  /// One message for all: the parts, which may be coarse, and the loss behind them. Returns the sum of all
  /// ranks' losses.
  double send(std::size_t parts) {
    stream_.wait("running the local steps");
    double own = 0;
    for (const double loss : own_losses()) own += loss;
    LossHalves halves(own);
    float* const behind = message_.data() + parts * d_;
    check_cuda(cudaMemcpy(behind, halves.values, sizeof halves.values, cudaMemcpyHostToDevice),
               "copying the loss to the device");
    device_sum_->sum(message_.data(), parts * d_ + LossHalves::count, bf16_ ? parts * d_ : 0, stream_);
    check_cuda(cudaMemcpy(halves.values, behind, sizeof halves.values, cudaMemcpyDeviceToHost),
               "copying the loss to the host");
    return halves.sum();
  }

  double gradients_over_gpus() {
    const auto d = static_cast<std::int64_t>(d_);
    make_room(1);
    put(0, rows_.data(), d);
    const double loss = send(1);
    enqueue_divided(message_.data(), 1, d, rows_.data(), 1, 0, stream_);
    return loss;
  }

  /// As bfloat16 it is the displacement of θ that travels, of the states they themselves: what is never
  /// negative then stays so.
  double average_over_gpus() {
    const auto d = static_cast<std::int64_t>(d_), apart = static_cast<std::int64_t>(vectors_) * d;
    const std::size_t parts = 1 + averaged_vectors();
    make_room(parts);
    put(0, rows_.data(), d, bf16_ ? theta_.data() : nullptr);
    for (std::size_t part = 1; part < parts; ++part) put(part, buffers_.data() + (part - 1) * d_, apart);
    const double loss = send(parts);
    if (bf16_)
      enqueue_displaced(message_.data(), d, theta_.data(), stream_);
    else
      enqueue_divided(message_.data(), 1, d, theta_.data(), 1, 0, stream_);
    reset_buffers();
    for (std::size_t part = 1; part < parts; ++part)
      enqueue_divided(message_.data() + part * d_, 1, d, buffers_.data() + (part - 1) * d_, share_.count,
                      apart, stream_);
    return loss;
  }

  void fetch_average() {
    stream_.wait("running the local steps");
    theta_.download(state_.theta.data(), d_);
  }

  void show_workers(const typename Trainer<Real>::Hook& hook) {
    stream_.wait("running the local steps");
    std::vector<Real> rows(own_ * d_);
    rows_.download(rows.data(), rows.size());
    std::vector<const Real*> view;
    for (std::size_t w = 0; w < own_; ++w) view.push_back(rows.data() + w * d_);
    this->show(hook, view);
  }

  StepTable table_;
  CurrentGpu gpu_;  // before all that is on it
  std::shared_ptr<DeviceSum> device_sum_;
  bool bf16_;
  double* kernel_seconds_;
  std::size_t own_;  // this rank's workers
  OwnStream stream_{cudaStreamDefault};
  DeviceArray<float> x_;
  DeviceArray<int> labels_;
  DeviceArray<Real> theta_, buffers_, rows_;
  DeviceArray<double> losses_, sum_;
  DeviceArray<float> message_;  // what ranks sum: (parts × d) and the loss
  DeviceArray<int> chosen_;
  DeviceArray<UpdateNumbers<Real>> numbers_;
  BatchSource source_;
  std::unique_ptr<WorkerSteps<Real>> workers_;
  std::vector<UpdateNumbers<Real>> numbers_host_;
  std::vector<double> sums_, own_sums_;
  mutable TrainerState<Real> copy_;
};

}  // namespace

template <class Real>
std::unique_ptr<Trainer<Real>> make_device_trainer(const TrainerParams& params,
                                                   const std::vector<double>& start, const NetworkTask& task,
                                                   std::uint64_t replica, const DeviceTrainerParams& device,
                                                   std::shared_ptr<Communicator> communicator) {
  params.check();
  check_device_task(params, task);
  device.check();
  return std::make_unique<DeviceTrainer<Real>>(params, start, task, replica, device, std::move(communicator));
}

#else

template <class Real>
std::unique_ptr<Trainer<Real>> make_device_trainer(const TrainerParams&, const std::vector<double>&,
                                                   const NetworkTask&, std::uint64_t,
                                                   const DeviceTrainerParams& device,
                                                   std::shared_ptr<Communicator>) {
  device.check();
  throw DeviceError("this slowsde was built without CUDA");
}

#endif

template std::unique_ptr<Trainer<float>> make_device_trainer(const TrainerParams&, const std::vector<double>&,
                                                             const NetworkTask&, std::uint64_t,
                                                             const DeviceTrainerParams&,
                                                             std::shared_ptr<Communicator>);
template std::unique_ptr<Trainer<double>> make_device_trainer(const TrainerParams&,
                                                              const std::vector<double>&, const NetworkTask&,
                                                              std::uint64_t, const DeviceTrainerParams&,
                                                              std::shared_ptr<Communicator>);

}  // namespace slowsde
