#include "slowsde/problems/network.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <stdexcept>

#include "slowsde/problems/mlp.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;

TEST_CASE("a network of dense layers has the parameters and the initial weights of a perceptron") {
  for (const std::vector<int>& widths : {std::vector<int>{3, 2}, {64, 40, 10}, {5, 7, 6, 3}}) {
    const Network network = mlp_network(widths);
    const MlpShape shape{widths};
    CHECK(network.dim() == shape.dim());
    CHECK(network.inputs() == shape.inputs());
    CHECK(network.outputs() == shape.outputs());
    CHECK(network.weighted_layers() == shape.layers());
    int layer = 0;
    for (const Network::Step& step : network.steps()) {
      if (!step.linear()) continue;
      CHECK(step.offset == shape.weight_offset(layer));
      CHECK(step.offset + step.weights == shape.bias_offset(layer));
      ++layer;
    }
    const std::vector<double> gains(static_cast<std::size_t>(shape.layers()), 1.5);
    CHECK(network.initial_parameters(7, gains) == initial_parameters(shape, 7, gains));
    CHECK(network.initial_parameters(7, 2.0) == initial_parameters(shape, 7, 2.0));
  }
}

TEST_CASE("a convolutional network's shapes follow from kernel, padding, stride and pool") {
  const Network digits = cnn_network({1, 8, 8}, {8, 16}, 10, Activation::tanh, 2);
  // conv 8·9, norm 2·8, conv 16·8·9, norm 2·16, dense 10·(64+1): the convolutions have no bias
  CHECK(digits.dim() == 72 + 16 + 1152 + 32 + 650);
  CHECK(digits.outputs() == 10);
  CHECK(digits.weighted_layers() == 3);
  CHECK(digits.steps()[3].out == ImageShape{8, 4, 4});
  const Network plain = cnn_network({3, 6, 4}, {5}, 2, Activation::relu, 0);
  CHECK(plain.dim() == 5 * 27 + 5 + 2 * (5 * 3 * 2) + 2);
  const Network strided({2, 7, 5}, {Convolution{.channels = 4, .kernel = 3, .padding = 0, .stride = 2}});
  CHECK(strided.steps()[0].out == ImageShape{4, 3, 2});
  CHECK(strided.outputs() == 24);
  CHECK(mlp_network({4, 2}).steps()[0].in == ImageShape{4, 1, 1});
}

TEST_CASE("initial convolutions have variance gain^2/fan-in, group norms scale one and shift zero") {
  const Network network = cnn_network({3, 8, 8}, {32}, 10, Activation::silu, 4);
  const Eigen::VectorXd theta = network.initial_parameters(3, 2.0);
  const int weights = 32 * 27;
  // A variance estimated from m normals has relative SE sqrt(2/m).
  const double variance = theta.head(weights).squaredNorm() / weights, root = std::sqrt(2.0 / weights);
  CHECK(test::zscore(variance, 4.0 / 27, 4.0 / 27 * root) < 4);
  CHECK(test::zscore(variance, 4.0 / 3, 4.0 / 3 * root) > 5);
  CHECK(test::zscore(variance, 2.0 / 27, 2.0 / 27 * root) > 5);
  CHECK((theta.segment(weights, 32).array() == 1).all());
  CHECK((theta.segment(weights + 32, 32).array() == 0).all());
  const Eigen::VectorXd other = network.initial_parameters(3, {4.0, 2.0});
  CHECK((other.head(weights) - 2 * theta.head(weights)).norm() < 1e-15);
  CHECK((other.tail(network.dim() - weights) - theta.tail(network.dim() - weights)).norm() == 0);
}

TEST_CASE("every tap connects an output and an input position exactly once, from either side") {
  const Network network({2, 5, 6}, {Convolution{.channels = 3, .kernel = 3, .padding = 1, .stride = 2}});
  const Network::Step& step = network.steps()[0];
  const auto listed = [](const auto& entries, const std::vector<int>& begin, int group, int a, int b) {
    int count = 0;
    for (int k = begin[group]; k < begin[group + 1]; ++k)
      count += entries[k].first == a && entries[k].second == b;
    return count;
  };
  std::vector<std::pair<int, int>> out_taps, in_taps, contacts;
  for (const auto& t : step.taps.from_output) out_taps.push_back({t.weight, t.position});
  for (const auto& t : step.taps.from_input) in_taps.push_back({t.weight, t.position});
  for (const auto& c : step.taps.contacts) contacts.push_back({c.output, c.input});
  int expected_total = 0;
  for (int y = 0; y < step.out.height; ++y)
    for (int x = 0; x < step.out.width; ++x)
      for (int i = 0; i < 3; ++i)
        for (int j = 0; j < 3; ++j) {
          const int row = 2 * y + i - 1, column = 2 * x + j - 1;
          if (row < 0 || row >= 5 || column < 0 || column >= 6) continue;
          ++expected_total;
          const int t = 3 * i + j, out = y * step.out.width + x, in = row * 6 + column;
          CHECK(listed(out_taps, step.taps.from_output_begin, out, t, in) == 1);
          CHECK(listed(in_taps, step.taps.from_input_begin, in, t, out) == 1);
          CHECK(listed(contacts, step.taps.contacts_begin, t, out, in) == 1);
        }
  CHECK(static_cast<int>(out_taps.size()) == expected_total);
  CHECK(static_cast<int>(in_taps.size()) == expected_total);
  CHECK(static_cast<int>(contacts.size()) == expected_total);
}

TEST_CASE("a network names the inequality that its architecture violates") {
  const auto refused = [](ImageShape input, std::vector<Layer> layers, const char* message) {
    CHECK_THROWS_WITH_AS(Network(input, std::move(layers)), message, std::invalid_argument);
  };
  refused({0, 1, 1}, {Dense{1}}, "network: input channels >= 1 is violated by 0");
  refused({1, 4, 4}, {}, "network: dense and convolutional layers >= 1 is violated by 0");
  refused({1, 4, 4}, {Activation::tanh}, "network: dense and convolutional layers >= 1 is violated by 0");
  refused({1, 4, 4}, {Dense{0}}, "network: width >= 1 is violated by 0");
  refused({1, 4, 4}, {Convolution{.kernel = 5, .padding = 0}},
          "network: kernel <= image + 2 padding is violated by 5");
  refused({1, 4, 4}, {Convolution{.kernel = 3, .padding = 3}},
          "network: 0 <= padding < kernel is violated by 3");
  refused({1, 4, 4}, {Convolution{.stride = 0}}, "network: stride >= 1 is violated by 0");
  refused({3, 4, 4}, {GroupNorm{2}, Dense{1}}, "network: groups divide the channels is violated by 2");
  refused({2, 4, 4}, {GroupNorm{2, 0.0}, Dense{1}}, "network: eps > 0 is violated by 0");
  refused({2, 4, 4}, {GroupNorm{2, std::nan("")}, Dense{1}}, "network: eps > 0 is violated by nan");
  refused({1, 6, 4}, {AveragePool{4}, Dense{1}}, "network: pool size divides the height is violated by 4");
  CHECK_THROWS_WITH_AS(mlp_network({3}), "network: widths.size() >= 2 is violated by 1",
                       std::invalid_argument);
  CHECK_THROWS_WITH_AS(mlp_network({3, 2}).initial_parameters(1, {1.0, 1.0}),
                       "network: gains.size() = layers is violated by 2", std::invalid_argument);
}
