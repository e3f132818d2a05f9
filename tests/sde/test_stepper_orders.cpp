// ctest-labels: theory
#include "slowsde/sde/stepper_orders.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <string>

#include "slowsde/sde/reference_equations.hpp"
#include "tests/support/sde_examples.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;
using namespace slowsde::test;

namespace {

/// Wrong theory: every step takes the increments of the first one.
template <class T>
struct ReusedNoise : BrownianPath<T> {
  using BrownianPath<T>::BrownianPath;
  void increments(std::uint64_t, double dt, T* dW) { BrownianPath<T>::increments_of(0, 0, dt, dW); }
};

const SinhSde<> sinh_sde;
const auto start_of_sinh = [](double* x) { sinh_sde.start(x); };
const auto observe_sinh = [](const double* x) { return sinh_sde.observe(x); };

OrderRun run_of(std::size_t trajectories, int first) {
  OrderRun run;
  run.trajectories = trajectories;
  run.first = first;
  run.seed = 21;
  run.threads = 2;
  return run;
}

}  // namespace

TEST_CASE("every stepper has its orders on every class of noise that it applies to") {
  StepperOrderOptions options;
  options.weak_trajectories = 1 << 15;
  options.strong_trajectories = 1 << 12;
  options.threads = 2;
  const auto all = measure_stepper_orders(options);
  CHECK(all.size() == stepper_order_schemes().size() * stepper_order_noises().size());
  MESSAGE(stepper_order_table(all));
  int applied = 0, confirmed = 0;
  for (const StepperOrders& row : all) {
    if (!row.applies()) continue;
    CAPTURE(row.scheme);
    CAPTURE(row.noise);
    ++applied;
    confirmed += row.verdict() == OrderVerdict::confirmed;
    CHECK(row.verdict() != OrderVerdict::refuted);
    CHECK(row.limit_z <= 4.5);
    CHECK(row.weak_errors.diverged + row.strong_errors.diverged == 0);
    // 4.5 standard errors of the fit around the order of theory
    CHECK(std::abs(row.weak.order - row.weak_expected) <= 4.5 * row.weak.se + 0.05);
    CHECK(std::abs(row.strong.order - row.strong_expected) <= 4.5 * row.strong.se + 0.05);
    if (!std::isnan(row.weak_exact)) {
      CHECK(order(row.weak_exact, row.weak_expected, 0.02));
      CHECK(order(row.strong_exact, row.strong_expected, 0.02));
    }
  }
  CHECK(applied == 23);
  CHECK(confirmed >= 15);
}

TEST_CASE("wrong schemes and wrong noises are refuted") {
  // Milstein's scheme without its correction.
  const OrderFit milstein = fit_order(strong_errors(Milstein{}, sinh_sde, start_of_sinh, run_of(8192, 6)));
  const OrderFit uncorrected =
      fit_order(strong_errors(EulerMaruyama{}, sinh_sde, start_of_sinh, run_of(8192, 6)));
  MESSAGE("Milstein ", milstein.order, " +- ", milstein.se, ", without correction ", uncorrected.order,
          " +- ", uncorrected.se);
  CHECK(judge_order(milstein, 1) == OrderVerdict::confirmed);
  CHECK(judge_order(uncorrected, 1) == OrderVerdict::refuted);
  CHECK((1 - uncorrected.order - order_margin) / uncorrected.se >= 5);

  // √dt → dt, no noise, and the same noise in every step: they have limits, which are not the solution's.
  const auto limit_z = [&](const WeakErrors& errors) {
    CHECK(errors.errors.diverged == 0);
    CHECK(std::isfinite(errors.limit.mean));
    return errors.limit.z(sinh_sde.expectation(1));
  };
  const OrderRun run = run_of(1 << 14, 2);
  const auto weak = [&]<template <class> class Path>() {
    return weak_errors<Pack<double>, Path>(EulerMaruyama{}, sinh_sde, start_of_sinh, observe_sinh, run, 1);
  };
  const double right = limit_z(weak.operator()<BrownianPath>());
  const double small = limit_z(weak.operator()<NoiseOfSizeDt>()), none = limit_z(weak.operator()<NoNoise>());
  const double reused = limit_z(weak.operator()<ReusedNoise>());
  MESSAGE("limits off by ", right, " SE; of size dt ", small, ", none ", none, ", reused ", reused);
  CHECK(right <= 4.5);
  CHECK(small >= 5);
  CHECK(none >= 5);
  CHECK(reused >= 5);
}

TEST_CASE("the fit knows how the levels' errors are correlated") {
  // |m_l| = 2^{−pl}(1 + a2^{−l}) with known errors, common to all levels but for a small part.
  LevelErrors errors;
  for (int l = 0; l < 5; ++l) {
    errors.h.push_back(std::exp2(-l));
    errors.mean.push_back(0.1 * std::exp2(-1.5 * l) * (1 + 0.2 * std::exp2(-l)));
  }
  errors.covariance = Eigen::MatrixXd::Zero(5, 5);
  for (int i = 0; i < 5; ++i)
    for (int j = 0; j < 5; ++j)
      errors.covariance(i, j) = errors.mean[static_cast<std::size_t>(i)] *
                                errors.mean[static_cast<std::size_t>(j)] * (i == j ? 1.01e-2 : 1e-2);
  const OrderFit common = fit_order(errors);
  CHECK(std::abs(common.order - 1.5) <= 3 * common.se);
  // Independent errors of that size say less about the slope than common ones.
  LevelErrors independent = errors;
  independent.covariance = Eigen::MatrixXd(errors.covariance.diagonal().asDiagonal());
  CHECK(fit_order(independent).se > 1.5 * common.se);
  CHECK(judge_order(common, 2.5) == OrderVerdict::refuted);

  errors.mean[4] = 0;
  CHECK(judge_order(fit_order(errors), 1.5) == OrderVerdict::inconclusive);
  errors.mean.resize(4);
  CHECK_THROWS_AS(fit_order(errors), std::invalid_argument);
  CHECK_THROWS_AS((OrderRun{.halvings = 3}.check()), std::invalid_argument);
}
