// Small networks of every layer kind, with data and parameters in general position, for laws that hold for
// all.
#pragma once

#include <doctest/doctest.h>

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "slowsde/problems/dataset.hpp"
#include "slowsde/problems/network.hpp"
#include "slowsde/problems/network_gradient.hpp"
#include "slowsde/problems/random_address.hpp"

namespace slowsde::test {

inline Eigen::VectorXd normals(int size, std::uint64_t seed) {
  Eigen::VectorXd v(size);
  for (int k = 0; k < size; ++k) v[k] = normal_at(seed, Stream::initial, 0, 0, static_cast<std::uint64_t>(k));
  return v;
}

/// Relative to the larger of 1 and |b|: a linear network has no curvature at all. Infinite for NaN.
template <class A, class B>
double relative(const A& a, const B& b) {
  const double distance = (a - b).norm();
  return std::isnan(distance) ? std::numeric_limits<double>::infinity() : distance / std::max(1.0, b.norm());
}

struct NamedNetwork {
  std::string name;
  Network network;
};

/// Widths, channels and images that are and are not multiples of the kernels' blocks.
inline std::vector<NamedNetwork> all_networks() {
  return {
      {"linear", mlp_network({3, 2})},
      {"tanh", mlp_network({5, 7, 3}, Activation::tanh)},
      {"silu", mlp_network({17, 9, 20, 2}, Activation::silu)},
      {"one convolution", Network({2, 4, 5}, {Convolution{.channels = 3, .kernel = 2, .padding = 1}})},
      {"stride", Network({1, 7, 6}, {Convolution{.channels = 5, .kernel = 3, .padding = 0, .stride = 2},
                                     Activation::tanh, Dense{3}})},
      {"bare convolutions", cnn_network({1, 4, 4}, {2, 5}, 3, Activation::silu, 0)},
      {"group norm", Network({4, 2, 3}, {GroupNorm{2}, Activation::silu, Dense{3}})},
      {"pool first",
       Network({2, 6, 4}, {AveragePool{2}, Dense{4}, Activation::tanh, Activation::silu, Dense{2}})},
      {"activation first", Network({6, 1, 1}, {Activation::tanh, Dense{3}, GroupNorm{1}, Activation::tanh})},
      {"cnn", cnn_network({1, 8, 8}, {4, 6}, 3, Activation::silu, 2)},
      {"cnn, tanh, one group", cnn_network({3, 4, 4}, {5}, 4, Activation::tanh, 1)},
  };
}

/// Weights, biases, scales and shifts all non-zero, so that no term of a derivative is missing.
inline Eigen::VectorXd general_parameters(const Network& network, std::uint64_t seed) {
  return network.initial_parameters(seed, 1.2) + 0.3 * normals(network.dim(), seed + 1);
}

inline Dataset general_data(const Network& network, int n) {
  Dataset data = gaussian_inputs(n, network.inputs(), network.outputs(), 11);
  for (std::size_t k = 0; k < data.y.size(); ++k) data.y[k] = normal_at(12, Stream::initial, 0, 0, k);
  return data;
}

/// A batch that owns its arrays: samples of a data set, with labels i mod C.
template <class Real>
class OwnedBatch {
 public:
  OwnedBatch(const Dataset& data, int size) : OwnedBatch(data, size, batch_stride<Real>(size)) {}
  OwnedBatch(const Dataset& data, int size, int stride)
      : size_(size),
        stride_(stride),
        x_(transposed(data.x, data.inputs)),
        y_(transposed(data.y, data.outputs)) {
    for (int b = 0; b < size; ++b) labels_.push_back(b % data.outputs);
  }
  Batch<Real> view() const {
    return {.size = size_, .stride = stride_, .x = x_.data(), .labels = labels_.data(), .y = y_.data()};
  }
  std::vector<int>& labels() { return labels_; }

 private:
  std::vector<Real> transposed(const std::vector<double>& table, int width) const {
    std::vector<Real> result(static_cast<std::size_t>(width) * stride_, Real{0});
    for (int b = 0; b < size_; ++b)
      for (int j = 0; j < width; ++j)
        result[static_cast<std::size_t>(j) * stride_ + b] =
            static_cast<Real>(table[static_cast<std::size_t>(b) * width + j]);
    return result;
  }
  int size_, stride_;
  std::vector<Real> x_, y_;
  std::vector<int> labels_;
};

template <class Check>
void over_networks(Check check) {
  for (const NamedNetwork& n : all_networks()) {
    CAPTURE(n.name);
    check(n.network);
  }
}

}  // namespace slowsde::test
