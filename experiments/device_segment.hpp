// Replicas whose iterates a GPU has run and whose states come to the host, at all record points.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "slowsde/experiments/experiment_problem.hpp"
#include "slowsde/experiments/run_journal.hpp"
#include "slowsde/gpu/ensemble_kernels.hpp"

namespace slowsde {

struct DeviceSegment {
  std::size_t first = 0, replicas = 0;
  std::vector<double> states;  ///< (points × replicas × d)
  std::vector<double> limits;  ///< Φ of them; empty where the device has no flow
  std::vector<FlowEnd> ends;   ///< (points × replicas)

  /// Φ of `count` of the segment's replicas from number `at` on, at a point: the device's, or the CPU's for
  /// what the device did not bring to Γ. of: (count × d), what is not finite is left alone; to: (count).
  void project(const ExperimentProblem& problem, std::size_t point, std::size_t at, int count, double* of,
               DistanceToManifold* to) const;
};

/// Runs the replicas from `first` on. Where the kernels can go on from a record point, what they did up to
/// each is a piece of the run, under names that begin with `key`. Throws what the kernels throw.
DeviceSegment simulate_segment(const EnsembleKernels& kernels, const IterateEnsemble& ensemble,
                               std::size_t first, std::size_t replicas, RunJournal* journal,
                               const std::string& key);

/// Φ on the device of all states of a segment that `is_there` holds for, together.
void flow_segment(const EnsembleKernels& kernels, std::size_t d,
                  const std::function<bool(const double* state)>& is_there, DeviceSegment& segment);

}  // namespace slowsde
