// Reads algorithms and their noise from configurations: the tables `noise`, `iterates` and, within them,
// `lr`, `rule` and `momentum`.
#pragma once

#include <string>

#include "slowsde/experiments/config.hpp"
#include "slowsde/experiments/experiment_problem.hpp"
#include "slowsde/experiments/registry.hpp"

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

/// The key `lr` of a table: a number or a schedule. total_steps is 0 where the table leaves it open.
LearningRateParams read_learning_rate(ConfigTable owner);

/// The table `rule` of a table, read by the description of the rule that it names; default: parallel.
std::shared_ptr<const SyncRule> read_rule(ConfigTable owner, const EntryCatalogue<RuleDescription>& rules,
                                          std::int64_t warmup_steps);

/// The table `momentum` of a table, if it is there: β and what becomes of the buffers.
void read_momentum(ConfigTable owner, LocalSgd& algorithm);

/// One entry of [[iterates]] that is to run for slow time T, by one of the rules.
AlgorithmConfig read_algorithm(ConfigTable table, const EntryCatalogue<RuleDescription>& rules,
                               double slow_time);

/// An algorithm that runs for exactly N steps: `workers`, `local_batch` and `momentum` of the first table,
/// `lr` of the second, `rule` of the third. Shapes with an end reach it at N.
AlgorithmConfig read_algorithm_of_steps(ConfigTable workers, ConfigTable schedule, ConfigTable rule,
                                        const EntryCatalogue<RuleDescription>& rules, const std::string& name,
                                        std::int64_t total_steps);

}  // namespace slowsde
