#include "slowsde/experiments/joined_steps.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <vector>

#include "slowsde/experiments/claim_measurements.hpp"
#include "slowsde/experiments/flat_valley.hpp"
#include "slowsde/problems/curved_valley.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;

namespace {

constexpr int M = 4;
constexpr std::uint64_t seed = 7;
using T = Pack<double>;

/// The gradients of workers 1 and 2 of a pack at step k, at a point where ∇L = 0.
template <class P>
std::array<std::array<T, 2>, 2> noise_at(const P& problem, std::uint64_t k) {
  GradientSource source;
  source.seed = seed;
  GradientSampler<P, double, 2, NoiseKind::gaussian> sampler(problem, source, 8, 1);
  const std::vector<double> start = problem.default_start();
  T theta[2] = {T(start[0]), T(start[1])};
  const T* const at[2] = {theta, theta};
  std::array<std::array<T, 2>, 2> g;
  T* const to[2] = {g[0].data(), g[1].data()};
  sampler.draw(at, k, to, nullptr);
  return g;
}

/// Correlation of what the noise's sum leaves of tr ∇²L at t = 1 at η = 1/8 and 1/16, ηH = 1/2.
double correlation(std::uint64_t coarse_seed) {
  const FlatValley valley{.along = 0.1, .across = 2};
  const auto problem = valley.problem();
  const JoinedSteps<CurvedValley<>, M> joined(problem);
  const auto algorithm = [](double eta) {
    return local_sgd({.eta = eta, .local_steps = std::llround(0.5 / eta), .workers = 2}, 1);
  };
  const auto traces = [&](const auto& of, double eta, const IterateOptions& options) {
    return iterate_moments<NoiseKind::gaussian>(
               of, algorithm(eta), {0, 0}, {1}, options, 1,
               [](const double* zeta, double* value) { *value = FlatValley::trace(zeta[0]); })
        .sample;
  };
  IterateOptions options{.replicas = 2000, .seed = seed};
  const auto fine = traces(problem, 1.0 / 16, options);
  const TotalNoise total = total_noise(algorithm(1.0 / 16), options);
  options.seed = coarse_seed;
  const auto coarse = traces(joined, 1.0 / 8, options);
  const JointMeans means = means_without_noise({coarse, fine}, total);
  CHECK(means.mean[1].se == mean_without_noise(fine, total).se);
  CHECK(means.correlation[1] == means.correlation[2]);
  return means.correlation[1];
}

}  // namespace

TEST_CASE("the noise of a joined step is that of M steps between them") {
  const CurvedValley<> valley({1, 0.6, 0.6, 0.8});
  const JoinedSteps<CurvedValley<>, M> joined(valley);
  for (const std::uint64_t k : {0u, 5u}) {
    const auto whole = noise_at(joined, k);
    for (std::size_t w = 0; w < 2; ++w)
      for (std::size_t j = 0; j < 2; ++j) {
        T sum(0.0);
        for (std::uint64_t part = 0; part < M; ++part) sum += noise_at(valley, k * M + part)[w][j];
        for (int l = 0; l < T::width; ++l) CHECK(test::near(whole[w][j][l], sum[l] / 2, 1e-14));
      }
  }
}

TEST_CASE("Σ and L stay") {
  const CurvedValley<> valley({1, 0.6, 0.6, 0.8});
  const JoinedSteps<CurvedValley<>, M> joined(valley);
  const double theta[2] = {0.3, -0.2};
  CHECK(joined.loss(theta) == valley.loss(theta));
  double S[2 * 2 * M];
  joined.noise_factor(theta, S);
  for (int i = 0; i < 2; ++i)
    for (int j = 0; j < 2; ++j) {
      double sum = 0;
      for (int c = 0; c < 2 * M; ++c) sum += S[i * 2 * M + c] * S[j * 2 * M + c];
      CHECK(test::near(sum, valley.covariance()[static_cast<std::size_t>(2 * i + j)], 1e-14));
    }
}

TEST_CASE("what the sum of the noise leaves is correlated between levels of one seed, and of no other") {
  CHECK(correlation(seed) > 0.5);
  CHECK(std::abs(correlation(seed + 1)) < 0.1);
}
