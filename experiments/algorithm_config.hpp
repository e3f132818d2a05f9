// Reads algorithms and their noise from configurations: the tables `noise`, `iterates` and, within them,
// `lr`, `rule` and `momentum`.
#pragma once

#include <string>

#include "slowsde/experiments/config.hpp"
#include "slowsde/experiments/experiment_problem.hpp"

namespace slowsde {

/// One entry of [[iterates]].
struct AlgorithmConfig {
  std::string name;
  LocalSgd algorithm;             ///< total_steps long enough for the asked slow time and one more round
  double slow_time_per_step = 1;  ///< 1/(1−β)² with momentum whose buffers live on, 1 otherwise
  double single_rate = 0;         ///< η at the first step
  Round round_at_start;           ///< of the first round
};

/// `kind`, `sigma`, `replacement` of a [noise] table for a problem that knows `kinds`.
GradientNoise read_noise(ConfigTable table, const std::vector<NoiseKind>& kinds);
std::string noise_kind_name(NoiseKind kind);

/// One entry of [[iterates]] that is to run for slow time T.
AlgorithmConfig read_algorithm(ConfigTable table, double slow_time);

/// An algorithm that runs for exactly N steps: `workers`, `local_batch` and `momentum` of the first table,
/// `lr` of the second, `rule` of the third. Shapes with an end reach it at N.
AlgorithmConfig read_algorithm_of_steps(ConfigTable workers, ConfigTable schedule, ConfigTable rule,
                                        const std::string& name, std::int64_t total_steps);

}  // namespace slowsde
