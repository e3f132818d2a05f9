// ctest-labels: theory
#include "slowsde/sde/multilevel_monte_carlo.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "slowsde/optim/psi_moment.hpp"
#include "slowsde/problems/curved_valley.hpp"
#include "slowsde/sde/reference_equations.hpp"
#include "slowsde/sde/slow_sde.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;
using namespace slowsde::test;

namespace {

constexpr double t_end = 1;

const NonCommutingSinhSde<> equation;
const auto start_of_equation = [](std::uint64_t, double* x) { equation.start(x); };
const auto observe_equation = [](const double* x) { return equation.observe(x); };

MultilevelOptions options_for(double target, std::uint64_t seed) {
  MultilevelOptions options;
  options.target_rmse = target;
  options.seed = seed;
  options.end_time = t_end;
  options.threads = 2;
  return options;
}

template <template <class> class CoarsePath = BrownianPath>
MultilevelResult run(const MultilevelOptions& options) {
  return multilevel_monte_carlo<Pack<double>, CoarsePath>(EulerMaruyama{}, equation, start_of_equation,
                                                          observe_equation, options);
}

/// Levels 0 … 6 with as many samples each.
template <template <class> class CoarsePath = BrownianPath>
std::vector<LevelMoments> sampled_levels(std::uint64_t samples, std::uint64_t seed) {
  const MultilevelOptions options = options_for(1, seed);
  const PathValues values = path_values<Pack<double>, CoarsePath>(
      EulerMaruyama{}, equation, start_of_equation, observe_equation, options);
  std::vector<LevelMoments> levels(7);
  for (int level = 0; level < 7; ++level)
    for (std::uint64_t block = 0; block < samples / multilevel_block; ++block) {
      std::array<double, multilevel_block> fine{}, coarse{};
      values(level, level, block, fine);
      if (level > 0) values(level - 1, level, block, coarse);
      levels[static_cast<std::size_t>(level)].add(fine, coarse, level == 0);
    }
  return levels;
}

/// −slope of log2 Var(P_l − P_{l−1}) over l = 1 … 6 and its standard error. The relative standard error of a
/// variance is √((kurtosis − 1)/N), here from batches.
struct Decay {
  double order, se;
};
template <template <class> class CoarsePath = BrownianPath>
Decay variance_decay() {
  constexpr int batches = 32;
  Moments slopes;
  for (int batch = 0; batch < batches; ++batch) {
    const auto levels = sampled_levels<CoarsePath>(1024, 700 + static_cast<std::uint64_t>(batch));
    double slope = 0;
    for (int l = 1; l <= 6; ++l)
      slope -= (l - 3.5) / 17.5 * std::log2(levels[static_cast<std::size_t>(l)].correction.variance());
    slopes.add(slope);
  }
  return {slopes.mean, slopes.standard_error()};
}

/// Wrong coupling: the coarse path has noise of its own.
template <class T>
struct IndependentPath : BrownianPath<T> {
  IndependentPath(std::uint64_t seed, std::uint64_t first, int m, int workers, std::uint64_t refinement)
      : BrownianPath<T>(seed + 0x5eed, first, m, workers, refinement) {}
};

/// Wrong coupling: the coarse path takes every second increment of the fine one as its own, of half the
/// variance.
template <class T>
struct EverySecondIncrement : BrownianPath<T> {
  EverySecondIncrement(std::uint64_t seed, std::uint64_t first, int m, int workers, std::uint64_t refinement)
      : BrownianPath<T>(seed, first, m, workers, 1), r(refinement) {}
  void increments(std::uint64_t k, double dt, T* dW) {
    BrownianPath<T>::increments_of(0, k * r, dt / static_cast<double>(r), dW);
  }
  std::uint64_t r;
};

double consistency_of(std::vector<LevelMoments> levels) {
  MultilevelResult result;
  result.levels = std::move(levels);
  return result.consistency();
}

/// χ² of the mean square error over `n` repetitions against the target, as the number of standard errors by
/// which it lies above (n would be the mean, were every error a Gaussian one of size ε).
double excess(const Moments& squares, double target) {
  const double n = static_cast<double>(squares.count);
  return (squares.mean / (target * target) - 1) * std::sqrt(n / 2);
}

}  // namespace

TEST_CASE("the root mean square error over repetitions is at most the target") {
  // Were the error Gaussian of size ε, the mean of 40 squares would lie 3 standard errors above ε² once in
  // 200.
  for (const double target : {0.1, 0.03, 0.01}) {
    Moments squares, account, errors;
    for (std::uint64_t repetition = 0; repetition < 40; ++repetition) {
      const MultilevelResult result = run(options_for(target, 100 + repetition));
      REQUIRE(result.status == MultilevelStatus::reached);
      CHECK(result.rmse_bound() <= target);
      CHECK(result.consistency() <= 5);
      const double error = result.estimate - equation.expectation(t_end);
      errors.add(error);
      squares.add(error * error);
      account.add(result.standard_error);
    }
    MESSAGE("target ", target, ": RMSE ", std::sqrt(squares.mean), ", mean error ", errors.mean, " +- ",
            errors.standard_error(), ", mean SE ", account.mean);
    CHECK(excess(squares, target) <= 3);
    // The scatter is that of the standard errors reported: χ² with 39 degrees of freedom.
    const double ratio = errors.variance() / (account.mean * account.mean);
    CHECK(std::abs(ratio - 1) <= 4 * std::sqrt(2.0 / 39));
    // Wrong accounts: errors twice as large, and a target half as large, would be seen.
    CHECK(std::abs(4 * ratio - 1) >= 5 * std::sqrt(2.0 / 39));
  }
}

TEST_CASE("coupled levels telescope, and their corrections' variance falls with the step") {
  const auto levels = sampled_levels(1 << 15, 7);
  const double z = consistency_of(levels);
  const Decay decay = variance_decay();
  MESSAGE("consistency ", z, " SE, variance decays with order ", decay.order, " +- ", decay.se);
  CHECK(z <= 4.5);
  CHECK(decay.order - 0.75 >= 5 * decay.se);  // 1 for Euler–Maruyama
  CHECK(decay.order <= 1.25);

  const double z_second = consistency_of(sampled_levels<EverySecondIncrement>(1 << 15, 7));
  const Decay second = variance_decay<EverySecondIncrement>();
  MESSAGE("every second increment: consistency ", z_second, " SE, decay ", second.order, " +- ", second.se);
  CHECK(std::isfinite(z_second));
  CHECK(z_second >= 5);
  CHECK(0.75 - second.order >= 5 * second.se);

  // Independent noise has the right laws and telescopes; what it lacks is the coupling.
  const double z_independent = consistency_of(sampled_levels<IndependentPath>(1 << 15, 7));
  const Decay independent = variance_decay<IndependentPath>();
  MESSAGE("independent noise: consistency ", z_independent, " SE, decay ", independent.order, " +- ",
          independent.se);
  CHECK(z_independent <= 4.5);
  CHECK(0.75 - independent.order >= 5 * independent.se);
}

TEST_CASE("the cost grows as the inverse square of the target, that of plain Monte Carlo as its cube") {
  // Strong order 1 (additive noise): V_l falls faster than the cost of a sample grows, which leaves ε⁻².
  const BenesSde benes;
  const auto start = [&](std::uint64_t, double* x) { benes.start(x); };
  const auto observe = [&](const double* x) { return benes.observe(x); };
  const std::vector<double> targets = {0.032, 0.016, 0.008, 0.004, 0.002};
  Moments multilevel_slope, plain_slope;
  for (std::uint64_t repetition = 0; repetition < 8; ++repetition) {
    double multilevel = 0, plain = 0;
    for (std::size_t i = 0; i < targets.size(); ++i) {
      const MultilevelResult result = multilevel_monte_carlo(EulerMaruyama{}, benes, start, observe,
                                                             options_for(targets[i], 300 + repetition));
      REQUIRE(result.status == MultilevelStatus::reached);
      const double weight = (2 - static_cast<double>(i)) / 10;  // of log2 cost against log2 ε
      multilevel += weight * std::log2(result.cost);
      plain += weight * std::log2(result.plain_cost);
    }
    multilevel_slope.add(multilevel);
    plain_slope.add(plain);
  }
  MESSAGE("cost ~ RMSE^", multilevel_slope.mean, " +- ", multilevel_slope.standard_error(),
          ", plain Monte Carlo ^", plain_slope.mean, " +- ", plain_slope.standard_error());
  CHECK(multilevel_slope.mean + 2.5 >= 5 * multilevel_slope.standard_error());
  CHECK(multilevel_slope.mean <= -1.75);
  CHECK(-2.5 - plain_slope.mean >= 5 * plain_slope.standard_error());
  CHECK(plain_slope.mean >= -3.5);
}

TEST_CASE("the slow SDE on a curved valley with retraction: both schemes have the same mean") {
  using Valley = CurvedValley<>;
  const auto spread = [](auto scheme, double weak_order, std::uint64_t seed, double target, int workers) {
    const SlowSde<Valley> sde(
        DenseGeometry<Valley>(Valley(), {.rank = 1}), std::make_shared<PsiMoment>(),
        [=](double) { return Round{.eta = 0.02, .local_steps = 25, .workers = workers}; });
    const GradientFlow<Valley> flow(sde.geometry());
    const auto retract = [&](double* x) {
      RetractionReport report;
      retract_to_manifold(flow, Retraction::newton, x, report);
    };
    const auto start = [](std::uint64_t, double* x) { x[0] = 0.5, x[1] = 0.125; };
    const auto observe = [](const double* x) { return (x[0] - 0.5) * (x[0] - 0.5); };
    MultilevelOptions options = options_for(target, seed);
    options.weak_order = weak_order;
    const Retracted stepper{scheme, retract};
    const MultilevelResult result = multilevel_monte_carlo<double>(stepper, sde, start, observe, options);
    CHECK(result.status == MultilevelStatus::reached);
    CHECK(result.consistency() <= 5);
    MESSAGE(result.estimate, " +- ", result.standard_error, ", bias at most ", result.bias_bound, ", ",
            result.levels.size(), " levels, cost ", result.cost);
    return result;
  };
  const MultilevelResult euler = spread(EulerMaruyama{}, 1, 5, 0.01, 4);
  const MultilevelResult platen = spread(PlatenWeak2{}, 2, 6, 0.01, 4);
  const auto apart = [&](const MultilevelResult& other) {
    return (std::abs(euler.estimate - other.estimate) - euler.bias_bound - other.bias_bound) /
           std::hypot(euler.standard_error, other.standard_error);
  };
  CHECK(apart(platen) <= 4);
  // Wrong theory: twice the batch.
  CHECK(apart(spread(EulerMaruyama{}, 1, 7, 0.01, 8)) >= 5);
}

TEST_CASE("the result has the same bits for any number of threads") {
  MultilevelOptions options = options_for(0.05, 9);
  options.threads = 1;
  const MultilevelResult one = run(options);
  for (const int threads : {2, 5}) {
    options.threads = threads;
    const MultilevelResult many = run(options);
    CHECK(exact(one.estimate, many.estimate));
    CHECK(exact(one.standard_error, many.standard_error));
    CHECK(exact(one.cost, many.cost));
    REQUIRE(one.levels.size() == many.levels.size());
  }
  options.seed = 10;
  CHECK(run(options).estimate != one.estimate);
}

TEST_CASE("a target out of reach is returned as such, with what was found") {
  MultilevelOptions options = options_for(0.003, 11);
  options.max_levels = 3;
  const MultilevelResult coarse = run(options);
  CHECK(coarse.status == MultilevelStatus::bias_too_large);
  CHECK(coarse.bias_bound > options.target_rmse * std::sqrt(options.bias_share));
  CHECK(std::isfinite(coarse.estimate));

  options.max_levels = 12;
  options.max_cost = 1e4;
  const MultilevelResult poor = run(options);
  CHECK(poor.status == MultilevelStatus::cost_too_large);
  CHECK(poor.cost <= options.max_cost);
  CHECK(std::isfinite(poor.standard_error));

  const auto broken = [](const double*) { return std::numeric_limits<double>::quiet_NaN(); };
  const MultilevelResult lost =
      multilevel_monte_carlo(EulerMaruyama{}, equation, start_of_equation, broken, options_for(0.1, 12));
  CHECK(lost.status == MultilevelStatus::diverged);
  CHECK(lost.levels[0].correction.diverged == lost.levels[0].samples);
}

TEST_CASE("impossible options are refused by name") {
  const auto refused = [](auto change) {
    MultilevelOptions options;
    change(options);
    CHECK_THROWS_AS(options.check(), std::invalid_argument);
  };
  refused([](auto& o) { o.target_rmse = 0; });
  refused([](auto& o) { o.end_time = -1; });
  refused([](auto& o) { o.coarsest_steps = 0; });
  refused([](auto& o) { o.weak_order = 0; });
  refused([](auto& o) { o.bias_share = 1; });
  refused([](auto& o) { o.pilot = 1; });
  refused([](auto& o) { o.min_levels = 1; });
  refused([](auto& o) { o.max_levels = 2; });
  refused([](auto& o) { o.max_cost = 0; });
  refused([](auto& o) { o.threads = 0; });
  CHECK_THROWS_WITH_AS(MultilevelOptions{.target_rmse = -1}.check(),
                       "multilevel Monte Carlo: 0 < target_rmse < infinity is violated by -1.000000",
                       std::invalid_argument);
  CHECK_THROWS_AS(multilevel_trajectory(0, std::uint64_t{1} << 28), std::out_of_range);
}
