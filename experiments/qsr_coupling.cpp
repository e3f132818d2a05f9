#include "slowsde/experiments/qsr_coupling.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <utility>

#include "slowsde/optim/sgd_moment.hpp"
#include "slowsde/problems/requirement.hpp"
#include "slowsde/sde/parallel.hpp"

namespace slowsde {
namespace {

/// Whether a is a positive multiple of b, but for rounding.
bool is_multiple(double a, double b) {
  const double times = std::round(a / b);
  return times >= 1 && std::abs(a / b - times) <= 1e-9 * times;
}

void require_multiple(const char* whole, double a, const char* part, double b) {
  if (!is_multiple(a, b))
    throw std::invalid_argument(
        fmt::format("coupled slow SDEs: {} = {} must be a multiple of {} = {}", whole, a, part, b));
}

}  // namespace

void QsrCoupling::check() const {
  const auto require = [](bool holds, const char* inequality, auto value) {
    detail::require(holds, "coupled slow SDEs", inequality, value);
  };
  require(workers >= 1, "workers >= 1", workers);
  require(local_batch >= 1, "local_batch >= 1", local_batch);
  require(slow_time > 0 && std::isfinite(slow_time), "0 < slow_time < infinity", slow_time);
  require(dt > 0 && std::isfinite(dt), "0 < dt < infinity", dt);
  require_multiple("slow_time", slow_time, "dt", dt);
}

void QsrCoupling::check_round_time(double alpha2) const {
  detail::require(alpha2 > 0 && std::isfinite(alpha2), "coupled slow SDEs", "0 < alpha2 < infinity", alpha2);
  require_multiple("alpha2", alpha2, "dt", dt);
  require_multiple("slow_time", slow_time, "alpha2", alpha2);
}

SlowRun QsrCoupling::slow_sde(std::shared_ptr<const SecondMoment> moment) const {
  check();
  SlowRun run;
  run.moment = std::move(moment);
  // The limit η → 0 does not depend on the learning rate.
  run.round = [round = Round{.eta = 1, .workers = workers, .local_batch = local_batch}](double) {
    return round;
  };
  run.noise = noise;
  run.seed = seed;
  run.start = start;
  run.times = {slow_time};
  run.dt = dt;
  run.noise_workers = workers;
  run.scheme = SlowScheme::platen_weak_2;
  return run;
}

SlowRun QsrCoupling::quasi_static(double alpha2) const {
  check_round_time(alpha2);
  SlowRun run = slow_sde(std::make_shared<SgdMoment>());
  run.theory = SlowTheory::quasi_static;
  run.round_time = alpha2;
  return run;
}

std::vector<double> QsrCoupling::sample(const ExperimentProblem& problem, const SlowRun& run) const {
  const std::vector<std::string> names = {observable};
  const auto d = static_cast<std::size_t>(problem.dim());
  std::vector<double> values(trajectories, std::numeric_limits<double>::quiet_NaN());
  parallel_for(threads, trajectories, [&](std::size_t trajectory) {
    double value = std::numeric_limits<double>::quiet_NaN();
    const auto record = [&](int, int, const double* state) {
      if (std::all_of(state, state + d, [](double x) { return std::isfinite(x); }))
        problem.observe(state, names, &value);
    };
    if (problem.slow_trajectory(run, trajectory, record).converged) values[trajectory] = value;
  });
  return values;
}

Measured local_exponent(const std::vector<double>& coarse, const std::vector<double>& fine, double ratio) {
  Moments a, b, relative;
  for (const double x : coarse) a.add(x);
  for (const double x : fine) b.add(x);
  for (std::size_t j = 0; j < coarse.size(); ++j) relative.add(coarse[j] / a.mean - fine[j] / b.mean);
  Measured result = Measured::of(relative);  // of mean 0
  result.mean = (result.mean + std::log(a.mean / b.mean)) / std::log(ratio);
  result.se /= std::log(ratio);
  return result;
}

}  // namespace slowsde
