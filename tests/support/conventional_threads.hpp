// What tests of the conventional SDE on a GPU share: a run, and its trajectories from plain loops over the
// kernels' functions on the host.
#pragma once

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "slowsde/gpu/conventional_worker.hpp"
#include "tests/support/device_ensembles.hpp"

namespace slowsde::test {

inline ConventionalRun conventional_run_of(NoiseKind kind, bool local, std::vector<double> start) {
  ConventionalRun run;
  run.noise.kind = kind;
  run.noise.label_sigma = 0.8;
  run.round = {.eta = 0.05, .local_steps = 12, .workers = 5, .local_batch = 2};
  run.local = local;
  run.seed = 4242;
  run.start = std::move(start);
  run.times = {0, 0.06, 0.06, 0.13};
  run.dt = 0.11;
  return run;
}

/// (points × trajectories × d); `shift` is another trajectory's noise.
template <class P>
std::vector<double> conventional_threads(const P& problem, const ConventionalRun& run,
                                         std::size_t trajectories, std::uint64_t shift = 0) {
  constexpr std::size_t d = P::dim;
  const ConventionalSteps steps = conventional_steps(run);
  const RoundTable table = round_table(steps);
  std::vector<double> states;
  const bool ran =
      with_conventional_worker(problem, run, [&]<class Worker>(std::type_identity<Worker>, auto noise) {
        const typename Worker::Setup setup(problem, noise, run, steps);
        std::vector<double> x(d * trajectories);
        for (std::size_t j = 0; j < d; ++j)
          for (std::size_t r = 0; r < trajectories; ++r) x[j * trajectories + r] = run.start[j];
        std::int64_t done = 0;
        for (const std::size_t rounds : table.rounds_at) {
          const auto until = static_cast<std::int64_t>(rounds);
          run_rounds_on_host<Worker>(setup, table.view(), done, until, shift, trajectories, x.data(),
                                     nullptr);
          done = until;
          for (std::size_t r = 0; r < trajectories; ++r)
            for (std::size_t j = 0; j < d; ++j) states.push_back(x[j * trajectories + r]);
        }
      });
  REQUIRE(ran);
  return states;
}

}  // namespace slowsde::test
