// ctest-labels: theory
#include "slowsde/sde/conventional_sde.hpp"

#include <doctest/doctest.h>

#include <Eigen/Dense>
#include <stdexcept>

#include "slowsde/problems/derivatives.hpp"
#include "slowsde/problems/valley.hpp"
#include "slowsde/sde/sde_ensemble.hpp"
#include "tests/support/sde_examples.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;
using namespace slowsde::test;

namespace {

/// L = ½ xᵀA x with constant Σ = S Sᵀ.
struct Bowl {
  static constexpr int dim = 2, noise_dim = 2;
  double a = 1, b = 0.3, c = 2, s[4] = {1, 0, 0.6, 0.5};

  template <class T>
  T loss(const T* x) const {
    return 0.5 * a * x[0] * x[0] + b * x[0] * x[1] + 0.5 * c * x[1] * x[1];
  }
  template <class T>
  void noise_factor(const T*, T* S) const {
    for (int i = 0; i < 4; ++i) S[i] = T(s[i]);
  }
  Eigen::Matrix2d A() const { return Eigen::Matrix2d{{a, b}, {b, c}}; }
  Eigen::Matrix2d Sigma() const {
    const Eigen::Matrix2d S{{s[0], s[1]}, {s[2], s[3]}};
    return S * S.transpose();
  }
};

/// Three samples with two outputs each, nonlinear in two parameters.
struct Fit {
  static constexpr int dim = 2, outputs_count = 2;
  int samples() const { return 3; }
  template <class T, class I>
  void outputs(const T* x, const I& i, T* f) const {
    using std::sin;
    f[0] = x[0] * (1.0 + i) + x[1] * x[1];
    f[1] = sin(x[0] + x[1] * (1.0 * i));
  }
  template <class I, class T>
  void targets(const I& i, T* y) const {
    y[0] = T(0.5 * i);
    y[1] = T(0.1);
  }
};

/// The same, with its dimension known at run time only.
struct DynamicFit {
  int dim() const { return 2; }
  int outputs_count() const { return 2; }
  int samples() const { return 3; }
  template <class T, class I>
  void outputs(const T* x, const I& i, T* f) const {
    Fit{}.outputs(x, i, f);
  }
  template <class I, class T>
  void targets(const I& i, T* y) const {
    Fit{}.targets(i, y);
  }
};

template <class P, class N>
concept HasConventionalSde = requires {
  typename ConventionalSde<P, N>;
};
static_assert(HasConventionalSde<Bowl, GaussianNoise> && !HasConventionalSde<Bowl, LabelNoise> &&
              !HasConventionalSde<Bowl, SamplingNoise> && !HasConventionalSde<Fit, GaussianNoise>);
using BowlSde = ConventionalSde<Bowl, GaussianNoise>;
static_assert(Steppable<PlatenWeak2, BowlSde> && !Steppable<Heun, BowlSde> && !Steppable<Milstein, BowlSde>);
static_assert(Steppable<LocalRounds<EulerMaruyama>, BowlSde> && !Steppable<LocalRounds<Heun>, BowlSde>);

template <class S>
Eigen::MatrixXd covariance(const S& sde, const double* x) {
  Eigen::Matrix<double, -1, -1, Eigen::RowMajor> factor(sde.dim(), sde.noise_dim());
  sde.diffusion(x, 0, factor.data());
  return factor * factor.transpose();
}

/// V with AV + VA = C for symmetric positive A, in A's eigenbasis.
Eigen::Matrix2d lyapunov(const Eigen::Matrix2d& A, const Eigen::Matrix2d& C) {
  const Eigen::SelfAdjointEigenSolver<Eigen::Matrix2d> eigen(A);
  Eigen::Matrix2d V = eigen.eigenvectors().transpose() * C * eigen.eigenvectors();
  for (int i = 0; i < 2; ++i)
    for (int j = 0; j < 2; ++j) V(i, j) /= eigen.eigenvalues()[i] + eigen.eigenvalues()[j];
  return eigen.eigenvectors() * V * eigen.eigenvectors().transpose();
}

/// The stationary covariance that Platen's scheme has at step h: x' = R x + (I − hA/2)√C ΔW.
Eigen::Matrix2d platen_stationary(const Eigen::Matrix2d& A, const Eigen::Matrix2d& C, double h) {
  const Eigen::Matrix2d I = Eigen::Matrix2d::Identity(), R = I - h * A + 0.5 * h * h * A * A,
                        N = I - 0.5 * h * A;
  Eigen::Matrix2d V = Eigen::Matrix2d::Zero();
  for (int k = 0; k < 2000; ++k) V = (R * V * R.transpose() + h * N * C * N.transpose()).eval();
  return V;
}

EnsembleOptions to_stationarity(double max_step, int workers) {
  EnsembleOptions options{.trajectories = 1 << 16, .seed = 31, .output_times = {8}, .max_step = max_step};
  options.workers = workers;
  options.threads = available_threads();
  return options;
}

template <template <class> class Path = BrownianPath, class Scheme, class S>
EnsembleMoments second_moments(const Scheme& scheme, const S& sde, const EnsembleOptions& options) {
  return ensemble_moments<Pack<double>, Path>(
      scheme, sde, options, [](std::size_t, double* x) { x[0] = x[1] = 0; }, 3,
      [](const double* x, double* values) {
        values[0] = x[0] * x[0];
        values[1] = x[0] * x[1];
        values[2] = x[1] * x[1];
      });
}

/// Largest z of the three second moments against V, after an allowance for bias.
double worst_z(const EnsembleMoments& m, const Eigen::Matrix2d& V, double bias) {
  const double expected[] = {V(0, 0), V(0, 1), V(1, 1)};
  double worst = 0;
  for (std::size_t q = 0; q < 3; ++q) {
    const double z = (std::abs(m.at(0, q).mean - expected[q]) - bias) / m.at(0, q).standard_error();
    worst = std::isnan(z) ? std::numeric_limits<double>::infinity() : std::max(worst, z);
  }
  return worst;
}

}  // namespace

TEST_CASE("the drift is the negative gradient and label noise has covariance (eta/B) sigma^2 J^T J/n") {
  const Fit fit;
  const Eigen::Vector2d x(0.7, -0.4);
  const ConventionalSde sde(fit, LabelNoise{0.3}, 0.1, 4);
  CHECK(sde.noise_dim() == 6);
  double drift[2], g[2];
  sde.drift(x.data(), 0, drift);
  gradient(fit, x.data(), g);
  for (int j = 0; j < 2; ++j) CHECK(near(drift[j], -g[j], 1e-14));

  Eigen::Matrix2d JtJ = Eigen::Matrix2d::Zero();
  for (int i = 0; i < 3; ++i) {
    const Eigen::Vector2d J0(1 + i, 2 * x[1]);
    const double slope = std::cos(x[0] + i * x[1]);
    const Eigen::Vector2d J1(slope, i * slope);
    JtJ += J0 * J0.transpose() + J1 * J1.transpose();
  }
  CHECK((covariance(sde, x.data()) - 0.1 / 4 * 0.09 / 3 * JtJ).norm() < 1e-15);

  const Valley valley;  // on Γ it is sigma² ∇²L
  const double on_gamma[] = {1.5, 0};
  const ConventionalSde on_valley(valley, LabelNoise{0.5}, 0.1, 2);
  const Eigen::Matrix2d expected = 0.05 * 0.25 * hessian(valley, Eigen::Vector2d(1.5, 0));
  CHECK((covariance(on_valley, on_gamma) - expected).norm() < 1e-15);
}

TEST_CASE(
    "sampling noise has the covariance of the samples' gradients, scaled by (n-B)/(n-1) without "
    "replacement") {
  const Fit fit;
  const double x[] = {0.7, -0.4};
  Eigen::Matrix<double, 2, 3> g;
  for (int i = 0; i < 3; ++i) {
    const double r0 = x[0] * (1 + i) + x[1] * x[1] - 0.5 * i, phase = x[0] + i * x[1];
    const double r1 = std::sin(phase) - 0.1, slope = std::cos(phase);
    g.col(i) << r0 * (1 + i) + r1 * slope, r0 * 2 * x[1] + r1 * i * slope;
  }
  const Eigen::Matrix<double, 2, 3> centred = g.colwise() - g.rowwise().mean();
  const Eigen::Matrix2d Sigma = centred * centred.transpose() / 3;
  const ConventionalSde with(fit, SamplingNoise{true}, 0.1, 2), without(fit, SamplingNoise{false}, 0.1, 2);
  CHECK((covariance(with, x) - 0.05 * Sigma).norm() < 1e-15);
  CHECK((covariance(without, x) - 0.05 * 0.5 * Sigma).norm() < 1e-15);
  CHECK(covariance(ConventionalSde(fit, SamplingNoise{false}, 0.1, 3), x).norm() < 1e-15);  // full batch
}

TEST_CASE("dimensions known at run time and packs of trajectories give the same drift and diffusion") {
  const Fit fit;
  const DynamicFit dynamic;
  const auto check = [&](auto noise) {
    const ConventionalSde a(fit, noise, 0.1, 2);
    const ConventionalSde b(dynamic, noise, 0.1, 2);
    double at[] = {0.7, -0.4}, drift_a[2], drift_b[2];
    Pack<double> packed[] = {0.7, -0.4}, drift_p[2];
    std::vector<double> Sa(static_cast<std::size_t>(2 * a.noise_dim())), Sb = Sa;
    std::vector<Pack<double>> Sp(Sa.size());
    a.drift(at, 0, drift_a), b.drift(at, 0, drift_b), a.drift(packed, 0, drift_p);
    a.diffusion(at, 0, Sa.data()), b.diffusion(at, 0, Sb.data()), a.diffusion(packed, 0, Sp.data());
    for (int j = 0; j < 2; ++j) {
      CHECK(near(drift_b[j], drift_a[j], 1e-14));
      CHECK(near(drift_p[j][3], drift_a[j], 1e-14));
    }
    for (std::size_t i = 0; i < Sa.size(); ++i) {
      CHECK(near(Sb[i], Sa[i], 1e-14));
      CHECK(near(Sp[i][5], Sa[i], 1e-14));
    }
  };
  check(LabelNoise{0.3});
  check(SamplingNoise{true});
}

TEST_CASE("on a quadratic loss the stationary covariance V solves AV + VA = (eta/B) Sigma") {
  const Bowl bowl;
  const double eta = 0.1, h = 0.1;
  const int B = 4;
  const Eigen::Matrix2d C = eta / B * bowl.Sigma(), V = lyapunov(bowl.A(), C);
  const double bias = 1.05 * (platen_stationary(bowl.A(), C, h) - V).cwiseAbs().maxCoeff();
  CHECK(bias < 0.01 * V(0, 0));
  const auto options = to_stationarity(h, 1);
  const PlatenWeak2 scheme;
  const auto z = [&](double eta_used, int batch) {
    return worst_z(second_moments(scheme, BowlSde(bowl, {}, eta_used, batch), options), V, bias);
  };
  CHECK(z(eta, B) < 4);
  // Wrong theories: noise of size dt, none, η/B for √(η/B), 1 for B.
  const BowlSde sde(bowl, {}, eta, B);
  CHECK(worst_z(second_moments<NoiseOfSizeDt>(scheme, sde, options), V, bias) >= 5);
  Bowl silent = bowl;
  for (double& s : silent.s) s *= 1e-3;  // without noise there is no SE to measure by: noise of a thousandth
  CHECK(worst_z(second_moments(scheme, BowlSde(silent, {}, eta, B), options), V, bias) >= 5);
  CHECK(z(eta * eta / B, B) >= 5);
  CHECK(z(eta, 1) >= 5);
}

TEST_CASE("on a quadratic loss Local SGD's average has the law of SGD with batch K B_loc") {
  const Bowl bowl;
  const double eta = 0.1, round = 0.5;  // ηH
  const int K = 4, B_loc = 2, substeps = 5;
  const Eigen::Matrix2d C = eta / (K * B_loc) * bowl.Sigma(), V = lyapunov(bowl.A(), C);
  const double bias = 1.05 * (platen_stationary(bowl.A(), C, round / substeps) - V).cwiseAbs().maxCoeff();
  const auto options = to_stationarity(round, K);
  const auto z = [&](int workers, int batch) {
    const auto moments =
        second_moments(LocalRounds{PlatenWeak2{}, workers, substeps}, BowlSde(bowl, {}, eta, batch), options);
    return worst_z(moments, V, bias);
  };
  CHECK(z(K, B_loc) < 4);
  // Wrong theories: B for B_loc in the copies, copies that share one noise (K = 1), √dt → dt.
  CHECK(z(K, K * B_loc) >= 5);
  CHECK(z(1, B_loc) >= 5);
  CHECK(worst_z(second_moments<NoiseOfSizeDt>(LocalRounds{PlatenWeak2{}, K, substeps},
                                              BowlSde(bowl, {}, eta, B_loc), options),
                V, bias) >= 5);
}

TEST_CASE("one copy with one substep is the scheme itself, bit for bit") {
  const Valley valley;
  const ConventionalSde sde(valley, LabelNoise{1}, 0.05, 1);
  BrownianPath<double> a(2, 0, 1), b(2, 0, 1);
  Stepper plain(EulerMaruyama{}, sde);
  Stepper rounds(LocalRounds{EulerMaruyama{}, 1, 1}, sde);
  double x[] = {1.5, 0}, y[] = {1.5, 0};
  for (std::uint64_t k = 0; k < 50; ++k) {
    plain.do_step(sde, x, k, 0.05, a);
    rounds.do_step(sde, y, k, 0.05, b);
  }
  CHECK(exact(x[0], y[0]));
  CHECK(exact(x[1], y[1]));
}

TEST_CASE("parameters out of range name the violated inequality") {
  const Bowl bowl;
  const Fit fit;
  CHECK_THROWS_WITH_AS(BowlSde(bowl, {}, 0, 1),
                       "conventional SDE: 0 < eta < infinity is violated by 0.000000", std::invalid_argument);
  CHECK_THROWS_AS(BowlSde(bowl, {}, 0.1, 0), std::invalid_argument);
  CHECK_THROWS_WITH_AS(ConventionalSde(fit, LabelNoise{-1}, 0.1, 1),
                       "label noise: 0 <= sigma < infinity is violated by -1.000000", std::invalid_argument);
  CHECK_THROWS_WITH_AS(ConventionalSde(fit, SamplingNoise{false}, 0.1, 4),
                       "conventional SDE: batch <= 3 samples is violated by 4", std::invalid_argument);
  CHECK_THROWS_AS((LocalRounds{EulerMaruyama{}, 0, 1}.check()), std::invalid_argument);
}
