#include "slowsde/sde/brownian.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "tests/support/tolerance.hpp"

using namespace slowsde;
using test::exact;

static_assert(BrownianNoise<BrownianPath<double>> && BrownianNoise<BrownianPath<Pack<float>>, Pack<float>>);
static_assert(BrownianNoise<MeanNoise<double>> && BrownianNoise<MeanNoise<Pack<float>>, Pack<float>>);

TEST_CASE("an increment is the addressed normal times the root of the step") {
  BrownianPath<double> path(11, 70, 3, 4);
  for (std::uint64_t k : {9u, 0u, 1u, 1000000u, 8u}) {  // in any order
    double dW[3];
    path.increments_of(2, k, 0.25, dW);
    for (std::uint64_t c = 0; c < 3; ++c)
      CHECK(exact(dW[c], 0.5 * normal_at(11, Stream::brownian, 70, 2, 3 * k + c)));
  }
}

TEST_CASE("each lane of a pack is its trajectory's own path") {
  BrownianPath<Pack<double>> together(5, 64, 2, 2);
  Pack<double> dW[2], sign[3];
  for (std::uint64_t k = 0; k < 40; ++k) {
    together.increments_of(1, k, 0.1, dW);
    together.signs_of(1, k, 3, sign);
    for (int lane = 0; lane < 8; ++lane) {
      BrownianPath<double> alone(5, 64 + static_cast<std::uint64_t>(lane), 2, 2);
      double own[2], own_sign[3];
      alone.increments_of(1, k, 0.1, own);
      alone.signs_of(1, k, 3, own_sign);
      for (int c = 0; c < 2; ++c) CHECK(exact(dW[c][lane], own[c]));
      for (int c = 0; c < 3; ++c) CHECK(exact(sign[c][lane], own_sign[c]));
    }
  }
}

TEST_CASE("coarse increments are sums of the fine ones") {
  BrownianPath<double> fine(3, 1, 2), coarse(3, 1, 2, 1, 8);
  for (std::uint64_t k = 0; k < 50; ++k) {
    double sum[2] = {}, dW[2];
    for (std::uint64_t j = 0; j < 8; ++j) {
      fine.increments(8 * k + j, 0.125, dW);
      sum[0] += dW[0];
      sum[1] += dW[1];
    }
    coarse.increments(k, 1, dW);
    CHECK(test::near(dW[0], sum[0], 1e-14));
    CHECK(test::near(dW[1], sum[1], 1e-14));
  }
}

TEST_CASE(
    "increments and signs have mean 0, the right variance, and are uncorrelated across what addresses them") {
  constexpr std::uint64_t steps = 40000;
  const double dt = 0.3;
  BrownianPath<double> path(21, 8, 2, 2), neighbour(21, 9, 2, 2);
  std::vector<double> w0, w1, w0_worker, w0_neighbour, signs;
  for (std::uint64_t k = 0; k < steps; ++k) {
    double a[2], b[2], c[2], s;
    path.increments(k, dt, a);
    path.increments_of(1, k, dt, b);
    neighbour.increments(k, dt, c);
    path.signs(k, 1, &s);
    CHECK(exact(s * s, 1.0));
    w0.push_back(a[0]), w1.push_back(a[1]), w0_worker.push_back(b[0]), w0_neighbour.push_back(c[0]);
    signs.push_back(s);
  }
  const auto product = [](const std::vector<double>& x, const std::vector<double>& y, std::size_t lag) {
    double sum = 0;
    for (std::size_t k = lag; k < x.size(); ++k) sum += x[k] * y[k - lag];
    return sum / static_cast<double>(x.size());
  };
  const double n = static_cast<double>(steps), root = std::sqrt(n);
  // Var ΔW² = 2dt², Var of a product of independent increments dt²
  const auto variance_z = [&](const std::vector<double>& x) {
    return test::zscore(product(x, x, 0), dt, dt * std::sqrt(2 / n));
  };
  CHECK(variance_z(w0) < 4.5);
  CHECK(variance_z(w1) < 4.5);
  CHECK(std::abs(product(w0, w1, 0)) * root / dt < 4.5);
  CHECK(std::abs(product(w0, w0, 1)) * root / dt < 4.5);
  CHECK(std::abs(product(w0, w0_worker, 0)) * root / dt < 4.5);
  CHECK(std::abs(product(w0, w0_neighbour, 0)) * root / dt < 4.5);
  CHECK(std::abs(product(signs, w0, 0)) * root / std::sqrt(dt) < 4.5);
  CHECK(std::abs(product(signs, signs, 1)) * root < 4.5);
  // Wrong theories: increments of size dt, one increment for all components.
  std::vector<double> of_size_dt = w0;
  for (double& x : of_size_dt) x *= std::sqrt(dt);
  CHECK(variance_z(of_size_dt) >= 5);
  CHECK(std::abs(product(w0, w0, 0)) * root / dt >= 5);
}

TEST_CASE("the mean noise of K workers is √K times the mean of their noises") {
  constexpr int K = 4;
  constexpr double dt = 0.25;
  BrownianPath<double> path(31, 6, 2, K), same(31, 6, 2, K);
  MeanNoise<double> noise(path);
  for (std::uint64_t k : {3u, 0u, 1u, 70u}) {
    double dW[2], mean[2] = {}, own[2], sign[3], own_sign[3];
    noise.increments(k, dt, dW);
    for (int w = 0; w < K; ++w) {
      same.increments_of(w, k, dt, own);
      for (int c = 0; c < 2; ++c) mean[c] += own[c] / K;
    }
    // √4 is exact, and so are a half and a quarter
    for (int c = 0; c < 2; ++c) CHECK(exact(dW[c], 2 * mean[c]));
    noise.signs(k, 3, sign);
    same.signs(k, 3, own_sign);
    for (int c = 0; c < 3; ++c) CHECK(exact(sign[c], own_sign[c]));
  }
}

TEST_CASE("the mean noise of one worker is its own, and each lane of a pack has its trajectory's") {
  BrownianPath<double> alone(31, 6, 2, 1, 4), same(31, 6, 2, 1, 4);
  MeanNoise<double> noise(alone);
  BrownianPath<Pack<double>> together(31, 0, 2, 3);
  MeanNoise<Pack<double>> of_lanes(together);
  for (std::uint64_t k = 0; k < 20; ++k) {
    double dW[2], own[2];
    noise.increments(k, 0.1, dW);
    same.increments(k, 0.1, own);
    for (int c = 0; c < 2; ++c) CHECK(exact(dW[c], own[c]));
    Pack<double> lanes[2];
    of_lanes.increments(k, 0.1, lanes);
    for (int lane = 0; lane < 8; ++lane) {
      BrownianPath<double> path(31, static_cast<std::uint64_t>(lane), 2, 3);
      MeanNoise<double>(path).increments(k, 0.1, own);
      for (int c = 0; c < 2; ++c) CHECK(exact(lanes[c][lane], own[c]));
    }
  }
}

TEST_CASE("the mean noise is a Brownian motion: variance dt, nothing shared by components or steps") {
  constexpr std::uint64_t steps = 20000;
  constexpr int K = 5;
  const double dt = 0.3, n = static_cast<double>(steps), root = std::sqrt(n);
  BrownianPath<double> path(22, 4, 2, K);
  MeanNoise<double> noise(path);
  double squares[2] = {}, across = 0, lagged = 0, with_first = 0, with_signs = 0, before = 0;
  for (std::uint64_t k = 0; k < steps; ++k) {
    double dW[2], own[2], sign;
    noise.increments(k, dt, dW);
    noise.signs(k, 1, &sign);
    path.increments(k, dt, own);
    for (int c = 0; c < 2; ++c) squares[c] += dW[c] * dW[c] / n;
    across += dW[0] * dW[1] / n;
    lagged += dW[0] * before / n;
    with_first += dW[0] * own[0] / n;
    with_signs += dW[0] * sign / n;
    before = dW[0];
  }
  // Var ΔW² = 2dt², Var of a product of independent increments dt²
  for (const double v : squares) {
    CHECK(test::zscore(v, dt, dt * std::sqrt(2 / n)) < 4.5);
    CHECK(test::zscore(v, dt / K, dt * std::sqrt(2 / n)) >= 5);  // wrong: the mean itself
    CHECK(test::zscore(v, dt * K, dt * std::sqrt(2 / n)) >= 5);  // wrong: the sum
  }
  CHECK(std::abs(across) * root / dt < 4.5);
  CHECK(std::abs(lagged) * root / dt < 4.5);
  CHECK(std::abs(with_signs) * root / std::sqrt(dt) < 4.5);
  // Its share of each worker is dt/√K: neither independent of the first worker nor its noise.
  const double se = dt * std::sqrt((1 + 1.0 / K) / n);
  CHECK(test::zscore(with_first, dt / std::sqrt(static_cast<double>(K)), se) < 4.5);
  CHECK(test::zscore(with_first, 0, se) >= 5);
  CHECK(test::zscore(with_first, dt, se) >= 5);
}
