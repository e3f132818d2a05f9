#include "slowsde/problems/network_fit.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <stdexcept>
#include <vector>

#include "slowsde/problems/mlp.hpp"
#include "slowsde/problems/network_model.hpp"
#include "slowsde/problems/problem.hpp"
#include "tests/support/networks.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;
using Eigen::VectorXd;

static_assert(LeastSquaresProblem<NetworkFit>);
static_assert(HasSampleGradient<NetworkFit>);

namespace {

template <class Check>
void over_fits(Check check) {
  test::over_networks(
      [&](const Network& network) { check(NetworkFit(network, test::general_data(network, 6))); });
}

}  // namespace

TEST_CASE("summed sample gradients are n times the gradient, and label noise enters as another target") {
  over_fits([](const NetworkFit& fit) {
    const NetworkModel model(fit.network(), fit.data());
    const VectorXd theta = test::general_parameters(fit.network(), 21);
    const int classes = fit.outputs_count();
    const VectorXd eps = test::normals(model.residuals(), 31);
    std::vector<double> scratch(fit.scratch_size(), std::nan(""));
    VectorXd quiet = VectorXd::Zero(fit.dim()), noisy = quiet, expected, shift;
    const std::vector<double> zero(classes, 0.0);
    for (int i = 0; i < fit.samples(); ++i) {
      fit.add_sample_gradient(theta.data(), i, zero.data(), quiet.data(), scratch.data());
      fit.add_sample_gradient(theta.data(), i, eps.data() + i * classes, noisy.data(), scratch.data());
    }
    model.gradient(theta, expected);
    expected *= fit.samples();
    CHECK(test::relative(quiet, expected) < 1e-13);
    model.pull_back(theta, eps, shift);
    CHECK(test::relative(noisy, expected - shift) < 1e-13);
  });
}

TEST_CASE("a pack's lane is the scalar run of its replica, with a sample of its own") {
  using P = Pack<double>;
  over_fits([](const NetworkFit& fit) {
    const VectorXd base = test::general_parameters(fit.network(), 21);
    const int d = fit.dim(), classes = fit.outputs_count();
    std::vector<P> theta(d), g(d, P(0.0)), eps(classes), f(classes), scratch(fit.scratch_size());
    IndexPack<P::width> sample(0);
    for (int l = 0; l < P::width; ++l) {
      for (int k = 0; k < d; ++k) theta[k].set(l, base[k] + 0.1 * l);
      for (int k = 0; k < classes; ++k) eps[k].set(l, 0.3 * l - k);
      sample.set(l, (5 * l + 1) % fit.samples());
    }
    fit.add_sample_gradient(theta.data(), sample, eps.data(), g.data(), scratch.data());
    fit.outputs(theta.data(), sample, f.data());
    for (int l = 0; l < P::width; ++l) {
      std::vector<double> t(d), s(fit.scratch_size()), e(classes);
      VectorXd expected = VectorXd::Zero(d), lane(d), out(classes), out_lane(classes);
      for (int k = 0; k < d; ++k) {
        t[k] = theta[k][l];
        lane[k] = g[k][l];
      }
      for (int k = 0; k < classes; ++k) {
        e[k] = eps[k][l];
        out_lane[k] = f[k][l];
      }
      fit.add_sample_gradient(t.data(), static_cast<int>(sample[l]), e.data(), expected.data(), s.data());
      fit.outputs(t.data(), static_cast<int>(sample[l]), out.data());
      CHECK(test::relative(lane, expected) <
            1e-13);  // the packs' tanh is not the library's, hence not the bits
      CHECK(test::relative(out_lane, out) < 1e-13);
    }
  });
}

TEST_CASE("a network of dense layers fits as the perceptron of its shape") {
  for (const Activation activation : {Activation::tanh, Activation::silu}) {
    const MlpShape shape{{5, 7, 6, 3}, activation};
    const Network network = mlp_network(shape.widths, activation);
    const Dataset data = test::general_data(network, 6);
    const MlpFit tuned(shape, data);
    const NetworkFit general(network, data);
    const VectorXd theta = test::general_parameters(network, 21), eps = test::normals(3, 5);
    std::vector<double> scratch(std::max(tuned.scratch_size(), general.scratch_size()));
    for (int i = 0; i < 6; ++i) {
      VectorXd one = VectorXd::Zero(network.dim()), two = one;
      tuned.add_sample_gradient(theta.data(), i, eps.data(), one.data(), scratch.data());
      general.add_sample_gradient(theta.data(), i, eps.data(), two.data(), scratch.data());
      CHECK(test::relative(two, one) < 1e-14);
    }
  }
}

TEST_CASE("a copy of a fit is a fit of its own") {
  auto first = std::make_unique<NetworkFit>(cnn_network({1, 4, 4}, {2}, 3), gaussian_inputs(4, 16, 3, 1));
  const NetworkFit copy = *first;
  const VectorXd theta = test::general_parameters(copy.network(), 3);
  VectorXd before(3), after(3);
  first->outputs(theta.data(), 2, before.data());
  first.reset();
  copy.outputs(theta.data(), 2, after.data());
  CHECK(after == before);
}

TEST_CASE("a fit refuses a network of other inputs or outputs than the data's") {
  CHECK_THROWS_WITH_AS(NetworkFit(mlp_network({4, 2}), gaussian_inputs(3, 5, 2, 1)),
                       "network: 4 inputs differ from the data's 5", std::invalid_argument);
}
