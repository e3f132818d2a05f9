// Φ by a group of threads, run by loops over them, against the CPU's routes to it.
#include "slowsde/gpu/mlp_fit_flow.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <stdexcept>
#include <vector>

#include "slowsde/sde/residual_flow.hpp"
#include "tests/support/device_ensembles.hpp"
#include "tests/support/mlp_fit_flows.hpp"

using namespace slowsde;
using Eigen::VectorXd;

namespace {

/// A perceptron and a state beside its Γ.
struct Case {
  MlpFit fit;
  MlpModel model;
  VectorXd on_manifold, state;

  Case(const std::vector<int>& widths, Activation activation, int samples, double distance)
      : Case(MlpShape{.widths = widths, .activation = activation}, samples, distance) {}

 private:
  Case(const MlpShape& shape, int samples, double distance)
      : Case(shape, data_of(shape, samples), distance) {}
  Case(const MlpShape& shape, Dataset data, double distance) : fit(shape, data), model(shape, data) {
    const FlowResult trained = train_to_manifold(model, initial_parameters(shape, 5));
    REQUIRE(trained.converged);
    on_manifold = trained.point;
    state = on_manifold + distance * initial_parameters(shape, 6);
  }
  static Dataset data_of(const MlpShape& shape, int samples) {
    Dataset data = gaussian_inputs(samples, shape.inputs(), shape.widths.back(), 3);
    set_targets(data, MlpFit(shape, data), initial_parameters(shape, 8).data());
    return data;
  }
};

VectorXd flowed(const Case& what, const FlowOptions& options, MlpFitFlowEnd& end,
                const LoopBlock& block = {.threads = 32}) {
  VectorXd theta = what.state;
  end = test::loop_flow(what.fit, options, theta.data(), block);
  return theta;
}

}  // namespace

TEST_CASE("the flow of a group of threads ends where the CPU's does, by either of its routes") {
  for (const Case& what :
       {Case({5, 12, 2}, Activation::tanh, 7, 0.3), Case({4, 7, 6, 1}, Activation::silu, 6, 0.2),
        Case({1, 33, 1}, Activation::tanh, 4, 0.3), Case({6, 2}, Activation::tanh, 5, 0.5)}) {
    CAPTURE(what.fit.dim());
    const FlowOptions options{.tolerance = 1e-6};
    MlpFitFlowEnd end;
    const VectorXd theta = flowed(what, options, end);
    CHECK(end.converged == 1);
    CHECK(end.residual <= options.residual_tolerance);
    const FlowResult same = gradient_flow_limit(what.model, what.state, options);
    CHECK((theta - same.point).norm() <= 1e-9);
    CHECK(end.steps == same.steps);
    CHECK(end.rejected == same.rejected);
    CHECK(end.factorizations == same.factorizations);
    CHECK(end.gradients == same.gradients);
    const FlowResult other =
        gradient_flow_limit(what.model, what.state, {.route = FlowRoute::exponential, .tolerance = 1e-9});
    REQUIRE(other.converged);
    const double error = (theta - other.point).norm();
    CHECK(error <= 20 * options.tolerance);  // of some ten steps, each within the tolerance
    // A point of Γ nearby is not the limit of the flow; a linear model has only one way to it.
    const VectorXd near = retract(what.model, what.state).point;
    if (what.fit.shape().layers() > 1) CHECK((near - other.point).norm() > 100 * options.tolerance);
  }
}

TEST_CASE("its bits depend neither on the number of threads nor on their order") {
  const Case what({5, 12, 2}, Activation::silu, 7, 0.3);
  MlpFitFlowEnd end;
  const VectorXd expected = flowed(what, {}, end, {.threads = 1});
  for (const LoopBlock& block :
       {LoopBlock{.threads = 32}, LoopBlock{.threads = 33}, LoopBlock{.threads = 500, .backwards = true}}) {
    MlpFitFlowEnd other;
    CHECK(flowed(what, {}, other, block) == expected);
    CHECK(other.gradients == end.gradients);
  }
}

TEST_CASE("a state on the manifold stays, and one that is not brought there is said to be") {
  Case what({5, 12, 2}, Activation::tanh, 7, 0);
  MlpFitFlowEnd end;
  CHECK((flowed(what, {}, end) - what.on_manifold).norm() <= 1e-9);
  CHECK(end.converged == 1);
  what.state = what.on_manifold + 0.3 * initial_parameters(what.fit.shape(), 6);
  flowed(what, {.max_steps = 2}, end);
  CHECK(end.converged == 0);
  CHECK(end.residual > 1e-6);
  what.state[3] = std::nan("");
  flowed(what, {.max_steps = 50}, end);
  CHECK(end.converged == 0);
  // A sample twice: JJᵀ is singular, and the flow goes to the end.
  const MlpShape shape{.widths = {3, 8, 1}};
  Dataset data = gaussian_inputs(3, 3, 1, 3);
  for (std::size_t j = 0; j < 3; ++j) data.x[6 + j] = data.x[3 + j];
  set_targets(data, MlpFit(shape, data), initial_parameters(shape, 8).data());
  VectorXd theta = initial_parameters(shape, 8) + 0.1 * initial_parameters(shape, 6);
  const FlowResult same = gradient_flow_limit(MlpModel(shape, data), theta);
  CHECK(test::loop_flow(MlpFit(shape, data), {}, theta.data()).converged == 1);
  CHECK(same.converged);
  CHECK((theta - same.point).norm() <= 2e-6);
}

TEST_CASE("the network of the digits is held by a block, and its Gram matrix of 400 residuals is factored") {
  const Case what({64, 40, 10}, Activation::tanh, 40, 0.05);
  const MlpFitFlowSetup setup = make_mlp_fit_flow(what.fit, {});
  CHECK(setup.residuals == 400);
  CHECK(setup.bytes() <= 227 * 1024);
  CHECK(setup.workspace() * sizeof(double) <= 3e6);
  MlpFitFlowEnd end;
  const VectorXd theta = flowed(what, {}, end, {.threads = 8});
  const FlowResult same = gradient_flow_limit(what.model, what.state);
  CHECK(end.converged == 1);
  CHECK((theta - same.point).norm() <= 1e-8);
}

TEST_CASE("options that make no sense are refused, and more residuals than an int can square") {
  const Case what({2, 3, 1}, Activation::tanh, 2, 0);
  CHECK_THROWS_AS(make_mlp_fit_flow(what.fit, {.tolerance = 0}), std::invalid_argument);
  const MlpShape shape{.widths = {1, 2, 40}};
  CHECK_THROWS_AS(make_mlp_fit_flow(MlpFit(shape, gaussian_inputs(1000, 1, 40, 1)), {}),
                  std::invalid_argument);
}
