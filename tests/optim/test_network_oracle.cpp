#include "slowsde/optim/network_oracle.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <new>
#include <vector>

#include "slowsde/problems/random_address.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;

namespace {

std::atomic<std::int64_t> allocations{0};

void* counted(std::size_t size, std::size_t alignment) {
  ++allocations;
  void* memory = std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
  if (!memory) throw std::bad_alloc();
  return memory;
}

}  // namespace

// Not inlined: GCC takes a pair of which it inlines only one half for a mismatch.
[[gnu::noinline]] void* operator new(std::size_t size) { return counted(size, alignof(std::max_align_t)); }
[[gnu::noinline]] void* operator new(std::size_t size, std::align_val_t a) {
  return counted(size, static_cast<std::size_t>(a));
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
  std::free(memory);
}

namespace {

/// Three Gaussian classes in ten dimensions, well apart.
ClassificationData mixture(int n) {
  ClassificationData data;
  data.shape = {10, 1, 1};
  data.classes = 3;
  for (int i = 0; i < n; ++i) {
    const int label = i % 3;
    data.labels.push_back(label);
    for (int j = 0; j < 10; ++j)
      data.x.push_back(static_cast<float>(
          (j % 3 == label ? 1.5 : 0.0) +
          0.7 * normal_at(7, Stream::initial, 0, 0, static_cast<std::uint64_t>(10 * i + j))));
  }
  return data;
}

struct Setting {
  ClassificationData data = mixture(240);
  Network network = mlp_network({10, 16, 3}, Activation::silu);
  NetworkTask task{.network = &network,
                   .loss = LossKind::cross_entropy,
                   .data = &data,
                   .sampling = {.sampling = Sampling::epoch, .samples = 240, .workers = 4, .local_batch = 6},
                   .recipe = {},
                   .seed = 3};

  TrainerParams params(const char* update, std::int64_t H, std::int64_t N) const {
    TrainerParams params;
    params.workers = 4;
    params.lr = LearningRate::constant(0.1);
    params.rule = std::make_shared<ConstantRule>(H);
    params.total_steps = N;
    params.update = make_update_rule(update, [](std::string_view, double fallback) { return fallback; });
    return params;
  }
  std::vector<double> start() const {
    const Eigen::VectorXd theta = network.initial_parameters(1);
    return {theta.begin(), theta.end()};
  }
  template <class Real>
  std::vector<Real> trained(const TrainerParams& params, int threads = 1, std::uint64_t replica = 0) const {
    NetworkTrainer<Real> trainer(params, start(), NetworkOracle<Real>::factory(task, replica), threads);
    while (!trainer.finished()) trainer.round();
    return trainer.parameters();
  }
};

template <class A, class B>
double distance(const std::vector<A>& a, const std::vector<B>& b) {
  double worst = 0;
  for (std::size_t j = 0; j < a.size(); ++j) {
    const double e = std::abs(static_cast<double>(a[j]) - static_cast<double>(b[j]));
    worst = e <= worst ? worst : e;  // NaN wins
  }
  return worst;
}

}  // namespace

TEST_CASE("a network under Local SGD learns, and its batches are those of its replica") {
  const Setting setting;
  const TrainerParams params = setting.params("heavy-ball", 5, 53);
  NetworkTrainer<float> trainer(params, setting.start(), NetworkOracle<float>::factory(setting.task, 0));
  const double first = trainer.round().batch_loss;
  double last = first;
  while (!trainer.finished()) last = trainer.round().batch_loss;
  CHECK(first > 0.4);
  CHECK(last < 0.2 * first);
  CHECK(distance(trainer.parameters(), setting.trained<float>(params)) == 0);
  CHECK(distance(trainer.parameters(), setting.trained<float>(params, 1, 1)) > 1e-3);
}

TEST_CASE("on a network H = 1 equals data parallel to rounding, and H = 5 does not") {
  const Setting setting;
  for (const char* update : {"sgd", "heavy-ball", "nesterov"}) {
    TrainerParams shared = setting.params(update, 1, 40);
    shared.rule = std::make_shared<ParallelRule>();
    shared.exchange = Exchange::gradients;
    const std::vector<double> parallel = setting.trained<double>(shared);
    CHECK(distance(setting.trained<double>(setting.params(update, 1, 40)), parallel) <= 1e-12);
    CHECK(distance(setting.trained<double>(setting.params(update, 5, 40)), parallel) >= 1e-3);
  }
}

TEST_CASE("K workers that average gradients see the batches of one worker with the global batch") {
  const Setting setting;
  TrainerParams shared = setting.params("heavy-ball", 1, 40);
  shared.rule = std::make_shared<ParallelRule>();
  shared.exchange = Exchange::gradients;
  Setting alone;
  alone.task.sampling.workers = 1;
  alone.task.sampling.local_batch = 24;
  TrainerParams one = alone.params("heavy-ball", 1, 40);
  one.workers = 1;
  CHECK(distance(setting.trained<double>(shared), alone.trained<double>(one)) <= 1e-12);
}

TEST_CASE(
    "on a network the bits do not depend on the number of threads, and single precision follows double") {
  const Setting setting;
  const TrainerParams params = setting.params("adamw", 4, 22);
  const std::vector<float> one = setting.trained<float>(params);
  CHECK(setting.trained<float>(params, 2) == one);
  CHECK(setting.trained<float>(params, 3) == one);
  TrainerParams sgd = setting.params("sgd", 4, 22);
  CHECK(distance(setting.trained<float>(sgd), setting.trained<double>(sgd)) <= 1e-5);
}

TEST_CASE("a round allocates nothing") {
  Setting setting;
  setting.task.sampling.sampling = Sampling::with_replacement;
  for (const char* update : {"heavy-ball", "adamw"}) {
    for (const int threads : {1, 2}) {
      NetworkTrainer<float> trainer(setting.params(update, 20, 100), setting.start(),
                                    NetworkOracle<float>::factory(setting.task, 0), threads);
      trainer.round();
      const std::int64_t before = allocations;
      CHECK(before > 0);
      trainer.round();
      trainer.round();
      CHECK(allocations == before);
    }
  }
}
