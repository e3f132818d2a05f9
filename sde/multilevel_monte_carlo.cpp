#include "slowsde/sde/multilevel_monte_carlo.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

#include "slowsde/sde/parallel.hpp"

namespace slowsde {
namespace {

constexpr int level_bits = 34;            // of a trajectory's address, below the level
constexpr std::uint64_t at_once = 16384;  // blocks whose moments are held before they are merged

std::uint64_t blocks_of(double samples) {
  return static_cast<std::uint64_t>(std::ceil(samples / static_cast<double>(multilevel_block)));
}

/// Samples the blocks first … first + count − 1 of a level and merges them in their order.
void sample(const PathValues& values, int level, std::uint64_t count, int threads, LevelMoments& moments) {
  std::vector<LevelMoments> parts;
  while (count > 0) {
    const std::uint64_t first = moments.samples / multilevel_block, now = std::min(count, at_once);
    parts.assign(now, {});
    parallel_for(threads, now, [&](std::size_t i) {
      std::array<double, multilevel_block> fine{}, coarse{};
      values(level, level, first + i, fine);
      if (level > 0) values(level - 1, level, first + i, coarse);
      parts[i].add(fine, coarse, level == 0);
    });
    for (const LevelMoments& part : parts) moments.merge(part);
    count -= now;
  }
}

/// Variance of a level's correction that samples are planned with. A level's first estimate may be far too
/// small: it is not believed below half of what the steepest decay of these schemes, strong order 1, leaves
/// of the level before.
std::vector<double> planning_variances(const std::vector<LevelMoments>& levels) {
  std::vector<double> V;
  for (std::size_t l = 0; l < levels.size(); ++l) {
    V.push_back(levels[l].correction.variance());
    if (l > 1) V[l] = std::max(V[l], V[l - 1] / 8);
  }
  return V;
}

double variance_of_estimate(const std::vector<LevelMoments>& levels) {
  double sum = 0;
  for (const LevelMoments& level : levels)
    sum += level.correction.variance() / static_cast<double>(level.correction.count);
  return sum;
}

/// The sum of the corrections that are missing, |m_{L+1}| + |m_{L+2}| + …, if they go on by the ratio r of
/// the last two: r = 2^{−α} where the leading term rules, more where it does not yet. Corrections that are
/// small by a change of sign are made up for by those before them (Giles 2015, §3.2), those that are by
/// chance by a standard error.
double bias_bound(const std::vector<LevelMoments>& levels, double weak_order) {
  const std::size_t L = levels.size() - 1;
  const auto m = [&](std::size_t l) { return std::abs(levels[l].correction.mean); };
  const double asymptotic = std::exp2(-weak_order);
  const double r =
      L < 2 ? asymptotic : std::clamp(m(L) / m(L - 1), asymptotic, std::exp2(-0.25 * weak_order));
  double largest = 0, weight = 1;
  for (std::size_t l = L; l >= 1 && l + 2 >= L; --l) {
    largest = std::max(largest, weight * (m(l) + levels[l].correction.standard_error()));
    weight *= asymptotic;
  }
  return largest * r / (1 - r);
}

}  // namespace

double MultilevelOptions::steps_per_sample(int level) const {
  const auto n = static_cast<double>(steps(level));
  return level == 0 ? n : 1.5 * n;
}

void MultilevelOptions::check() const {
  const auto require = [](bool holds, const std::string& inequality, const std::string& value) {
    if (!holds)
      throw std::invalid_argument("multilevel Monte Carlo: " + inequality + " is violated by " + value);
  };
  require(target_rmse > 0 && std::isfinite(target_rmse), "0 < target_rmse < infinity",
          std::to_string(target_rmse));
  require(end_time > 0 && std::isfinite(end_time), "0 < end_time < infinity", std::to_string(end_time));
  require(coarsest_steps >= 1 && coarsest_steps <= std::uint64_t{1} << 24, "1 <= coarsest_steps <= 2^24",
          std::to_string(coarsest_steps));
  require(weak_order > 0 && weak_order <= 4, "0 < weak_order <= 4", std::to_string(weak_order));
  require(bias_share > 0 && bias_share < 1, "0 < bias_share < 1", std::to_string(bias_share));
  require(pilot >= 2, "pilot >= 2", std::to_string(pilot));
  require(min_levels >= 2, "min_levels >= 2", std::to_string(min_levels));
  require(max_levels >= min_levels, "max_levels >= min_levels", std::to_string(max_levels));
  require(max_levels <= 32, "max_levels <= 32", std::to_string(max_levels));
  require(max_cost > 0, "max_cost > 0", std::to_string(max_cost));
  require(threads >= 1, "threads >= 1", std::to_string(threads));
}

std::uint64_t multilevel_trajectory(int level, std::uint64_t block) {
  if (block >= std::uint64_t{1} << level_bits >> 6)
    throw std::out_of_range("multilevel Monte Carlo: a level has at most 2^34 samples");
  return (static_cast<std::uint64_t>(level) << level_bits) + block * multilevel_block;
}

const char* name_of(MultilevelStatus status) {
  switch (status) {
    case MultilevelStatus::reached:
      return "reached";
    case MultilevelStatus::bias_too_large:
      return "bias too large";
    case MultilevelStatus::cost_too_large:
      return "cost too large";
    case MultilevelStatus::diverged:
      return "diverged";
  }
  return "";
}

void LevelMoments::add(std::span<const double, multilevel_block> fine_values,
                       std::span<const double, multilevel_block> coarse_values, bool coarsest) {
  samples += multilevel_block;
  for (std::size_t i = 0; i < multilevel_block; ++i) {
    fine.add(fine_values[i]);
    if (!coarsest) coarse.add(coarse_values[i]);
    correction.add(coarsest ? fine_values[i] : fine_values[i] - coarse_values[i]);
  }
}

void LevelMoments::merge(const LevelMoments& other) {
  samples += other.samples;
  fine.merge(other.fine);
  coarse.merge(other.coarse);
  correction.merge(other.correction);
}

double MultilevelResult::rmse_bound() const { return std::hypot(bias_bound, standard_error); }

double MultilevelResult::consistency() const {
  double worst = 0;
  for (std::size_t l = 1; l < levels.size(); ++l) {
    const Moments &alone = levels[l - 1].fine, &coupled = levels[l].coarse;
    const double z =
        std::abs(alone.mean - coupled.mean) / std::hypot(alone.standard_error(), coupled.standard_error());
    worst = std::isnan(z) ? std::numeric_limits<double>::infinity() : std::max(worst, z);
  }
  return worst;
}

MultilevelResult multilevel_monte_carlo(const PathValues& values, const MultilevelOptions& options) {
  options.check();
  MultilevelResult result;
  const double target = options.target_rmse * options.target_rmse;
  const double variance_target = (1 - options.bias_share) * target, bias_target = options.bias_share * target;
  const auto pilot = blocks_of(static_cast<double>(options.pilot));
  const auto diverged = [&] {
    return std::any_of(result.levels.begin(), result.levels.end(),
                       [](const LevelMoments& level) { return level.correction.diverged > 0; });
  };
  const auto take = [&](int level, std::uint64_t blocks) {
    sample(values, level, blocks, options.threads, result.levels[static_cast<std::size_t>(level)]);
    result.cost += static_cast<double>(blocks * multilevel_block) * options.steps_per_sample(level);
  };
  const auto add_level = [&] {
    result.levels.emplace_back();
    take(result.finest(), pilot);
  };

  result.status = MultilevelStatus::reached;
  for (int level = 0; level < options.min_levels; ++level) add_level();
  while (true) {
    // samples: N_l from what is known of the V_l, again until nothing is missing
    bool missing = true;
    while (missing && result.status == MultilevelStatus::reached && !diverged()) {
      const std::vector<double> V = planning_variances(result.levels);
      double sum = 0;
      for (int l = 0; l <= result.finest(); ++l)
        sum += std::sqrt(V[static_cast<std::size_t>(l)] * options.steps_per_sample(l));
      missing = false;
      std::vector<std::uint64_t> more(V.size(), 0);
      double cost = result.cost;
      for (int l = 0; l <= result.finest(); ++l) {
        const auto i = static_cast<std::size_t>(l);
        const double N = std::sqrt(V[i] / options.steps_per_sample(l)) * sum / variance_target;
        const auto have = static_cast<double>(result.levels[i].samples);
        if (!(N > have)) continue;
        cost += (N - have) * options.steps_per_sample(l);
        missing = true;
        if (cost > options.max_cost) break;
        // an estimate of N_l that creeps up is followed in steps of 1 % at least
        more[i] = blocks_of(std::max(N - have, 0.01 * have));
      }
      if (cost > options.max_cost) {
        result.status = MultilevelStatus::cost_too_large;
        break;
      }
      for (int l = 0; l <= result.finest(); ++l)
        if (more[static_cast<std::size_t>(l)] > 0) take(l, more[static_cast<std::size_t>(l)]);
    }
    if (diverged()) result.status = MultilevelStatus::diverged;
    result.bias_bound = bias_bound(result.levels, options.weak_order);
    if (result.status != MultilevelStatus::reached) break;
    if (result.bias_bound * result.bias_bound <= bias_target) break;
    if (result.finest() + 1 == options.max_levels) {
      result.status = MultilevelStatus::bias_too_large;
      break;
    }
    add_level();
  }

  for (const LevelMoments& level : result.levels) result.estimate += level.correction.mean;
  result.standard_error = std::sqrt(variance_of_estimate(result.levels));
  result.plain_samples = result.levels.back().fine.variance() / variance_target;
  result.plain_cost = result.plain_samples * static_cast<double>(options.steps(result.finest()));
  return result;
}

Moments plain_monte_carlo(const PathValues& values, int level, std::uint64_t samples, int threads) {
  const std::uint64_t count = blocks_of(static_cast<double>(samples));
  Moments result;
  std::vector<Moments> parts;
  for (std::uint64_t first = 0; first < count; first += at_once) {
    parts.assign(std::min(count - first, at_once), {});
    parallel_for(threads, parts.size(), [&](std::size_t i) {
      std::array<double, multilevel_block> P{};
      values(level, level, first + i, P);
      for (const double p : P) parts[i].add(p);
    });
    for (const Moments& part : parts) result.merge(part);
  }
  return result;
}

}  // namespace slowsde
