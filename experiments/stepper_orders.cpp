#include "slowsde/experiments/stepper_orders.hpp"

#include <chrono>
#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "slowsde/experiments/progress.hpp"
#include "slowsde/sde/stepper_orders.hpp"

namespace slowsde {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

StepperOrderOptions read_options(ConfigTable& config, const RunContext& context) {
  StepperOrderOptions options;
  ConfigTable table = config.table("run");
  options.weak_trajectories = static_cast<std::size_t>(
      table.at_least<int>("weak_trajectories", 100, static_cast<int>(options.weak_trajectories)));
  options.strong_trajectories = static_cast<std::size_t>(
      table.at_least<int>("strong_trajectories", 100, static_cast<int>(options.strong_trajectories)));
  options.seed = context.seed;
  options.threads = context.threads;
  return options;
}

double pairs() { return static_cast<double>(stepper_order_schemes().size() * stepper_order_noises().size()); }

}  // namespace

Estimate StepperOrdersExperiment::estimate(ConfigTable& config, const RunContext& context) const {
  StepperOrderOptions options = read_options(config, context);
  Estimate estimate;
  estimate.work = pairs();
  // The ends of all levels of one pair, three components at most.
  estimate.bytes = 6.0 * 3 * sizeof(double) *
                   static_cast<double>(std::max(options.weak_trajectories, options.strong_trajectories));
  if (context.measure) {
    constexpr double part = 32;
    const auto begin = std::chrono::steady_clock::now();
    options.weak_trajectories = std::max<std::size_t>(100, options.weak_trajectories / 32);
    options.strong_trajectories = std::max<std::size_t>(100, options.strong_trajectories / 32);
    measure_stepper_orders(options);
    estimate.seconds = part * std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  }
  return estimate;
}

Result StepperOrdersExperiment::run(ConfigTable& config, RunContext& context) const {
  const StepperOrderOptions options = read_options(config, context);
  const auto all = measure_stepper_orders(options, [&](int) { context.progress.add(1); });

  Result result;
  const std::size_t levels = 5;
  result.dims = {{"pair", all.size()}, {"level", levels}};
  const auto text = [&](std::string name, std::string long_name, auto value) {
    TextVariable v{std::move(name), std::move(long_name), {"pair"}, {}};
    for (const StepperOrders& row : all) v.data.push_back(value(row));
    result.add(std::move(v));
  };
  const auto number = [&](std::string name, std::string long_name, auto value) {
    Variable v{std::move(name), "1", std::move(long_name), {"pair"}, {}};
    for (const StepperOrders& row : all) v.data.push_back(row.applies() ? value(row) : nan);
    result.add(std::move(v));
  };
  const auto per_level = [&](std::string name, std::string long_name, auto value) {
    Variable v{std::move(name), "1", std::move(long_name), {"pair", "level"}, {}};
    for (const StepperOrders& row : all)
      for (std::size_t l = 0; l < levels; ++l) v.data.push_back(row.applies() ? value(row, l) : nan);
    result.add(std::move(v));
  };
  text("scheme", "scheme", [](const auto& row) { return row.scheme; });
  text("noise", "class of the noise", [](const auto& row) { return row.noise; });
  text("equation", "nonlinear SDE of the sampled orders", [](const auto& row) { return row.equation; });
  text("verdict",
       "of both orders, the limit and the exact orders; the reason where the scheme does not apply",
       [](const auto& row) {
         return row.applies() ? std::string(name_of(row.verdict())) : "does not apply: " + row.why_not;
       });
  number("weak_expected", "weak order of theory", [](const auto& row) { return row.weak_expected; });
  number("strong_expected", "strong order of theory", [](const auto& row) { return row.strong_expected; });
  number("weak_order", "weak order, sampled", [](const auto& row) { return row.weak.order; });
  number("weak_half_width", "half-width of its 99 % interval",
         [](const auto& row) { return row.weak.half_width(); });
  number("strong_order", "strong order, sampled", [](const auto& row) { return row.strong.order; });
  number("strong_half_width", "half-width of its 99 % interval",
         [](const auto& row) { return row.strong.half_width(); });
  number("weak_exact", "weak order of second moments on a linear SDE, without sampling",
         [](const auto& row) { return row.weak_exact; });
  number("strong_exact", "strong order on a linear SDE, without sampling",
         [](const auto& row) { return row.strong_exact; });
  number("limit_z", "distance of the extrapolated mean from the known one, in standard errors",
         [](const auto& row) { return row.limit_z; });
  per_level("weak_step", "step h of a weak difference",
            [](const auto& row, std::size_t l) { return row.weak_errors.h[l]; });
  per_level("weak_difference", "E f(X_h) - E f(X_{h/2})",
            [](const auto& row, std::size_t l) { return row.weak_errors.mean[l]; });
  per_level("weak_se", "standard error of weak_difference",
            [](const auto& row, std::size_t l) { return row.weak_errors.se(l); });
  per_level("strong_step", "step h of a strong difference",
            [](const auto& row, std::size_t l) { return row.strong_errors.h[l]; });
  per_level("strong_difference", "root mean square of X_h - X_{h/2}",
            [](const auto& row, std::size_t l) { return std::sqrt(row.strong_errors.mean[l]); });
  per_level("strong_se", "standard error of strong_difference", [](const auto& row, std::size_t l) {
    return 0.5 * row.strong_errors.se(l) / std::sqrt(row.strong_errors.mean[l]);
  });

  for (const StepperOrders& row : all) {
    if (!row.applies()) continue;
    const std::string name = row.scheme + ", " + row.noise;
    const std::uint64_t lost = row.weak_errors.diverged + row.strong_errors.diverged;
    const std::size_t n = options.weak_trajectories + options.strong_trajectories;
    result.replicas += static_cast<long long>(n);
    result.diverged += static_cast<long long>(lost);
    if (lost > 0) result.warnings.push_back(name + ": " + std::to_string(lost) + " trajectories diverged");
    if (lost == n) result.diverged_series.push_back(name);
    if (row.verdict() != OrderVerdict::confirmed)
      result.warnings.push_back(name + ": the orders are " + name_of(row.verdict()));
  }
  result.summary = stepper_order_table(all);
  return result;
}

}  // namespace slowsde
