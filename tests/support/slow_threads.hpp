// What tests of slow SDEs on a GPU share: a run, and its trajectories from a plain loop over the kernel's
// function on the host.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>
#include <vector>

#include "slowsde/gpu/slow_trajectory.hpp"

namespace slowsde::test {

/// Rounds whose learning rate falls along the way, four record points of which one interval is empty.
inline SlowRun slow_run_of(std::shared_ptr<const SecondMoment> moment, std::vector<double> start,
                           SlowScheme scheme, Retraction retraction = Retraction::newton) {
  SlowRun run;
  run.moment = std::move(moment);
  run.round = [](double t) { return Round{0.05 / (1 + std::floor(5 * t)), 20, 4, 2, 0.6}; };
  run.noise.kind = NoiseKind::gaussian;
  run.noise.label_sigma = 0;
  run.seed = 4242;
  run.start = std::move(start);
  run.times = {0, 0.25, 0.25, 0.6};
  run.dt = 0.04;
  run.scheme = scheme;
  run.retraction = retraction;
  return run;
}

struct SlowThreads {
  std::vector<double> states;  ///< (points × trajectories × d)
  double worst = 0, unconverged = 0;
};

/// For a problem of rank 1. The noise is that of the trajectories from `first` on.
template <class P>
SlowThreads slow_threads(const P& problem, const SlowRun& run, std::size_t trajectories,
                         std::uint64_t first) {
  constexpr std::size_t d = P::dim;
  SlowThreads ended;
  ended.states.resize(run.times.size() * trajectories * d);
  const bool ran = with_slow_trajectory<P>(run, [&]<class Trajectory>(std::type_identity<Trajectory>) {
    static_assert(std::is_trivially_copyable_v<typename Trajectory::Setup>);
    const std::vector<OutputInterval> intervals = Trajectory::intervals(run);
    const SlowRounds rounds = Trajectory::rounds(run);
    const typename Trajectory::Setup setup(problem, 1, run, rounds.view());
    for (std::size_t r = 0; r < trajectories; ++r) {
      Pack<double, 1> x[d];
      for (std::size_t j = 0; j < d; ++j) x[j] = Pack<double, 1>(run.start[j]);
      for (std::size_t p = 0; p < intervals.size(); ++p) {
        LaneRetractionReport<Pack<double, 1>> report;
        Trajectory::run(setup, intervals[p], r + first, x, report);
        for (std::size_t j = 0; j < d; ++j) ended.states[(p * trajectories + r) * d + j] = x[j].v;
        ended.worst = std::max(ended.worst, report.worst.v);
        ended.unconverged += report.unconverged.v;
      }
    }
  });
  REQUIRE(ran);
  return ended;
}

}  // namespace slowsde::test
