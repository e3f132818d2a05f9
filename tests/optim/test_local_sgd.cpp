#include "slowsde/optim/local_sgd.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <vector>

#include "slowsde/problems/valley.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;

namespace {

/// ½|x|² in two dimensions with Σ = [[1, .6], [.6, .8]]: linear, so every second moment is known.
struct Bowl {
  static constexpr int dim = 2, noise_dim = 2;
  template <class T>
  T loss(const T* x) const {
    return 0.5 * (x[0] * x[0] + 2.0 * x[1] * x[1]);
  }
  template <class T>
  void noise_factor(const T*, T* S) const {
    S[0] = T(1.0);
    S[1] = T(0.0);
    S[2] = T(0.6);
    S[3] = T(std::sqrt(0.44));
  }
};

LocalSgd algorithm(int workers, std::int64_t H, double eta, std::int64_t steps) {
  LocalSgd a;
  a.workers = workers;
  a.lr = LearningRate::constant(eta);
  a.rule = std::make_shared<ConstantRule>(H);
  a.total_steps = steps;
  return a;
}

template <class Real, NoiseKind Kind, class P>
std::vector<std::array<double, 2>> ends(const P& problem, const LocalSgd& a, const GradientSource& source,
                                        int replicas, std::array<double, 2> start) {
  std::vector<std::array<double, 2>> result;
  const std::vector<RecordPoint> points = {{a.total_steps, 0}};
  for (int first = 0; first < replicas; first += native_width<Real>) {
    LocalSgdPack<P, Real, Kind> pack(problem, a, source, static_cast<std::uint64_t>(first));
    pack.run(start.data(), points, [&](int, const Pack<Real>* x) {
      for (int l = 0; l < native_width<Real>; ++l) result.push_back({x[0][l], x[1][l]});
    });
  }
  return result;
}

/// z-score of the sample mean of products x_i x_j against an expected second moment.
double product_z(const std::vector<std::array<double, 2>>& x, std::size_t i, std::size_t j, double expected) {
  double sum = 0, squares = 0;
  for (const auto& v : x) {
    sum += v[i] * v[j];
    squares += v[i] * v[j] * v[i] * v[j];
  }
  const double n = static_cast<double>(x.size()), mean = sum / n;
  return (mean - expected) / std::sqrt((squares / n - mean * mean) / n);
}

}  // namespace

TEST_CASE("H = 1 is data-parallel SGD to rounding") {
  // The same noise addresses, once averaged as parameters by the simulator and once as gradients here.
  const Valley problem;
  const double eta = 0.05;
  const auto a = algorithm(3, 1, eta, 200);
  GradientSource source;
  source.seed = 5;
  const auto simulated = ends<double, NoiseKind::label>(problem, a, source, 8, {1.5, 0.1});
  for (std::uint64_t replica = 0; replica < 8; ++replica) {
    double x[2] = {1.5, 0.1};
    for (std::uint64_t k = 0; k < 200; ++k) {
      double mean[2] = {0, 0};
      for (std::uint32_t w = 0; w < 3; ++w) {
        const double eps = normal_at(5, Stream::label, replica, w, k);
        double g[2] = {0, 0};
        problem.add_sample_gradient(x, 0, &eps, g, g);
        mean[0] += g[0] / 3;
        mean[1] += g[1] / 3;
      }
      x[0] -= eta * mean[0];
      x[1] -= eta * mean[1];
    }
    CHECK(test::near(simulated[replica][0], x[0], 1e-12));
    CHECK(test::near(simulated[replica][1], x[1], 1e-12));
  }
}

TEST_CASE("a worker's path is a function of its address: neither group nor neighbours change it") {
  // K = 5 runs four workers side by side and one alone; the mean over five equals five runs of single workers
  // when H covers the whole run.
  const Valley problem;
  GradientSource source;
  const auto together =
      ends<double, NoiseKind::label>(problem, algorithm(5, 40, 0.05, 40), source, 8, {1.0, 0.2});
  for (std::uint64_t replica = 0; replica < 8; ++replica) {
    double sum[2] = {0, 0};
    for (std::uint32_t w = 0; w < 5; ++w) {
      double x[2] = {1.0, 0.2};
      for (std::uint64_t k = 0; k < 40; ++k) {
        const double eps = normal_at(source.seed, Stream::label, replica, w, k);
        double g[2] = {0, 0};
        problem.add_sample_gradient(x, 0, &eps, g, g);
        for (int j = 0; j < 2; ++j) x[j] -= 0.05 * g[j];
      }
      sum[0] += x[0] / 5;
      sum[1] += x[1] / 5;
    }
    CHECK(test::near(together[replica][0], sum[0], 1e-13));
    CHECK(test::near(together[replica][1], sum[1], 1e-13));
  }
}

TEST_CASE("an observer sees every worker after every local step and changes nothing") {
  const Valley problem;
  constexpr int W = native_width<double>;
  const std::array<double, 2> start = {1.0, 0.2};
  for (const double momentum : {0.0, 0.6}) {
    LocalSgd a = algorithm(5, 4, 0.05, 11);  // rounds of 4, 4 and 3; four workers side by side and one alone
    a.momentum = momentum;
    const std::vector<RecordPoint> points = {{4, 0}, {8, 0}, {11, 0}};
    LocalSgdPack<Valley, double, NoiseKind::label> pack(problem, a, {}, 0);
    std::vector<std::array<double, 2 * W>> averages, unobserved;
    std::vector<std::array<double, 2 * W>> sums(12);
    int seen[12][5] = {};
    pack.run(
        start.data(), points,
        [&](int, const Pack<double>* x) {
          averages.emplace_back();
          for (std::size_t l = 0; l < W; ++l)
            for (std::size_t j = 0; j < 2; ++j) averages.back()[2 * l + j] = x[j][static_cast<int>(l)];
        },
        [&](std::int64_t steps, int worker, const Pack<double>* y) {
          ++seen[steps][worker];
          for (std::size_t l = 0; l < W; ++l)
            for (std::size_t j = 0; j < 2; ++j)
              sums[static_cast<std::size_t>(steps)][2 * l + j] += y[j][static_cast<int>(l)] / 5;
        });
    for (int k = 0; k < 12; ++k)
      for (int w = 0; w < 5; ++w) CHECK(seen[k][w] == (k > 0 ? 1 : 0));
    REQUIRE(averages.size() == 3);
    for (std::size_t r = 0; r < 3; ++r)  // what ends a round is the mean of what was seen last in it
      for (std::size_t i = 0; i < 2 * W; ++i)
        CHECK(test::near(averages[r][i], sums[static_cast<std::size_t>(points[r].steps)][i], 1e-14));
    pack.run(start.data(), points, [&](int, const Pack<double>* x) {
      unobserved.emplace_back();
      for (std::size_t l = 0; l < W; ++l)
        for (std::size_t j = 0; j < 2; ++j) unobserved.back()[2 * l + j] = x[j][static_cast<int>(l)];
    });
    CHECK(unobserved == averages);
  }
}

TEST_CASE("stationary second moments of Local SGD on a quadratic are those of its linear recursion") {
  // Shared point after an average: D = ρ^H D' + …; here E[x_i x_j] of the average at round ends solves
  // A = ρ^H A + (1/K) η²Σ_ij(1 − ρ^H)/(1 − ρ)/B_loc with ρ = (1−ηλ_i)(1−ηλ_j), i.e. A = η²Σ_ij/(K B_loc (1 −
  // ρ)).
  const Bowl bowl;
  const double eta = 0.1, lambda[2] = {1, 2}, sigma[2][2] = {{1, 0.6}, {0.6, 0.8}};
  const auto a = algorithm(4, 7, eta, 210);
  GradientSource source;
  source.noise.kind = NoiseKind::gaussian;
  source.local_batch = 2;
  const auto f64 = ends<double, NoiseKind::gaussian>(bowl, a, source, 20000, {0, 0});
  const auto f32 = ends<float, NoiseKind::gaussian>(bowl, a, source, 20000, {0, 0});
  for (std::size_t i = 0; i < 2; ++i)
    for (std::size_t j = i; j < 2; ++j) {
      const double rho = (1 - eta * lambda[i]) * (1 - eta * lambda[j]);
      const double expected = eta * eta * sigma[i][j] / (4 * 2 * (1 - rho));
      CHECK(std::abs(product_z(f64, i, j, expected)) <= 4.5);
      CHECK(std::abs(product_z(f32, i, j, expected)) <= 4.5);
      CHECK(std::abs(product_z(f64, i, j, expected * 2)) >= 5);  // B_loc dropped
      CHECK(std::abs(product_z(f64, i, j, expected * 4)) >= 5);  // workers not averaged
      CHECK(std::abs(product_z(f64, i, j, 0)) >= 5);             // no noise
    }
}

TEST_CASE("heavy ball with reset buffers is plain SGD at H = 1, and kept equals averaged there") {
  const Valley problem;
  GradientSource source;
  auto plain = algorithm(4, 1, 0.02, 100), reset = plain, kept = plain, averaged = plain;
  reset.momentum = kept.momentum = averaged.momentum = 0.9;
  reset.buffers = BufferPolicy::reset;
  averaged.buffers = BufferPolicy::averaged;
  const std::array<double, 2> start = {1.0, 0.2};
  const auto p = ends<double, NoiseKind::label>(problem, plain, source, 8, start);
  const auto r = ends<double, NoiseKind::label>(problem, reset, source, 8, start);
  const auto k = ends<double, NoiseKind::label>(problem, kept, source, 8, start);
  const auto v = ends<double, NoiseKind::label>(problem, averaged, source, 8, start);
  for (std::size_t i = 0; i < 8; ++i)
    for (std::size_t j = 0; j < 2; ++j) {
      CHECK(test::near(r[i][j], p[i][j], 1e-13));
      CHECK(test::near(k[i][j], v[i][j], 1e-12));
      CHECK(!test::near(k[i][j], p[i][j], 1e-6));
    }
}

TEST_CASE("a second run of the same pack repeats the first, momentum buffers included") {
  const Valley problem;
  auto a = algorithm(3, 10, 0.02, 40);
  a.momentum = 0.9;
  const GradientSource source;
  LocalSgdPack<Valley, double, NoiseKind::label> pack(problem, a, source, 0);
  const double start[2] = {1.0, 0.2};
  std::vector<Pack<double>> ends;
  for (int repeat = 0; repeat < 2; ++repeat)
    pack.run(start, {{a.total_steps, 0}}, [&](int, const Pack<double>* x) { ends.push_back(x[0]); });
  REQUIRE(ends.size() == 2);
  for (int l = 0; l < native_width<double>; ++l) CHECK(test::exact(ends[0][l], ends[1][l]));
}

TEST_CASE(
    "the final round ends in an average and the record points are round ends at or after the times asked") {
  const auto a = algorithm(2, 30, 0.1, 100);
  const auto points = record_points(a, {0, 0.1, 0.3, 0.95, 1.0}, 1);
  REQUIRE(points.size() == 5);
  CHECK(points[0].steps == 0);
  CHECK(points[1].steps == 30);
  CHECK(points[2].steps == 30);
  CHECK(points[3].steps == 100);
  CHECK(points[4].steps == 100);
  CHECK(test::near(points[1].t, 0.3, 1e-14));
  CHECK(test::near(points[4].t, 1.0, 1e-14));
}

TEST_CASE("impossible algorithms are refused by name") {
  auto a = algorithm(0, 1, 0.1, 1);
  CHECK_THROWS_WITH_AS(a.check(), "workers >= 1 is violated by 0", std::invalid_argument);
  a = algorithm(1, 1, 0.1, 1);
  a.momentum = 1.5;
  CHECK_THROWS_WITH_AS(a.check(), "0 <= momentum < 1 is violated by 1.5", std::invalid_argument);
}
