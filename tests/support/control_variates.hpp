// Means over ensembles driven by known noise, with the part of the scatter that the total noise explains
// taken out: what the noise adds to a mean is known, namely nothing.
#pragma once

#include <Eigen/Dense>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "slowsde/optim/local_sgd.hpp"
#include "slowsde/sde/brownian.hpp"
#include "slowsde/sde/parallel.hpp"
#include "tests/support/ensemble.hpp"

namespace slowsde::test {

/// Two standard normals of each replica: the components of its total noise.
using TotalNoise = std::vector<std::array<double, 2>>;

/// E y from the regression of y on the Hermite polynomials of degree 1 to 3 of w ~ N(0, I), all of mean 0:
/// the intercept, with the standard error of the residuals.
inline Measured mean_without_noise(const std::vector<double>& y, const TotalNoise& w) {
  const auto n = static_cast<Eigen::Index>(y.size());
  Eigen::MatrixXd X(n, 10);
  for (Eigen::Index i = 0; i < n; ++i) {
    const auto [a, b] = w[static_cast<std::size_t>(i)];
    X.row(i) << 1, a, b, a * a - 1, a * b, b * b - 1, a * (a * a - 3), (a * a - 1) * b, a * (b * b - 1),
        b * (b * b - 3);
  }
  const Eigen::Map<const Eigen::VectorXd> values(y.data(), n);
  if (!values.allFinite()) throw std::runtime_error("replicas diverged");
  const Eigen::MatrixXd gram = X.transpose() * X;
  const Eigen::LDLT<Eigen::MatrixXd> solver(gram);
  const Eigen::VectorXd coefficients = solver.solve(X.transpose() * values);
  const double variance = (values - X * coefficients).squaredNorm() / static_cast<double>(n - X.cols());
  const Eigen::VectorXd e0 = Eigen::VectorXd::Unit(X.cols(), 0);
  return {coefficients[0], std::sqrt(variance * solver.solve(e0)[0])};
}

/// Σ ξ over all steps and workers of iterates with Gaussian noise of two components, divided by its standard
/// deviation.
inline TotalNoise total_noise(const LocalSgd& algorithm, const IterateOptions& options) {
  constexpr int W = native_width<double>;
  TotalNoise result(options.replicas);
  const double scale = 1 / std::sqrt(static_cast<double>(algorithm.total_steps) * algorithm.workers);
  parallel_for(options.threads, options.replicas / W, [&](std::size_t pack) {
    const RandomPack<double> random(options.seed, Stream::gradient, pack * W);
    Pack<double> sum[2] = {Pack<double>(0.0), Pack<double>(0.0)}, xi[1][2];
    for (int worker = 0; worker < algorithm.workers; ++worker)
      for (std::int64_t k = 0; k < algorithm.total_steps; ++k) {
        random.normals<1>(static_cast<std::uint32_t>(worker), static_cast<std::uint64_t>(k), xi);
        for (int c = 0; c < 2; ++c) sum[c] = sum[c] + xi[0][c];
      }
    for (int l = 0; l < W; ++l)
      for (std::size_t c = 0; c < 2; ++c)
        result[pack * W + static_cast<std::size_t>(l)][c] = scale * sum[c][l];
  });
  return result;
}

/// The same of an SDE's two Brownian components over `steps` equal steps, summed over the workers of a path.
inline TotalNoise total_noise(std::uint64_t seed, std::size_t trajectories, int workers,
                              std::uint64_t steps) {
  TotalNoise result(trajectories);
  const double scale = 1 / std::sqrt(static_cast<double>(steps) * workers);
  for (std::size_t trajectory = 0; trajectory < trajectories; ++trajectory) {
    BrownianPath<double> path(seed, trajectory, 2, workers);
    for (int worker = 0; worker < workers; ++worker)
      for (std::uint64_t k = 0; k < steps; ++k) {
        double dW[2];
        path.increments_of(worker, k, 1, dW);
        for (std::size_t c = 0; c < 2; ++c) result[trajectory][c] += scale * dW[c];
      }
  }
  return result;
}

}  // namespace slowsde::test
