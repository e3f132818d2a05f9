// Ensembles of the slow SDE and of the quasi-static process, for the tests that hold them against iterates.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "slowsde/sde/parallel.hpp"
#include "slowsde/sde/quasi_static_qsr.hpp"
#include "slowsde/sde/sde_ensemble.hpp"
#include "slowsde/sde/slow_sde.hpp"
#include "tests/support/ensemble.hpp"

namespace slowsde::test {

struct SlowOptions {
  std::size_t trajectories = 1024;
  std::uint64_t seed = 1;
  double dt = 0.05;
  Retraction retraction = Retraction::newton;
  int threads = 2;
};

/// observe(ζ) of each trajectory at slow time t.
template <class Scheme = PlatenWeak2, Problem P, class Observe>
std::vector<double> slow_sample(const SlowSde<P>& sde, const std::array<double, P::dim>& start, double t,
                                const SlowOptions& options, Observe observe) {
  const GradientFlow<P> flow(sde.geometry());
  const auto retract = [&](double* x) {
    RetractionReport report;
    if (options.retraction != Retraction::none) retract_to_manifold(flow, options.retraction, x, report);
    if (!report.converged) throw std::runtime_error("the retraction has not converged");
  };
  EnsembleOptions ensemble;
  ensemble.trajectories = options.trajectories;
  ensemble.seed = options.seed;
  ensemble.output_times = {t};
  ensemble.max_step = options.dt;
  ensemble.threads = options.threads;
  std::vector<double> sample(options.trajectories);
  run_ensemble<double>(
      Retracted{Scheme{}, retract}, sde, ensemble,
      [&](std::size_t, double* x) { std::copy(start.begin(), start.end(), x); },
      [&](std::size_t, std::size_t trajectory, const double* x) { sample[trajectory] = observe(x); });
  return sample;
}

/// The same of the quasi-static process with K = workers and rounds of slow time alpha2.
template <class Scheme = PlatenWeak2, Problem P, class Observe>
std::vector<double> quasi_static_sample(const SlowSde<P>& worker, int workers, double alpha2,
                                        const std::array<double, P::dim>& start, double t,
                                        const SlowOptions& options, Observe observe) {
  const GradientFlow<P> flow(worker.geometry());
  std::vector<double> sample(options.trajectories);
  parallel_for(options.threads, options.trajectories, [&](std::size_t trajectory) {
    QuasiStaticQsr<P, Scheme> process(worker, flow, workers, alpha2, options.dt, options.retraction);
    BrownianPath<double> path(options.seed, trajectory, worker.noise_dim(), workers);
    std::array<double, P::dim> x = start;
    RetractionReport report;
    std::uint64_t step = 0;
    for (double now = 0; now < t;) process.round(x.data(), now, t, path, step, report);
    if (!report.converged) throw std::runtime_error("Φ has not converged");
    sample[trajectory] = observe(x.data());
  });
  return sample;
}

/// Mean of f over a sample.
template <class F>
Measured mean_of(const std::vector<double>& sample, F f) {
  Moments moments;
  for (double x : sample) moments.add(f(x));
  return Measured::of(moments);
}
inline Measured mean_of(const std::vector<double>& sample) {
  return mean_of(sample, [](double x) { return x; });
}

}  // namespace slowsde::test
