#include "slowsde/problems/batch_assembly.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "slowsde/problems/normal_pack.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;

namespace {

ClassificationData numbered(const ImageShape& shape, int n, int classes) {
  ClassificationData data{.shape = shape, .classes = classes, .x = {}, .labels = {}};
  for (int i = 0; i < n; ++i) {
    data.labels.push_back((7 * i) % classes);
    for (int j = 0; j < shape.size(); ++j)
      data.x.push_back(static_cast<float>(1 + i) + 0.0625f * static_cast<float>(j % 16) -
                       static_cast<float>(j));
  }
  return data;
}

template <class Real>
bool aligned(const Real* x) {
  return reinterpret_cast<std::uintptr_t>(x) % 64 == 0;
}

// Entry by entry: column b < size is sample rows[b], the others are zero.
template <class Real>
bool holds(const Batch<Real>& batch, const std::vector<const float*>& rows, int inputs) {
  if (batch.size != static_cast<int>(rows.size()) || batch.stride != batch_stride<Real>(batch.size))
    return false;
  for (int j = 0; j < inputs; ++j)
    for (int b = 0; b < batch.stride; ++b) {
      const Real expected =
          b < batch.size ? static_cast<Real>(rows[static_cast<std::size_t>(b)][j]) : Real(0);
      if (!(batch.x[j * batch.stride + b] == expected)) return false;
    }
  const int width = batch_stride<Real>(inputs);
  for (int b = 0; b < batch.stride; ++b)
    for (int j = 0; j < width; ++j)
      if (!(batch.samples[b * width + j] == (j < inputs ? batch.x[j * batch.stride + b] : Real(0))))
        return false;
  return true;
}

template <class Real>
void layouts() {
  for (const int inputs : {1, 5, 7, 8, 9, 15, 16, 17, 33, 64, 75}) {
    const ClassificationData data = numbered({inputs, 1, 1}, 60, 3);
    BatchBuffer<Real> buffer(inputs, 40);
    for (const int size : {40, 1, 7, 8, 9, 16, 17, 32, 33}) {  // a smaller batch after a larger one
      CAPTURE(inputs);
      CAPTURE(size);
      std::vector<const float*> rows;
      for (int b = 0; b < size; ++b) rows.push_back(data.sample((11 * b) % 60));
      buffer.set_samples(rows.data(), size);
      const Batch<Real> batch = buffer.batch();
      CHECK(holds(batch, rows, inputs));
      CHECK(aligned(batch.x));
      CHECK(batch.y == nullptr);
    }
  }
}

// What an assembled batch must be, from the parts that have tests of their own.
template <class Real>
void check_batch(const ClassificationData& data, const SamplingPlan& plan, const BatchRecipe& recipe,
                 BatchAssembler<Real>& assembler, std::uint64_t replica, std::uint32_t worker,
                 std::uint64_t step) {
  constexpr std::uint64_t seed = 5;
  EpochSampler sampler(plan, seed);
  const int* samples = sampler.draw(replica, worker, step);
  const int B = plan.local_batch, C = data.classes, inputs = data.shape.size();
  const Batch<Real> batch = assembler.assemble(replica, worker, step);
  std::vector<std::vector<float>> images;
  std::vector<const float*> rows;
  for (int b = 0; b < B; ++b) {
    const std::uint64_t visit = step * static_cast<std::uint64_t>(B) + static_cast<std::uint64_t>(b);
    images.emplace_back(inputs);
    apply(recipe.augmentation.draw(seed, replica, worker, visit), data.shape, data.sample(samples[b]),
          images.back().data());
    const int label =
        recipe.flip.draw(data.labels[static_cast<std::size_t>(samples[b])], C, seed, replica, worker, visit);
    REQUIRE(batch.labels[b] == label);
    for (int c = 0; recipe.targets && c < C; ++c) {
      const std::uint64_t index = visit * static_cast<std::uint64_t>(C) + static_cast<std::uint64_t>(c);
      const Real normal = RandomPack<Real>(seed, Stream::label, replica).normal(worker, index)[0];
      const Real on = static_cast<Real>(recipe.target.on), off = static_cast<Real>(recipe.target.off);
      const Real expected = (c == label ? on : off) + static_cast<Real>(recipe.target.label_sigma) * normal;
      REQUIRE(test::exact(batch.y[c * batch.stride + b], expected));
    }
  }
  for (const auto& image : images) rows.push_back(image.data());
  REQUIRE(holds(batch, rows, inputs));
  if (recipe.targets) {
    REQUIRE(aligned(batch.y));
    for (int c = 0; c < C; ++c)
      for (int b = B; b < batch.stride; ++b) REQUIRE(batch.y[c * batch.stride + b] == 0);
  } else {
    REQUIRE(batch.y == nullptr);
  }
}

template <class Real>
void assemblies() {
  const ClassificationData data = numbered({2, 5, 6}, 50, 4);
  const BatchRecipe everything{.augmentation = {.shift = 2, .flip = true},
                               .flip = {0.3},
                               .targets = true,
                               .target = {.on = 0.75, .off = -0.25, .label_sigma = 0.5}};
  for (const Sampling mode :
       {Sampling::with_replacement, Sampling::distinct, Sampling::epoch, Sampling::fixed_shards})
    for (const int B : {3, 16})
      for (const BatchRecipe& recipe : {BatchRecipe{}, BatchRecipe{.targets = true}, everything}) {
        const SamplingPlan plan{mode, 50, 3, B};
        BatchAssembler<Real> assembler(data, plan, recipe, 5);
        // In an order of no system: a batch is a function of its address.
        for (const std::uint64_t step : {4, 0, 7, 4, 1}) {
          for (const std::uint32_t worker : {2u, 0u}) {
            check_batch(data, plan, recipe, assembler, step % 2, worker, step);
          }
        }
      }
}

template <class Call>
std::string message(Call call) {
  try {
    call();
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("column b of a batch is its sample, columns beyond are zero, whatever the sizes") {
  layouts<float>();
  layouts<double>();
}

TEST_CASE("a batch is its samples with their changes, labels and noisy targets, by address alone") {
  assemblies<float>();
  assemblies<double>();
}

TEST_CASE("consecutive samples are those of the data") {
  const ClassificationData data = numbered({1, 3, 3}, 20, 4);
  BatchBuffer<double> buffer(9, 12, 4);
  const Batch<double> batch = consecutive_samples(data, 7, 12, buffer);
  std::vector<const float*> rows;
  for (int b = 0; b < 12; ++b) rows.push_back(data.sample(7 + b));
  CHECK(holds(batch, rows, 9));
  for (int b = 0; b < 12; ++b) CHECK(batch.labels[b] == data.labels[static_cast<std::size_t>(7 + b)]);
  buffer.set_targets({}, nullptr);
  for (int c = 0; c < 4; ++c)
    for (int b = 0; b < 16; ++b) CHECK(batch.y[c * 16 + b] == (b < 12 && batch.labels[b] == c));
  CHECK(message([&] { consecutive_samples(data, 7, 14, buffer); }) != "");
  CHECK(message([&] { consecutive_samples(data, 9, 12, buffer); }) ==
        "batch: first + size <= n is violated by 21");
  CHECK(message([&] { consecutive_samples(data, -1, 12, buffer); }) == "batch: first >= 0 is violated by -1");
  CHECK(message([&] { consecutive_samples(data, 0, 13, buffer); }) ==
        "batch: size <= max_batch is violated by 13");
}

TEST_CASE("impossible batches are refused by the violated inequality") {
  const ClassificationData data = numbered({1, 3, 3}, 20, 4);
  const auto refusal = [&](const SamplingPlan& plan, const BatchRecipe& recipe) {
    return message([&] { BatchAssembler<float>(data, plan, recipe, 1); });
  };
  const SamplingPlan plan{Sampling::epoch, 20, 2, 5};
  CHECK(refusal(plan, {}) == "");
  CHECK(refusal({Sampling::epoch, 19, 2, 5}, {}) == "batches: samples of the plan = n is violated by 19");
  CHECK(refusal({Sampling::epoch, 20, 2, 11}, {}) ==
        "sampling in epochs: workers*local_batch <= samples is violated by 22");
  CHECK(refusal(plan, {.augmentation = {.shift = 3}}) == "augmentation: shift < height is violated by 3");
  CHECK(refusal(plan, {.flip = {2}}) == "label flips: 0 <= p <= 1 is violated by 2");
  CHECK(refusal(plan, {.targets = true, .target = {.on = 0}}) == "targets: on > off is violated by 0");
  CHECK(refusal(plan, {.targets = true, .target = {.label_sigma = -1}}) ==
        "targets: 0 <= sigma < infinity is violated by -1");
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(refusal(plan, {.targets = true, .target = {.label_sigma = nan}}) != "");
  CHECK(refusal(plan, {.target = {.label_sigma = -1}}) == "");  // not used by a loss without targets
  CHECK(message([] { BatchBuffer<float>(0, 1); }) == "batch: inputs >= 1 is violated by 0");
  CHECK(message([] { BatchBuffer<float>(1, 0); }) == "batch: size >= 1 is violated by 0");
}
