#include "slowsde/problems/network_derivatives.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <stdexcept>
#include <thread>
#include <vector>

#include "tests/support/networks.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;
using Eigen::VectorXd;

namespace {

constexpr int samples = 83;  // a whole chunk and a part of one

struct Case {
  const Network& network;
  Dataset data;
  test::OwnedBatch<double> batch;
  NetworkDerivatives<double> derivatives;
  VectorXd theta, u, v;
  Case(const Network& n, LossKind loss)
      : network(n),
        data(test::general_data(n, samples)),
        batch(data, samples, samples),
        derivatives(n, loss, batch.view()),
        theta(test::general_parameters(n, 21)),
        u(test::normals(n.dim(), 31)),
        v(test::normals(n.dim(), 32)) {}
  VectorXd gradient(const VectorXd& at) {
    VectorXd g = VectorXd::Constant(network.dim(), std::nan(""));
    derivatives.gradient(at.data(), g.data());
    return g;
  }
  VectorXd hessian(const VectorXd& at, const VectorXd& along) {
    VectorXd h = VectorXd::Constant(network.dim(), std::nan(""));
    derivatives.set_point(at.data());
    derivatives.hessian_vector_product(along.data(), h.data());
    return h;
  }
};

template <class Check>
void over_cases(Check check) {
  for (const LossKind loss : {LossKind::squared, LossKind::cross_entropy}) {
    CAPTURE(static_cast<int>(loss));
    test::over_networks([&](const Network& network) {
      Case c(network, loss);
      check(c, loss);
    });
  }
}

}  // namespace

TEST_CASE("over all samples loss, gradient and hits are those of one batch") {
  over_cases([](Case& c, LossKind loss) {
    NetworkGradient<double> gradient(c.network, loss, samples);
    const test::OwnedBatch<double> padded(c.data, samples);
    VectorXd expected(c.network.dim());
    const double value = gradient.value_and_gradient(c.theta.data(), padded.view(), expected.data());
    CHECK(test::relative(c.gradient(c.theta), expected) < 1e-13);
    CHECK(test::near(c.derivatives.loss(c.theta.data()), value, 1e-13));
    CHECK(c.derivatives.correct(c.theta.data()) == gradient.evaluate(c.theta.data(), padded.view()).correct);
  });
}

TEST_CASE("the Hessian-vector product is the derivative of the gradient, and the Hessian is symmetric") {
  over_cases([](Case& c, LossKind) {
    const double h = 1e-5;
    const VectorXd product = c.hessian(c.theta, c.u);
    const VectorXd difference = (c.gradient(c.theta + h * c.u) - c.gradient(c.theta - h * c.u)) / (2 * h);
    // A ReLU's kinks do not lie on the short line, or its sum would jump.
    CHECK(test::relative(product, difference) < 1e-6);
    const VectorXd other = c.hessian(c.theta, c.v);
    CHECK(std::abs(c.v.dot(product) - c.u.dot(other)) <= 1e-12 * c.v.norm() * product.norm());
  });
}

TEST_CASE("the third contraction is the derivative of the Hessian-vector product") {
  over_cases([](Case& c, LossKind) {
    const double h = 1e-5;
    const VectorXd difference =
        (c.hessian(c.theta + h * c.u, c.u) - c.hessian(c.theta - h * c.u, c.u)) / (2 * h);
    VectorXd third(c.network.dim());
    c.derivatives.third_contraction(c.theta.data(), c.u.data(), third.data());
    CHECK(test::relative(third, difference) < 1e-6);
  });
}

TEST_CASE("products at one point do not disturb each other") {
  const Network network = cnn_network({1, 8, 8}, {4, 6}, 3, Activation::silu, 2);
  Case c(network, LossKind::cross_entropy);
  const VectorXd first = c.hessian(c.theta, c.u);
  VectorXd other(network.dim()), third(network.dim()), again(network.dim());
  c.derivatives.hessian_vector_product(c.v.data(), other.data());
  c.gradient(c.theta + c.v);
  c.derivatives.third_contraction(c.v.data(), c.u.data(), third.data());
  c.derivatives.hessian_vector_product(c.u.data(), again.data());
  CHECK(again == first);
}

TEST_CASE("the bits do not depend on who runs the loop over the chunks") {
  const Network network = mlp_network({6, 8, 3}, Activation::tanh);
  const Dataset data = test::general_data(network, 1500);
  const test::OwnedBatch<float> batch(data, 1500);
  const ParallelLoop backwards = [](std::size_t count, const std::function<void(std::size_t)>& body) {
    for (std::size_t k = count; k-- > 0;) body(k);
  };
  const ParallelLoop threads = [](std::size_t count, const std::function<void(std::size_t)>& body) {
    std::thread other([&] {
      for (std::size_t k = 0; k < count; k += 2) body(k);
    });
    for (std::size_t k = 1; k < count; k += 2) body(k);
    other.join();
  };
  const VectorXd wide = test::general_parameters(network, 21), direction = test::normals(network.dim(), 31);
  const std::vector<float> theta(wide.begin(), wide.end()), u(direction.begin(), direction.end());
  std::vector<std::vector<float>> results;
  for (const ParallelLoop& loop : {ParallelLoop{}, backwards, threads}) {
    NetworkDerivatives<float> d(network, LossKind::cross_entropy, batch.view(), loop);
    std::vector<float> all(4 * theta.size());
    float* out = all.data();
    all.push_back(static_cast<float>(d.gradient(theta.data(), out)));
    out = all.data();
    d.set_point(theta.data());
    d.hessian_vector_product(u.data(), out + theta.size());
    d.third_contraction(theta.data(), u.data(), out + 2 * theta.size());
    results.push_back(all);
  }
  CHECK(results[1] == results[0]);
  CHECK(results[2] == results[0]);
}

TEST_CASE("in single precision the Hessian-vector product is that of double precision to its rounding") {
  test::over_networks([](const Network& network) {
    Case c(network, LossKind::cross_entropy);
    const test::OwnedBatch<float> narrow(c.data, samples);
    NetworkDerivatives<float> d(network, LossKind::cross_entropy, narrow.view());
    const std::vector<float> theta(c.theta.begin(), c.theta.end()), u(c.u.begin(), c.u.end());
    std::vector<float> product(theta.size());
    d.set_point(theta.data());
    d.hessian_vector_product(u.data(), product.data());
    const VectorXd widened = Eigen::Map<const Eigen::VectorXf>(product.data(), network.dim()).cast<double>();
    CHECK(test::relative(widened, c.hessian(c.theta, c.u)) < 1e-4);
  });
}

TEST_CASE("derivatives refuse an empty batch and a product without a point") {
  const Network network = mlp_network({3, 2});
  const Dataset data = test::general_data(network, 9);
  const test::OwnedBatch<double> owned(data, 9);
  Batch<double> batch = owned.view();
  batch.size = 0;
  CHECK_THROWS_WITH_AS(NetworkDerivatives<double>(network, LossKind::squared, batch),
                       "network derivatives: samples >= 1 is violated by 0", std::invalid_argument);
  batch = owned.view();
  batch.labels = nullptr;
  CHECK_THROWS_WITH_AS(NetworkDerivatives<double>(network, LossKind::cross_entropy, batch),
                       "network derivatives: the cross-entropy has labels is violated by none",
                       std::invalid_argument);
  NetworkDerivatives<double> d(network, LossKind::squared, owned.view());
  std::vector<double> u(network.dim()), out(network.dim());
  CHECK_THROWS_AS(d.hessian_vector_product(u.data(), out.data()), std::invalid_argument);
}
