#include "slowsde/problems/network_model.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <stdexcept>
#include <vector>

#include "slowsde/problems/network_fit.hpp"
#include "tests/support/networks.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;
using Eigen::MatrixXd;
using Eigen::VectorXd;

namespace {

struct Case {
  Dataset data;
  NetworkModel model;
  VectorXd theta;
  Case(const Network& network, int n)
      : data(test::general_data(network, n)),
        model(network, data),
        theta(test::general_parameters(network, 21)) {}
};

// Numbers of samples below and beyond a pack; residuals that fill their packs and that do not.
template <class Check>
void over_cases(Check check) {
  test::over_networks([&](const Network& network) {
    for (const int n : {6, 11}) check(Case(network, n));
  });
}

}  // namespace

TEST_CASE("the residuals are outputs minus targets, sample by sample") {
  over_cases([](const Case& c) {
    const NetworkFit fit(c.model.network(), c.data);
    VectorXd r;
    c.model.residual(c.theta, r);
    REQUIRE(r.size() == c.model.residuals());
    const int classes = c.model.outputs();
    std::vector<double> f(classes), y(classes);
    for (int i = 0; i < c.model.samples(); ++i) {
      fit.outputs(c.theta.data(), i, f.data());
      fit.targets(i, y.data());
      for (int k = 0; k < classes; ++k) CHECK(test::near(r[i * classes + k], f[k] - y[k], 1e-13));
    }
  });
}

TEST_CASE("the Jacobian, its products and its Gram matrix agree") {
  over_cases([](const Case& c) {
    MatrixXd J, G;
    VectorXd r, g, out;
    c.model.jacobian(c.theta, J);
    c.model.residual(c.theta, r);
    c.model.gradient(c.theta, g);
    CHECK(test::relative(J.transpose() * r / c.model.samples(), g) < 1e-13);
    const VectorXd y = test::normals(c.model.residuals(), 61), v = test::normals(c.model.dim(), 62);
    c.model.pull_back(c.theta, y, out);
    CHECK(test::relative(out, J.transpose() * y) < 1e-13);
    c.model.push_forward(c.theta, v, out);
    CHECK(test::relative(out, J * v) < 1e-13);
    c.model.gram(c.theta, G);
    CHECK((G - J * J.transpose() / c.model.samples()).norm() < 1e-13 * G.norm());

    const double h = 1e-5;  // central differences: h²·f''' and eps/h
    VectorXd plus, minus;
    c.model.residual(c.theta + h * v, plus);
    c.model.residual(c.theta - h * v, minus);
    CHECK(test::relative((plus - minus) / (2 * h), J * v) < 1e-7);
  });
}

TEST_CASE("the curvature contraction is the derivative of the Jacobian along each residual's own direction") {
  over_cases([](const Case& c) {
    MatrixXd W(c.model.dim(), c.model.residuals()), plus, minus;
    VectorXd expected = VectorXd::Zero(c.model.dim()), out;
    const double h = 1e-5;
    for (int a = 0; a < W.cols(); ++a) {
      W.col(a) = test::normals(c.model.dim(), 100 + a);
      c.model.jacobian(c.theta + h * W.col(a), plus);
      c.model.jacobian(c.theta - h * W.col(a), minus);
      expected += (plus.row(a) - minus.row(a)).transpose() / (2 * h);
    }
    c.model.curvature_contraction(c.theta, W, out);
    CHECK(test::relative(out, expected) < 1e-7);
  });
}

TEST_CASE(
    "the Hessian-vector product is the derivative of the gradient, the third contraction that of the "
    "product") {
  over_cases([](const Case& c) {
    const VectorXd u = test::normals(c.model.dim(), 51), v = test::normals(c.model.dim(), 52);
    const double h = 1e-5;
    VectorXd plus, minus, product, other, third;
    c.model.gradient(c.theta + h * u, plus);
    c.model.gradient(c.theta - h * u, minus);
    c.model.hessian_vector_product(c.theta, u, product);
    CHECK(test::relative(product, (plus - minus) / (2 * h)) < 1e-7);
    c.model.hessian_vector_product(c.theta, v, other);
    CHECK(std::abs(v.dot(product) - u.dot(other)) <= 1e-12 * v.norm() * product.norm());
    c.model.hessian_vector_product(c.theta + h * u, u, plus);
    c.model.hessian_vector_product(c.theta - h * u, u, minus);
    c.model.third_contraction(c.theta, u, third);
    CHECK(test::relative(third, (plus - minus) / (2 * h)) < 1e-7);
  });
}

TEST_CASE("the curvature contraction is the third derivative where the residuals vanish") {
  // ∇³L[uuᵀ] = (1/n) Σ_a (2 ∇²f_a u <∇f_a, u> + ∇f_a <u, ∇²f_a u> + r_a ∇³f_a[uuᵀ]). With the targets moved
  // onto the outputs the last term is gone.
  over_cases([](const Case& c) {
    Dataset data = c.data;
    set_targets(data, NetworkFit(c.model.network(), data), c.theta.data());
    const NetworkModel model(c.model.network(), data);
    const VectorXd u = test::normals(model.dim(), 71);
    MatrixXd J;
    model.jacobian(c.theta, J);
    VectorXd curved, third, expected;
    model.curvature_contraction(c.theta, u * (J * u).transpose(), curved);
    const double h = 1e-5;  // <u, ∇²f_a u> for all a, from central differences of Ju
    VectorXd plus, minus;
    model.push_forward(c.theta + h * u, u, plus);
    model.push_forward(c.theta - h * u, u, minus);
    expected = (2.0 * curved + J.transpose() * (plus - minus) / (2 * h)) / model.samples();
    model.third_contraction(c.theta, u, third);
    CHECK(test::relative(third, expected) < 1e-7);
  });
}

TEST_CASE("the weights below a group norm have no gradient along themselves") {
  // y does not see their scale; eps is the only thing that does.
  const Network network({1, 6, 6}, {Convolution{.channels = 4, .bias = false}, GroupNorm{2, 1e-13},
                                    Activation::tanh, Dense{2}});
  const Case c(network, 6);
  VectorXd g, scaled = c.theta, r, r_scaled;
  c.model.gradient(c.theta, g);
  CHECK(std::abs(g.head(36).dot(c.theta.head(36))) <= 1e-9 * g.head(36).norm() * c.theta.head(36).norm());
  CHECK(g.head(36).norm() > 1e-3);
  scaled.head(36) *= 3;
  c.model.residual(c.theta, r);
  c.model.residual(scaled, r_scaled);
  CHECK(test::relative(r_scaled, r) < 1e-10);
}

TEST_CASE("a network of other inputs or outputs than the data's is refused") {
  const Dataset data = gaussian_inputs(3, 5, 2, 1);
  CHECK_THROWS_WITH_AS(NetworkModel(mlp_network({4, 2}), data), "network: 4 inputs differ from the data's 5",
                       std::invalid_argument);
  CHECK_THROWS_WITH_AS(NetworkModel(mlp_network({5, 3}), data), "network: 3 outputs differ from the data's 2",
                       std::invalid_argument);
}

TEST_CASE("classification adds weight decay to the mean cross-entropy and counts its classes") {
  const Network network = cnn_network({1, 4, 4}, {4}, 3, Activation::silu, 2);
  const Dataset data = test::general_data(network, 20);
  std::vector<int> labels(20);
  for (int i = 0; i < 20; ++i) labels[i] = i % 5 == 0 ? 2 : i % 2;
  const VectorXd theta = test::general_parameters(network, 21), u = test::normals(network.dim(), 31);
  const ClassificationModel free(network, data.x, labels), decayed(network, data.x, labels, 0.3);
  CHECK(free.class_counts() == std::vector<int>{8, 8, 4});
  CHECK(free.labels() == labels);
  CHECK(decayed.weight_decay() == 0.3);
  CHECK(free.samples() == 20);
  CHECK(test::near(decayed.loss(theta), free.loss(theta) + 0.15 * theta.squaredNorm(), 1e-14));

  // −log softmax by its definition, and hits.
  const NetworkFit fit(network, data);
  double sum = 0;
  std::int64_t hits = 0;
  for (int i = 0; i < 20; ++i) {
    VectorXd f(3);
    fit.outputs(theta.data(), i, f.data());
    sum -= f[labels[i]] - std::log(f.array().exp().sum());
    int best;
    f.maxCoeff(&best);
    hits += best == labels[i];
  }
  CHECK(test::near(free.loss(theta), sum / 20, 1e-13));
  CHECK(free.correct(theta) == hits);

  const double h = 1e-5;
  VectorXd plus, minus, g, product, third, bare;
  decayed.gradient(theta, g);
  CHECK(test::near(g.dot(u), (decayed.loss(theta + h * u) - decayed.loss(theta - h * u)) / (2 * h), 1e-8));
  decayed.gradient(theta + h * u, plus);
  decayed.gradient(theta - h * u, minus);
  decayed.hessian_vector_product(theta, u, product);
  CHECK(test::relative(product, (plus - minus) / (2 * h)) < 1e-7);
  free.hessian_vector_product(theta, u, bare);
  CHECK(test::relative(product, bare + 0.3 * u) < 1e-14);
  decayed.hessian_vector_product(theta + h * u, u, plus);
  decayed.hessian_vector_product(theta - h * u, u, minus);
  decayed.third_contraction(theta, u, third);
  CHECK(test::relative(third, (plus - minus) / (2 * h)) < 1e-7);
}

TEST_CASE("classification refuses labels that are no outputs and a negative weight decay") {
  const Network network = mlp_network({2, 3});
  const std::vector<double> x(4);
  CHECK_THROWS_WITH_AS(ClassificationModel(network, x, {0, 3}),
                       "classification: label < classes is violated by 3", std::invalid_argument);
  CHECK_THROWS_WITH_AS(ClassificationModel(network, x, {0, -1}),
                       "classification: label >= 0 is violated by -1", std::invalid_argument);
  CHECK_THROWS_WITH_AS(ClassificationModel(network, x, {0}),
                       "classification: x.size() = samples*inputs is violated by 4", std::invalid_argument);
  CHECK_THROWS_WITH_AS(ClassificationModel(network, x, {0, 1}, -0.1),
                       "classification: weight_decay >= 0 is violated by -0.1", std::invalid_argument);
}
