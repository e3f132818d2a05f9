// Ensembles of SDE trajectories on the device against the same steps on the host, which test_lane_trajectory
// holds against the CPU's ensembles.
#include "slowsde/gpu/sde_kernels.cuh"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "slowsde/sde/valley_slow_sde.hpp"

namespace {

using slowsde::EnsembleOptions;
using slowsde::Moments;
using slowsde::ValleySlowSde;

EnsembleOptions options_of(std::size_t trajectories) {
  EnsembleOptions options;
  options.trajectories = trajectories;
  options.seed = 5;
  options.output_times = {0.0, 0.3, 1.0};
  options.max_step = 0.02;
  return options;
}

template <class Scheme, class Real>
std::vector<Moments> on_host(const EnsembleOptions& options) {
  using Trajectory = slowsde::LaneTrajectory<Scheme, ValleySlowSde, Real, 1, 1>;
  const auto intervals = slowsde::output_intervals(options);
  std::vector<Moments> moments(intervals.size());
  for (std::size_t r = 0; r < options.trajectories; ++r) {
    slowsde::Pack<Real, 1> x[1] = {slowsde::Pack<Real, 1>(1.5)};
    for (std::size_t output = 0; output < intervals.size(); ++output) {
      Trajectory::run({Scheme{}, ValleySlowSde{}, options.seed}, intervals[output],
                      options.first_trajectory + r, x);
      moments[output].add(static_cast<double>(x[0].v));
    }
  }
  return moments;
}

template <class Scheme, class Real>
void check_scheme() {
  for (const std::size_t trajectories : {1u, 127u, 129u, 3000u}) {
    const EnsembleOptions options = options_of(trajectories);
    const auto device = slowsde::sde_moments_on_device<Scheme, ValleySlowSde, Real, 1, 1>(
        Scheme{}, ValleySlowSde{}, options, {1.5});
    const std::vector<Moments> host = on_host<Scheme, Real>(options);
    for (std::size_t output = 0; output < host.size(); ++output) {
      CHECK(device.cells[output].count == trajectories);
      // The trajectories have the same bits; only the order of the sums differs.
      CHECK(std::abs(device.cells[output].mean - host[output].mean) <= 1e-13);
      CHECK(std::abs(device.cells[output].squares - host[output].squares) <=
            1e-11 * (1 + host[output].squares));
    }
  }
}

}  // namespace

TEST_CASE("device and host integrate the same trajectories") {
  check_scheme<slowsde::EulerMaruyama, double>();
  check_scheme<slowsde::EulerMaruyama, float>();
  check_scheme<slowsde::Heun, double>();
  check_scheme<slowsde::PlatenWeak2, double>();
}

TEST_CASE("another seed gives other trajectories of the same law, another step size another law") {
  const auto mean = [](EnsembleOptions options) {
    return slowsde::sde_moments_on_device<slowsde::EulerMaruyama, ValleySlowSde, double, 1, 1>(
               slowsde::EulerMaruyama{}, ValleySlowSde{}, options, {1.5})
        .cells.back();
  };
  EnsembleOptions options = options_of(100000);
  const Moments first = mean(options);
  options.seed = 6;
  const Moments second = mean(options);
  const auto z = [](const Moments& a, const Moments& b) {
    return std::abs(a.mean - b.mean) / std::hypot(a.standard_error(), b.standard_error());
  };
  CHECK(first.mean != second.mean);
  CHECK(z(first, second) <= 4.5);
  options.max_step = 0.35;  // Euler's error of first order, far beyond the standard error
  CHECK(z(first, mean(options)) >= 5);
}
