#include "slowsde/sde/sde_ensemble.hpp"

#include <cmath>
#include <stdexcept>
#include <string>

namespace slowsde {

void EnsembleOptions::check() const {
  const auto require = [](bool holds, const std::string& inequality, const std::string& value) {
    if (!holds) throw std::invalid_argument("ensemble: " + inequality + " is violated by " + value);
  };
  require(trajectories >= 1, "trajectories >= 1", std::to_string(trajectories));
  require(first_trajectory % trajectory_block == 0, "first_trajectory % 64 == 0",
          std::to_string(first_trajectory));
  require(max_step > 0 && std::isfinite(max_step), "0 < max_step < infinity", std::to_string(max_step));
  require(workers >= 1, "workers >= 1", std::to_string(workers));
  require(refinement >= 1, "refinement >= 1", std::to_string(refinement));
  require(threads >= 1, "threads >= 1", std::to_string(threads));
  require(chunk >= 1, "chunk >= 1", std::to_string(chunk));
  require(std::isfinite(t0), "t0 finite", std::to_string(t0));
  double last = t0;
  for (const double t : output_times) {
    require(t >= last && std::isfinite(t), "output_times non-decreasing from t0", std::to_string(t));
    last = t;
  }
  check_address(first_trajectory + trajectories, static_cast<std::uint64_t>(workers));
}

std::vector<OutputInterval> output_intervals(const EnsembleOptions& options) {
  std::vector<OutputInterval> result;
  double t = options.t0;
  std::uint64_t k = 0;
  for (const double next : options.output_times) {
    OutputInterval interval{t, 0, k, 0};
    if (next > t) {
      // A length that is a multiple of max_step up to rounding is not cut once more.
      interval.steps =
          static_cast<std::uint64_t>(std::max(1.0, std::ceil((next - t) / options.max_step * (1 - 1e-12))));
      interval.dt = (next - t) / static_cast<double>(interval.steps);
    }
    k += interval.steps;
    t = next;
    result.push_back(interval);
  }
  return result;
}

BlockMoments::BlockMoments(std::size_t trajectories, std::size_t outputs, std::size_t observables)
    : count_((trajectories + trajectory_block - 1) / trajectory_block),
      outputs_(outputs),
      observables_(observables),
      blocks_(outputs * observables * count_) {}

EnsembleMoments BlockMoments::merged() const {
  EnsembleMoments result(outputs_, observables_);
  for (std::size_t output = 0; output < outputs_; ++output)
    for (std::size_t q = 0; q < observables_; ++q)
      result.at(output, q) =
          merge_in_order(std::span(blocks_).subspan((output * observables_ + q) * count_, count_));
  return result;
}

}  // namespace slowsde
