#include "slowsde/sde/gram_geometry.hpp"

#include <doctest/doctest.h>

#include <Eigen/Eigenvalues>
#include <algorithm>
#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

#include "slowsde/optim/finite_step_moment.hpp"
#include "slowsde/optim/psi_moment.hpp"
#include "slowsde/optim/sampling_moment.hpp"
#include "slowsde/optim/sgd_moment.hpp"
#include "slowsde/problems/jet.hpp"
#include "slowsde/sde/label_noise_flow.hpp"
#include "tests/support/interpolating_network.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using test::InterpolatingNetwork;

namespace {

// The d × d theory, from the scalar network and jets alone: no batched derivative, no residual space.
struct DenseTheory {
  const MlpFit& fit;
  VectorXd theta;
  std::vector<MatrixXd> h;  // J_sᵀJ_s
  MatrixXd hessian, v;
  VectorXd lambda;

  DenseTheory(const MlpFit& network, const VectorXd& point) : fit(network), theta(point) {
    const int d = fit.dim(), C = fit.outputs_count();
    hessian = MatrixXd::Zero(d, d);
    for (int s = 0; s < fit.samples(); ++s) {
      MatrixXd J(C, d);
      for (int k = 0; k < d; ++k) {
        using Jet = Taylor<double, 1>;
        std::vector<Jet> x(theta.data(), theta.data() + d), f(C);
        x[k].c[1] = 1;
        fit.outputs(x.data(), s, f.data());
        for (int c = 0; c < C; ++c) J(c, k) = f[c].c[1];
      }
      h.push_back(J.transpose() * J);
      hessian += h.back() / fit.samples();
    }
    const Eigen::SelfAdjointEigenSolver<MatrixXd> eigen(hessian);
    lambda = eigen.eigenvalues();
    v = eigen.eigenvectors();
  }

  bool tangent(int i) const { return lambda[i] <= 1e-10 * lambda[lambda.size() - 1]; }
  MatrixXd tangent_projection() const {
    MatrixXd P = MatrixXd::Zero(theta.size(), theta.size());
    for (int i = 0; i < theta.size(); ++i) {
      if (tangent(i)) P += v.col(i) * v.col(i).transpose();
    }
    return P;
  }

  // ∇³L[M]: M = Σ_k m_k e_k e_kᵀ, each term from the gradient along e_k
  VectorXd third(const MatrixXd& M) const {
    using Jet = Taylor<double, 2>;
    const Eigen::SelfAdjointEigenSolver<MatrixXd> eigen(M);
    VectorXd sum = VectorXd::Zero(theta.size());
    const std::vector<Jet> zero(fit.outputs_count(), Jet(0.0));
    for (int k = 0; k < theta.size(); ++k) {
      std::vector<Jet> x(theta.size()), g(theta.size(), Jet(0.0)), scratch(fit.scratch_size());
      for (int j = 0; j < theta.size(); ++j) x[j] = Jet::line(theta[j], eigen.eigenvectors()(j, k));
      for (int s = 0; s < fit.samples(); ++s) {
        fit.add_sample_gradient(x.data(), s, zero.data(), g.data(), scratch.data());
      }
      for (int j = 0; j < theta.size(); ++j) sum[j] += eigen.eigenvalues()[k] * g[j].derivative(2);
    }
    return sum / fit.samples();
  }

  MatrixXd sampling_noise(const MatrixXd& A) const {
    MatrixXd mean = -hessian * A * hessian;
    for (const MatrixXd& hs : h) mean += hs * A * hs / fit.samples();
    return mean;
  }

  // Ā = c∘(Σ + ηw (E_s[h_s Ā h_s] − 𝓗Ā𝓗))/B, iterated
  MatrixXd second_moment(const SecondMoment& moment, const Round& round, double sigma) const {
    const double w = moment.sampling_weight(round, fit.samples());
    MatrixXd A = MatrixXd::Zero(theta.size(), theta.size());
    for (int iteration = 0; iteration < 400; ++iteration) {
      const MatrixXd noise = sigma * sigma * hessian + round.eta * w * sampling_noise(A);
      MatrixXd inside = v.transpose() * noise * v / round.global_batch();
      for (int j = 0; j < theta.size(); ++j) {
        for (int i = 0; i < theta.size(); ++i) {
          inside(i, j) *= tangent(i) && tangent(j)
                              ? 0.0
                              : moment.coefficient(std::max(lambda[i], 0.0), std::max(lambda[j], 0.0), round);
        }
      }
      A = v * inside * v.transpose();
    }
    return A;
  }

  VectorXd drift(const MatrixXd& A) const { return -0.5 * tangent_projection() * third(A); }
};

double relative(const VectorXd& a, const VectorXd& b) { return (a - b).norm() / b.norm(); }

const Round few{.eta = 0.1, .local_steps = 7, .workers = 4, .local_batch = 2};

}  // namespace

TEST_CASE("in residual space the slow drift is that of the d x d theory") {
  const std::unique_ptr<SecondMoment> moments[] = {
      std::make_unique<SgdMoment>(), std::make_unique<PsiMoment>(), std::make_unique<FiniteStepMoment>(),
      std::make_unique<SamplingMoment>(), std::make_unique<SamplingMoment>(false)};
  for (const std::uint64_t seed : {1, 2, 3}) {
    const InterpolatingNetwork net({3, 5, 2}, 4, 10 * seed, seed == 3 ? Activation::silu : Activation::tanh);
    GramGeometry geometry(net.model);
    geometry.move_to(net.theta);
    const DenseTheory dense(net.fit, net.theta);
    const Round round{.eta = 0.4 / geometry.lambda_max(), .local_steps = 7, .workers = 4, .local_batch = 2};
    CHECK(geometry.residual() < 1e-14);
    CHECK(geometry.rank() == 8);
    CHECK(geometry.rank_gap() > 1e5);
    CHECK(test::near_relative(geometry.trace(), dense.hessian.trace(), 1e-12));
    CHECK(test::near_relative(geometry.lambda_max(), dense.lambda[dense.lambda.size() - 1], 1e-12));
    CHECK((geometry.spectrum() - dense.lambda.tail(8)).norm() < 1e-12 * dense.lambda.norm());
    const VectorXd u = test::normal_vector(net.model.dim(), 5);
    CHECK(relative(geometry.tangent(u), dense.tangent_projection() * u) < 1e-9);
    for (const auto& moment : moments) {
      CAPTURE(moment->name());
      const SlowDrift drift = geometry.slow_drift(*moment, round, 0.3);
      CHECK(drift.converged);
      CHECK((drift.iterations > 0) == (moment->sampling_weight(round, 4) > 0));
      const VectorXd expected = dense.drift(dense.second_moment(*moment, round, 0.3));
      CHECK(relative(drift.value, expected) < 1e-8);
    }
    // What the comparison can see: another model, or sampling with the other weight, differs by far more.
    const VectorXd sampling = dense.drift(dense.second_moment(SamplingMoment(), round, 0.3));
    CHECK(relative(geometry.slow_drift(FiniteStepMoment(), round, 0.3).value, sampling) > 1e-3);
    CHECK(relative(geometry.slow_drift(SamplingMoment(false), round, 0.3).value, sampling) > 1e-3);
  }
}

TEST_CASE("without sampling the drift descends the function of the spectrum that the weights say") {
  const InterpolatingNetwork net({3, 5, 2}, 4, 40);
  GramGeometry geometry(net.model);
  geometry.move_to(net.theta);
  const LabelNoiseFlow flow(net.model, {.sigma = 0.3});
  const FiniteStepMoment moment;
  VectorXd expected;
  flow.drift(net.theta, weight_of(moment, few), few.global_batch(), expected);
  CHECK(relative(geometry.slow_drift(moment, few, 0.3).value, expected) < 1e-8);
}

TEST_CASE("with sampling the second moment is that which SGD's own recursion ends in") {
  // A ← (I−η𝓗)A(I−η𝓗) + (η²/B){Σ + E_s[h_s A h_s] − 𝓗A𝓗}, run to its end
  const InterpolatingNetwork net({2, 4, 2}, 3, 50);
  GramGeometry geometry(net.model);
  geometry.move_to(net.theta);
  const DenseTheory dense(net.fit, net.theta);
  const Round sgd{.eta = 0.4 / geometry.lambda_max(), .local_steps = 1, .workers = 2, .local_batch = 1};
  const int d = net.model.dim();
  MatrixXd A = MatrixXd::Zero(d, d);
  const MatrixXd contraction = MatrixXd::Identity(d, d) - sgd.eta * dense.hessian;
  double change = 1;
  int steps = 0;
  for (; change > 1e-15 && steps < 400000; ++steps) {
    const MatrixXd next = contraction * A * contraction +
                          sgd.eta * sgd.eta / sgd.global_batch() * (dense.hessian + dense.sampling_noise(A));
    change = (next - A).norm() / next.norm();
    A = next;
  }
  CHECK(change <= 1e-15);
  const VectorXd expected = dense.drift(A / sgd.eta);
  CHECK(relative(geometry.slow_drift(SamplingMoment(), sgd, 1).value, expected) < 1e-8);
  CHECK(relative(geometry.slow_drift(FiniteStepMoment(), sgd, 1).value, expected) > 1e-2);
  CHECK(relative(geometry.slow_drift(SgdMoment(), sgd, 1).value, expected) > 1e-2);
}

TEST_CASE("a warm start changes the drift by no more than the tolerance") {
  const InterpolatingNetwork net({3, 5, 2}, 4, 60);
  GramGeometry warm(net.model), cold(net.model);
  warm.move_to(net.theta);
  CHECK(warm.slow_drift(SamplingMoment(), few, 0.3).iterations > 0);
  warm.move_to(net.theta + 1e-3 * test::normal_vector(net.model.dim(), 1));
  cold.move_to(warm.point());
  const SlowDrift a = warm.slow_drift(SamplingMoment(), few, 0.5),
                  b = cold.slow_drift(SamplingMoment(), few, 0.5);
  CHECK(relative(a.value, b.value) < 1e-8);
  CHECK(a.iterations <= b.iterations);
}

TEST_CASE("no label noise, no drift; the drift is tangent and quadratic in σ") {
  const InterpolatingNetwork net({3, 5, 2}, 4, 70);
  GramGeometry geometry(net.model);
  geometry.move_to(net.theta);
  CHECK(geometry.slow_drift(SamplingMoment(), few, 0).value.norm() == 0);
  const VectorXd one = geometry.slow_drift(SamplingMoment(), few, 1).value;
  CHECK(relative(geometry.slow_drift(SamplingMoment(), few, 0.5).value, 0.25 * one) < 1e-8);
  VectorXd image;
  net.model.push_forward(net.theta, one, image);
  CHECK(image.norm() < 1e-10 * one.norm());
}

TEST_CASE("an algorithm without a stationary second moment is reported, not answered") {
  // ηλ < 2 for the mean, but with one worker and batch 1 the noise of drawing samples outgrows it.
  const InterpolatingNetwork net({3, 5, 2}, 4, 80);
  GramGeometry geometry(net.model);
  geometry.move_to(net.theta);
  const Round hot{.eta = 1.9 / geometry.lambda_max(), .local_steps = 1, .workers = 1, .local_batch = 1};
  CHECK_FALSE(geometry.slow_drift(SamplingMoment(), hot, 0.3).converged);
  // ηλ >= 2 for the mean itself
  const Round hotter{.eta = 2.1 / geometry.lambda_max()};
  CHECK_FALSE(geometry.slow_drift(FiniteStepMoment(), hotter, 0.3).converged);
  CHECK(geometry.slow_drift(FiniteStepMoment(), hot, 0.3).converged);
}

namespace {

/// f_s = a_s θ_s for n samples in n + 1 parameters: gradients of different samples are orthogonal.
class OrthogonalSamples final : public LeastSquaresModel {
 public:
  explicit OrthogonalSamples(VectorXd scales) : scales_(std::move(scales)) {}
  int dim() const override { return samples() + 1; }
  int samples() const override { return static_cast<int>(scales_.size()); }
  int outputs() const override { return 1; }
  void residual(const VectorXd& theta, VectorXd& r) const override {
    r = scales_.cwiseProduct(theta.head(samples()));
  }
  void jacobian(const VectorXd&, MatrixXd& J) const override {
    J = MatrixXd::Zero(samples(), dim());
    J.diagonal() = scales_;
  }
  void curvature_contraction(const VectorXd&, const MatrixXd&, VectorXd& out) const override {
    out = VectorXd::Zero(dim());
  }

 private:
  VectorXd scales_;
};

}  // namespace

TEST_CASE("feedback reaches 1 at the limit of mean-square stability, 2λ = ηλ²(1 + (n−1)w/B)") {
  const int n = 12;
  VectorXd scales(n);
  for (int s = 0; s < n; ++s) scales[s] = 1 + 0.25 * s;
  const OrthogonalSamples model(scales);
  GramGeometry geometry(model);
  geometry.move_to(VectorXd::Zero(n + 1));
  const double lambda = geometry.lambda_max();  // a²/n of the largest
  for (const bool replacement : {true, false})
    for (const int K : {1, 3})
      for (const int batch : {1, 4}) {
        const SamplingMoment moment(replacement);
        Round round{.eta = 1, .local_steps = 1, .workers = K, .local_batch = batch};
        const double w = moment.sampling_weight(round, n), B = round.global_batch();
        const double limit = 2 / (lambda * (1 + (n - 1) * w / B));
        for (const double fraction : {0.1, 0.5, 0.9, 0.999, 1.001, 1.5}) {
          CAPTURE(K);
          CAPTURE(batch);
          CAPTURE(fraction);
          round.eta = fraction * limit;
          if (round.eta * lambda >= 2) continue;
          const double a = round.eta * lambda;
          const double kappa = geometry.feedback_ratio(moment, round);
          CHECK(test::near_relative(kappa, a * (n - 1) * w / (B * (2 - a)), 1e-6));
          CHECK((kappa < 1) == (fraction < 1));
          CHECK(geometry.slow_drift(moment, round, 0.3).converged == (fraction < 1));
        }
        round.eta = 2.01 / lambda;
        CHECK(std::isinf(geometry.feedback_ratio(moment, round)));
        CHECK(geometry.feedback_ratio(FiniteStepMoment(), round) == 0);
      }
}

TEST_CASE("on a network feedback reaches 1 where the second moment ceases to exist, for rounds of any H") {
  const InterpolatingNetwork net({3, 5, 2}, 6, 5);
  GramGeometry geometry(net.model);
  geometry.move_to(net.theta);
  for (const std::int64_t H : {1, 20}) {
    Round round{.eta = 0.1, .local_steps = H, .workers = 3, .local_batch = 1};
    const auto kappa = [&](double eta) {
      round.eta = eta;
      return geometry.feedback_ratio(SamplingMoment(), round);
    };
    double below = 1e-3 / geometry.lambda_max(), above = 1.999 / geometry.lambda_max();
    REQUIRE(kappa(below) < 0.01);
    REQUIRE(kappa(above) > 1);
    for (int halving = 0; halving < 20; ++halving) {
      const double middle = 0.5 * (below + above);
      (kappa(middle) < 1 ? below : above) = middle;
    }
    for (const double fraction : {0.99, 1.01}) {
      round.eta = fraction * below;
      CHECK(geometry.slow_drift(SamplingMoment(), round, 0.3).converged == (fraction < 1));
    }
  }
}

TEST_CASE("a sample that stands twice lowers the rank and changes no drift") {
  // Twice the same data set: L, Σ and the slow drift without sampling are the same, G has nC more zeros.
  const InterpolatingNetwork net({3, 5, 2}, 4, 90);
  Dataset twice = net.fit.data();
  twice.n *= 2;
  twice.x.insert(twice.x.end(), net.fit.data().x.begin(), net.fit.data().x.end());
  twice.y.insert(twice.y.end(), net.fit.data().y.begin(), net.fit.data().y.end());
  const MlpModel doubled(net.shape, twice);
  GramGeometry once(net.model), both(doubled);
  once.move_to(net.theta);
  both.move_to(net.theta);
  CHECK(both.rank() == 8);
  CHECK(both.rank_gap() > 1e8);
  CHECK(test::near_relative(both.trace(), once.trace(), 1e-12));
  // Sampling without replacement would differ (n), with replacement it does not.
  const PsiMoment psi;
  const SamplingMoment sampling;
  CHECK(relative(both.slow_drift(psi, few, 1).value, once.slow_drift(psi, few, 1).value) < 1e-8);
  CHECK(relative(both.slow_drift(sampling, few, 1).value, once.slow_drift(sampling, few, 1).value) < 1e-8);
}

TEST_CASE("misuse names the violated inequality") {
  const InterpolatingNetwork net({3, 5, 2}, 4, 100);
  CHECK_THROWS_WITH_AS(GramGeometry(net.model, {.rank_tolerance = 0}),
                       "gram geometry: rank_tolerance > 0 is violated by 0", std::invalid_argument);
  GramGeometry geometry(net.model);
  geometry.move_to(net.theta);
  CHECK_THROWS_WITH_AS(geometry.slow_drift(PsiMoment(), few, -1),
                       "gram geometry: sigma >= 0 is violated by -1", std::invalid_argument);
  CHECK_THROWS_AS(geometry.slow_drift(PsiMoment(), Round{.eta = 0}, 1), std::invalid_argument);
}
