// ctest-labels: theory
// Label noise makes the slow SDE an ODE that descends a function of the spectrum of 𝓗. Three routes to its
// velocity: differences of J under the function's derivative (LabelNoiseFlow), ∇³L[Ā] by jets in R^d
// (DenseGeometry), residual space (GramGeometry). Beside them, differences of the potential itself.
#include <doctest/doctest.h>

#include <Eigen/Dense>
#include <cmath>
#include <vector>

#include "slowsde/optim/finite_step_moment.hpp"
#include "slowsde/optim/psi_moment.hpp"
#include "slowsde/optim/qsr_moment.hpp"
#include "slowsde/optim/sgd_moment.hpp"
#include "slowsde/problems/least_squares_adaptor.hpp"
#include "slowsde/problems/two_valleys.hpp"
#include "slowsde/sde/closed_forms.hpp"
#include "slowsde/sde/dense_geometry.hpp"
#include "slowsde/sde/gram_geometry.hpp"
#include "slowsde/sde/label_noise_flow.hpp"
#include "slowsde/sde/psi.hpp"
#include "tests/support/interpolating_network.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using test::InterpolatingNetwork;

namespace {

constexpr double sigma = 0.7;
constexpr Round few{.eta = 0.05, .local_steps = 12, .workers = 4, .local_batch = 2};

double relative(const VectorXd& a, const VectorXd& b) { return (a - b).norm() / b.norm(); }

/// The three routes to the slow velocity of one model.
struct Routes {
  VectorXd closed, dense, gram;
};

template <class P>
Routes routes(const P& problem, const LeastSquaresModel& model, const VectorXd& zeta,
              const SecondMoment& moment, const Round& round) {
  Routes result;
  LabelNoiseFlow(model, {.sigma = sigma})
      .drift(zeta, weight_of(moment, round), round.global_batch(), result.closed);
  const DenseGeometry<P> dense(problem, {.tangent_threshold = 1e-9, .label_noise = sigma});
  const auto v = dense.slow_drift(dense.at(zeta), moment, round);
  result.dense.resize(zeta.size());
  for (int k = 0; k < zeta.size(); ++k) result.dense[k] = v[k];
  GramGeometry gram(model);
  gram.move_to(zeta);
  result.gram = gram.slow_drift(moment, round, sigma).value;
  return result;
}

double potential(const LeastSquaresModel& model, const VectorXd& theta, const Round& round) {
  MatrixXd G;
  model.gram(theta, G);
  return local_sgd_potential(Eigen::SelfAdjointEigenSolver<MatrixXd>(G).eigenvalues(), round);
}

/// Derivative of the potential along u, by central differences, extrapolated.
double slope(const LeastSquaresModel& model, const VectorXd& theta, const VectorXd& u, const Round& round) {
  const auto difference = [&](double h) {
    return (potential(model, theta + h * u, round) - potential(model, theta - h * u, round)) / (2 * h);
  };
  const double h = 1e-3 / u.norm();
  return (4 * difference(h / 2) - difference(h)) / 3;
}

/// Local SGD's equation of motion: the potential falls at the rate (4B/σ²)|ζ'|², and at no other.
void check_descent(const LeastSquaresModel& model, const VectorXd& zeta, const VectorXd& velocity) {
  const double expected = -4 * few.global_batch() / (sigma * sigma) * velocity.squaredNorm();
  CHECK(test::near_relative(slope(model, zeta, velocity, few), expected, 1e-8));
  // and the velocity is the whole of its tangential gradient: across it, the potential stands still
  GramGeometry geometry(model);
  geometry.move_to(zeta);
  VectorXd across = geometry.tangent(test::normal_vector(static_cast<int>(zeta.size()), 3));
  across -= across.dot(velocity) / velocity.squaredNorm() * velocity;
  if (across.norm() > 1e-6) {
    across *= velocity.norm() / across.norm();
    CHECK(std::abs(slope(model, zeta, across, few)) < 1e-7 * std::abs(expected));
  }
  // Another potential: K workers count as K, not K − 1; ηHλ stands for 2ηHλ; λ is n times too large.
  Round more = few, halved = few;
  more.workers += 1;
  halved.local_steps /= 2;
  const double batch_free = std::abs(expected);
  CHECK(std::abs(slope(model, zeta, velocity, more) - expected) > 1e-3 * batch_free);
  CHECK(std::abs(slope(model, zeta, velocity, halved) - expected) > 1e-3 * batch_free);
}

template <int Samples>
void check_two_valleys() {
  const TwoValleys<Samples> valleys;
  const LeastSquaresModelOf<TwoValleys<Samples>> model(valleys);
  for (const double x : {-1.1, 0.3, 0.9}) {
    CAPTURE(x);
    const VectorXd zeta = (VectorXd(3) << x, 0, 0).finished();
    const double n = Samples, a[2] = {1.5 + std::sin(x), 6.5 - std::sin(x)};
    const double da[2] = {std::cos(x), -std::cos(x)}, B = few.global_batch();
    const double K = few.workers, eta_H = few.eta * static_cast<double>(few.local_steps);
    // dx/dt = −(σ²/4B) Σ_i f'(λ_i) λ_i', λ_i = a_i/n
    const auto velocity = [&](auto weight) {
      double sum = 0;
      for (int i = 0; i < 2; ++i) sum += weight(a[i] / n) * da[i] / n;
      return -sigma * sigma / (4 * B) * sum;
    };
    const double local = velocity([&](double l) { return 1 + (K - 1) * psi(2 * eta_H * l); });
    const Routes r = routes(valleys, model, zeta, PsiMoment(), few);
    for (const VectorXd* v : {&r.closed, &r.dense, &r.gram}) {
      CHECK(test::near_relative((*v)[0], local, 1e-9));
      CHECK(std::abs((*v)[1]) + std::abs((*v)[2]) < 1e-12);
      // wrong: 1/n dropped inside ψ (where n = 2), ψ(ηHλ), K for K − 1
      if (Samples == 2)
        CHECK(std::abs((*v)[0] - velocity([&](double l) { return 1 + (K - 1) * psi(2 * eta_H * n * l); })) >
              1e-3 * std::abs(local));
      CHECK(std::abs((*v)[0] - velocity([&](double l) { return 1 + (K - 1) * psi(eta_H * l); })) >
            1e-3 * std::abs(local));
      CHECK(std::abs((*v)[0] - velocity([&](double l) { return 1 + K * psi(2 * eta_H * l); })) >
            1e-3 * std::abs(local));
    }
    // the trace a_1 + a_2 is constant: SGD and QSR stand still
    const SgdMoment sgd;
    const QsrMoment qsr;
    for (const SecondMoment* still :
         {static_cast<const SecondMoment*>(&sgd), static_cast<const SecondMoment*>(&qsr)}) {
      const Routes s = routes(valleys, model, zeta, *still, few);
      CHECK(s.closed.norm() < 1e-9 * std::abs(local));
      CHECK(s.dense.norm() < 1e-9 * std::abs(local));
      CHECK(s.gram.norm() < 1e-9 * std::abs(local));
    }
    check_descent(model, zeta, r.dense);
  }
}

}  // namespace

TEST_CASE("on two valleys with n = 2 the closed form, the dense and the Gram drift are one") {
  check_two_valleys<2>();
}

TEST_CASE("on two valleys with C = 2 the closed form, the dense and the Gram drift are one") {
  check_two_valleys<1>();
}

TEST_CASE("on a network the three routes agree and Local SGD descends tr 𝓗 + (K−1) tr F(2ηH𝓗)/(2ηH)") {
  for (const std::uint64_t seed : {510, 520, 530}) {
    CAPTURE(seed);
    const InterpolatingNetwork net({2, 3, 2}, 3, seed);
    const int n = net.model.samples();
    const SgdMoment sgd;
    const PsiMoment psi_moment;
    const QsrMoment qsr;
    const FiniteStepMoment finite;
    for (const SecondMoment* moment :
         {static_cast<const SecondMoment*>(&sgd), static_cast<const SecondMoment*>(&psi_moment),
          static_cast<const SecondMoment*>(&qsr), static_cast<const SecondMoment*>(&finite)}) {
      CAPTURE(moment->name());
      const Routes r = routes(net.fit, net.model, net.theta, *moment, few);
      CHECK(relative(r.closed, r.dense) < 1e-8);
      CHECK(relative(r.gram, r.dense) < 1e-8);
    }
    const Routes local = routes(net.fit, net.model, net.theta, psi_moment, few);
    check_descent(net.model, net.theta, local.dense);

    // The named weights are those of the models; others are seen to be wrong.
    const LabelNoiseFlow flow(net.model, {.sigma = sigma});
    const auto closed = [&](const SpectralWeight& weight) {
      VectorXd v;
      flow.drift(net.theta, weight, few.global_batch(), v);
      return v;
    };
    const double K = few.workers, s = 2 * few.eta * static_cast<double>(few.local_steps);
    CHECK(relative(closed(local_sgd_weight(few)), local.gram) < 1e-8);
    CHECK(relative(closed(sgd_weight()), routes(net.fit, net.model, net.theta, sgd, few).gram) < 1e-8);
    CHECK(relative(closed(qsr_weight(few)), K * closed(sgd_weight())) < 1e-12);
    CHECK(relative(closed([&](double l) { return 1 + (K - 1) * psi(s * n * l); }), local.gram) > 1e-2);
    CHECK(relative(closed([&](double l) { return 1 + (K - 1) * psi(0.5 * s * l); }), local.gram) > 1e-2);
    CHECK(relative(closed([&](double l) { return 1 + K * psi(s * l); }), local.gram) > 1e-2);
    CHECK(relative(closed(sgd_weight()), local.gram) > 1e-1);
  }
}
