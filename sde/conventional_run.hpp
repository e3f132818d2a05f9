// One series of the conventional SDE and the steps that it takes.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "slowsde/problems/noise.hpp"
#include "slowsde/sde/sde_ensemble.hpp"
#include "slowsde/sde/second_moment.hpp"

namespace slowsde {

/// One series of the conventional SDE, K copies of dX = −∇L dτ + √(η/B_loc) Σ^{1/2} dW averaged every ηH of τ
/// = t/η.
struct ConventionalRun {
  GradientNoise noise;
  Round round;
  bool local = false;  ///< false: SGD, one copy with the global batch
  std::uint64_t seed = 1;
  std::vector<double> start;
  std::vector<double> times;  ///< slow times of the record points
  double dt = 0.1;            ///< largest step of τ
};

/// Its steps on the time τ = t/η. Local SGD goes from round to round, SGD in steps of at most dt that end on
/// the record points; either way the index of a step or round is the address of its noise.
struct ConventionalSteps {
  int copies = 1;                         ///< K of Local SGD, one of SGD
  int batch = 1;                          ///< of each copy
  int substeps = 1;                       ///< steps of a copy in a round
  std::vector<OutputInterval> intervals;  ///< one per record point; a step is a round
};

inline ConventionalSteps conventional_steps(const ConventionalRun& run) {
  const double eta = run.round.eta, round_time = eta * static_cast<double>(run.round.local_steps);
  const double dt = run.local ? round_time : run.dt;
  ConventionalSteps result;
  result.copies = run.local ? run.round.workers : 1;
  result.batch = run.local ? run.round.local_batch : run.round.workers * run.round.local_batch;
  result.substeps = run.local ? std::max(1, static_cast<int>(std::ceil(round_time / run.dt))) : 1;
  double tau = 0;
  std::uint64_t k = 0;
  for (const double t : run.times) {
    const double span = t / eta - tau;
    const auto n = static_cast<std::uint64_t>(std::ceil(span / dt * (1 - 1e-9)));
    result.intervals.push_back({tau, span / static_cast<double>(n), k, n});
    k += n;
    tau = t / eta;
  }
  return result;
}

}  // namespace slowsde
