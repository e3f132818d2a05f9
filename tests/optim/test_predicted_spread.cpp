// ctest-labels: theory
#include "slowsde/optim/predicted_spread.hpp"

#include <doctest/doctest.h>

#include <Eigen/Dense>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "slowsde/optim/round_moments.hpp"
#include "slowsde/optim/worker_spread.hpp"
#include "slowsde/problems/network_model.hpp"
#include "slowsde/sde/sharpness.hpp"
#include "slowsde/sde/statistics.hpp"
#include "tests/support/networks.hpp"
#include "tests/support/quadratic_oracle.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;
using test::QuadraticOracle;

namespace {

constexpr int K = 4;
constexpr std::size_t d = 83;
constexpr double sigma = 0.7, eta = 0.2;

struct Algorithm {
  std::string update = "sgd";
  BufferPolicy buffers = BufferPolicy::averaged;
  double momentum = 0.8, decay = 0;
  std::int64_t H = 8, N = 8;
  double end = eta;  // of a linear schedule over N steps
  double peak = eta;
};

TrainerParams params_of(const Algorithm& a) {
  TrainerParams params;
  params.workers = K;
  params.lr = LearningRate({.shape = LearningRateShape::linear,
                            .peak = a.peak,
                            .end = a.end,
                            .total_steps = std::max<std::int64_t>(a.N, 1)});
  params.rule = std::make_shared<ConstantRule>(a.H);
  params.total_steps = a.N;
  params.update = make_update_rule(a.update, [&](std::string_view key, double fallback) {
    return key == "momentum" ? a.momentum : key == "weight_decay" ? a.decay : fallback;
  });
  params.buffers = a.buffers;
  return params;
}

void hessian(const Eigen::VectorXd& u, Eigen::VectorXd& out) {
  out.resize(u.size());
  for (Eigen::Index j = 0; j < u.size(); ++j)
    out[j] = QuadraticOracle<double>::curvature(static_cast<std::size_t>(j)) * u[j];
}

using Vectors = std::vector<Eigen::VectorXd>;

Vectors noise_vectors(int count) {
  QuadraticOracle<double> oracle(d, sigma, 99, 0);
  const std::vector<double> theta(d, 0.3);
  Vectors noise;
  for (int j = 0; j < count; ++j) noise.push_back(gradient_noise(oracle, j, theta));
  return noise;
}

TraceEstimate predicted(const Vectors& noise, const TrainerParams& params, std::int64_t first_step,
                        std::int64_t H) {
  return predicted_spread(hessian, SpreadResponse(params, first_step, H), noise);
}

/// The same for a noise of another size.
TraceEstimate times(double factor, TraceEstimate estimate) {
  estimate.value *= factor;
  estimate.standard_error *= factor;
  return estimate;
}

/// Of the last round of trainings with independent noise.
Moments measured(const TrainerParams& params, int seeds) {
  Moments moments;
  const std::vector<double> start(d, 1.0);
  for (int s = 0; s < seeds; ++s) {
    NetworkTrainer<double> trainer(
        params, start, QuadraticOracle<double>::factory(d, sigma, static_cast<std::uint64_t>(1000 + s), 0));
    while (trainer.steps_taken() + trainer.next_steps() < params.total_steps) trainer.round();
    trainer.round([&](WorkersView<double> workers) { moments.add(worker_spread(workers, d).trace); });
  }
  return moments;
}

double z_of(const Moments& m, const TraceEstimate& p) {
  return test::zscore(m.mean, p.value, std::hypot(m.standard_error(), p.standard_error));
}

}  // namespace

TEST_CASE(
    "on a quadratic loss the workers spread as predicted, for every rule that is linear in the gradient") {
  const std::vector<Algorithm> algorithms = {
      {},
      {.decay = 0.3},
      {.N = 16, .end = 0.08},
      {.update = "heavy-ball", .buffers = BufferPolicy::averaged, .N = 16},
      {.update = "heavy-ball", .buffers = BufferPolicy::reset, .N = 16},
      {.update = "heavy-ball", .buffers = BufferPolicy::kept, .H = 4, .N = 40},
      {.update = "nesterov", .buffers = BufferPolicy::kept, .decay = 0.3, .H = 4, .N = 40},
      {.update = "nesterov", .buffers = BufferPolicy::averaged, .H = 5, .N = 10},
  };
  const int seeds = 1500, vectors = 1500;
  const Vectors noise = noise_vectors(vectors);
  for (const Algorithm& a : algorithms) {
    CAPTURE(a.update);
    CAPTURE(static_cast<int>(a.buffers));
    CAPTURE(a.decay);
    const TrainerParams params = params_of(a);
    const std::int64_t last = a.N - a.H;
    const Moments m = measured(params, seeds);
    const TraceEstimate p = predicted(noise, params, last, a.H);
    CAPTURE(m.mean);
    CAPTURE(p.value);
    CHECK(z_of(m, p) <= 4);
    CHECK(p.products == vectors * SpreadResponse::lanczos_steps(params, a.H));
    // H − 1 for H; the global batch for the local one; g_0 − g_1 without the 1/√2
    CHECK(z_of(m, predicted(noise, params, last, a.H - 1)) >= 5);
    CHECK(z_of(m, times(1.0 / K, p)) >= 5);
    CHECK(z_of(m, times(2, p)) >= 5);
    Algorithm wrong = a;
    wrong.decay = 0;
    if (a.decay > 0) CHECK(z_of(m, predicted(noise, params_of(wrong), last, a.H)) >= 5);
    wrong = a;
    wrong.buffers = BufferPolicy::averaged;
    if (a.buffers == BufferPolicy::kept) CHECK(z_of(m, predicted(noise, params_of(wrong), last, a.H)) >= 5);
    if (a.end != eta) CHECK(z_of(m, predicted(noise, params, 0, a.H)) >= 5);  // the first round's rates
    if (a.update == "sgd") {                                                  // free diffusion: no curvature
      const TraceEstimate step = predicted(noise, params, last, 1);
      double rates = 0;
      for (std::int64_t k = last; k < a.N; ++k) rates += std::pow(params.lr(k) / params.lr(last), 2);
      CHECK(z_of(m, times(rates, step)) >= 5);
    }
  }
}

TEST_CASE("plain steps at a constant rate give the response of round_moments, weight decay a shift of it") {
  for (const std::int64_t H : {1, 2, 7, 300})
    for (const double lambda : {-0.3, 0.0, 1e-9, 0.4, 3.0, 9.9}) {
      CAPTURE(H);
      CAPTURE(lambda);
      const double theory =
          spread_per_noise(lambda, {.eta = eta, .local_steps = H, .workers = K, .local_batch = 1}, H);
      const Algorithm plain{.H = H, .N = 2 * H};
      CHECK(test::near_relative(SpreadResponse(params_of(plain), H, H)(lambda), theory, 1e-12));
      Algorithm decayed = plain;
      decayed.decay = 0.1;
      CHECK(test::near_relative(SpreadResponse(params_of(decayed), H, H)(lambda - 0.1), theory, 1e-11));
      // no momentum: a buffer is the gradient itself, whatever becomes of it
      for (const BufferPolicy policy : {BufferPolicy::kept, BufferPolicy::averaged, BufferPolicy::reset}) {
        const Algorithm ball{.update = "heavy-ball", .buffers = policy, .momentum = 0, .H = H, .N = 2 * H};
        CHECK(test::near_relative(SpreadResponse(params_of(ball), H, H)(lambda), theory, 1e-12));
      }
    }
}

TEST_CASE("the response to a changing rate is the sum over the steps of what is left of each") {
  Algorithm a{.H = 9, .N = 20, .end = 0.01};
  const TrainerParams params = params_of(a);
  for (const double lambda : {-0.2, 0.5, 4.0}) {
    double sum = 0;
    for (std::int64_t h = 11; h < 20; ++h) {
      double left = params.lr(h);
      for (std::int64_t j = h + 1; j < 20; ++j) left *= 1 - params.lr(j) * lambda;
      sum += left * left;
    }
    CHECK(test::near_relative(SpreadResponse(params, 11, 9)(lambda), sum, 1e-13));
  }
}

TEST_CASE("buffers that workers keep are equal in the first round only, and may grow without bound") {
  const Algorithm a{.update = "heavy-ball", .buffers = BufferPolicy::kept, .H = 5, .N = 50};
  Algorithm averaged = a;
  averaged.buffers = BufferPolicy::averaged;
  const double zero = SpreadResponse(params_of(averaged), 5, 5)(0.4);
  CHECK(SpreadResponse(params_of(a), 0, 5)(0.4) == zero);
  CHECK(SpreadResponse(params_of(a), 5, 5)(0.4) > 1.1 * zero);
  // ηλ > 2(1 + β) does not contract
  CHECK(SpreadResponse(params_of(a), 5, 5)(100) == std::numeric_limits<double>::infinity());
}

TEST_CASE("Lanczos quadrature gives zᵀf(∇²L)z of a network as its eigenvectors do") {
  const Network network = mlp_network({5, 7, 3}, Activation::tanh);
  const Eigen::VectorXd theta = test::general_parameters(network, 3);
  Dataset data = test::general_data(network, 12);
  Eigen::VectorXd r;
  NetworkModel(network, data).residual(theta, r);
  // Not far from an interpolator: kept buffers have no stationary variance along a strongly negative
  // eigenvalue.
  for (std::size_t k = 0; k < data.y.size(); ++k) data.y[k] += 0.95 * r[static_cast<Eigen::Index>(k)];
  const NetworkModel model(network, data);
  const auto n = static_cast<Eigen::Index>(network.dim());
  const SymmetricOperator product = [&](const Eigen::VectorXd& u, Eigen::VectorXd& out) {
    model.hessian_vector_product(theta, u, out);
  };
  Eigen::MatrixXd dense(n, n);
  Eigen::VectorXd column;
  for (Eigen::Index j = 0; j < n; ++j) {
    product(Eigen::VectorXd::Unit(n, j), column);
    dense.col(j) = column;
  }
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> eigen((dense + dense.transpose()) / 2);
  CHECK(eta * eigen.eigenvalues().maxCoeff() < 2);
  CHECK(eigen.eigenvalues().minCoeff() < -1e-3);
  const Vectors noise = {test::normals(network.dim(), 31), test::normals(network.dim(), 32)};
  std::vector<Algorithm> algorithms;
  for (const std::int64_t H : {1, 2, 6, 30, 200}) {
    algorithms.push_back({.H = H, .N = 2 * H});
    // at a smaller rate, where kept buffers do not grow along the negative eigenvalues
    for (const BufferPolicy policy : {BufferPolicy::kept, BufferPolicy::averaged})
      for (const char* name : {"heavy-ball", "nesterov"})
        algorithms.push_back({.update = name,
                              .buffers = policy,
                              .momentum = 0.9,
                              .H = H,
                              .N = 2 * H,
                              .end = 0.02,
                              .peak = 0.02});
  }
  for (const Algorithm& a : algorithms) {
    CAPTURE(a.update);
    CAPTURE(static_cast<int>(a.buffers));
    CAPTURE(a.H);
    const SpreadResponse response(params_of(a), a.H, a.H);
    Moments exact, flat;
    for (const Eigen::VectorXd& z : noise) {
      const Eigen::ArrayXd squares = (eigen.eigenvectors().transpose() * z).array().square();
      exact.add((squares * eigen.eigenvalues().unaryExpr(std::cref(response)).array()).sum());
      flat.add(z.squaredNorm() * response(0));
    }
    const TraceEstimate p = predicted_spread(product, response, noise);
    CHECK(test::near_relative(p.value, exact.mean, 1e-8));
    CHECK(test::near_relative(p.standard_error, exact.standard_error(), 1e-6));
    if (a.H > 2) CHECK(!test::near_relative(p.value, flat.mean, 1e-2));  // curvature enters
    // eigenvector by eigenvector it is the same
    double sum = 0;
    for (Eigen::Index i = 0; i < n; ++i)
      sum += predicted_variance_along(eigen.eigenvectors().col(i), eigen.eigenvalues()[i], response, noise)
                 .value;
    CHECK(test::near_relative(sum, exact.mean, 1e-10));
  }
}

TEST_CASE("what has no such theory is refused") {
  Algorithm a{.update = "adamw"};
  CHECK(!SpreadResponse::offered(params_of(a)));
  CHECK_THROWS_AS(SpreadResponse(params_of(a), 0, 8), std::invalid_argument);
  a.update = "sgd";
  TrainerParams params = params_of(a);
  CHECK(SpreadResponse::offered(params));
  params.exchange = Exchange::gradients;
  CHECK(!SpreadResponse::offered(params));
  params.exchange = Exchange::parameters;
  CHECK_THROWS_AS(SpreadResponse(params, 0, 0), std::invalid_argument);
  CHECK_THROWS_AS(SpreadResponse(params, -1, 8), std::invalid_argument);
  const SpreadResponse response(params, 0, 8);
  const Vectors one = {Eigen::VectorXd::Ones(3)};
  CHECK_THROWS_AS(predicted_spread(hessian, response, one), std::invalid_argument);
  CHECK_THROWS_AS(predicted_variance_along(one[0], 1, response, one), std::invalid_argument);
  const SymmetricOperator broken = [](const Eigen::VectorXd& u, Eigen::VectorXd& out) { out = u / 0.0; };
  const Vectors two(2, Eigen::VectorXd::Ones(3));
  CHECK(std::isnan(predicted_spread(broken, response, two).value));
}
