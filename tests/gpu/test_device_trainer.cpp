// Both paths of the device trainer against the CPU's trainer.
#include "slowsde/gpu/device_trainer.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "slowsde/gpu/cuda_check.hpp"
#include "slowsde/gpu/trainer_memory.hpp"
#include "tests/gpu/network_cases.hpp"

using namespace slowsde;
using test::NetworkCase;
using test::NetworkSetting;

namespace {

const DevicePath paths[] = {DevicePath::fused, DevicePath::layered};

const char* name_of(DevicePath path) { return path == DevicePath::fused ? "fused" : "layered"; }

template <class Real>
std::unique_ptr<Trainer<Real>> on_device(const NetworkSetting& setting, DevicePath path) {
  return make_device_trainer<Real>(setting.params, setting.start, setting.task, NetworkSetting::replica,
                                   {.path = path});
}

template <class Real>
std::pair<std::vector<Real>, double> trained(const NetworkSetting& setting, DevicePath path) {
  const auto trainer = on_device<Real>(setting, path);
  double loss = 0;
  while (!trainer->finished()) loss = trainer->round().batch_loss;
  return {trainer->parameters(), loss};
}

}  // namespace

TEST_CASE("both paths train as the CPU's trainer does, after 1, 10 and 100 steps, in both precisions") {
  for (const DevicePath path : paths) {
    CAPTURE(std::string(name_of(path)));
    for (const auto& cases : {test::network_cases(), test::image_cases()})
      test::check_trainings(cases, [path]<class Real>(const NetworkSetting& setting, Real) {
        return trained<Real>(setting, path);
      });
  }
}

TEST_CASE("wrong trainings on the device are rejected") {
  for (const DevicePath path : paths) {
    for (const NetworkCase& what : {test::network_cases()[1], test::network_cases()[3],
                                    test::image_cases()[1], test::image_cases()[3]}) {
      CAPTURE(what.name);
      const auto expected = NetworkSetting(what, 10).on_cpu<float>().first;
      const auto reject = [&](const std::string& name, const auto& change) {
        CAPTURE(name);
        NetworkSetting setting(what, 10);
        change(setting);
        const double difference = test::largest_difference(trained<float>(setting, path).first, expected);
        CHECK(difference >= 10 * test::network_tolerance<float>(what, 10));
        CHECK(std::isfinite(difference));
      };
      reject("other samples", [](NetworkSetting& s) { ++s.task.seed; });
      reject("no label noise", [](NetworkSetting& s) {
        s.task.recipe.flip.probability = 0;
        s.task.recipe.target.label_sigma = 0;
      });
      reject("another activation", [&](NetworkSetting& s) {
        std::vector<Layer> layers;
        for (const Network::Step& step : s.network.steps())
          layers.push_back(std::holds_alternative<Activation>(step.layer) ? Activation::relu : step.layer);
        s.network = Network(s.network.input(), layers);
      });
      reject("a rate that is 1 % too large", [](NetworkSetting& s) {
        s.params.lr = LearningRate({.shape = LearningRateShape::cosine,
                                    .peak = 1.01 * s.what.lr,
                                    .end = 1.01 * s.what.lr / 4,
                                    .total_steps = 100});
      });
    }
  }
}

TEST_CASE("the bits of a path are the same in every run, and a restored state continues the training") {
  for (const NetworkCase& what : {test::network_cases()[1], test::image_cases()[1]}) {
    CAPTURE(what.name);
    const NetworkSetting setting(what, 40);
    for (const DevicePath path : paths) {
      const auto all = trained<float>(setting, path);
      CHECK(trained<float>(setting, path) == all);
      const auto first = on_device<float>(setting, path);
      while (first->steps_taken() < 14) first->round();
      const auto second = on_device<float>(setting, path);
      second->restore(first->state());
      while (!second->finished()) second->round();
      CHECK(second->parameters() == all.first);
    }
  }
}

TEST_CASE("the hook sees the workers whose mean is the average") {
  const NetworkSetting setting(test::network_cases()[0], 10);
  for (const DevicePath path : paths) {
    const auto trainer = on_device<double>(setting, path);
    std::vector<double> mean(setting.start.size(), 0.0);
    trainer->round([&](WorkersView<double> workers) {
      CHECK(workers.size() == 2);
      CHECK(workers[0][0] != workers[1][0]);
      for (std::size_t j = 0; j < mean.size(); ++j) mean[j] = (workers[0][j] + workers[1][j]) / 2;
    });
    CHECK(test::largest_difference(trainer->parameters(), mean) <= 1e-15);
  }
}

TEST_CASE("a network that a block's shared memory does not hold is trained all the same, by every path") {
  const ImageShape image{3, 16, 16};
  const std::vector<NetworkCase> cases = {
      {.name = "too many activations",
       .image = image,
       .layers = test::cnn_layers(image, {16, 32}, 5, Activation::silu, 4, 2),
       .update = "heavy-ball",
       .local_batch = 8},
      {.name = "too many weights", .widths = {40, 400, 400, 5}, .update = "heavy-ball", .local_batch = 8}};
  for (const NetworkCase& what : cases) {
    CAPTURE(what.name);
    const NetworkSetting setting(what, 3);
    const auto expected = setting.on_cpu<float>().first;
    for (const DevicePath path : {DevicePath::automatic, DevicePath::fused, DevicePath::layered})
      CHECK(test::largest_difference(trained<float>(setting, path).first, expected) <=
            test::network_tolerance<float>(what, 3));
  }
}

TEST_CASE("a trainer takes the memory that is counted beforehand") {
  const NetworkSetting setting(
      {.name = "large", .widths = {512, 1024, 1024, 10}, .update = "adamw", .workers = 64, .local_batch = 32},
      14);
  on_device<float>(setting, DevicePath::layered)->round();  // what the libraries load for good
  for (const DevicePath path : paths) {
    CAPTURE(std::string(name_of(path)));
    const double counted = trainer_memory(setting.params, setting.task, {.path = path},
                                          WorkerShare::of(64, 0, 1), true, shared_memory_of_block())
                               .bytes;
    std::size_t before = 0, after = 0, total = 0;
    check_cuda(cudaMemGetInfo(&before, &total), "asking for the free memory");
    const auto trainer = on_device<float>(setting, path);
    trainer->round();
    check_cuda(cudaMemGetInfo(&after, &total), "asking for the free memory");
    // Arrays begin at multiples of 2 MB, and the libraries have some of their own.
    CHECK(std::abs(static_cast<double>(before - after) - counted) <= 0.02 * counted + 64e6);
  }
}

TEST_CASE("more workers than the GPU holds at once, and more memory than it has") {
  const NetworkSetting many({.name = "many", .widths = {6, 5, 3}, .workers = 3001, .local_batch = 2}, 7);
  for (const DevicePath path : paths)
    CHECK(test::largest_difference(trained<float>(many, path).first, many.on_cpu<float>().first) <=
          test::network_tolerance<float>(many.what, 7));
  const NetworkSetting huge({.name = "huge", .widths = {3000, 9000, 3}, .workers = 4000, .local_batch = 2},
                            1);
  CHECK_THROWS_WITH_AS(on_device<float>(huge, DevicePath::automatic), doctest::Contains("out of memory"),
                       DeviceError);
}
