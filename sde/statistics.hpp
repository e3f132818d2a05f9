// Statistics of ensembles: streaming moments that merge in a fixed order, quantiles and Kolmogorov–Smirnov
// distances. Values that are not finite are counted, never averaged.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <span>
#include <vector>

#include "slowsde/problems/host_device.hpp"

namespace slowsde {

/// The larger one; NaN where either is.
SLOWSDE_HD inline double larger_or_nan(double a, double b) { return std::isnan(a) || a > b ? a : b; }

/// Count, mean and sum of squared deviations of a sample, updated by Welford's recursion. The bits depend on
/// the order of `add` and `merge`, so an ensemble fixes both.
struct Moments {
  std::uint64_t count = 0;     ///< finite values seen
  std::uint64_t diverged = 0;  ///< NaN and infinite values seen; they enter neither mean nor variance
  double mean = 0;
  double squares = 0;  ///< Σ (x − mean)²

  SLOWSDE_HD void add(double x) {
    if (!std::isfinite(x)) {
      ++diverged;
      return;
    }
    ++count;
    const double delta = x - mean;
    mean += delta / static_cast<double>(count);
    squares += delta * (x - mean);
  }

  /// The moments of both samples together (Chan, Golub & LeVeque 1983).
  SLOWSDE_HD void merge(const Moments& other) {
    diverged += other.diverged;
    if (other.count == 0) return;
    const double n = static_cast<double>(count), m = static_cast<double>(other.count);
    const double delta = other.mean - mean;
    mean += delta * (m / (n + m));
    squares += other.squares + delta * delta * (n * m / (n + m));
    count += other.count;
  }

  /// Unbiased variance; NaN for fewer than two values.
  double variance() const {
    return count < 2 ? std::numeric_limits<double>::quiet_NaN() : squares / static_cast<double>(count - 1);
  }
  /// Standard error of the mean, √(variance/count); NaN for fewer than two values.
  double standard_error() const { return std::sqrt(variance() / static_cast<double>(count)); }
};

/// Merges by the fixed tree that halves the index range: the same bits whoever filled the parts.
Moments merge_in_order(std::span<const Moments> parts);

/// The p-quantile of a sample, 0 ≤ p ≤ 1, by linear interpolation between order statistics: the value at
/// position p(n − 1). Throws std::invalid_argument for an empty sample, a value that is not finite, or p
/// outside [0, 1].
double quantile(std::vector<double> sample, double p);

/// Kolmogorov–Smirnov: the largest distance D of two distribution functions and the asymptotic probability of
/// a larger one under equality, Q(λ) = 2 Σ_{j≥1} (−1)^{j−1} e^{−2j²λ²} at λ = (√n + 0.12 + 0.11/√n)·D with n
/// the effective sample size (Stephens 1970).
struct KolmogorovSmirnov {
  double distance = 0;
  double effective_size = 0;  ///< n for one sample, nm/(n + m) for two
  double p_value() const;
  /// The distance exceeded with probability alpha under equality, with one digit to spare for 0 < alpha <
  /// 0.5.
  double threshold(double alpha) const;
};

/// Both throw std::invalid_argument for an empty sample or a value that is not finite.
KolmogorovSmirnov kolmogorov_smirnov(std::vector<double> a, std::vector<double> b);
KolmogorovSmirnov kolmogorov_smirnov(std::vector<double> sample,
                                     const std::function<double(double)>& distribution);

}  // namespace slowsde
