// Ensembles on multilayer perceptrons on the device, against the same functions in loops on the host, which
// test_mlp_fit_worker holds against the CPU's iterates.
#include <doctest/doctest.h>

#include <algorithm>
#include <stdexcept>
#include <vector>

#include "slowsde/gpu/mlp_fit_ensemble.hpp"
#include "tests/support/device_ensembles.hpp"
#include "tests/support/mlp_fit_loops.hpp"

using namespace slowsde;

namespace {

MlpFit perceptron(std::vector<int> widths, Activation activation, int samples) {
  const MlpShape shape{.widths = widths, .activation = activation};
  Dataset data = gaussian_inputs(samples, widths.front(), widths.back(), 3);
  const MlpFit teacher(shape, data);
  set_targets(data, teacher, initial_parameters(shape, 8).data());
  return MlpFit(shape, data);
}

IterateEnsemble ensemble_on(const MlpFit& fit, int workers, NoiseKind kind, bool single) {
  const Eigen::VectorXd start = initial_parameters(fit.shape(), 5);
  IterateEnsemble ensemble = test::ensemble_of(workers, kind, single, {start.begin(), start.end()}, 31, 4);
  if (kind == NoiseKind::minibatch) ensemble.algorithm.local_batch = ensemble.source.local_batch = 3;
  return ensemble;
}

}  // namespace

TEST_CASE("on the device every replica of groups of workers has the bits of the loops") {
  for (const auto& [fit, replicas] : {std::pair{perceptron({5, 7, 3}, Activation::tanh, 9), 300},
                                      std::pair{perceptron({6, 4, 5, 2}, Activation::silu, 9), 11},
                                      std::pair{perceptron({64, 40, 10}, Activation::tanh, 40), 3}}) {
    CAPTURE(fit.dim());
    const auto kernels = make_mlp_fit_kernels(fit);
    for (const bool single : {false, true})
      for (const NoiseKind kind : {NoiseKind::label, NoiseKind::minibatch})
        for (const int workers : {1, 3, 5}) {
          CAPTURE(workers);
          const auto ensemble = ensemble_on(fit, workers, kind, single);
          kernels->check(ensemble);
          std::vector<double> device, host;
          kernels->simulate(ensemble, 1000, static_cast<std::uint64_t>(replicas), device);
          test::MlpFitLoops(fit).simulate(ensemble, 1000, static_cast<std::uint64_t>(replicas), host);
          CHECK(test::same_bits(device, host));
          // a replica is the same alone, and a neighbour's noise is told from its own
          std::vector<double> alone;
          kernels->simulate(ensemble, 1001, 1, alone);
          const auto d = static_cast<std::ptrdiff_t>(fit.dim()), n = static_cast<std::ptrdiff_t>(replicas);
          CHECK(test::same_bits(std::vector<double>(alone.end() - d, alone.end()),
                                std::vector<double>(device.end() - (n - 1) * d, device.end() - (n - 2) * d)));
          CHECK(!test::same_bits(std::vector<double>(alone.end() - d, alone.end()),
                                 std::vector<double>(device.end() - n * d, device.end() - (n - 1) * d)));
        }
  }
}

TEST_CASE("on the device every state's gradient flow has the bits of the loops") {
  for (const auto& [fit, count] : {std::pair{perceptron({5, 7, 3}, Activation::tanh, 9), 300},
                                   std::pair{perceptron({6, 4, 5, 2}, Activation::silu, 6), 11},
                                   std::pair{perceptron({64, 40, 10}, Activation::tanh, 40), 2}}) {
    CAPTURE(fit.dim());
    const auto kernels = make_mlp_fit_kernels(fit);
    REQUIRE(kernels->flows());
    const auto d = static_cast<std::size_t>(fit.dim()), n = static_cast<std::size_t>(count);
    const Eigen::VectorXd near = initial_parameters(fit.shape(), 8);  // it interpolates: the teacher's own
    std::vector<double> device, host;
    for (std::size_t i = 0; i < n; ++i) {
      const Eigen::VectorXd state =
          near + 0.05 * initial_parameters(fit.shape(), 20 + static_cast<std::uint64_t>(i % 5));
      device.insert(device.end(), state.begin(), state.end());
    }
    host = device;
    std::vector<FlowEnd> ends(n);
    kernels->flow(n, device.data(), ends.data());
    for (std::size_t i = 0; i < std::min<std::size_t>(n, 5); ++i) {
      const MlpFitFlowEnd end =
          test::loop_flow(fit, {.max_steps = 2000}, host.data() + i * d, {.threads = 8});
      CHECK(ends[i].converged == (end.converged == 1));
      CHECK(ends[i].residual == end.residual);
    }
    for (std::size_t i = 0; i < n; ++i)
      CHECK(std::equal(host.begin() + static_cast<std::ptrdiff_t>((i % 5) * d),
                       host.begin() + static_cast<std::ptrdiff_t>((i % 5 + 1) * d),
                       device.begin() + static_cast<std::ptrdiff_t>(i * d)));
  }
}

TEST_CASE("a network that no block can hold is refused before it is run") {
  const MlpFit wide = perceptron({200, 200, 2}, Activation::tanh, 4);
  CHECK_THROWS_AS(make_mlp_fit_kernels(wide)->check(ensemble_on(wide, 2, NoiseKind::label, false)),
                  std::invalid_argument);
}
