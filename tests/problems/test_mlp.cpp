#include "slowsde/problems/mlp.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "slowsde/problems/jet.hpp"
#include "slowsde/problems/pack.hpp"
#include "slowsde/problems/pack_math.hpp"
#include "slowsde/problems/problem.hpp"
#include "slowsde/problems/random_address.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;
using Eigen::VectorXd;

static_assert(LeastSquaresProblem<MlpFit>);

namespace {

Dataset fitted_data(int n, int inputs, int outputs) {
  Dataset data = gaussian_inputs(n, inputs, outputs, 11);
  for (std::size_t k = 0; k < data.y.size(); ++k) data.y[k] = normal_at(12, Stream::initial, 0, 0, k);
  return data;
}

VectorXd random_vector(int size, std::uint64_t seed) {
  VectorXd v(size);
  for (int k = 0; k < size; ++k) v[k] = normal_at(seed, Stream::initial, 0, 0, k);
  return v;
}

// Weights and biases all non-zero, so that no term of a derivative is missing.
VectorXd random_theta(const MlpShape& shape, std::uint64_t seed) {
  return initial_parameters(shape, seed, 1.2) + 0.3 * random_vector(shape.dim(), seed + 1);
}

// Relative to the larger of 1 and |b|: a linear network has no curvature at all.
double relative(const VectorXd& a, const VectorXd& b) { return (a - b).norm() / std::max(1.0, b.norm()); }

struct Case {
  MlpShape shape;
  MlpFit fit;
  MlpModel model;
  VectorXd theta;
  Case(Activation activation, std::vector<int> widths, int n)
      : shape{std::move(widths), activation},
        fit(shape, fitted_data(n, shape.inputs(), shape.outputs())),
        model(shape, fit.data()),
        theta(random_theta(shape, 21)) {}
};

// Small shapes of one, two and three layers; widths that are and are not multiples of the blocking.
template <class Check>
void over_networks(Check check) {
  for (const Activation activation : {Activation::tanh, Activation::silu}) {
    for (const std::vector<int>& widths : {std::vector<int>{3, 2}, {5, 7, 3}, {4, 8, 6, 1}}) {
      CAPTURE(widths.size());
      check(Case(activation, widths, 6));
    }
  }
}

}  // namespace

TEST_CASE("the parameters of 64-40-10 are 3010 and a network names a wrong shape") {
  CHECK(MlpShape{{64, 40, 10}}.dim() == 3010);
  CHECK_THROWS_WITH_AS(MlpShape{{3}}.check(), "network: widths.size() >= 2 is violated by 1",
                       std::invalid_argument);
  CHECK_THROWS_WITH_AS((MlpShape{{3, 0, 1}}.check()), "network: width >= 1 is violated by 0",
                       std::invalid_argument);
  CHECK_THROWS_WITH_AS((MlpFit(MlpShape{{4, 2}}, fitted_data(3, 5, 2))),
                       "network: widths.front() = 4 differs from the data's 5 inputs", std::invalid_argument);
  CHECK_THROWS_WITH_AS((MlpModel(MlpShape{{5, 3}}, fitted_data(3, 5, 2))),
                       "network: widths.back() = 3 differs from the data's 2 outputs", std::invalid_argument);
}

TEST_CASE("initial weights have variance gain^2/fan-in and biases are zero") {
  const MlpShape shape{{64, 40, 10}};
  const VectorXd theta = initial_parameters(shape, 3, 2.0);
  CHECK(theta.segment(shape.bias_offset(0), 40).norm() == 0);
  CHECK(theta.segment(shape.bias_offset(1), 10).norm() == 0);
  // A variance estimated from m normals has relative SE sqrt(2/m).
  CHECK(test::zscore(theta.head(2560).squaredNorm() / 2560, 4.0 / 64, 4.0 / 64 * std::sqrt(2.0 / 2560)) < 4);
  CHECK(test::zscore(theta.segment(2600, 400).squaredNorm() / 400, 4.0 / 40,
                     4.0 / 40 * std::sqrt(2.0 / 400)) < 4);
  CHECK(test::zscore(theta.head(2560).squaredNorm() / 2560, 2.0 / 64, 2.0 / 64 * std::sqrt(2.0 / 2560)) > 5);
}

TEST_CASE("every layer may have its own gain") {
  const MlpShape shape{{5, 4, 2}};
  const VectorXd one = initial_parameters(shape, 3), two = initial_parameters(shape, 3, {4.0, 0.5});
  CHECK((two.head(20) - 4.0 * one.head(20)).norm() < 1e-15);
  CHECK((two.segment(24, 8) - 0.5 * one.segment(24, 8)).norm() < 1e-15);
  CHECK_THROWS_WITH_AS(initial_parameters(shape, 3, {1.0, 1.0, 1.0}),
                       "network: gains.size() = layers is violated by 3", std::invalid_argument);
}

TEST_CASE("the two faces of a network have the same outputs and residuals") {
  over_networks([](const Case& c) {
    VectorXd r;
    c.model.residual(c.theta, r);
    const int classes = c.shape.outputs();
    std::vector<double> f(classes), y(classes);
    for (int i = 0; i < c.fit.samples(); ++i) {
      c.fit.outputs(c.theta.data(), i, f.data());
      c.fit.targets(i, y.data());
      for (int k = 0; k < classes; ++k) CHECK(test::near(f[k] - y[k], r[i * classes + k], 1e-13));
    }
  });
}

TEST_CASE("summed sample gradients are n times the gradient, and label noise enters as another target") {
  over_networks([](const Case& c) {
    const int classes = c.shape.outputs();
    const VectorXd eps = random_vector(c.model.residuals(), 31);
    std::vector<double> scratch(c.fit.scratch_size(), std::nan(""));
    VectorXd quiet = VectorXd::Zero(c.fit.dim()), noisy = quiet, expected, shift;
    const std::vector<double> zero(classes, 0.0);
    for (int i = 0; i < c.fit.samples(); ++i) {
      c.fit.add_sample_gradient(c.theta.data(), i, zero.data(), quiet.data(), scratch.data());
      c.fit.add_sample_gradient(c.theta.data(), i, eps.data() + i * classes, noisy.data(), scratch.data());
    }
    c.model.gradient(c.theta, expected);
    expected *= c.fit.samples();
    CHECK(relative(quiet, expected) < 1e-13);
    c.model.pull_back(c.theta, eps, shift);
    CHECK(relative(noisy, expected - shift) < 1e-13);
  });
}

TEST_CASE("the gradient is the derivative of the loss along jets") {
  over_networks([](const Case& c) {
    using Jet = Taylor<double, 1>;
    const VectorXd u = random_vector(c.fit.dim(), 41);
    std::vector<Jet> theta(c.fit.dim()), f(c.shape.outputs()), y(c.shape.outputs());
    for (int k = 0; k < c.fit.dim(); ++k) theta[k] = Jet::line(c.theta[k], u[k]);
    Jet loss(0.0);
    for (int i = 0; i < c.fit.samples(); ++i) {
      c.fit.outputs(theta.data(), i, f.data());
      c.fit.targets(i, y.data());
      for (std::size_t k = 0; k < f.size(); ++k) loss = loss + (f[k] - y[k]) * (f[k] - y[k]);
    }
    VectorXd g;
    c.model.gradient(c.theta, g);
    CHECK(test::near(loss.c[1] / (2.0 * c.fit.samples()), g.dot(u), 1e-12));
  });
}

TEST_CASE("Hessian-vector products and third contractions are the gradient's Taylor coefficients") {
  over_networks([](const Case& c) {
    using Jet = Taylor<double, 2>;
    const VectorXd u = random_vector(c.fit.dim(), 51);
    std::vector<Jet> theta(c.fit.dim()), g(c.fit.dim(), Jet(0.0)), scratch(c.fit.scratch_size());
    const std::vector<Jet> zero(c.shape.outputs(), Jet(0.0));
    for (int k = 0; k < c.fit.dim(); ++k) theta[k] = Jet::line(c.theta[k], u[k]);
    for (int i = 0; i < c.fit.samples(); ++i) {
      c.fit.add_sample_gradient(theta.data(), i, zero.data(), g.data(), scratch.data());
    }
    VectorXd first(c.fit.dim()), second(c.fit.dim()), hvp, third;
    for (int k = 0; k < c.fit.dim(); ++k) {
      first[k] = g[k].derivative(1) / c.fit.samples();
      second[k] = g[k].derivative(2) / c.fit.samples();
    }
    c.model.hessian_vector_product(c.theta, u, hvp);
    c.model.third_contraction(c.theta, u, third);
    CHECK(relative(hvp, first) < 1e-12);
    CHECK(relative(third, second) < 1e-12);
  });
}

TEST_CASE("a pack's lane is the scalar run of its replica") {
  using P = Pack<double>;
  over_networks([](const Case& c) {
    const int d = c.fit.dim(), classes = c.shape.outputs();
    std::vector<P> theta(d), g(d, P(0.0)), eps(classes), scratch(c.fit.scratch_size());
    IndexPack<P::width> sample(0);
    for (int l = 0; l < P::width; ++l) {
      for (int k = 0; k < d; ++k) theta[k].set(l, c.theta[k] + 0.1 * l);
      for (int k = 0; k < classes; ++k) eps[k].set(l, 0.3 * l - k);
      sample.set(l, (5 * l + 1) % c.fit.samples());
    }
    c.fit.add_sample_gradient(theta.data(), sample, eps.data(), g.data(), scratch.data());
    for (int l = 0; l < P::width; ++l) {
      std::vector<double> t(d), s(c.fit.scratch_size()), e(classes);
      VectorXd expected = VectorXd::Zero(d), lane(d);
      for (int k = 0; k < d; ++k) {
        t[k] = theta[k][l];
        lane[k] = g[k][l];
      }
      for (int k = 0; k < classes; ++k) e[k] = eps[k][l];
      c.fit.add_sample_gradient(t.data(), static_cast<int>(sample[l]), e.data(), expected.data(), s.data());
      CHECK(relative(lane, expected) < 1e-14);  // the packs' tanh is not the library's, hence not the bits
    }
  });
}
