#include "slowsde/problems/diagonal_network.hpp"

#include <Eigen/QR>
#include <cmath>
#include <utility>

#include "slowsde/problems/noise.hpp"
#include "slowsde/problems/random_address.hpp"
#include "slowsde/problems/requirement.hpp"

namespace slowsde {
namespace {

using RowMatrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

std::size_t size(int i) { return static_cast<std::size_t>(i); }

}  // namespace

void SparseRegression::check() const {
  using detail::require;
  require(samples >= 1, "sparse regression", "samples >= 1", samples);
  require(features >= 1, "sparse regression", "features >= 1", features);
  const std::int64_t entries = static_cast<std::int64_t>(samples) * features;
  require(entries < (std::int64_t{1} << 31), "sparse regression", "samples * features < 2^31", entries);
  require(sparsity >= 0 && sparsity <= features, "sparse regression", "0 <= sparsity <= features", sparsity);
}

RegressionData SparseRegression::generate() const {
  check();
  RegressionData data;
  data.samples = samples;
  data.features = features;
  data.inputs.resize(size(samples) * size(features));
  for (std::size_t k = 0; k < data.inputs.size(); ++k)
    data.inputs[k] = normal_at(seed, Stream::initial, 0, 0, k);
  // Worker 1 of the stream places the entries of β*, worker 2 signs them.
  std::vector<int> support(size(sparsity));
  detail::draw_integers(
      features, sparsity, false,
      [&](int b, int m) {
        return static_cast<int>(integer_at(seed, Stream::initial, 0, 1, static_cast<std::uint64_t>(b),
                                           static_cast<std::uint32_t>(m)));
      },
      support.data());
  data.coefficients.assign(size(features), 0.0);
  for (std::size_t k = 0; k < support.size(); ++k)
    data.coefficients[size(support[k])] = integer_at(seed, Stream::initial, 0, 2, k, 2) == 0 ? 1.0 : -1.0;
  data.targets.assign(size(samples), 0.0);
  for (int i = 0; i < samples; ++i)
    for (int j = 0; j < features; ++j)
      data.targets[size(i)] += data.inputs[size(i) * size(features) + size(j)] * data.coefficients[size(j)];
  return data;
}

DiagonalNetwork::DiagonalNetwork(RegressionData data) : data_(std::move(data)), p_(data_.features) {
  using detail::require;
  require(data_.samples >= 1, "diagonal network", "samples >= 1", data_.samples);
  require(p_ >= 1, "diagonal network", "features >= 1", p_);
  require(data_.inputs.size() == size(data_.samples) * size(p_), "diagonal network",
          "number of inputs = samples * features", data_.inputs.size());
  require(data_.inputs.size() < (std::size_t{1} << 31), "diagonal network", "samples * features < 2^31",
          data_.inputs.size());
  require(data_.targets.size() == size(data_.samples), "diagonal network", "number of targets = samples",
          data_.targets.size());
  second_moments_.assign(size(p_), 0.0);
  for (std::size_t k = 0; k < data_.inputs.size(); ++k)
    second_moments_[k % size(p_)] += data_.inputs[k] * data_.inputs[k] / data_.samples;
}

std::vector<double> DiagonalNetwork::coefficients(const double* theta) const {
  std::vector<double> beta(size(p_));
  for (int j = 0; j < p_; ++j) beta[size(j)] = feature_map().feature(theta, j);
  return beta;
}

std::vector<double> DiagonalNetwork::default_start() const {
  const Eigen::Map<const RowMatrix> X(data_.inputs.data(), data_.samples, p_);
  const Eigen::Map<const Eigen::VectorXd> y(data_.targets.data(), data_.samples);
  const Eigen::CompleteOrthogonalDecomposition<Eigen::MatrixXd> decomposition(X);
  Eigen::VectorXd beta = decomposition.solve(y);
  beta += decomposition.solve(y - X * beta);
  const double residual = (X * beta - y).cwiseAbs().maxCoeff();
  detail::require(residual <= 1e-12 * (1 + y.cwiseAbs().maxCoeff()), "diagonal network",
                  "least residual of an interpolator = 0", residual);
  std::vector<double> theta(size(dim()));
  for (int j = 0; j < p_; ++j) {  // u² − v² = β, uv = 1: the larger of u², v² first, free of cancellation
    const double larger = 0.5 * (std::abs(beta[j]) + std::hypot(beta[j], 2.0));
    const double smaller = 1 / larger;
    theta[size(j)] = std::sqrt(beta[j] > 0 ? larger : smaller);
    theta[size(p_ + j)] = std::sqrt(beta[j] > 0 ? smaller : larger);
  }
  return theta;
}

}  // namespace slowsde
