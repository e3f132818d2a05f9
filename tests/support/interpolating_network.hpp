// Small networks that interpolate: the targets are the outputs at the random parameters, so r = 0 there
// exactly.
#pragma once

#include <Eigen/Core>
#include <cstdint>
#include <vector>

#include "slowsde/problems/mlp.hpp"
#include "slowsde/problems/random_address.hpp"

namespace slowsde::test {

inline Eigen::VectorXd normal_vector(int size, std::uint64_t seed) {
  Eigen::VectorXd v(size);
  for (int k = 0; k < size; ++k) v[k] = normal_at(seed, Stream::initial, 0, 0, static_cast<std::uint64_t>(k));
  return v;
}

struct InterpolatingNetwork {
  MlpShape shape;
  Eigen::VectorXd theta;  ///< on Γ
  MlpFit fit;
  MlpModel model;

  InterpolatingNetwork(std::vector<int> widths, int n, std::uint64_t seed,
                       Activation activation = Activation::tanh)
      : shape{std::move(widths), activation},
        theta(initial_parameters(shape, seed, 1.2) + 0.3 * normal_vector(shape.dim(), seed + 1)),
        fit(shape, data(shape, theta, n, seed + 2)),
        model(shape, fit.data()) {}

 private:
  static Dataset data(const MlpShape& shape, const Eigen::VectorXd& theta, int n, std::uint64_t seed) {
    Dataset set = gaussian_inputs(n, shape.inputs(), shape.outputs(), seed);
    set_targets(set, MlpFit(shape, set), theta.data());
    return set;
  }
};

}  // namespace slowsde::test
