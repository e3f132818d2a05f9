#include "slowsde/sde/manifold_flow.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <stdexcept>
#include <vector>

#include "slowsde/optim/psi_moment.hpp"
#include "slowsde/optim/qsr_moment.hpp"
#include "slowsde/optim/sampling_moment.hpp"
#include "slowsde/optim/sgd_moment.hpp"
#include "slowsde/sde/label_noise_flow.hpp"
#include "tests/support/interpolating_network.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using test::InterpolatingNetwork;

namespace {

// f = √(1+x²)·y with target 0: on y = 0 the Hessian is 1 + x², and with label noise SGD's slow SDE is
// ẋ = −(σ²/2B)x, hence x = x0·e^{−σ²t/2B}.
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
  void curvature_contraction(const VectorXd& p, const MatrixXd& W, VectorXd& out) const override {
    const double x = p[0], root = std::sqrt(1 + x * x);
    MatrixXd second(2, 2);
    second << p[1] / (root * root * root), x / root, x / root, 0;
    out = second * W.col(0);
  }
};

constexpr Round few{.eta = 0.1, .local_steps = 7, .workers = 4, .local_batch = 2};
Round constant_round(double) { return few; }

}  // namespace

TEST_CASE("on the valley SGD and QSR follow their exponentials and Local SGD its own equation") {
  const Valley valley;
  const VectorXd start = (VectorXd(2) << 1.5, 0).finished();
  const double sigma = 1, B = few.global_batch();
  const ManifoldFlowOptions tight{.tolerance = 1e-8};
  const auto end = [&](const SecondMoment& moment) {
    const ManifoldFlowResult flow =
        manifold_flow(valley, start, moment, sigma, constant_round, {0, 1, 4}, tight);
    CHECK(flow.converged);
    CHECK(flow.records.size() == 3);
    CHECK(flow.records.back().t == 4);
    CHECK(test::near(flow.records.back().trace, 1 + std::pow(flow.records.back().point[0], 2), 1e-12));
    return flow.records.back().point[0];
  };
  CHECK(test::near(end(SgdMoment()), 1.5 * std::exp(-sigma * sigma * 4 / (2 * B)), 1e-6));
  CHECK(test::near(end(QsrMoment()), 1.5 * std::exp(-few.workers * sigma * sigma * 4 / (2 * B)), 1e-6));
  // ẋ = −(σ²x/2B)(1 + (K−1)ψ(2ηH(1+x²))), by Euler steps extrapolated twice
  const auto euler = [&](int steps) {
    double x = 1.5;
    for (int k = 0; k < steps; ++k) {
      const double z = 2 * few.eta * static_cast<double>(few.local_steps) * (1 + x * x);
      x -= 4.0 / steps * x * sigma * sigma / (2 * B) * (1 + (few.workers - 1) * (std::exp(-z) - 1 + z) / z);
    }
    return x;
  };
  CHECK(test::near(end(PsiMoment()), (euler(4000) - 6 * euler(8000) + 8 * euler(16000)) / 3, 1e-6));
}

TEST_CASE("the flow of a network is the one that differentiating the potential gives") {
  const InterpolatingNetwork net({3, 5, 2}, 4, 300);
  const PsiMoment psi;
  const ManifoldFlowResult flow =
      manifold_flow(net.model, net.theta, psi, 0.5, constant_round, {0, 3}, {.tolerance = 1e-7});
  CHECK(flow.converged);
  const LabelNoiseFlow other(net.model, {.sigma = 0.5});
  const auto expected = other.integrate(net.theta, 3, weight_of(psi, few), few.global_batch());
  CHECK(expected.converged);
  const double way = (flow.records[1].point - net.theta).norm();
  CHECK(way > 1e-2);
  CHECK((flow.records[1].point - expected.zeta).norm() < 1e-4 * way);
}

TEST_CASE("the flow stays on Γ, lowers the trace and does not depend on where it is looked at") {
  const InterpolatingNetwork net({6, 8, 3}, 5, 310);
  const SamplingMoment moment;
  const ManifoldFlowOptions options{.tolerance = 1e-6};
  const auto at = [&](const std::vector<double>& times) {
    return manifold_flow(net.model, net.theta, moment, 0.3, constant_round, times, options);
  };
  const ManifoldFlowResult whole = at({0, 5}), parts = at({0, 0.7, 1.1, 3, 5});
  CHECK(whole.converged);
  CHECK(parts.converged);
  CHECK((whole.records.back().point - parts.records.back().point).norm() < 20 * options.tolerance);
  CHECK(parts.largest_retraction < 1e-3);
  for (std::size_t k = 0; k < parts.records.size(); ++k) {
    VectorXd r;
    net.model.residual(parts.records[k].point, r);
    CHECK(r.lpNorm<Eigen::Infinity>() < 1e-10);
    CHECK(parts.records[k].rank == 15);
    if (k > 0) CHECK(parts.records[k].trace < parts.records[k - 1].trace);
  }
}

TEST_CASE("a drift of one's own is followed as that of a model, and one that does not converge is reported") {
  const Valley valley;
  const VectorXd start = (VectorXd(2) << 1.5, 0).finished();
  const auto along = [&](double rate, bool converged) {
    const auto drift = [=](const GramGeometry& geometry, double t) {
      CHECK(t >= 0);
      return SlowDrift{.value = rate * geometry.point(), .converged = converged};
    };
    return manifold_flow(valley, start, drift, {0, 1, 4}, {.tolerance = 1e-8});
  };
  const auto flow = along(-0.5, true);
  REQUIRE(flow.converged);
  CHECK(test::near(flow.records[1].point[0], 1.5 * std::exp(-0.5), 1e-6));
  CHECK(test::near(flow.records[2].point[0], 1.5 * std::exp(-2.0), 1e-6));
  CHECK(!along(-0.5, false).converged);
}

TEST_CASE("the round is asked for at every slow time") {
  // QSR's exponent is (σ²/2B)∫K dt: B = 4 throughout, K changes from 1 to 4 at t = 2.
  const Valley valley;
  const VectorXd start = (VectorXd(2) << 1.5, 0).finished();
  const auto round = [](double t) {
    return t < 2 ? Round{.eta = 0.1, .local_steps = 5, .workers = 1, .local_batch = 4}
                 : Round{.eta = 0.1, .local_steps = 5, .workers = 4, .local_batch = 1};
  };
  const ManifoldFlowResult flow =
      manifold_flow(valley, start, QsrMoment(), 1, round, {0, 4}, {.tolerance = 1e-7});
  CHECK(flow.converged);
  CHECK(test::near(flow.records[1].point[0], 1.5 * std::exp(-(1.0 * 2 + 4.0 * 2) / 8), 1e-5));
}

TEST_CASE("misuse throws, an unstable round is reported") {
  const InterpolatingNetwork net({3, 5, 2}, 4, 320);
  CHECK_THROWS_WITH_AS(manifold_flow(net.model, net.theta, PsiMoment(), 1, constant_round, {0, 1, 1}),
                       "manifold flow: times strictly increasing is violated by 1", std::invalid_argument);
  CHECK_THROWS_AS(manifold_flow(net.model, net.theta, PsiMoment(), 1, constant_round, {}),
                  std::invalid_argument);
  const VectorXd off = net.theta + 0.1 * test::normal_vector(net.model.dim(), 1);
  CHECK_THROWS_AS(manifold_flow(net.model, off, PsiMoment(), 1, constant_round, {0, 1}),
                  std::invalid_argument);
  GramGeometry geometry(net.model);
  geometry.move_to(net.theta);
  const double lambda_max = geometry.lambda_max();
  const auto hot = [&](double) { return Round{.eta = 1.9 / lambda_max, .workers = 1, .local_batch = 1}; };
  const ManifoldFlowResult flow = manifold_flow(net.model, net.theta, SamplingMoment(), 1, hot, {0, 1});
  CHECK_FALSE(flow.converged);
  CHECK(flow.records.size() == 1);
  CHECK(flow.reason == "the iterates have no stationary second moment");
}
