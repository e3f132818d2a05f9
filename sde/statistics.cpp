#include "slowsde/sde/statistics.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace slowsde {
namespace {

void sort_finite(std::vector<double>& sample, const char* who) {
  if (sample.empty()) throw std::invalid_argument(std::string(who) + ": the sample is empty");
  for (const double x : sample)
    if (!std::isfinite(x))
      throw std::invalid_argument(std::string(who) + ": the sample holds the value " + std::to_string(x));
  std::sort(sample.begin(), sample.end());
}

/// Q(λ) of the asymptotic law. The alternating series converges at once for λ > 1, its theta-function dual
/// 1 − (√(2π)/λ) Σ_j e^{−(2j−1)²π²/8λ²} for λ < 1.
double kolmogorov_tail(double lambda) {
  if (!(lambda > 0)) return 1;
  double sum = 0;
  if (lambda < 1) {
    for (int j = 5; j >= 1; --j) {
      const double odd = (2 * j - 1) * M_PI / lambda;
      sum += std::exp(-odd * odd / 8);
    }
    return 1 - std::sqrt(2 * M_PI) / lambda * sum;
  }
  for (int j = 8; j >= 1; --j) sum = std::exp(-2.0 * j * j * lambda * lambda) - sum;
  return 2 * sum;
}

double stephens_factor(double n) { return std::sqrt(n) + 0.12 + 0.11 / std::sqrt(n); }

}  // namespace

Moments merge_in_order(std::span<const Moments> parts) {
  if (parts.empty()) return {};
  if (parts.size() == 1) return parts.front();
  const std::size_t half = (parts.size() + 1) / 2;
  Moments result = merge_in_order(parts.first(half));
  result.merge(merge_in_order(parts.subspan(half)));
  return result;
}

double quantile(std::vector<double> sample, double p) {
  if (!(p >= 0 && p <= 1))
    throw std::invalid_argument("quantile: 0 <= p <= 1 is violated by " + std::to_string(p));
  sort_finite(sample, "quantile");
  const double position = p * static_cast<double>(sample.size() - 1);
  const auto below = static_cast<std::size_t>(position);
  const std::size_t above = std::min(below + 1, sample.size() - 1);
  return sample[below] + (position - static_cast<double>(below)) * (sample[above] - sample[below]);
}

double KolmogorovSmirnov::p_value() const {
  return kolmogorov_tail(stephens_factor(effective_size) * distance);
}

double KolmogorovSmirnov::threshold(double alpha) const {
  if (!(alpha > 0 && alpha < 0.5))
    throw std::invalid_argument("threshold: 0 < alpha < 0.5 is violated by " + std::to_string(alpha));
  // The first term of the series is all there is in the tail: 2e^{−2λ²} = alpha.
  return std::sqrt(-0.5 * std::log(alpha / 2)) / stephens_factor(effective_size);
}

KolmogorovSmirnov kolmogorov_smirnov(std::vector<double> a, std::vector<double> b) {
  sort_finite(a, "Kolmogorov-Smirnov");
  sort_finite(b, "Kolmogorov-Smirnov");
  const double n = static_cast<double>(a.size()), m = static_cast<double>(b.size());
  double distance = 0;
  for (std::size_t i = 0, j = 0; i < a.size() && j < b.size();) {
    const double x = std::min(a[i], b[j]);
    while (i < a.size() && a[i] == x) ++i;  // ties step together
    while (j < b.size() && b[j] == x) ++j;
    distance = std::max(distance, std::abs(static_cast<double>(i) / n - static_cast<double>(j) / m));
  }
  return {distance, n * m / (n + m)};
}

KolmogorovSmirnov kolmogorov_smirnov(std::vector<double> sample,
                                     const std::function<double(double)>& distribution) {
  sort_finite(sample, "Kolmogorov-Smirnov");
  const double n = static_cast<double>(sample.size());
  double distance = 0;
  for (std::size_t i = 0; i < sample.size(); ++i) {
    const double F = distribution(sample[i]);
    distance = std::max({distance, F - static_cast<double>(i) / n, static_cast<double>(i + 1) / n - F});
  }
  return {distance, n};
}

}  // namespace slowsde
