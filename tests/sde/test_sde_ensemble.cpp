#include "slowsde/sde/sde_ensemble.hpp"

#include <doctest/doctest.h>

#include <boost/math/distributions/normal.hpp>
#include <stdexcept>
#include <vector>

#include "tests/support/sde_examples.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;
using namespace slowsde::test;

namespace {

constexpr auto from_one = [](std::size_t, double* x) { x[0] = 1; };
constexpr auto two_moments = [](const double* x, double* values) {
  values[0] = x[0];
  values[1] = x[0] * x[0];
};

bool same_bits(const Moments& a, const Moments& b) {
  return a.count == b.count && a.diverged == b.diverged && exact(a.mean, b.mean) &&
         exact(a.squares, b.squares);
}

struct Clock {  // x' = 2t: x = x0 + t² − t0², exact for Heun's method
  static constexpr NoiseClass noise = NoiseClass::none;
  static constexpr Calculus calculus = Calculus::ito;
  int dim() const { return 1; }
  template <class T>
  void drift(const T*, double t, T* out) const {
    out[0] = T(2 * t);
  }
};

struct Explosion {  // x' = x²: infinite at t = 1/x0
  static constexpr NoiseClass noise = NoiseClass::none;
  static constexpr Calculus calculus = Calculus::ito;
  int dim() const { return 1; }
  template <class T>
  void drift(const T* x, double, T* out) const {
    out[0] = x[0] * x[0];
  }
};

}  // namespace

TEST_CASE("moments have the same bits for every number of threads and every chunk size") {
  const NonCommuting<> sde;
  const auto start = [](std::size_t i, double* x) {
    x[0] = 0.001 * static_cast<double>(i);
    x[1] = 0.2;
  };
  for (const std::size_t trajectories : {std::size_t{1}, std::size_t{63}, std::size_t{1009}}) {
    const auto run = [&](int threads, std::size_t chunk) {
      EnsembleOptions options{.trajectories = trajectories, .output_times = {0.1, 0.5}, .max_step = 0.03};
      options.threads = threads;
      options.chunk = chunk;
      return ensemble_moments(PlatenWeak2{}, sde, options, start, 2, [](const double* x, double* values) {
        values[0] = x[0];
        values[1] = x[1] * x[0];
      });
    };
    const auto reference = run(1, 64);
    CHECK(reference.at(0).count == trajectories);
    for (const int threads : {1, 2, 5})
      for (const std::size_t chunk :
           {std::size_t{1}, std::size_t{100}, std::size_t{640}, std::size_t{5000}}) {
        const auto other = run(threads, chunk);
        for (std::size_t output = 0; output < 2; ++output)
          for (std::size_t q = 0; q < 2; ++q) CHECK(same_bits(other.at(output, q), reference.at(output, q)));
      }
  }
}

TEST_CASE("a trajectory has the same bits alone and in a pack, and does not know how many others there are") {
  const GrowingOrnsteinUhlenbeck sde;
  EnsembleOptions options{.trajectories = 77, .output_times = {0.2, 1}};
  const auto run = [&]<class T>(T, std::size_t n) {
    options.trajectories = n;
    std::vector<double> x(2 * n);
    run_ensemble<T>(
        EulerMaruyama{}, sde, options, [](std::size_t i, double* x0) { x0[0] = static_cast<double>(i); },
        [&](std::size_t output, std::size_t i, const double* y) { x[2 * i + output] = y[0]; });
    return x;
  };
  const auto packs = run(Pack<double>{}, 77), alone = run(double{}, 77), fewer = run(Pack<double>{}, 3);
  for (std::size_t i = 0; i < packs.size(); ++i) CHECK(exact(packs[i], alone[i]));
  for (std::size_t i = 0; i < fewer.size(); ++i) CHECK(exact(packs[i], fewer[i]));
}

TEST_CASE("each output time is reached exactly, in the fewest equal steps") {
  EnsembleOptions options{.t0 = 0.5, .output_times = {0.5, 0.8, 0.8, 1.1, 7.3}, .max_step = 0.1};
  const auto intervals = output_intervals(options);
  const std::uint64_t steps[] = {0, 3, 0, 3, 62};
  std::uint64_t k = 0;
  double last = 0.5;
  for (std::size_t j = 0; j < 5; ++j) {
    CHECK(intervals[j].steps == steps[j]);
    CHECK(intervals[j].first_step == k);
    CHECK(exact(intervals[j].start, last));
    CHECK(intervals[j].dt <= 0.1 * (1 + 1e-12));
    CHECK(near(intervals[j].start + static_cast<double>(steps[j]) * intervals[j].dt, options.output_times[j],
               1e-15));
    k += steps[j];
    last = options.output_times[j];
  }
  std::vector<double> x;
  run_ensemble(Heun{}, Clock{}, options, from_one,
               [&](std::size_t, std::size_t, const double* y) { x.push_back(y[0]); });
  for (std::size_t j = 0; j < 5; ++j)
    CHECK(near(x[j], 1 + options.output_times[j] * options.output_times[j] - 0.25, 1e-13));
}

TEST_CASE("trajectories that diverge are counted and never averaged") {
  EnsembleOptions options{.trajectories = 100, .output_times = {0.5, 3}, .max_step = 0.01};
  const auto moments = ensemble_moments(
      EulerMaruyama{}, Explosion{}, options, [](std::size_t i, double* x) { x[0] = i % 4 == 0 ? 1.0 : -1.0; },
      1, [](const double* x, double* value) { value[0] = x[0]; });
  CHECK(moments.at(0).diverged == 0);
  CHECK(moments.at(1).diverged == 25);
  CHECK(moments.at(1).count == 75);
  CHECK(near(moments.at(1).mean, -0.25, 0.01));
}

TEST_CASE("the law at the end is the Gaussian of the linear SDE, in double and single precision") {
  const GrowingOrnsteinUhlenbeck sde;
  const double variance = sde.mean_square(1) - sde.mean(1) * sde.mean(1);
  const boost::math::normal law(sde.mean(1), std::sqrt(variance));
  EnsembleOptions options{.trajectories = 20000, .seed = 3, .output_times = {1}, .max_step = 0.02};
  const auto sample = [&]<class T, template <class> class Path>() {
    std::vector<double> x(options.trajectories);
    run_ensemble<T, Path>(PlatenWeak2{}, sde, options, from_one,
                          [&](std::size_t, std::size_t i, const double* y) { x[i] = y[0]; });
    return x;
  };
  const auto distance = [&](const std::vector<double>& x) {
    return kolmogorov_smirnov(x, [&](double y) { return boost::math::cdf(law, y); });
  };
  const double five_se = 5.7e-7;
  CHECK(distance(sample.operator()<Pack<double>, BrownianPath>()).p_value() > 1e-4);
  CHECK(distance(sample.operator()<Pack<float>, BrownianPath>()).p_value() > 1e-4);
  CHECK(distance(sample.operator()<Pack<double>, NoiseOfSizeDt>()).p_value() < five_se);
  CHECK(distance(sample.operator()<Pack<double>, NoNoise>()).p_value() < five_se);
}

TEST_CASE("ensemble options name the violated inequality") {
  EnsembleOptions options{.output_times = {1}};
  CHECK_NOTHROW(options.check());
  options.max_step = 0;
  CHECK_THROWS_WITH_AS(options.check(), "ensemble: 0 < max_step < infinity is violated by 0.000000",
                       std::invalid_argument);
  options = {.output_times = {1, 0.5}};
  CHECK_THROWS_WITH_AS(options.check(),
                       "ensemble: output_times non-decreasing from t0 is violated by 0.500000",
                       std::invalid_argument);
  options = {.output_times = {std::nan("")}};
  CHECK_THROWS_AS(options.check(), std::invalid_argument);
  options = {.trajectories = 0};
  CHECK_THROWS_AS(options.check(), std::invalid_argument);
  options = {.first_trajectory = 3};
  CHECK_THROWS_AS(options.check(), std::invalid_argument);
  options = {.first_trajectory = replica_limit};
  CHECK_THROWS_AS(options.check(), std::out_of_range);
}
