#include "slowsde/experiments/claim_residual_space.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "slowsde/optim/sgd_moment.hpp"
#include "tests/support/interpolating_network.hpp"

using namespace slowsde;

TEST_CASE("records that coincide have one prediction, and the others are where they were") {
  const test::InterpolatingNetwork network({3, 8, 2}, 4, 1);
  const SgdMoment moment;
  const Round round{.eta = 0.05, .local_steps = 5, .workers = 2, .local_batch = 2};
  const auto traces = [&](const std::vector<double>& times) {
    return along_slow_flow(
        network.model, network.theta, moment, 0.5, round, times, {.tolerance = 1e-6},
        [&](const Eigen::VectorXd& zeta) { return trace_on_manifold(network.model, zeta); });
  };
  const std::vector<double> two = traces({0.2, 0.4}), coinciding = traces({0.2, 0.2, 0.4, 0.4});
  REQUIRE(coinciding.size() == 4);
  CHECK(coinciding == std::vector<double>{two[0], two[0], two[1], two[1]});
  CHECK(two[1] < two[0]);
  CHECK(two[0] < trace_on_manifold(network.model, network.theta));
  // Off the manifold there is no prediction.
  const Eigen::VectorXd off = network.theta + Eigen::VectorXd::Ones(network.theta.size());
  const auto none = along_slow_flow(network.model, off, moment, 0.5, round, {0.2}, {},
                                    [](const Eigen::VectorXd&) { return 0.0; });
  CHECK(std::isnan(none[0]));
}
