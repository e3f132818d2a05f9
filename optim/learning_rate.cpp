#include "slowsde/optim/learning_rate.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <stdexcept>
#include <string>
#include <utility>

#include "slowsde/problems/requirement.hpp"

namespace slowsde {
namespace {

template <class T>
void require(bool holds, const char* inequality, T value) {
  detail::require(holds, "learning rate", inequality, value);
}

constexpr std::pair<LearningRateShape, std::string_view> shape_names[] = {
    {LearningRateShape::constant, "constant"},
    {LearningRateShape::linear, "linear"},
    {LearningRateShape::cosine, "cosine"},
    {LearningRateShape::step, "step"},
    {LearningRateShape::cosine_powers, "cosine-powers"},
};

bool depends_on_total_steps(LearningRateShape shape) {
  return shape != LearningRateShape::constant && shape != LearningRateShape::step;
}

}  // namespace

void LearningRateParams::check() const {
  require(peak > 0 && std::isfinite(peak), "0 < peak < infinity", peak);
  require(end >= 0 && end <= peak, "0 <= end <= peak", end);
  require(warmup_steps >= 0, "warmup_steps >= 0", warmup_steps);
  if (depends_on_total_steps(shape)) {
    require(total_steps >= 1, "total_steps >= 1", total_steps);
    require(warmup_steps <= total_steps, "warmup_steps <= total_steps", warmup_steps);
  }
  if (shape == LearningRateShape::step) {
    require(step_factor > 0 && std::isfinite(step_factor), "0 < step_factor < infinity", step_factor);
    for (std::size_t i = 0; i < step_at.size(); ++i)
      require(step_at[i] > (i == 0 ? -1 : step_at[i - 1]), "0 <= step_at[i-1] < step_at[i]", step_at[i]);
  }
  if (shape == LearningRateShape::cosine_powers)
    require(power_base > 1 && std::isfinite(power_base), "1 < power_base < infinity", power_base);
}

LearningRate::LearningRate(LearningRateParams params) : params_(std::move(params)) { params_.check(); }

double LearningRate::operator()(std::int64_t k) const {
  const auto& [shape, peak, end, w, N, step_at, gamma, base] = params_;
  if (k < w) return end + static_cast<double>(k) * (peak - end) / static_cast<double>(w);
  if (shape == LearningRateShape::constant) return peak;
  if (shape == LearningRateShape::step) {
    const auto passed = std::upper_bound(step_at.begin(), step_at.end(), k) - step_at.begin();
    return peak * std::pow(gamma, static_cast<double>(passed));
  }
  const double u = k < N ? static_cast<double>(k - w) / static_cast<double>(N - w) : 1;
  if (shape == LearningRateShape::linear) return end + (peak - end) * (1 - u);
  const double cosine = end + 0.5 * (peak - end) * (1 + std::cos(std::numbers::pi * u));
  if (shape == LearningRateShape::cosine) return cosine;
  return std::pow(base, std::round(std::log(cosine) / std::log(base)));
}

LearningRateShape learning_rate_shape(std::string_view name) {
  std::string known;
  for (const auto& [shape, shape_name] : shape_names) {
    if (name == shape_name) return shape;
    known += (known.empty() ? "" : ", ") + std::string(shape_name);
  }
  throw std::invalid_argument("unknown learning-rate shape \"" + std::string(name) + "\"; known: " + known);
}

std::string_view learning_rate_shape_name(LearningRateShape shape) {
  for (const auto& [known, name] : shape_names)
    if (known == shape) return name;
  throw std::invalid_argument("learning_rate_shape_name: not a shape");
}

}  // namespace slowsde
