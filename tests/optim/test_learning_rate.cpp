#include "slowsde/optim/learning_rate.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <numbers>
#include <stdexcept>

#include "tests/support/tolerance.hpp"

using namespace slowsde;
using Shape = LearningRateShape;
using test::near_relative;

namespace {

constexpr Shape all_shapes[] = {Shape::constant, Shape::linear, Shape::cosine, Shape::step,
                                Shape::cosine_powers};

LearningRateParams ten_and_hundred(Shape shape) {
  return {
      .shape = shape, .peak = 0.8, .end = 1e-3, .warmup_steps = 10, .total_steps = 110, .step_at = {50, 80}};
}

}  // namespace

TEST_CASE("every shape warms up linearly from the final learning rate") {
  for (Shape shape : all_shapes) {
    const LearningRate lr(ten_and_hundred(shape));
    CHECK(lr(0) == 1e-3);
    for (std::int64_t k = 0; k < 10; ++k)
      CHECK(near_relative(lr(k), 1e-3 + static_cast<double>(k) / 10 * (0.8 - 1e-3), 1e-14));
  }
}

TEST_CASE("after the warm-up every shape starts at the peak, rounded to a power where it is so defined") {
  for (Shape shape : all_shapes)
    CHECK(near_relative(LearningRate(ten_and_hundred(shape))(10), shape == Shape::cosine_powers ? 1 : 0.8,
                        1e-14));
}

TEST_CASE("cosine: halfway it is the mean of peak and end, and it never rises") {
  const LearningRate lr(ten_and_hundred(Shape::cosine));
  CHECK(near_relative(lr(60), (0.8 + 1e-3) / 2, 1e-14));
  CHECK(near_relative(lr(35), 1e-3 + (0.8 - 1e-3) * std::pow(std::cos(std::numbers::pi / 8), 2), 1e-14));
  for (std::int64_t k = 10; k < 109; ++k) CHECK(lr(k + 1) < lr(k));
  CHECK(lr(110) == 1e-3);
  CHECK(lr(1000) == 1e-3);
}

TEST_CASE("linear: a quarter of the way it has lost a quarter") {
  const LearningRate lr(ten_and_hundred(Shape::linear));
  CHECK(near_relative(lr(35), 1e-3 + 0.75 * (0.8 - 1e-3), 1e-14));
  CHECK(lr(110) == 1e-3);
}

TEST_CASE("step: the factor acts from its step on") {
  const LearningRate lr(ten_and_hundred(Shape::step));
  CHECK(lr(49) == 0.8);
  CHECK(near_relative(lr(50), 0.08, 1e-14));
  CHECK(near_relative(lr(79), 0.08, 1e-14));
  CHECK(near_relative(lr(80), 0.008, 1e-14));
  CHECK(near_relative(lr(100000), 0.008, 1e-14));
}

TEST_CASE("cosine-powers: a power of the base within half a power of the cosine") {
  for (double base : {2.0, 4.0, 10.0}) {
    LearningRateParams params = ten_and_hundred(Shape::cosine_powers);
    params.power_base = base;
    const LearningRate rounded(params), cosine(ten_and_hundred(Shape::cosine));
    for (std::int64_t k = 10; k < 110; ++k) {
      const double power = std::log(rounded(k)) / std::log(base);
      CHECK(std::abs(power - std::round(power)) <= 1e-12);
      CHECK(std::abs(std::log(rounded(k) / cosine(k)) / std::log(base)) <= 0.5 + 1e-12);
    }
  }
}

TEST_CASE("constant is constant") {
  const LearningRate lr = LearningRate::constant(0.3);
  for (std::int64_t k : {std::int64_t{0}, std::int64_t{1}, std::int64_t{1} << 60}) CHECK(lr(k) == 0.3);
}

TEST_CASE("impossible parameters are refused by the inequality they violate") {
  const auto message = [](LearningRateParams params) -> std::string {
    try {
      LearningRate lr(params);
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "accepted";
  };
  CHECK(message({.peak = 0}) == "learning rate: 0 < peak < infinity is violated by 0");
  CHECK(message({.peak = std::nan("")}) == "learning rate: 0 < peak < infinity is violated by nan");
  CHECK(message({.peak = 0.1, .end = 0.2}) == "learning rate: 0 <= end <= peak is violated by 0.2");
  CHECK(message({.warmup_steps = -1}) == "learning rate: warmup_steps >= 0 is violated by -1");
  CHECK(message({.shape = Shape::cosine}) == "learning rate: total_steps >= 1 is violated by 0");
  CHECK(message({.shape = Shape::linear, .warmup_steps = 5, .total_steps = 4}) ==
        "learning rate: warmup_steps <= total_steps is violated by 5");
  CHECK(message({.shape = Shape::step, .step_at = {3, 3}}) ==
        "learning rate: 0 <= step_at[i-1] < step_at[i] is violated by 3");
  CHECK(message({.shape = Shape::step, .step_factor = 0}) ==
        "learning rate: 0 < step_factor < infinity is violated by 0");
  CHECK(message({.shape = Shape::cosine_powers, .total_steps = 9, .power_base = 1}) ==
        "learning rate: 1 < power_base < infinity is violated by 1");
}

TEST_CASE("shapes have names") {
  for (Shape shape : all_shapes) CHECK(learning_rate_shape(learning_rate_shape_name(shape)) == shape);
  CHECK_THROWS_WITH_AS(
      learning_rate_shape("cosin"),
      "unknown learning-rate shape \"cosin\"; known: constant, linear, cosine, step, cosine-powers",
      std::invalid_argument);
}
