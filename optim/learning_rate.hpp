// Learning-rate schedules: a value for every step of a run.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace slowsde {

enum class LearningRateShape {
  constant,
  linear,
  cosine,
  step,           ///< times a factor at given steps
  cosine_powers,  ///< cosine, rounded to the nearest power of a base on the logarithmic scale
};

/// All shapes begin with a linear warm-up from the final learning rate, lr(k) = lr_end + k (peak − lr_end)/w
/// for k < w. Afterwards, with u = (k − w)/(N − w):
///   constant       peak
///   linear         lr_end + (peak − lr_end)(1 − u)
///   cosine         lr_end + ½(peak − lr_end)(1 + cos πu)
///   step           peak · factor^(number of entries of `step_at` that are ≤ k)
///   cosine_powers  base^round(log_base of the cosine)
struct LearningRateParams {
  LearningRateShape shape = LearningRateShape::constant;
  double peak = 0.1;
  double end = 0;                       ///< lr_end
  std::int64_t warmup_steps = 0;        ///< w
  std::int64_t total_steps = 0;         ///< N; constant and step do without
  std::vector<std::int64_t> step_at{};  ///< increasing
  double step_factor = 0.1;             ///< γ
  double power_base = 2;

  /// Throws std::invalid_argument naming the violated inequality.
  void check() const;
};

class LearningRate {
 public:
  /// Throws what params.check() throws.
  explicit LearningRate(LearningRateParams params);
  static LearningRate constant(double eta) { return LearningRate({.peak = eta}); }

  /// lr of step k, counted from 0; from step N on, that of u = 1.
  double operator()(std::int64_t k) const;
  const LearningRateParams& params() const { return params_; }

 private:
  LearningRateParams params_;
};

/// "constant", "linear", "cosine", "step", "cosine-powers"; throws std::invalid_argument on any other name.
LearningRateShape learning_rate_shape(std::string_view name);
std::string_view learning_rate_shape_name(LearningRateShape shape);

}  // namespace slowsde
