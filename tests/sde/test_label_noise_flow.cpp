// ctest-labels: theory
#include "slowsde/sde/label_noise_flow.hpp"

#include <doctest/doctest.h>

#include <Eigen/Dense>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "slowsde/optim/finite_step_moment.hpp"
#include "slowsde/optim/psi_moment.hpp"
#include "slowsde/optim/qsr_moment.hpp"
#include "slowsde/optim/sgd_moment.hpp"
#include "slowsde/sde/closed_forms.hpp"
#include "slowsde/sde/psi.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using test::near_relative;

namespace {

/// f_i = √a_i(x)·y_i, θ = (x, y_1, y_2), a_1 = 1.5 + sin x, a_2 = 6.5 − sin x; two samples, or one sample of
/// two outputs.
class TwoValleys : public LeastSquaresModel {
 public:
  explicit TwoValleys(int samples) : samples_(samples) {}
  int dim() const override { return 3; }
  int samples() const override { return samples_; }
  int outputs() const override { return 2 / samples_; }
  void residual(const VectorXd& q, VectorXd& r) const override {
    r.resize(2);
    r << std::sqrt(1.5 + std::sin(q(0))) * q(1), std::sqrt(6.5 - std::sin(q(0))) * q(2);
  }
  void jacobian(const VectorXd& q, MatrixXd& J) const override {
    const double r1 = std::sqrt(1.5 + std::sin(q(0))), r2 = std::sqrt(6.5 - std::sin(q(0)));
    J.resize(2, 3);
    J << std::cos(q(0)) / (2 * r1) * q(1), r1, 0, -std::cos(q(0)) / (2 * r2) * q(2), 0, r2;
  }
  void curvature_contraction(const VectorXd& q, const MatrixXd& W, VectorXd& out) const override {
    const double s = std::sin(q(0)), c = std::cos(q(0)), r1 = std::sqrt(1.5 + s), r2 = std::sqrt(6.5 - s);
    const double d1 = c / (2 * r1), d2 = -c / (2 * r2);
    const double dd1 = -s / (2 * r1) - d1 * d1 / r1, dd2 = s / (2 * r2) - d2 * d2 / r2;
    out.resize(3);
    out << dd1 * q(1) * W(0, 0) + d1 * W(1, 0) + dd2 * q(2) * W(0, 1) + d2 * W(2, 1), d1 * W(0, 0),
        d2 * W(0, 1);
  }

 private:
  int samples_;
};

/// f_i = ⟨u⊙u − v⊙v, x_i⟩, θ = (u, v): tr 𝓗 = 4 Σ_j m_j(u_j² + v_j²), m_j = mean_i x_ij².
class DiagonalNetwork : public LeastSquaresModel {
 public:
  DiagonalNetwork(MatrixXd x, VectorXd y) : x_(std::move(x)), y_(std::move(y)) {}
  int dim() const override { return 2 * static_cast<int>(x_.cols()); }
  int samples() const override { return static_cast<int>(x_.rows()); }
  int outputs() const override { return 1; }
  void residual(const VectorXd& q, VectorXd& r) const override {
    const auto p = x_.cols();
    r = x_ * (q.head(p).array().square() - q.tail(p).array().square()).matrix() - y_;
  }
  void jacobian(const VectorXd& q, MatrixXd& J) const override {
    const auto p = x_.cols();
    J.resize(x_.rows(), 2 * p);
    J << 2 * x_ * q.head(p).asDiagonal(), -2 * x_ * q.tail(p).asDiagonal();
  }
  void curvature_contraction(const VectorXd&, const MatrixXd& W, VectorXd& out) const override {
    const auto p = x_.cols();
    out.resize(2 * p);
    for (Eigen::Index j = 0; j < p; ++j) {
      out(j) = 2 * x_.col(j).dot(W.row(j));
      out(p + j) = -2 * x_.col(j).dot(W.row(p + j));
    }
  }

 private:
  MatrixXd x_;
  VectorXd y_;
};

struct Setting {
  DiagonalNetwork model;
  VectorXd theta;
};

/// Three samples, five features; θ is on Γ because the targets are the network's own outputs there.
Setting diagonal_network() {
  MatrixXd x(3, 5);
  x << 0.3, -1.1, 0.8, 0.5, 1.4, -0.7, 0.2, 1.3, -0.4, 0.6, 1.0, 0.9, -0.2, 1.1, -0.5;
  VectorXd theta(10);
  theta << 0.9, 0.4, 1.2, 0.7, 0.5, 0.6, 1.1, 0.3, 0.8, 0.95;
  const VectorXd beta = theta.head(5).array().square() - theta.tail(5).array().square();
  return {DiagonalNetwork(x, x * beta), theta};
}

VectorXd tangent(const LeastSquaresModel& model, const VectorXd& theta, const VectorXd& g) {
  MatrixXd J;
  model.jacobian(theta, J);
  return g - J.transpose() * (J * J.transpose()).ldlt().solve(J * g);
}

}  // namespace

TEST_CASE(
    "SGD's flow is −(σ²/4B) times the tangential gradient of tr 𝓗, in closed form on a diagonal network") {
  const auto [model, theta] = diagonal_network();
  MatrixXd J;
  model.jacobian(theta, J);
  const VectorXd m =
      (J.leftCols(5) * theta.head(5).cwiseInverse().asDiagonal() / 2).array().square().colwise().mean();
  VectorXd gradient(10);
  gradient << 8 * m.cwiseProduct(theta.head(5)), 8 * m.cwiseProduct(theta.tail(5));
  const VectorXd expected = -0.49 / (4 * 6) * tangent(model, theta, gradient);
  VectorXd drift;
  LabelNoiseFlow(model, {.sigma = 0.7}).drift(theta, sgd_weight(), 6, drift);
  CHECK(expected.norm() > 0.01);
  CHECK((drift - expected).norm() <= 1e-11 * expected.norm());
}

TEST_CASE(
    "the flow of every weight agrees with the contraction −½P∇³L[Ā] of the model's second derivatives") {
  const auto [network, theta] = diagonal_network();
  const TwoValleys samples(2), outputs(1);
  const Round round{.eta = 0.07, .local_steps = 9, .workers = 5, .local_batch = 2};
  const auto agree = [&](const LeastSquaresModel& model, const VectorXd& q) {
    for (const SpectralWeight& weight : {sgd_weight(), local_sgd_weight(round), qsr_weight(round)}) {
      // with u = f'(G)J, ∇ tr f(G) = (2/n) Σ_a ∇²f_a u_a
      MatrixXd J;
      model.jacobian(q, J);
      const double n = model.samples();
      const Eigen::SelfAdjointEigenSolver<MatrixXd> G(J * J.transpose() / n);
      const MatrixXd w =
          G.eigenvectors() * G.eigenvalues().unaryExpr(weight).asDiagonal() * G.eigenvectors().transpose();
      VectorXd contraction, drift;
      model.curvature_contraction(q, (w * J).transpose(), contraction);
      const VectorXd expected = -0.25 / (4 * 10) * tangent(model, q, 2 / n * contraction);
      LabelNoiseFlow(model, {.sigma = 0.5}).drift(q, weight, round.global_batch(), drift);
      // where the trace is constant, terms of the size of the prefactor cancel
      CHECK((drift - expected).norm() <= 1e-11 * std::fmax(expected.norm(), 0.25 / (4 * 10)));
    }
  };
  agree(network, theta);
  agree(samples, VectorXd{{0.4, 0, 0}});
  agree(outputs, VectorXd{{0.4, 0, 0}});
}

TEST_CASE("Local SGD descends tr 𝓗 + (K−1) tr F(2ηH𝓗)/(2ηH), and no other potential") {
  const auto [model, theta] = diagonal_network();
  const Round round{.eta = 0.07, .local_steps = 9, .workers = 5};
  const double B = round.global_batch();
  VectorXd drift;
  LabelNoiseFlow(model, {}).drift(theta, local_sgd_weight(round), B, drift);
  const auto eigenvalues = [&](const VectorXd& q) -> VectorXd {
    MatrixXd J;
    model.jacobian(q, J);
    return Eigen::SelfAdjointEigenSolver<MatrixXd>(J * J.transpose() / 3, Eigen::EigenvaluesOnly)
        .eigenvalues();
  };
  // the derivative of the potential along tangent vectors u is −(4B/σ²)⟨drift, u⟩
  const auto mismatch = [&](const auto& potential) {
    double worst = 0;
    for (int k = 0; k < 10; ++k) {
      const VectorXd u = tangent(model, theta, VectorXd::Unit(10, k));
      const auto slope = [&](double h) {
        return (potential(eigenvalues(theta + h * u)) - potential(eigenvalues(theta - h * u))) / (2 * h);
      };
      const double derivative = (4 * slope(5e-4) - slope(1e-3)) / 3;
      worst = std::fmax(worst, std::abs(derivative + 4 * B * drift.dot(u)) / (4 * B * drift.norm()));
    }
    return worst;
  };
  const auto with = [&](double K_less_1, double scale) {
    return [=](const VectorXd& lambda) {
      double sum = 0;
      for (const double l : lambda) sum += l + K_less_1 * psi_integral(scale * l) / scale;
      return sum;
    };
  };
  const double s = 2 * 0.07 * 9;
  CHECK(mismatch([&](const VectorXd& lambda) { return local_sgd_potential(lambda, round); }) <= 1e-9);
  CHECK(mismatch(with(4, s)) <= 1e-9);
  CHECK(mismatch(with(5, s)) > 0.02);           // K for K−1
  CHECK(mismatch(with(4, s / 2)) > 0.02);       // ψ(ηHλ)
  CHECK(mismatch(with(4, s * 3)) > 0.02);       // 1/n dropped inside ψ
  CHECK(mismatch(with(4, s * 10 / 9)) > 1e-3);  // H off by one
  CHECK(mismatch(with(0, s)) > 0.02);           // ψ ≡ 0
}

TEST_CASE("the weights are those of the second-moment models: 2λ c(λ, λ)") {
  const Round round{.eta = 0.05, .local_steps = 12, .workers = 5};
  const SgdMoment sgd;
  const PsiMoment psi_moment;
  const QsrMoment qsr;
  for (double lambda : {1e-3, 0.5, 3.0, 17.0}) {
    CHECK(near_relative(weight_of(sgd, round)(lambda), sgd_weight()(lambda), 1e-15));
    CHECK(near_relative(weight_of(psi_moment, round)(lambda), local_sgd_weight(round)(lambda), 1e-15));
    CHECK(near_relative(weight_of(qsr, round)(lambda), qsr_weight(round)(lambda), 1e-15));
  }
}

TEST_CASE(
    "on two valleys the flow follows the ODE of its one coordinate, as n = 2 samples and as C = 2 outputs") {
  const Round round{.eta = 0.1, .local_steps = 4, .workers = 6};
  const PsiMoment psi_moment;
  const FiniteStepMoment finite_step;
  const VectorXd start{{0.5, 0, 0}};
  for (int samples : {1, 2}) {
    const TwoValleys model(samples);
    const LabelNoiseFlow flow(model, {});
    const auto curvatures = two_valleys_curvature(samples);
    const auto local = flow.integrate(start, 10, local_sgd_weight(round), 6);
    CHECK(local.converged);
    CHECK(local.residual == 0);
    CHECK(near_relative(local.zeta(0), valley_ode(curvatures, psi_moment, 1, round, 0.5, 10), 1e-9));
    const auto exact = flow.integrate(start, 10, weight_of(finite_step, round), 6);
    CHECK(near_relative(exact.zeta(0), valley_ode(curvatures, finite_step, 1, round, 0.5, 10), 1e-9));
    CHECK(near_relative(flow.integrate(start, 10, sgd_weight(), 6).zeta(0), 0.5, 1e-9));
    CHECK(std::abs(local.zeta(0) - 0.5) > 0.05);
    // the other form's eigenvalues, 1/n dropped or doubled, are refuted
    const double other = valley_ode(two_valleys_curvature(3 - samples), psi_moment, 1, round, 0.5, 10);
    CHECK(std::abs(local.zeta(0) - other) > 1e-3);
  }
}

TEST_CASE("on a diagonal network SGD's flow lowers tr 𝓗, stays on Γ and ends at the weighted-ℓ1 minimiser") {
  // one sample x = (1, 2), y = 2: |β_1| + 4|β_2| on β_1 + 2β_2 = 2 is least at β = (2, 0)
  const DiagonalNetwork model(MatrixXd{{1, 2}}, VectorXd{{2}});
  const LabelNoiseFlow flow(model, {});
  const VectorXd start{{std::sqrt(1.5), std::sqrt(0.75), std::sqrt(0.5), 0.5}};
  VectorXd r;
  model.residual(start, r);
  REQUIRE(std::abs(r(0)) <= 1e-15);
  const auto end = flow.integrate(start, 40, sgd_weight(), 1);
  CHECK(end.converged);
  CHECK(end.residual <= 1e-7);
  const VectorXd beta = end.zeta.head(2).array().square() - end.zeta.tail(2).array().square();
  CHECK(std::abs(beta(0) - 2) <= 1e-6);
  CHECK(std::abs(beta(1)) <= 1e-6);
  CHECK(end.zeta.tail(2).norm() <= 1e-3);
}

TEST_CASE("without label noise nothing drifts; impossible parameters are refused; NaN is reported") {
  const auto [model, theta] = diagonal_network();
  VectorXd drift;
  LabelNoiseFlow(model, {.sigma = 0}).drift(theta, sgd_weight(), 1, drift);
  CHECK(drift.norm() == 0);
  CHECK_THROWS_WITH_AS(LabelNoiseFlow(model, {.sigma = -1}), "label-noise flow: sigma >= 0 is violated by -1",
                       std::invalid_argument);
  CHECK_THROWS_AS(LabelNoiseFlow(model, {.tolerance = 0}), std::invalid_argument);
  CHECK_THROWS_AS(LabelNoiseFlow(model, {.rank_threshold = 1}), std::invalid_argument);
  const auto lost = LabelNoiseFlow(model, {}).integrate(
      theta, 1, [](double) { return std::nan(""); }, 1);
  CHECK(!lost.converged);
  const auto still = LabelNoiseFlow(model, {}).integrate(theta, 0, sgd_weight(), 1);
  CHECK(still.converged);
  CHECK(still.zeta == theta);
}
