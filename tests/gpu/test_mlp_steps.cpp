// The body of the fused kernel, run by plain loops over the threads of a block, against the CPU's trainer.
#include "slowsde/gpu/mlp_steps.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "slowsde/gpu/step_table.hpp"
#include "slowsde/gpu/with_formula.hpp"
#include "tests/gpu/network_cases.hpp"

using namespace slowsde;
using test::NetworkCase;
using test::NetworkSetting;

namespace {

/// What a wrong kernel has wrong.
struct Mutation {
  std::string name;
  std::function<void(MlpLayout&, BatchSource&)> change;
  std::function<std::uint32_t(std::uint32_t)> worker;
  double rate = 1;
};

/// A trainer whose workers are blocks of looping threads.
template <class Real>
class LoopTrainer final : public Trainer<Real> {
 public:
  LoopTrainer(const NetworkSetting& setting, LoopBlock block, const Mutation& mutation)
      : Trainer<Real>(setting.params, setting.start, nullptr),
        block_(block),
        mutation_(mutation),
        table_(setting.task, NetworkSetting::replica, this->share_) {
    std::string why_not;
    layout_ = make_mlp_layout(setting.network, setting.task.loss, setting.task.sampling.local_batch, why_not);
    REQUIRE(why_not == "");
    source_ = table_.source();
    source_.x = setting.data.x.data();
    source_.labels = setting.data.labels.data();
    if (mutation.change) mutation.change(layout_, source_);
    workers_.resize(static_cast<std::size_t>(setting.params.workers) * this->d_);
    memory_.resize(static_cast<std::size_t>(layout_.numbers) / 4);
  }

 private:
  double train(std::int64_t H, const typename Trainer<Real>::Hook&) override {
    const auto& params = this->params_;
    auto& state = this->state_;
    const std::vector<int>& chosen = table_.rows(state.step, H);
    source_.table = chosen.empty() ? nullptr : chosen.data();
    source_.table_step = static_cast<std::uint64_t>(state.step);
    std::vector<UpdateNumbers<Real>> numbers;
    for (std::int64_t h = 0; h < H; ++h)
      numbers.push_back(params.update->numbers(mutation_.rate * params.lr(state.step + h),
                                               state.buffer_steps + h + 1, Real{}));
    double loss = 0;
    const auto d = static_cast<std::int64_t>(this->d_);
    for (int w = 0; w < params.workers; ++w) {
      const std::uint32_t worker =
          mutation_.worker ? mutation_.worker(static_cast<std::uint32_t>(w)) : static_cast<std::uint32_t>(w);
      Real* const end = workers_.data() + w * d;
      Real* const memory = reinterpret_cast<Real*>(memory_.data());
      const auto k = static_cast<std::uint64_t>(state.step);
      if (params.exchange == Exchange::gradients) {
        MlpBlock<Real, LoopBlock> network(block_, layout_, source_, worker, memory);
        network.load(state.theta.data());
        network.step(k, loss, [end](Real&, Real g, int j) { end[j] = g; });
        continue;
      }
      Real* const buffers = state.buffers.data() + w * static_cast<std::int64_t>(this->vectors_) * d;
      const auto steps = [&]<class Formula>(Formula) {
        loss += mlp_local_steps<Formula, Real>(block_, layout_, source_, worker, k, H, numbers.data(),
                                               state.theta.data(), buffers, d, end, memory);
      };
      with_formula(params.update->formula(), steps);
    }
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
    std::vector<Real> mean = mean_of(workers_.data(), d);
    if (this->params_.exchange == Exchange::gradients) {
      this->params_.update->step(mutation_.rate * this->params_.lr(state.step), state.buffer_steps + 1, d,
                                 mean.data(), state.theta.data(), state.buffers.data());
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

  LoopBlock block_;
  Mutation mutation_;
  StepTable table_;
  MlpLayout layout_;
  BatchSource source_;
  std::vector<Real> workers_;
  std::vector<detail::Four<Real>> memory_;
};

template <class Real>
std::pair<std::vector<Real>, double> by_loops(const NetworkSetting& setting,
                                              LoopBlock block = {.threads = 32},
                                              const Mutation& mutation = {}) {
  LoopTrainer<Real> trainer(setting, block, mutation);
  double loss = 0;
  while (!trainer.finished()) loss = trainer.round().batch_loss;
  return {trainer.parameters(), loss};
}

}  // namespace

TEST_CASE(
    "a block of threads trains as the CPU's trainer does, after 1, 10 and 100 steps, in both precisions") {
  for (const NetworkCase& what : test::network_cases()) {
    CAPTURE(what.name);
    double worst = 0;  // of difference/tolerance
    for (const std::int64_t steps : {1, 10, 100}) {
      CAPTURE(steps);
      const NetworkSetting setting(what, steps);
      const auto compare = [&]<class Real>(Real) {
        const auto [theta, loss] = by_loops<Real>(setting);
        const auto [expected, expected_loss] = setting.on_cpu<Real>();
        const double difference = test::largest_difference(theta, expected),
                     tolerance = test::network_tolerance<Real>(what, steps);
        CHECK(difference <= tolerance);
        CHECK(std::abs(loss - expected_loss) <= tolerance * std::fmax(1, expected_loss));
        worst = std::fmax(worst, difference / tolerance);
      };
      compare(0.0f);
      compare(0.0);
    }
    MESSAGE("largest difference from the CPU's parameters over its tolerance: " << worst);
  }
}

TEST_CASE("the bits depend neither on the number of a block's threads nor on their order within a phase") {
  for (const NetworkCase& what : test::network_cases()) {
    CAPTURE(what.name);
    const NetworkSetting setting(what, 10);
    const auto reference = by_loops<float>(setting);
    for (const int threads : {1, 7, 128, 1024})
      for (const bool backwards : {false, true})
        CHECK(by_loops<float>(setting, {.threads = threads, .backwards = backwards}) == reference);
  }
}

TEST_CASE("wrong kernels are rejected") {
  const std::vector<Mutation> mutations = {
      {.name = "other samples",
       .change = [](MlpLayout&, BatchSource& source) { ++source.seed; },
       .worker = {}},
      {.name = "the worker before",
       .change = {},
       .worker = [](std::uint32_t w) { return w == 0 ? w : w - 1; }},
      {.name = "another replica",
       .change = [](MlpLayout&, BatchSource& source) { ++source.replica; },
       .worker = {}},
      {.name = "no label noise",
       .change =
           [](MlpLayout&, BatchSource& source) {
             source.label_sigma = 0;
             source.flip.probability = 0;
           },
       .worker = {}},
      {.name = "the slope of another activation",
       .change = [](MlpLayout& layout, BatchSource&) { layout.activation = Activation::relu; },
       .worker = {}},
      {.name = "a rate that is 1 % too large", .change = {}, .worker = {}, .rate = 1.01},
      {.name = "the last column of the batch is left out of the products",
       .change = [](MlpLayout& layout, BatchSource&) { --layout.batch; },
       .worker = {}},
  };
  const auto cases = test::network_cases();
  for (const Mutation& mutation : mutations) {
    CAPTURE(mutation.name);
    // Both have label noise; one draws its samples, the other has them from a table.
    for (const NetworkCase& what : {cases[1], cases[3]}) {
      CAPTURE(what.name);
      const NetworkSetting setting(what, 10);
      const auto theta = by_loops<float>(setting, {.threads = 32}, mutation).first;
      const double difference = test::largest_difference(theta, setting.on_cpu<float>().first);
      CHECK(difference >= 10 * test::network_tolerance<float>(what, 10));
      CHECK(std::isfinite(difference));
    }
  }
}

TEST_CASE("a network that no block can hold says why") {
  const auto why = [](const Network& network) {
    std::string why_not;
    make_mlp_layout(network, LossKind::cross_entropy, 4, why_not);
    return why_not;
  };
  CHECK(why(cnn_network({1, 8, 8}, {4}, 3)).find("convolutions") != std::string::npos);
  CHECK(why(mlp_network(std::vector<int>(10, 3))).find("more than 8") != std::string::npos);
  CHECK(why(mlp_network({3, 2})) == "");
}
