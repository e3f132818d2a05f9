#include "slowsde/experiments/device_segment.hpp"

#include <algorithm>
#include <cmath>
#include <optional>

namespace slowsde {

void DeviceSegment::project(const ExperimentProblem& problem, std::size_t point, std::size_t at, int count,
                            double* of, DistanceToManifold* to) const {
  const auto d = static_cast<std::size_t>(problem.dim());
  for (std::size_t r = 0; r < static_cast<std::size_t>(count); ++r) {
    const std::size_t i = point * replicas + at + r;
    if (ends.empty() || !ends[i].converged) {
      problem.project(of + r * d, 1, to + r);
    } else if (std::isfinite(of[r * d])) {
      std::copy_n(limits.data() + i * d, d, of + r * d);
      to[r] = {ends[i].residual, true};
    }
  }
}

DeviceSegment simulate_segment(const EnsembleKernels& kernels, const IterateEnsemble& ensemble,
                               std::size_t first, std::size_t replicas, RunJournal* journal,
                               const std::string& key) {
  DeviceSegment segment;
  segment.first = first;
  segment.replicas = replicas;
  if (!kernels.continues()) {
    kernels.simulate(ensemble, first, replicas, segment.states);
    return segment;
  }
  std::vector<double> current;
  for (std::size_t p = 0; p < ensemble.points.size(); ++p) {
    const std::string own_key = key + '@' + std::to_string(first) + '.' + std::to_string(p);
    if (auto piece = journal ? journal->find(own_key) : std::nullopt) {
      take(*piece, current);
    } else {
      kernels.advance(ensemble, first, replicas, p, current);
      if (journal) {
        std::string bytes;
        put(bytes, current);
        journal->add(own_key, bytes);
      }
    }
    segment.states.insert(segment.states.end(), current.begin(), current.end());
  }
  return segment;
}

void flow_segment(const EnsembleKernels& kernels, std::size_t d,
                  const std::function<bool(const double* state)>& is_there, DeviceSegment& segment) {
  std::vector<std::size_t> which;
  for (std::size_t i = 0; i < segment.states.size() / d; ++i)
    if (is_there(segment.states.data() + i * d)) which.push_back(i);
  std::vector<double> flowing(which.size() * d);
  for (std::size_t k = 0; k < which.size(); ++k)
    std::copy_n(segment.states.data() + which[k] * d, d, flowing.data() + k * d);
  std::vector<FlowEnd> ended(which.size());
  kernels.flow(which.size(), flowing.data(), ended.data());
  segment.limits = segment.states;
  segment.ends.assign(segment.states.size() / d, {});
  for (std::size_t k = 0; k < which.size(); ++k) {
    segment.ends[which[k]] = ended[k];
    std::copy_n(flowing.data() + k * d, d, segment.limits.data() + which[k] * d);
  }
}

}  // namespace slowsde
