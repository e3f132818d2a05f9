#include "slowsde/experiments/claim.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/math/distributions/normal.hpp>
#include <boost/math/distributions/students_t.hpp>
#include <boost/math/special_functions/erf.hpp>
#include <limits>
#include <stdexcept>

namespace slowsde {
namespace {

std::uint64_t least(std::uint64_t a, std::uint64_t b) { return a == 0 ? b : b == 0 ? a : std::min(a, b); }

bool finite(const Measured& m) { return std::isfinite(m.mean) && std::isfinite(m.se) && m.se >= 0; }

std::uint64_t mixed(std::uint64_t x) {  // the finaliser of splitmix64
  x += 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

}  // namespace

Measured Measured::of(const Moments& moments) {
  if (moments.diverged > 0) {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    return {nan, nan, moments.count};
  }
  return {moments.mean, moments.standard_error(), moments.count};
}

Measured Measured::of_few(const Moments& moments) {
  Measured result = of(moments);
  constexpr double tail = 1e-5;
  if (moments.count > 1)
    result.se *=
        boost::math::quantile(boost::math::students_t(static_cast<double>(moments.count - 1)), tail) /
        boost::math::quantile(boost::math::normal(), tail);
  return result;
}

Measured operator+(Measured a, Measured b) {
  return {a.mean + b.mean, std::hypot(a.se, b.se), least(a.n, b.n)};
}
Measured operator-(Measured a, Measured b) { return a + -1.0 * b; }

Measured extrapolate(Measured at_h, Measured at_half) { return 2 * at_half - at_h; }
Measured extrapolate(Measured at_h, Measured at_half, Measured at_quarter) {
  return (1.0 / 3) * (8 * at_quarter - 6 * at_half + at_h);
}

Measured exponent(const std::vector<double>& h, const std::vector<Measured>& error) {
  std::vector<double> none(h.size() * h.size(), 0.0);
  for (std::size_t l = 0; l < h.size(); ++l) none[l * h.size() + l] = 1;
  return exponent(h, error, none);
}

Measured exponent(const std::vector<double>& h, const std::vector<Measured>& error,
                  const std::vector<double>& correlation) {
  double mean = 0, squares = 0;
  for (const double level : h) mean += std::log(level) / static_cast<double>(h.size());
  for (const double level : h) squares += std::pow(std::log(level) - mean, 2);
  bool changes_sign = false;
  for (const Measured& e : error) changes_sign = changes_sign || e.mean * error[0].mean < 0;
  Measured slope = Measured::exact(0);
  std::vector<double> parts;  // of the slope, a standard error of each level
  for (std::size_t l = 0; l < h.size(); ++l) {
    const double size = std::max(std::abs(error[l].mean), error[l].se);  // none is known to be smaller
    const double weight = (std::log(h[l]) - mean) / squares;
    slope = slope + weight * Measured{std::log(size), 0, error[l].n};
    parts.push_back(weight * error[l].se / size);
  }
  double variance = 0;
  for (std::size_t l = 0; l < h.size(); ++l)
    for (std::size_t k = 0; k < h.size(); ++k)
      variance += parts[l] * parts[k] * correlation[l * h.size() + k];
  slope.se = std::sqrt(variance);
  if (changes_sign) slope.mean = 0;
  return slope;
}

std::string_view verdict_name(Verdict verdict) {
  return verdict == Verdict::confirmed ? "confirmed"
         : verdict == Verdict::refuted ? "refuted"
                                       : "inconclusive";
}

void require_risk(std::string_view claim, const Comparison& c) {
  const auto require = [&](bool holds, const char* what) {
    if (!holds) throw std::logic_error(fmt::format("claim '{}', '{}': {}", claim, c.quantity, what));
  };
  require(c.least_n > 0 || c.measured.n == 0, "a measurement needs a least number of replicas");
  require(c.rivals.size() >= 2, "at least two wrong theories have to be told apart");
}

double distance_in_errors(const Measured& a, const Measured& b) {
  if (!finite(a) || !finite(b)) return std::numeric_limits<double>::quiet_NaN();
  const double difference = std::abs(a.mean - b.mean), se = std::hypot(a.se, b.se);
  if (se == 0) return difference == 0 ? 0 : std::numeric_limits<double>::infinity();
  return difference / se;
}

Judgement judge(const Comparison& c, double critical) {
  Judgement result;
  result.z = distance_in_errors(c.measured, c.predicted);
  for (const Rival& rival : c.rivals)
    result.rivals.push_back(distance_in_errors(c.measured, rival.predicted));
  if (std::isnan(result.z)) {
    result.verdict = Verdict::refuted;
    result.reason = "a value is not finite";
    return result;
  }
  const double difference = std::abs(c.measured.mean - c.predicted.mean);
  const double se = std::hypot(c.measured.se, c.predicted.se), half = critical * se;
  const bool equivalence = c.margin > 0;
  if (equivalence ? difference - half > c.margin : difference > half) {
    result.verdict = Verdict::refuted;
    result.reason = equivalence ? fmt::format("the interval lies outside ±{:.3g}", c.margin)
                                : fmt::format("{:.1f} SE from the prediction", result.z);
    return result;
  }
  const std::uint64_t n = least(c.measured.n, c.predicted.n);
  if (n < c.least_n)
    result.reason = fmt::format("{} replicas, {} are needed", n, c.least_n);
  else if (!(c.effect > 0))
    result.reason = "nothing is claimed: the effect is not positive";
  else if (!(5 * se <= c.effect))
    result.reason = fmt::format("SE {:.2g} exceeds a fifth of the effect {:.2g}", se, c.effect);
  else if (equivalence && !(difference + half <= c.margin))
    result.reason = fmt::format("the interval reaches beyond ±{:.3g}", c.margin);
  for (std::size_t r = 0; r < c.rivals.size() && result.reason.empty(); ++r) {
    const auto& [name, predicted] = c.rivals[r];
    const double away = std::abs(c.measured.mean - predicted.mean);
    if (!(result.rivals[r] >= rejection))
      result.reason = fmt::format("'{}' is only {:.1f} SE away", name, result.rivals[r]);
    else if (equivalence && !(away - rejection * std::hypot(c.measured.se, predicted.se) >= c.margin))
      result.reason = fmt::format("'{}' may lie within ±{:.3g}", name, c.margin);
  }
  if (result.reason.empty()) result.verdict = Verdict::confirmed;
  return result;
}

double critical_z(double false_alarms, int comparisons) {
  // 2(1 − Φ(z)) = false_alarms/comparisons
  return std::sqrt(2.0) * boost::math::erfc_inv(false_alarms / comparisons);
}

ClaimRun::ClaimRun(std::string_view claim, std::uint64_t seed, Effort effort, int threads)
    : state_(mixed(seed)), effort_(effort), threads_(threads) {
  for (const char letter : claim) state_ = mixed(state_ ^ static_cast<unsigned char>(letter));
}

std::uint64_t ClaimRun::next_seed() {
  state_ = mixed(state_);
  return state_;
}

}  // namespace slowsde
