#include "slowsde/optim/round_plan.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <sstream>
#include <stdexcept>

namespace slowsde {

RoundCounts count_rounds(const LearningRate& lr, const SyncRule& rule, std::int64_t total_steps) {
  RoundCounts counts;
  for_each_round(lr, rule, total_steps, [&](const PlannedRound& round) {
    ++counts.rounds;
    counts.steps += round.local_steps;
    counts.slow_time = round.end;
  });
  return counts;
}

std::int64_t steps_to_slow_time(LearningRateParams params, double t) {
  if (!(t >= 0 && std::isfinite(t))) {
    std::ostringstream message;
    message << "steps_to_slow_time: 0 <= t < infinity is violated by " << t;
    throw std::invalid_argument(message.str());
  }
  if (t == 0) return 0;
  constexpr std::int64_t limit = std::int64_t{1} << 40;
  const double target = t * (1 - 1e-12);
  const auto too_many = [&] { return std::domain_error("steps_to_slow_time: more than 2^40 steps"); };
  if (params.shape == LearningRateShape::constant && params.warmup_steps == 0) {
    params.check();
    const double N = std::ceil(target / (params.peak * params.peak));
    if (N > static_cast<double>(limit)) throw too_many();
    return static_cast<std::int64_t>(N);
  }
  const auto reached = [&](std::int64_t N) {
    params.total_steps = N;
    const LearningRate lr(params);
    SlowTime time;
    for (std::int64_t k = 0; k < N; ++k) {
      time.advance(lr(k));
      if (time.value() >= target) return true;
    }
    return false;
  };
  std::int64_t low = std::max<std::int64_t>(params.warmup_steps, 1), high = low;
  if (reached(low)) {
    low = 0;  // t lies within the warm-up: a shape that ends with it needs no more steps than w
    if (params.shape != LearningRateShape::constant && params.shape != LearningRateShape::step) return high;
  } else {
    do {
      low = high;
      if (high > limit / 2) throw too_many();
      high *= 2;
    } while (!reached(high));
  }
  while (high - low > 1) {
    const std::int64_t middle = low + (high - low) / 2;
    (reached(middle) ? high : low) = middle;
  }
  return high;
}

RoundClock::RoundClock(const Round& round)
    : begins_{0}, rounds_{round}, end_(std::numeric_limits<double>::infinity()) {
  round.check();
}

RoundClock::RoundClock(const LearningRate& lr, const SyncRule& rule, std::int64_t total_steps,
                       const Round& algorithm, double slow_time_per_step, double rate_change)
    : end_(0) {
  const auto add = [&](double begin, double eta, std::int64_t H) {
    Round round = algorithm;
    round.eta = eta;
    round.local_steps = H;
    round.check();
    if (!rounds_.empty() && rounds_.back().eta == round.eta &&
        rounds_.back().local_steps == round.local_steps)
      return;
    begins_.push_back(rounds_.empty() ? 0 : slow_time_per_step * begin);
    rounds_.push_back(round);
  };
  for_each_round(lr, rule, total_steps, [&](const PlannedRound& planned) {
    end_ = slow_time_per_step * planned.end;
    if (!(planned.end > planned.begin)) return;  // no slow time passes where the learning rate is 0
    const std::int64_t H = planned.local_steps, k = planned.first_step;
    double largest = 0;
    for (std::int64_t h = 0; h < H; ++h) largest = std::max(largest, lr(k + h));
    const double allowed = rate_change * largest;
    SlowTime time;
    for (std::int64_t h = 0, first = 0; h < H; first = h) {
      const double begin = planned.begin + time.value();
      double excess = 0;
      for (; h < H && std::abs(lr(k + h) - lr(k + first)) <= allowed; ++h) {
        excess += lr(k + h) - lr(k + first);
        time.advance(lr(k + h));
      }
      if (first == 0 && h == H) {
        add(planned.begin, planned.eta, H);
        return;
      }
      const double eta = lr(k + first) + excess / static_cast<double>(h - first);
      if (!(eta > 0)) continue;
      // Towards a rate of 0 a piece asks for more steps than an integer holds.
      const double steps = planned.eta * static_cast<double>(H) / eta;
      add(begin, eta, static_cast<std::int64_t>(std::clamp(std::round(steps), 1.0, 1e15)));
    }
  });
  if (rounds_.empty())
    throw std::invalid_argument("round clock: total_steps >= 1 with positive lr is violated");
}

const Round& RoundClock::operator()(double t) const {
  const auto after = std::upper_bound(begins_.begin(), begins_.end(), t) - begins_.begin();
  return rounds_[static_cast<std::size_t>(std::max<std::ptrdiff_t>(after - 1, 0))];
}

}  // namespace slowsde
