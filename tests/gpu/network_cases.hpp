// Trainings of small networks that every path on the device has to follow, and the CPU's.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "slowsde/optim/network_oracle.hpp"
#include "slowsde/problems/network.hpp"
#include "slowsde/problems/random_address.hpp"

namespace slowsde::test {

/// A network, its data, how it is trained, and on how many workers. Either widths, of a perceptron, or an
/// image and layers.
struct NetworkCase {
  std::string name;
  std::vector<int> widths = {};
  ImageShape image = {};
  std::vector<Layer> layers = {};
  Activation activation = Activation::tanh;
  LossKind loss = LossKind::cross_entropy;
  const char* update = "sgd";
  Sampling sampling = Sampling::with_replacement;
  int workers = 2, local_batch = 4;
  std::int64_t local_steps = 7;
  BufferPolicy buffers = BufferPolicy::kept;
  Exchange exchange = Exchange::parameters;
  double flip = 0, label_sigma = 0, lr = 0.05;
  Augmentation augmentation = {};

  Network network() const {
    return layers.empty() ? mlp_network(widths, activation) : Network(image, layers);
  }
};

/// Odd sizes, one worker, one sample, one layer; every rule, activation, loss, kind of sampling and of noise.
inline std::vector<NetworkCase> network_cases() {
  using enum Sampling;
  return {
      {.name = "tanh MLP 64-64-64-10 of the throughput comparison",
       .widths = {64, 64, 64, 10},
       .local_batch = 16,
       .local_steps = 10},
      {.name = "odd sizes, SiLU, heavy ball, epochs",
       .widths = {13, 7, 5, 3},
       .activation = Activation::silu,
       .update = "heavy-ball",
       .sampling = epoch,
       .workers = 3,
       .local_batch = 5,
       .buffers = BufferPolicy::averaged,
       .flip = 0.2},
      {.name = "one worker, one sample, ReLU, Nesterov",
       .widths = {9, 6, 2},
       .activation = Activation::relu,
       .update = "nesterov",
       .workers = 1,
       .local_batch = 1},
      {.name = "squared loss with label noise, AdamW, distinct samples",
       .widths = {10, 17, 4},
       .activation = Activation::silu,
       .loss = LossKind::squared,
       .update = "adamw",
       .sampling = distinct,
       .workers = 5,
       .local_batch = 6,
       .buffers = BufferPolicy::reset,
       .label_sigma = 0.3,
       .lr = 0.01},
      {.name = "one layer, no activation, shards, averaged gradients",
       .widths = {6, 3},
       .update = "heavy-ball",
       .sampling = fixed_shards,
       .workers = 4,
       .local_batch = 3,
       .local_steps = 1,
       .exchange = Exchange::gradients},
  };
}

/// The layers of cnn_network.
inline std::vector<Layer> cnn_layers(ImageShape image, const std::vector<int>& channels, int classes,
                                     Activation activation, int groups, int pool) {
  const Network network = cnn_network(image, channels, classes, activation, groups, pool);
  std::vector<Layer> layers;
  for (const Network::Step& step : network.steps()) layers.push_back(step.layer);
  return layers;
}

/// The same of networks on images: every kind of layer in places where it is usual and where it is not. The
/// rates are such that the trainings carry a rounding of the start along without magnifying it, as the
/// tolerance supposes: Nesterov's steps of one sample at 0.05 would make it five times as large in 100 steps.
inline std::vector<NetworkCase> image_cases() {
  using enum Sampling;
  return {
      {.name = "CNN on digits with group norm, SiLU and pools",
       .image = {1, 8, 8},
       .layers = cnn_layers({1, 8, 8}, {4, 6}, 10, Activation::silu, 2, 2),
       .local_batch = 16,
       .local_steps = 10},
      {.name = "odd sizes, strides, two activations, heavy ball, epochs",
       .image = {2, 9, 13},
       .layers = {Convolution{.channels = 6, .kernel = 3, .padding = 0, .stride = 2}, Activation::silu,
                  GroupNorm{3, 1e-3}, AveragePool{2}, Activation::tanh,
                  Convolution{.channels = 5, .kernel = 2, .padding = 1, .bias = false}, Activation::tanh,
                  Dense{3}},
       .update = "heavy-ball",
       .sampling = epoch,
       .workers = 3,
       .local_batch = 5,
       .buffers = BufferPolicy::averaged,
       .flip = 0.2,
       .augmentation = {.shift = 2, .flip = true}},
      {.name = "one worker, one sample, ReLU, Nesterov, no group norm",
       .image = {3, 4, 6},
       .layers = cnn_layers({3, 4, 6}, {5}, 2, Activation::relu, 0, 2),
       .update = "nesterov",
       .workers = 1,
       .local_batch = 1,
       .lr = 0.02},
      {.name = "a pool first, squared loss with label noise, AdamW, distinct samples",
       .image = {2, 8, 4},
       .layers = {AveragePool{2}, Convolution{.channels = 6, .kernel = 3, .padding = 2, .bias = false},
                  GroupNorm{2}, Activation::silu, AveragePool{2}, Dense{7}, Activation::tanh, Dense{4}},
       .loss = LossKind::squared,
       .update = "adamw",
       .sampling = distinct,
       .workers = 5,
       .local_batch = 6,
       .buffers = BufferPolicy::reset,
       .label_sigma = 0.3,
       .lr = 0.01,
       .augmentation = {.shift = 1, .flip = true}},
      {.name = "a group norm first, activations at both ends, shards, averaged gradients",
       .image = {4, 3, 3},
       .layers = {Activation::tanh, Activation::silu, GroupNorm{2}, GroupNorm{1},
                  Convolution{.channels = 3, .kernel = 3, .padding = 0}, Activation::tanh},
       .update = "heavy-ball",
       .sampling = fixed_shards,
       .workers = 4,
       .local_batch = 3,
       .local_steps = 1,
       .exchange = Exchange::gradients},
  };
}

/// `n` samples of Gaussian classes.
inline ClassificationData class_mixture(ImageShape shape, int classes, int n) {
  const int inputs = shape.size();
  ClassificationData data;
  data.shape = shape;
  data.classes = classes;
  for (int i = 0; i < n; ++i) {
    const int label = i % classes;
    data.labels.push_back(label);
    for (int j = 0; j < inputs; ++j)
      data.x.push_back(static_cast<float>(
          (j % classes == label ? 1.5 : 0.0) +
          0.7 * normal_at(7, Stream::initial, 0, 0, static_cast<std::uint64_t>(inputs * i + j))));
  }
  return data;
}

struct NetworkSetting {
  NetworkCase what;
  Network network;
  ClassificationData data;
  NetworkTask task;
  TrainerParams params;
  std::vector<double> start;
  static constexpr std::uint64_t replica = 3;

  NetworkSetting(const NetworkSetting&) = delete;  // the task points into the setting
  NetworkSetting(const NetworkCase& given, std::int64_t steps)
      : what(given), network(given.network()), data(class_mixture(network.input(), network.outputs(), 101)) {
    task.network = &network;
    task.loss = given.loss;
    task.data = &data;
    task.sampling = {.sampling = given.sampling,
                     .samples = data.count(),
                     .workers = given.workers,
                     .local_batch = given.local_batch};
    task.recipe.flip.probability = given.flip;
    task.recipe.augmentation = given.augmentation;
    task.recipe.targets = given.loss == LossKind::squared;
    task.recipe.target.label_sigma = given.label_sigma;
    task.seed = 11;
    params.workers = given.workers;
    params.lr = LearningRate(
        {.shape = LearningRateShape::cosine, .peak = given.lr, .end = given.lr / 4, .total_steps = 100});
    params.total_steps = steps;
    params.update = make_update_rule(given.update, [](std::string_view key, double fallback) {
      return key == "weight_decay" ? 1e-3 : fallback;
    });
    params.buffers = given.buffers;
    params.exchange = given.exchange;
    if (given.exchange == Exchange::gradients)
      params.rule = std::make_shared<ParallelRule>();
    else
      params.rule = std::make_shared<ConstantRule>(given.local_steps);
    const Eigen::VectorXd theta = network.initial_parameters(5);
    start.assign(theta.begin(), theta.end());
  }

  /// The CPU's trainer after all steps; the mean of the batches' losses of the last round.
  template <class Real>
  std::pair<std::vector<Real>, double> on_cpu() const {
    NetworkTrainer<Real> trainer(params, start, NetworkOracle<Real>::factory(task, replica));
    double loss = 0;
    while (!trainer.finished()) loss = trainer.round().batch_loss;
    return {trainer.parameters(), loss};
  }
};

/// The stated tolerance of a training's parameters after n steps: both sides round each operation of a step
/// once, in another order, and the errors of a step carry over to the next ones. AdamW divides a gradient by
/// the root of its own square, which magnifies the error of a gradient that is almost zero, most of all just
/// after its state was reset.
template <class Real>
double network_tolerance(const NetworkCase& what, std::int64_t steps) {
  const double units = std::string(what.update) == "adamw" ? 32 : 1;
  return units * static_cast<double>(std::numeric_limits<Real>::epsilon()) * (1 + static_cast<double>(steps));
}

/// The largest |a − b|/max(1, |b|); infinite where it is not a number or the lengths differ.
template <class A, class B>
double largest_difference(const std::vector<A>& a, const std::vector<B>& b) {
  double worst = a.size() == b.size() ? 0 : std::numeric_limits<double>::infinity();
  for (std::size_t j = 0; j < a.size() && j < b.size(); ++j) {
    const double y = static_cast<double>(b[j]);
    const double e = std::abs(static_cast<double>(a[j]) - y) / std::fmax(1.0, std::abs(y));
    if (!(e <= worst)) worst = std::isnan(e) ? std::numeric_limits<double>::infinity() : e;
  }
  return worst;
}

/// Checks trainings against the CPU's after 1, 10 and 100 steps, in both precisions; train(setting, Real{})
/// returns what NetworkSetting::on_cpu does.
template <class Train>
void check_trainings(const std::vector<NetworkCase>& cases, const Train& train) {
  for (const NetworkCase& what : cases) {
    CAPTURE(what.name);
    double worst = 0;  // of difference/tolerance
    for (const std::int64_t steps : {1, 10, 100}) {
      CAPTURE(steps);
      const NetworkSetting setting(what, steps);
      const auto compare = [&]<class Real>(Real) {
        const auto [theta, loss] = train(setting, Real{});
        const auto [expected, expected_loss] = setting.on_cpu<Real>();
        const double difference = largest_difference(theta, expected),
                     tolerance = network_tolerance<Real>(what, steps);
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

}  // namespace slowsde::test
