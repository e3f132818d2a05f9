// W3 as one would write it first: an Eigen matrix per layer and worker, the passes written out, samples as
// columns. The yardstick of `slowsde bench`, built with the same flags.
#include <Eigen/Core>
#include <algorithm>
#include <vector>

#include "slowsde/experiments/benchmarks.hpp"
#include "slowsde/sde/parallel.hpp"

namespace slowsde {
namespace {

using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Columns = Eigen::MatrixXf;

struct PlainLayer {
  Matrix W;
  Eigen::VectorXf b;
};

std::vector<PlainLayer> layers_of(const std::vector<int>& widths, const std::vector<float>& theta) {
  std::vector<PlainLayer> layers;
  const float* at = theta.data();
  for (std::size_t l = 0; l + 1 < widths.size(); ++l) {
    const int in = widths[l], out = widths[l + 1];
    layers.push_back(
        {Eigen::Map<const Matrix>(at, out, in), Eigen::Map<const Eigen::VectorXf>(at + out * in, out)});
    at += out * in + out;
  }
  return layers;
}

void step(const W3Workload& w, const int* chosen, std::vector<PlainLayer>& layers, std::vector<Columns>& a,
          std::vector<Columns>& delta) {
  const std::size_t L = layers.size();
  a[0].resize(w.widths[0], w.batch);
  for (int b = 0; b < w.batch; ++b)
    a[0].col(b) = Eigen::Map<const Eigen::VectorXf>(w.data.sample(chosen[b]), w.widths[0]);
  for (std::size_t l = 0; l < L; ++l) {
    a[l + 1].noalias() = layers[l].W * a[l];
    a[l + 1].colwise() += layers[l].b;
    if (l + 1 < L) a[l + 1] = a[l + 1].array().tanh().matrix();
  }
  delta[L] = a[L];
  for (int b = 0; b < w.batch; ++b) {
    auto column = delta[L].col(b);
    column = (column.array() - column.maxCoeff()).exp().matrix();
    column /= column.sum();
    column[w.data.labels[static_cast<std::size_t>(chosen[b])]] -= 1;
  }
  const float rate = static_cast<float>(w.lr) / static_cast<float>(w.batch);
  for (std::size_t l = L; l-- > 0;) {
    if (l > 0) {
      delta[l].noalias() = layers[l].W.transpose() * delta[l + 1];
      delta[l].array() *= 1 - a[l].array().square();
    }
    layers[l].W.noalias() -= rate * delta[l + 1] * a[l].transpose();
    layers[l].b -= rate * delta[l + 1].rowwise().sum();
  }
}

}  // namespace

std::vector<float> w3_plain(const W3Workload& w, int threads) {
  const auto K = static_cast<std::size_t>(w.workers);
  std::vector<PlainLayer> mean = layers_of(w.widths, w.start);
  std::vector<std::vector<PlainLayer>> workers(K);
  for (int k = 0; k < w.steps; k += w.local_steps) {
    parallel_for(threads, static_cast<std::size_t>(threads), [&](std::size_t t) {
      std::vector<Columns> a(w.widths.size()), delta(w.widths.size());
      for (std::size_t i = K * t / static_cast<std::size_t>(threads);
           i < K * (t + 1) / static_cast<std::size_t>(threads); ++i) {
        workers[i] = mean;
        for (int h = 0; h < w.local_steps; ++h)
          step(w, w.samples.data() + ((k + h) * K + i) * static_cast<std::size_t>(w.batch), workers[i], a,
               delta);
      }
    });
    for (std::size_t l = 0; l < mean.size(); ++l) {
      mean[l] = workers[0][l];
      for (std::size_t i = 1; i < K; ++i) {
        mean[l].W += workers[i][l].W;
        mean[l].b += workers[i][l].b;
      }
      mean[l].W /= static_cast<float>(K);
      mean[l].b /= static_cast<float>(K);
    }
  }
  std::vector<float> theta;
  for (const PlainLayer& layer : mean) {
    theta.insert(theta.end(), layer.W.data(), layer.W.data() + layer.W.size());
    theta.insert(theta.end(), layer.b.data(), layer.b.data() + layer.b.size());
  }
  return theta;
}

}  // namespace slowsde
