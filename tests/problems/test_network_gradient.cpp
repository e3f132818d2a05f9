#include "slowsde/problems/network_gradient.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <stdexcept>
#include <vector>

#include "tests/support/networks.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;
using Eigen::VectorXd;

namespace {

template <class Real>
std::vector<Real> rounded(const VectorXd& v) {
  return {v.begin(), v.end()};
}
template <class Real>
VectorXd widened(const std::vector<Real>& v) {
  return Eigen::Map<const Eigen::Matrix<Real, Eigen::Dynamic, 1>>(v.data(), static_cast<int>(v.size()))
      .template cast<double>();
}

template <class Check>
void over_losses_and_networks(Check check) {
  for (const LossKind loss : {LossKind::squared, LossKind::cross_entropy}) {
    CAPTURE(static_cast<int>(loss));
    test::over_networks([&](const Network& network) { check(network, loss); });
  }
}

}  // namespace

TEST_CASE("the gradient of the mean loss is its central differences, for both losses and all layers") {
  over_losses_and_networks([](const Network& network, LossKind loss) {
    const Dataset data = test::general_data(network, 19);
    const test::OwnedBatch<double> batch(data, 19);
    NetworkGradient<double> gradient(network, loss, 19);
    const VectorXd theta = test::general_parameters(network, 21);
    VectorXd g = VectorXd::Constant(network.dim(), std::nan("")), moved = theta;
    const double value = gradient.value_and_gradient(theta.data(), batch.view(), g.data());
    const auto mean = [&] { return gradient.evaluate(moved.data(), batch.view()).loss_sum / 19; };
    CHECK(test::near(value, mean(), 1e-13));
    const double h = 1e-5;
    for (int k = 0; k < network.dim(); k += 1 + network.dim() / 100) {
      moved[k] = theta[k] + h;
      const double up = mean();
      moved[k] = theta[k] - h;
      const double down = mean();
      moved[k] = theta[k];
      CHECK(std::abs(g[k] - (up - down) / (2 * h)) <= 1e-8 * std::max(1.0, g.norm()));
    }
  });
}

TEST_CASE("a descent in one pass is θ − ηg with the gradient and the loss at the old θ") {
  over_losses_and_networks([](const Network& network, LossKind loss) {
    const Dataset data = test::general_data(network, 19);
    const test::OwnedBatch<double> batch(data, 19);
    NetworkGradient<double> gradient(network, loss, 19);
    const VectorXd theta = test::general_parameters(network, 21);
    VectorXd g(network.dim()), moved = theta;
    const double value = gradient.value_and_gradient(theta.data(), batch.view(), g.data());
    const double eta = 0.3;
    CHECK(test::near(gradient.descend(moved.data(), batch.view(), eta), value, 1e-13));
    CHECK((moved - (theta - eta * g)).norm() <= 1e-13 * theta.norm());
    // a layer that moved before the adjoints passed through it would be off by a second-order term
    CHECK((moved - theta).norm() >= 1e-3 * theta.norm());
    for (const double refused : {0.0, -0.1, std::nan("")})
      CHECK_THROWS_AS(gradient.descend(moved.data(), batch.view(), refused), std::invalid_argument);
  });
}

TEST_CASE("in single precision loss and gradient are those of double precision to its rounding") {
  over_losses_and_networks([](const Network& network, LossKind loss) {
    const Dataset data = test::general_data(network, 19);
    const test::OwnedBatch<double> wide(data, 19);
    const test::OwnedBatch<float> narrow(data, 19);
    const VectorXd theta = test::general_parameters(network, 21);
    const std::vector<float> theta_f = rounded<float>(theta);
    std::vector<double> g(network.dim());
    std::vector<float> g_f(network.dim());
    NetworkGradient<double> gradient(network, loss, 19);
    NetworkGradient<float> gradient_f(network, loss, 19);
    const double value = gradient.value_and_gradient(theta.data(), wide.view(), g.data());
    CHECK(test::near(gradient_f.value_and_gradient(theta_f.data(), narrow.view(), g_f.data()), value, 1e-5));
    CHECK(test::relative(widened(g_f), widened(g)) < 1e-5);
  });
}

TEST_CASE("a batch is the mean of its samples, whatever its size and stride") {
  over_losses_and_networks([](const Network& network, LossKind loss) {
    const Dataset data = test::general_data(network, 33);
    const VectorXd theta = test::general_parameters(network, 21);
    const int d = network.dim();
    NetworkGradient<double> gradient(network, loss, 40);
    for (const int size : {1, 8, 33}) {
      double value = 0;
      VectorXd sum = VectorXd::Zero(d), g(d);
      NetworkGradient<double> single(network, loss, 1);
      for (int b = 0; b < size; ++b) {
        Dataset one = data;
        one.n = 1;
        one.x.assign(data.x.begin() + b * data.inputs, data.x.begin() + (b + 1) * data.inputs);
        one.y.assign(data.y.begin() + b * data.outputs, data.y.begin() + (b + 1) * data.outputs);
        test::OwnedBatch<double> batch(one, 1);
        batch.labels()[0] = b % data.outputs;
        value += single.value_and_gradient(theta.data(), batch.view(), g.data()) / size;
        sum += g / size;
      }
      for (const int stride : {batch_stride<double>(size), 48}) {
        const test::OwnedBatch<double> batch(data, size, stride);
        CHECK(test::near(gradient.value_and_gradient(theta.data(), batch.view(), g.data()), value, 1e-13));
        CHECK(test::relative(g, sum) < 1e-13);
      }
    }
  });
}

TEST_CASE("samples given row by row as well save a transposition and change no bit") {
  over_losses_and_networks([](const Network& network, LossKind loss) {
    if (network.inputs() % native_width<float> == 0) return;  // one with incomplete packs is the harder case
    constexpr int size = 21;
    const Dataset data = test::general_data(network, size);
    const test::OwnedBatch<float> owned(data, size);
    const std::vector<float> theta = rounded<float>(test::general_parameters(network, 21));
    NetworkGradient<float> gradient(network, loss, size);
    std::vector<float> g(theta.size()), again(theta.size());
    Batch<float> batch = owned.view();
    gradient.value_and_gradient(theta.data(), batch, g.data());
    const int width = batch_stride<float>(network.inputs());
    std::vector<Pack<float>> rows(batch.stride * width / native_width<float>, Pack<float>(0));
    float* const samples = reinterpret_cast<float*>(rows.data());
    for (int b = 0; b < batch.stride; ++b)
      for (int j = 0; j < network.inputs(); ++j) samples[b * width + j] = batch.x[j * batch.stride + b];
    batch.samples = samples;
    gradient.value_and_gradient(theta.data(), batch, again.data());
    CHECK(again == g);
    samples[0] += 1;  // they are what the first layer's gradient is made of
    gradient.value_and_gradient(theta.data(), batch, again.data());
    CHECK((again == g) == !std::holds_alternative<Dense>(network.steps().front().layer));
  });
}

TEST_CASE("the same batch gives the same bits, whatever was computed before and however large it might be") {
  const Network network = cnn_network({1, 8, 8}, {4, 6}, 3, Activation::silu, 2);
  const Dataset data = test::general_data(network, 40);
  const test::OwnedBatch<float> batch(data, 17), other(data, 40);
  const std::vector<float> theta = rounded<float>(test::general_parameters(network, 21));
  std::vector<float> g(theta.size()), again(theta.size(), std::nanf(""));
  NetworkGradient<float> tight(network, LossKind::cross_entropy, 17),
      roomy(network, LossKind::cross_entropy, 64);
  const float value = tight.value_and_gradient(theta.data(), batch.view(), g.data());
  roomy.value_and_gradient(theta.data(), other.view(), again.data());
  CHECK(roomy.value_and_gradient(theta.data(), batch.view(), again.data()) == value);
  CHECK(again == g);
  NetworkGradient<float> moved = std::move(roomy);
  CHECK(moved.value_and_gradient(theta.data(), batch.view(), again.data()) == value);
  CHECK(again == g);
}

TEST_CASE("evaluation counts the samples whose largest output is their label's") {
  const Network network = mlp_network({3, 4});
  Dataset data = test::general_data(network, 21);
  // f = W x with W = rows e_0, e_1, e_2, 0: the class is the largest of the inputs and zero.
  VectorXd theta = VectorXd::Zero(network.dim());
  for (int j = 0; j < 3; ++j) theta[j * 3 + j] = 1;
  test::OwnedBatch<double> batch(data, 21);
  int expected = 0;
  for (int b = 0; b < 21; ++b) {
    int best = 3;
    double top = 0;
    for (int j = 0; j < 3; ++j)
      if (data.x[b * 3 + j] > top) top = data.x[b * 3 + (best = j)];
    expected += best == b % 4;
  }
  REQUIRE(expected > 0);
  REQUIRE(expected < 21);
  NetworkGradient<double> gradient(network, LossKind::cross_entropy, 21);
  CHECK(gradient.evaluate(theta.data(), batch.view()).correct == expected);
  NetworkGradient<double> squared(network, LossKind::squared, 21);
  CHECK(squared.evaluate(theta.data(), batch.view()).correct == expected);
  Batch<double> unlabelled = batch.view();
  unlabelled.labels = nullptr;
  CHECK(squared.evaluate(theta.data(), unlabelled).correct == 0);
}

TEST_CASE("a batch that lacks what the loss needs is refused") {
  const Network network = mlp_network({3, 2});
  const Dataset data = test::general_data(network, 9);
  const test::OwnedBatch<double> owned(data, 9);
  std::vector<double> theta(network.dim()), g(network.dim());
  CHECK_THROWS_WITH_AS(NetworkGradient<double>(network, LossKind::squared, 0),
                       "network gradient: max_batch >= 1 is violated by 0", std::invalid_argument);
  NetworkGradient<double> small(network, LossKind::squared, 8), squared(network, LossKind::squared, 9),
      entropy(network, LossKind::cross_entropy, 9);
  const auto refused = [&](NetworkGradient<double>& gradient, const Batch<double>& batch,
                           const char* message) {
    CHECK_THROWS_WITH_AS(gradient.value_and_gradient(theta.data(), batch, g.data()), message,
                         std::invalid_argument);
  };
  refused(small, owned.view(), "network gradient: batch size <= max_batch is violated by 9");
  Batch<double> batch = owned.view();
  batch.size = 0;
  refused(squared, batch, "network gradient: batch size >= 1 is violated by 0");
  batch = owned.view();
  batch.stride = 9;
  refused(squared, batch, "network gradient: stride holds whole packs of the batch is violated by 9");
  batch = owned.view();
  batch.y = nullptr;
  refused(squared, batch, "network gradient: a batch of the squared loss has targets is violated by none");
  batch = owned.view();
  batch.labels = nullptr;
  refused(entropy, batch, "network gradient: a batch of the cross-entropy has labels is violated by none");
}
