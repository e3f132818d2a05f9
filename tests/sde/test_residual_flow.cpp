#include "slowsde/sde/residual_flow.hpp"

#include <doctest/doctest.h>

#include <Eigen/Eigenvalues>
#include <cmath>
#include <stdexcept>
#include <vector>

#include "slowsde/problems/diagonal_network.hpp"
#include "slowsde/problems/least_squares_adaptor.hpp"
#include "tests/support/interpolating_network.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using test::InterpolatingNetwork;

namespace {

// f = √(1+x²)·y with target 0, whose gradient flow conserves ln|x| + x²/2 − y²/2.
class Valley final : public LeastSquaresModel {
 public:
  int dim() const override { return 2; }
  int samples() const override { return 1; }
  int outputs() const override { return 1; }
  void residual(const VectorXd& p, VectorXd& r) const override {
    r = VectorXd::Constant(1, std::sqrt(1 + p[0] * p[0]) * p[1]);
  }
  void jacobian(const VectorXd& p, MatrixXd& J) const override {
    const double root = std::sqrt(1 + p[0] * p[0]);
    J.resize(1, 2);
    J << p[0] * p[1] / root, root;
  }
  void curvature_contraction(const VectorXd&, const MatrixXd&, VectorXd&) const override {}
};

double valley_limit(double x, double y) {
  const double conserved = std::log(x) + 0.5 * x * x - 0.5 * y * y;
  double low = 0, high = x;
  for (int k = 0; k < 200; ++k) {
    const double middle = 0.5 * (low + high);
    (std::log(middle) + 0.5 * middle * middle < conserved ? low : high) = middle;
  }
  return low;
}

// Where the gradient flow of a diagonal linear network from u = v = α ends: β_j = 2α² sinh w_j with w in the
// range of Xᵀ and Xβ = y (Woodworth et al. 2020, Theorem 1), by Newton's method for w = Xᵀν.
VectorXd hypentropy_interpolator(const RegressionData& data, double alpha) {
  const Eigen::Map<const Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>> X(
      data.inputs.data(), data.samples, data.features);
  const Eigen::Map<const VectorXd> y(data.targets.data(), data.samples);
  const double scale = 2 * alpha * alpha;
  VectorXd nu = VectorXd::Zero(data.samples);
  const auto beta = [&](const VectorXd& at) -> VectorXd {
    return scale * (X.transpose() * at).array().sinh().matrix();
  };
  for (int k = 0; k < 200; ++k) {
    const VectorXd missing = y - X * beta(nu);
    const VectorXd slope = scale * (X.transpose() * nu).array().cosh().matrix();
    const VectorXd step = (X * slope.asDiagonal() * X.transpose()).llt().solve(missing);
    double length = 1;
    while (length > 1e-10 && (y - X * beta(nu + length * step)).norm() > missing.norm()) length /= 2;
    nu += length * step;
  }
  return beta(nu);
}

// Classical Runge–Kutta with small fixed steps: no stabilisation, no residual space.
VectorXd plain_flow(const LeastSquaresModel& model, VectorXd x, double h, int steps) {
  VectorXd k1, k2, k3, k4;
  for (int k = 0; k < steps; ++k) {
    model.gradient(x, k1);
    model.gradient(x - 0.5 * h * k1, k2);
    model.gradient(x - 0.5 * h * k2, k3);
    model.gradient(x - h * k3, k4);
    x -= h / 6 * (k1 + 2 * k2 + 2 * k3 + k4);
  }
  return x;
}

// 20-12-4 with 15 samples, 60 residuals, 304 parameters, displaced from Γ by what SGD noise would do.
struct Displaced {
  InterpolatingNetwork net{{20, 12, 4}, 15, 200};
  VectorXd theta = net.theta + 0.02 * test::normal_vector(net.model.dim(), 7);
};

}  // namespace

TEST_CASE("on the valley both flows end where the conserved quantity says, a retraction does not") {
  const Valley valley;
  const VectorXd start = (VectorXd(2) << 1.5, 0.8).finished();
  const double expected = valley_limit(1.5, 0.8);
  for (const FlowRoute route : {FlowRoute::chebyshev, FlowRoute::exponential}) {
    const FlowResult flow = gradient_flow_limit(valley, start, {.route = route, .tolerance = 1e-8});
    CHECK(flow.converged);
    CHECK(flow.residual <= 1e-12);
    CHECK(test::near(flow.point[0], expected, 1e-6));
  }
  const FlowResult jump = gradient_flow_limit(valley, start, {.route = FlowRoute::gauss_newton});
  CHECK(jump.converged);
  CHECK_FALSE(test::near(jump.point[0], expected, 1e-3));
}

TEST_CASE("on a diagonal network both flows end at the interpolator of least hypentropy") {
  const DiagonalNetwork network(
      SparseRegression{.samples = 12, .features = 20, .sparsity = 2, .seed = 5}.generate());
  const LeastSquaresModelOf<DiagonalNetwork> model(network);
  for (const double alpha : {0.1, 0.3, 1.0}) {
    const VectorXd expected = hypentropy_interpolator(network.data(), alpha),
                   start = VectorXd::Constant(network.dim(), alpha);
    const auto distance = [&](const FlowResult& end) {
      CHECK(end.converged);
      const std::vector<double> beta = network.coefficients(end.point.data());
      return (Eigen::Map<const VectorXd>(beta.data(), network.features()) - expected).norm();
    };
    for (const FlowRoute route : {FlowRoute::chebyshev, FlowRoute::exponential})
      CHECK(distance(gradient_flow_limit(model, start, {.route = route, .tolerance = 1e-7})) < 1e-5);
    CHECK(distance(gradient_flow_limit(model, start, {.tolerance = 1e-2})) > 1e-5);
    CHECK(distance(retract(model, start)) > 1e-3);
  }
}

TEST_CASE("the error of Φ falls with the tolerance") {
  const Valley valley;
  const VectorXd start = (VectorXd(2) << 1.5, 0.8).finished();
  const double expected = valley_limit(1.5, 0.8);
  for (const FlowRoute route : {FlowRoute::chebyshev, FlowRoute::exponential}) {
    for (const double tolerance : {1e-3, 1e-4, 1e-5, 1e-6}) {
      const FlowResult flow = gradient_flow_limit(valley, start, {.route = route, .tolerance = tolerance});
      CHECK(std::abs(flow.point[0] - expected) <=
            30 * tolerance);  // tens of steps, each within the tolerance
    }
  }
}

TEST_CASE("both routes to Φ agree on a network, and Φ is constant along the gradient flow") {
  const Displaced start;
  const MlpModel& model = start.net.model;
  const FlowResult chebyshev = gradient_flow_limit(model, start.theta, {.tolerance = 1e-7});
  const FlowResult exponential =
      gradient_flow_limit(model, start.theta, {.route = FlowRoute::exponential, .tolerance = 1e-6});
  const FlowResult retraction = retract(model, start.theta);
  for (const FlowResult* flow : {&chebyshev, &exponential, &retraction}) {
    CHECK(flow->converged);
    CHECK(flow->residual <= 1e-12);
    VectorXd r;
    model.residual(flow->point, r);
    CHECK(r.lpNorm<Eigen::Infinity>() == flow->residual);
  }
  const double way = (chebyshev.point - start.theta).norm();
  CHECK((chebyshev.point - exponential.point).norm() < 1e-4 * way);
  CHECK((chebyshev.point - retraction.point).norm() >
        1e-3 * way);  // the flow's limit is not the nearest point

  const VectorXd later = plain_flow(model, start.theta, 0.02, 200);
  CHECK((later - start.theta).norm() > 0.1 * way);
  const FlowResult from_later = gradient_flow_limit(model, later, {.tolerance = 1e-7});
  CHECK((from_later.point - chebyshev.point).norm() < 1e-5 * way);
}

TEST_CASE("the derivative of Φ on Γ is the tangent projection") {
  const InterpolatingNetwork net({4, 6, 2}, 5, 210);
  const VectorXd u = test::normal_vector(net.model.dim(), 3);
  MatrixXd J;
  net.model.jacobian(net.theta, J);
  const VectorXd tangent = u - J.transpose() * (J * J.transpose()).ldlt().solve(J * u);
  const double h = 1e-3;
  const FlowOptions tight{.tolerance = 1e-9};
  const VectorXd difference = (gradient_flow_limit(net.model, net.theta + h * u, tight).point -
                               gradient_flow_limit(net.model, net.theta - h * u, tight).point) /
                              (2 * h);
  CHECK((difference - tangent).norm() < 1e-3 * tangent.norm());
  CHECK((difference - u).norm() > 0.1 * tangent.norm());
}

TEST_CASE("a point on Γ stays where it is") {
  const InterpolatingNetwork net({4, 6, 2}, 5, 220);
  for (const FlowRoute route : {FlowRoute::chebyshev, FlowRoute::exponential, FlowRoute::gauss_newton}) {
    const FlowResult flow = gradient_flow_limit(net.model, net.theta, {.route = route});
    CHECK(flow.converged);
    CHECK((flow.point - net.theta).norm() < 1e-12);
  }
}

TEST_CASE("training from initial weights ends on Γ, the same point every time") {
  const InterpolatingNetwork data({20, 12, 4}, 15, 230);
  const VectorXd initial = initial_parameters(data.shape, 5);
  const FlowResult one = train_to_manifold(data.model, initial), two = train_to_manifold(data.model, initial);
  CHECK(one.converged);
  CHECK(one.residual <= 1e-12);
  CHECK((one.point - initial).norm() > 0.1);
  CHECK((one.point - two.point).norm() == 0);
}

TEST_CASE("a rank-deficient Gram matrix is no obstacle") {
  InterpolatingNetwork net({4, 6, 2}, 5, 240);
  Dataset twice = net.fit.data();
  twice.n *= 2;
  twice.x.insert(twice.x.end(), net.fit.data().x.begin(), net.fit.data().x.end());
  twice.y.insert(twice.y.end(), net.fit.data().y.begin(), net.fit.data().y.end());
  const MlpModel doubled(net.shape, twice);
  const VectorXd start = net.theta + 0.02 * test::normal_vector(net.model.dim(), 7);
  const FlowOptions options{.tolerance = 1e-7, .residual_tolerance = 1e-10};
  const VectorXd expected = gradient_flow_limit(net.model, start, options).point;
  const FlowResult flow = gradient_flow_limit(doubled, start, options);  // the same loss, the same flow
  CHECK(flow.converged);
  CHECK((flow.point - expected).norm() < 1e-5);
  CHECK(retract(doubled, start, options).converged);
}

TEST_CASE("an unreachable Γ and spent steps are reported") {
  // Two samples with the same input and different targets: no interpolator.
  Dataset clash{.n = 2, .inputs = 1, .outputs = 1, .x = {1, 1}, .y = {0, 1}};
  const MlpShape shape{{1, 2, 1}};
  const MlpModel model(shape, clash);
  const VectorXd theta = initial_parameters(shape, 1);
  const FlowResult flow = gradient_flow_limit(model, theta, {.max_steps = 50});
  CHECK_FALSE(flow.converged);
  CHECK(flow.residual > 0.4);
  CHECK_FALSE(retract(model, theta).converged);
  CHECK_THROWS_WITH_AS(gradient_flow_limit(model, theta, {.tolerance = 0}),
                       "residual flow: tolerance > 0 is violated by 0", std::invalid_argument);
}

TEST_CASE("the Hessian's norm is its largest eigenvalue") {
  const InterpolatingNetwork net({4, 6, 2}, 5, 250);
  MatrixXd G;
  net.model.gram(net.theta, G);
  const double expected = Eigen::SelfAdjointEigenSolver<MatrixXd>(G).eigenvalues().maxCoeff();
  VectorXd v = test::normal_vector(net.model.dim(), 1);
  std::int64_t gradients = 0;
  CHECK(test::near_relative(hessian_norm(net.model, net.theta, v, 1e-6, gradients), expected, 1e-3));
  CHECK(gradients > 2);
}
