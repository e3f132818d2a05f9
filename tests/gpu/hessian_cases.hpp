// Hessian-vector products that every machine has to have, and the CPU's.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "slowsde/problems/network_derivatives.hpp"
#include "tests/support/networks.hpp"

namespace slowsde::test {

struct HessianCase {
  std::string name;
  Network network;
  int samples = 1, directions = 1;
};

/// One layer, one sample, one direction; widths and numbers of samples that are multiples of nothing.
inline std::vector<HessianCase> hessian_cases() {
  return {{"one layer, one sample", mlp_network({3, 2}), 1, 1},
          {"one layer", mlp_network({6, 5}), 19, 3},
          {"tanh, one sample", mlp_network({4, 6, 3}, Activation::tanh), 1, 3},
          {"tanh", mlp_network({5, 7, 3}, Activation::tanh), 83, 3},
          {"SiLU", mlp_network({17, 9, 20, 2}, Activation::silu), 37, 3},
          {"one direction", mlp_network({7, 5, 6, 4, 3}, Activation::silu), 21, 1},
          {"ReLU", mlp_network({6, 8, 5, 3}, Activation::relu), 13, 2},
          {"two activations, and none between two layers",
           Network({4, 1, 1}, {Dense{5}, Activation::tanh, Dense{6}, Dense{7}, Activation::silu, Dense{3}}),
           11, 3}};
}

/// |a − b|/|b|; infinite where it is not a number.
inline double relative_distance(const Eigen::VectorXd& a, const Eigen::VectorXd& b) {
  const double distance = (a - b).norm() / b.norm();
  return std::isnan(distance) ? std::numeric_limits<double>::infinity() : distance;
}

/// A case with a loss, its samples and its directions in one precision, and the products of the CPU in double
/// precision.
template <class Real>
struct HessianSetting {
  const Network& network;
  LossKind loss;
  int samples, directions;
  Dataset data;
  OwnedBatch<Real> batch;
  Eigen::VectorXd wide_theta;
  std::vector<Real> theta, v;
  std::vector<Eigen::VectorXd> expected;

  HessianSetting(const HessianCase& what, LossKind kind)
      : network(what.network),
        loss(kind),
        samples(what.samples),
        directions(what.directions),
        data(general_data(network, samples)),
        batch(data, samples, samples + 3),
        wide_theta(general_parameters(network, 21)),
        theta(wide_theta.begin(), wide_theta.end()) {
    const OwnedBatch<double> wide(data, samples);
    NetworkDerivatives<double> derivatives(network, loss, wide.view());
    derivatives.set_point(wide_theta.data());
    for (int k = 0; k < directions; ++k) {
      const Eigen::VectorXd direction = normals(network.dim(), 31 + static_cast<std::uint64_t>(k));
      v.insert(v.end(), direction.begin(), direction.end());
      expected.emplace_back(network.dim());
      derivatives.hessian_vector_product(direction.data(), expected.back().data());
    }
  }
  /// Product k of products: (directions × d).
  Eigen::VectorXd row(const std::vector<Real>& products, int k) const {
    using Row = Eigen::Matrix<Real, Eigen::Dynamic, 1>;
    const std::ptrdiff_t d = network.dim();
    return Eigen::Map<const Row>(products.data() + k * d, d).template cast<double>();
  }
  /// The largest distance of the products from the CPU's.
  double distance(const std::vector<Real>& products) const {
    double worst = 0;
    for (int k = 0; k < directions; ++k)
      worst = std::fmax(worst, relative_distance(row(products, k), expected[static_cast<std::size_t>(k)]));
    return worst;
  }
};

/// For all cases, losses and precisions; products(setting) are (directions × d).
template <class Products>
void check_products(const Products& products) {
  for (const HessianCase& what : hessian_cases())
    for (const LossKind loss : {LossKind::squared, LossKind::cross_entropy}) {
      CAPTURE(what.name);
      CAPTURE(static_cast<int>(loss));
      const HessianSetting<double> wide(what, loss);
      CHECK(wide.distance(products(wide)) <= 1e-12);
      const HessianSetting<float> single(what, loss);
      CHECK(single.distance(products(single)) <= 1e-4);
    }
}

}  // namespace slowsde::test
