// Orders of convergence of SDE schemes, measured: solutions at steps h, h/2, h/4, … on one Brownian path, the
// differences of successive ones, and the slope of their logarithms with a standard error that knows how the
// differences are correlated.
#pragma once

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "slowsde/sde/sde_ensemble.hpp"

namespace slowsde {

/// Steps 2^first … 2^{first + halvings + 1} over [0, end_time]: halvings + 1 differences.
struct OrderRun {
  std::size_t trajectories = 1 << 14;
  std::uint64_t seed = 1;
  double end_time = 1;
  int first = 2;     ///< log2 of the fewest steps
  int halvings = 4;  ///< of the step, between the first difference and the last
  int threads = 1;

  /// Throws std::invalid_argument naming the violated inequality.
  void check() const;
};

/// Means of one quantity per level over the trajectories, all levels of a trajectory on one path.
struct LevelErrors {
  std::vector<double> h;       ///< the larger step of each difference
  std::vector<double> mean;    ///< E f(X_h) − E f(X_{h/2}), or E|X_h − X_{h/2}|²
  Eigen::MatrixXd covariance;  ///< of the means
  double power = 1;            ///< the order is that of |mean|^power: 1, or 1/2 of a mean square
  std::uint64_t diverged = 0;  ///< trajectories left out because a level is not finite

  double se(std::size_t level) const {
    return std::sqrt(covariance(static_cast<Eigen::Index>(level), static_cast<Eigen::Index>(level)));
  }
  /// The largest se/|mean|: logarithms mean something where it is small.
  double worst_relative_error() const;
};

/// The slope of log |mean| against log h.
struct OrderFit {
  double order = 0, se = 0;
  bool resolved = false;  ///< every mean is at least three standard errors from 0
  /// Half-width of the 99 % interval.
  double half_width() const { return 2.5758293035489004 * se; }
};

/// Least squares for log2(|m_l|^power) = const − p·l + a·2^{−l} + b·4^{−l} + error, weighted by the inverse
/// of the errors' covariance (delta method). a and b, the terms of higher order at the coarsest level, are
/// unknowns of mean 0 and standard deviation 1/2: they enter the covariance, so that coarse levels, whose
/// means are sharp but not yet asymptotic, do not decide alone. Throws std::invalid_argument for fewer than
/// five levels.
OrderFit fit_order(const LevelErrors& errors);

enum class OrderVerdict { confirmed, refuted, inconclusive };
/// Orders are multiples of 1/2, so a margin of 1/4 tells neighbours apart.
inline constexpr double order_margin = 0.25;
/// Confirmed: the 99 % interval lies within expected ± margin; refuted: outside; inconclusive: neither, or
/// the errors are not resolved.
OrderVerdict judge_order(const OrderFit& fit, double expected);
const char* name_of(OrderVerdict verdict);

/// What the limit of the steps would give: E f(X_{h_min}) with the leading term of its bias taken out,
/// f_L + (f_L − f_{L−1})/(2^p − 1), trajectory by trajectory.
struct LimitEstimate {
  double mean = 0, se = 0, correction = 0;
  /// Distance from `exact` in standard errors, beyond what half of the correction excuses.
  double z(double exact) const;
};

struct WeakErrors {
  LevelErrors errors;
  LimitEstimate limit;
};

namespace detail {

/// observe(x, values), `count` values, at the end of every trajectory of every level:
/// (levels × trajectories × count).
template <class T, template <class> class Path, class Scheme, class S, class Start, class Observe>
std::vector<double> level_values(const Scheme& scheme, const S& sde, const Start& start, const OrderRun& run,
                                 std::size_t count, const Observe& observe) {
  run.check();
  const int levels = run.halvings + 2;
  std::vector<double> values(static_cast<std::size_t>(levels) * run.trajectories * count);
  for (int level = 0; level < levels; ++level) {
    EnsembleOptions ensemble;
    ensemble.trajectories = run.trajectories;
    ensemble.seed = run.seed;
    ensemble.output_times = {run.end_time};
    ensemble.max_step = run.end_time / static_cast<double>(std::uint64_t{1} << (run.first + level));
    ensemble.refinement = std::uint64_t{1} << (levels - 1 - level);
    ensemble.threads = run.threads;
    double* out = values.data() + static_cast<std::size_t>(level) * run.trajectories * count;
    run_ensemble<T, Path>(
        scheme, sde, ensemble, [&](std::size_t, double* x) { start(x); },
        [&](std::size_t, std::size_t i, const double* x) { observe(x, out + i * count); });
  }
  return values;
}

/// Means and their covariance of difference(level, trajectory), over trajectories where all are finite.
template <class Difference>
LevelErrors level_errors(const OrderRun& run, double power, const Difference& difference) {
  const int n = run.halvings + 1;
  LevelErrors result;
  result.power = power;
  Eigen::VectorXd mean = Eigen::VectorXd::Zero(n), x(n);
  Eigen::MatrixXd squares = Eigen::MatrixXd::Zero(n, n);
  double count = 0;
  for (std::size_t i = 0; i < run.trajectories; ++i) {
    for (int l = 0; l < n; ++l) x[l] = difference(static_cast<std::size_t>(l), i);
    if (!x.allFinite()) {
      ++result.diverged;
      continue;
    }
    ++count;
    const Eigen::VectorXd delta = x - mean;
    mean += delta / count;
    squares += delta * (x - mean).transpose();
  }
  result.covariance = squares / (count * (count - 1));
  for (int l = 0; l < n; ++l) {
    result.mean.push_back(mean[l]);
    result.h.push_back(run.end_time / static_cast<double>(std::uint64_t{1} << (run.first + l)));
  }
  return result;
}

}  // namespace detail

/// E f(X_h) − E f(X_{h/2}) on coupled paths. start(x) writes the initial state, f(x) is the functional;
/// `order` is the weak order that the limit's correction assumes.
template <class T = Pack<double>, template <class> class Path = BrownianPath, class Scheme, class S,
          class Start, class F>
requires Steppable<Scheme, S, T> WeakErrors weak_errors(const Scheme& scheme, const S& sde,
                                                        const Start& start, const F& f, const OrderRun& run,
                                                        double order) {
  const std::vector<double> values = detail::level_values<T, Path>(
      scheme, sde, start, run, 1, [&](const double* x, double* out) { *out = f(x); });
  const std::size_t n = run.trajectories, last = static_cast<std::size_t>(run.halvings) + 1;
  WeakErrors result;
  result.errors = detail::level_errors(
      run, 1, [&](std::size_t l, std::size_t i) { return values[l * n + i] - values[(l + 1) * n + i]; });
  Moments limit;
  const double weight = 1 / (std::exp2(order) - 1);
  for (std::size_t i = 0; i < n; ++i) {
    const double fine = values[last * n + i], coarse = values[(last - 1) * n + i];
    limit.add(fine + weight * (fine - coarse));
  }
  result.limit = {limit.mean, limit.standard_error(), -weight * result.errors.mean.back()};
  return result;
}

/// E|X_h − X_{h/2}|² on coupled paths.
template <class T = Pack<double>, template <class> class Path = BrownianPath, class Scheme, class S,
          class Start>
requires Steppable<Scheme, S, T> LevelErrors strong_errors(const Scheme& scheme, const S& sde,
                                                           const Start& start, const OrderRun& run) {
  const auto d = static_cast<std::size_t>(sde.dim());
  const std::vector<double> values = detail::level_values<T, Path>(
      scheme, sde, start, run, d, [&](const double* x, double* out) { std::copy(x, x + d, out); });
  const std::size_t row = run.trajectories * d;
  return detail::level_errors(run, 0.5, [&](std::size_t l, std::size_t i) {
    double square = 0;
    for (std::size_t j = i * d; j < (i + 1) * d; ++j)
      square += (values[l * row + j] - values[(l + 1) * row + j]) *
                (values[l * row + j] - values[(l + 1) * row + j]);
    return square;
  });
}

}  // namespace slowsde
