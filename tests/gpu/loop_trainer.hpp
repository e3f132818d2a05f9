// The device trainer's rounds with plain loops in place of the device: whatever takes the workers' steps
// there is tested here without a GPU.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "slowsde/gpu/network_layout.hpp"
#include "slowsde/gpu/step_table.hpp"
#include "slowsde/optim/trainer.hpp"
#include "tests/gpu/network_cases.hpp"

namespace slowsde::test {

/// What a wrong kernel has wrong.
struct Mutation {
  std::string name;
  std::function<void(NetworkLayout&, BatchSource&)> change = {};
  double rate = 1;
};

/// What one round's steps are given; rows, state and losses as in gpu/worker_steps.hpp.
template <class Real>
struct LoopRange {
  BatchSource source;
  std::uint64_t step = 0;
  std::vector<UpdateNumbers<Real>> numbers;  ///< one for each step
  const Real* start = nullptr;
};

/// Takes the steps of all workers, or one step's gradients: Steps is made from (setting, layout) and has
///   double take(const LoopRange<Real>&, Real* rows, Real* state);       // both return the sum of the losses
///   double gradients(const LoopRange<Real>&, Real* rows);
template <class Real, class Steps>
class LoopTrainer final : public Trainer<Real> {
 public:
  LoopTrainer(const NetworkSetting& setting, Steps steps, const Mutation& mutation)
      : Trainer<Real>(setting.params, setting.start, nullptr),
        steps_(std::move(steps)),
        rate_(mutation.rate),
        table_(setting.task, NetworkSetting::replica, this->share_),
        rows_(static_cast<std::size_t>(setting.params.workers) * this->d_) {
    std::string why_not;
    NetworkLayout layout =
        make_network_layout(setting.network, setting.task.loss, setting.task.sampling.local_batch, why_not);
    REQUIRE(why_not == "");
    source_ = table_.source();
    source_.x = setting.data.x.data();
    source_.labels = setting.data.labels.data();
    if (mutation.change) mutation.change(layout, source_);
    steps_.prepare(layout, setting.params);
  }

 private:
  double train(std::int64_t H, const typename Trainer<Real>::Hook&) override {
    const auto& params = this->params_;
    auto& state = this->state_;
    LoopRange<Real> range{source_, static_cast<std::uint64_t>(state.step), {}, state.theta.data()};
    const std::vector<int>& chosen = table_.rows(state.step, H);
    range.source.table = chosen.empty() ? nullptr : chosen.data();
    range.source.table_step = range.step;
    for (std::int64_t h = 0; h < H; ++h)
      range.numbers.push_back(
          params.update->numbers(rate_ * params.lr(state.step + h), state.buffer_steps + h + 1, Real{}));
    const double loss = params.exchange == Exchange::gradients
                            ? steps_.gradients(range, rows_.data())
                            : steps_.take(range, rows_.data(), state.buffers.data());
    average();
    return loss;
  }

  std::vector<Real> mean_of(const Real* rows, std::size_t stride) const {
    std::vector<Real> mean(this->d_);
    for (std::size_t j = 0; j < this->d_; ++j) {
      double sum = 0;
      for (int w = 0; w < this->params_.workers; ++w)
        sum += static_cast<double>(rows[static_cast<std::size_t>(w) * stride + j]);
      mean[j] = static_cast<Real>(sum / this->params_.workers);
    }
    return mean;
  }

  void average() {
    auto& state = this->state_;
    const std::size_t d = this->d_, V = this->vectors_;
    std::vector<Real> mean = mean_of(rows_.data(), d);
    if (this->params_.exchange == Exchange::gradients) {
      this->params_.update->step(rate_ * this->params_.lr(state.step), state.buffer_steps + 1, d, mean.data(),
                                 state.theta.data(), state.buffers.data());
      return;
    }
    state.theta = mean;
    for (std::size_t v = 0; v < V; ++v) {
      if (this->params_.buffers == BufferPolicy::kept) break;
      std::vector<Real> buffer = mean_of(state.buffers.data() + v * d, V * d);
      if (this->params_.buffers == BufferPolicy::reset) buffer.assign(d, Real{0});
      for (int w = 0; w < this->params_.workers; ++w)
        std::copy(buffer.begin(), buffer.end(),
                  state.buffers.data() + (static_cast<std::size_t>(w) * V + v) * d);
    }
  }

  Steps steps_;
  double rate_;
  StepTable table_;
  BatchSource source_;
  std::vector<Real> rows_;
};

/// The parameters after all steps, and the mean of the batches' losses of the last round.
template <class Real, class Steps>
std::pair<std::vector<Real>, double> by_loops(const NetworkSetting& setting, Steps steps,
                                              const Mutation& mutation = {}) {
  LoopTrainer<Real, Steps> trainer(setting, std::move(steps), mutation);
  double loss = 0;
  while (!trainer.finished()) loss = trainer.round().batch_loss;
  return {trainer.parameters(), loss};
}

/// Checks Steps<float> and Steps<double> against the CPU's trainer after 1, 10 and 100 steps.
template <template <class> class Steps>
void check_against_cpu(const std::vector<NetworkCase>& cases) {
  check_trainings(cases, []<class Real>(const NetworkSetting& setting, Real) {
    return by_loops<Real>(setting, Steps<Real>{});
  });
}

/// Checks that steps with an error are far from the CPU's trainer.
template <class Steps>
void check_rejected(const std::vector<NetworkCase>& cases, const Steps& steps, const Mutation& mutation) {
  CAPTURE(mutation.name);
  // Both have label noise; one draws its samples, the other has them from a table.
  for (const NetworkCase& what : {cases[1], cases[3]}) {
    CAPTURE(what.name);
    const NetworkSetting setting(what, 10);
    const auto theta = by_loops<float>(setting, steps, mutation).first;
    const double difference = largest_difference(theta, setting.on_cpu<float>().first);
    CHECK(difference >= 10 * network_tolerance<float>(what, 10));
    CHECK(std::isfinite(difference));
  }
}

/// Errors that steps of any kind may have.
inline std::vector<Mutation> common_mutations() {
  return {
      {.name = "other samples", .change = [](NetworkLayout&, BatchSource& source) { ++source.seed; }},
      {.name = "another replica", .change = [](NetworkLayout&, BatchSource& source) { ++source.replica; }},
      {.name = "no label noise",
       .change =
           [](NetworkLayout&, BatchSource& source) {
             source.label_sigma = 0;
             source.flip.probability = 0;
           }},
      {.name = "the slope of another activation",
       .change =
           [](NetworkLayout& layout, BatchSource&) {
             for (auto& layer : layout.layer) layer.activation = Activation::relu;
           }},
      {.name = "a rate that is 1 % too large", .rate = 1.01}};
}

/// Errors that steps of networks on images may have.
inline std::vector<Mutation> image_mutations() {
  const auto of_kind = [](LayerKind kind, auto change) {
    return [kind, change](NetworkLayout& layout, BatchSource&) {
      for (auto& layer : layout.layer)
        if (layer.kind == kind) change(layer);
    };
  };
  using Layer = NetworkLayout::Layer;
  return {{.name = "images as they are",
           .change = [](NetworkLayout&, BatchSource& source) { source.augmentation = {}; }},
          {.name = "images that are never mirrored",
           .change = [](NetworkLayout&, BatchSource& source) { source.augmentation.flip = false; }},
          {.name = "images that are shifted by a pixel",
           .change = of_kind(LayerKind::convolution, [](Layer& layer) { ++layer.padding; })},
          {.name = "a group norm of one group",
           .change = of_kind(LayerKind::group_norm, [](Layer& layer) { layer.groups = 1; })},
          {.name = "a group norm with another eps",
           .change = of_kind(LayerKind::group_norm, [](Layer& layer) { layer.eps += 0.01; })},
          {.name = "another order of a pool's rows and columns",
           .change = of_kind(LayerKind::average_pool, [](Layer& layer) {
             std::swap(layer.height_in, layer.width_in);
             std::swap(layer.height_out, layer.width_out);
           })}};
}

}  // namespace slowsde::test
