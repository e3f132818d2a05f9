#include "slowsde/sde/dense_geometry.hpp"

#include <doctest/doctest.h>

#include "slowsde/optim/finite_step_moment.hpp"
#include "slowsde/optim/psi_moment.hpp"
#include "slowsde/optim/qsr_moment.hpp"
#include "slowsde/optim/sampling_moment.hpp"
#include "slowsde/optim/sgd_moment.hpp"
#include "slowsde/problems/random_address.hpp"
#include "slowsde/problems/valley.hpp"
#include "tests/support/manifold_problems.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;

namespace {

/// A problem with its dimension hidden until run time, so that it takes the dynamic route.
template <class P>
struct AtRunTime {
  P problem;
  int dim() const { return P::dim; }
  template <class T>
  T loss(const T* x) const requires GeneralLoss<P> {
    return problem.loss(x);
  }
  static constexpr int noise_dim = [] {
    if constexpr (GaussianNoiseProblem<P>)
      return P::noise_dim;
    else
      return 0;
  }();
  template <class T>
  void noise_factor(const T* x, T* S) const requires GaussianNoiseProblem<P> {
    problem.noise_factor(x, S);
  }
  int outputs_count() const requires LeastSquaresProblem<P> { return P::outputs_count; }
  int samples() const requires LeastSquaresProblem<P> { return problem.samples(); }
  template <class T, class I>
  void outputs(const T* x, const I& i, T* f) const requires LeastSquaresProblem<P> {
    problem.outputs(x, i, f);
  }
  template <class I, class T>
  void targets(const I& i, T* y) const requires LeastSquaresProblem<P> {
    problem.targets(i, y);
  }
};

/// Four parameters, three samples of one output that share parameters: (u·x_i)(1 + v²) − y_i with u ∈ R³, all
/// targets zero, so Γ = {u = 0} and the samples' Jacobians are not orthogonal.
struct SharedFit {
  static constexpr int dim = 4, outputs_count = 1;
  int samples() const { return 3; }
  template <class T, class I>
  void outputs(const T* z, const I& i, T* f) const {
    const double x[3][3] = {{1, 0.5, 0}, {0.3, -1, 0.7}, {0.2, 0.4, 1.2}};
    f[0] = (1.0 + z[3] * z[3]) * (x[i][0] * z[0] + x[i][1] * z[1] + x[i][2] * z[2]);
  }
  template <class I, class T>
  void targets(const I&, T* y) const {
    y[0] = T(0.0);
  }
};

/// Eigenvalues 1e6, 1, 1e-10.
struct Quadratic {
  static constexpr int dim = 3;
  template <class T>
  T loss(const T* x) const {
    return 5e5 * x[0] * x[0] + 0.5 * x[1] * x[1] + 5e-11 * x[2] * x[2];
  }
};

DenseGeometryOptions label_noise(double sigma) {
  DenseGeometryOptions options;
  options.label_noise = sigma;
  return options;
}

/// Calls check(model) for the models that need no sampling.
template <class Check>
void over_models(Check check) {
  check(SgdMoment());
  check(PsiMoment());
  check(QsrMoment());
  check(FiniteStepMoment());
}

const Round round_of_four{0.05, 20, 4, 2};

}  // namespace

TEST_CASE("the tangent space is the kernel of ∇²L") {
  const DenseGeometry<test::CurvedValleyForTest> geometry;
  const double x = -0.7, slope = x;  // b' = x
  const auto p = geometry.at(Eigen::Vector2d(x, 0.5 * x * x));
  CHECK(p.tangent == 1);
  CHECK(p.rank() == 1);
  CHECK(test::near(p.lambda[1], (2 + std::sin(x)) * (1 + slope * slope), 1e-14));
  CHECK(p.rank_gap() > 1e12);
  CHECK(p.gradient_norm() <= 1e-15);
  const Eigen::Vector2d t = Eigen::Vector2d(1, slope).normalized();
  CHECK((p.tangent_projector() - t * t.transpose()).norm() <= 1e-15);
  const Eigen::Vector2d u(0.3, -1.2), n(-t[1], t[0]);
  CHECK((p.project(u) - t.dot(u) * t).norm() <= 1e-15);
  CHECK((p.pseudo_inverse(u) - n.dot(u) / p.lambda[1] * n).norm() <= 1e-15);
}

TEST_CASE("a direction is tangent by a relative threshold or by the rank that is given") {
  const Eigen::Vector3d x = Eigen::Vector3d::Zero();
  DenseGeometryOptions options;
  options.tangent_threshold = 1e-8;
  CHECK(DenseGeometry<Quadratic>({}, options).frame(x).rank() == 2);
  CHECK(test::near_relative(DenseGeometry<Quadratic>({}, options).frame(x).rank_gap(), 1e10, 1e-5));
  options.tangent_threshold = 1e-5;
  CHECK(DenseGeometry<Quadratic>({}, options).frame(x).rank() == 1);
  options.rank = 3;
  CHECK(DenseGeometry<Quadratic>({}, options).frame(x).rank() == 3);
  options.rank = 4;
  CHECK_THROWS_AS(DenseGeometry<Quadratic>({}, options), std::invalid_argument);
  options.rank = -1;
  options.tangent_threshold = -0.1;
  CHECK_THROWS_WITH_AS(DenseGeometry<Quadratic>({}, options),
                       "dense geometry: 0 <= tangent_threshold < 1 is violated by -0.1",
                       std::invalid_argument);
  CHECK_THROWS_AS(DenseGeometry<Quadratic>({}, label_noise(0.1)), std::invalid_argument);
  // Off Γ the threshold alone would take a bent tangent direction for a normal one.
  const DenseGeometry<test::CurvedValleyForTest> curved;
  const Eigen::Vector2d on(-0.7, 0.245), off(-0.7, 0.225);
  CHECK(curved.frame(off).rank() == 2);
  CHECK(curved.with_rank_at(on).frame(off).rank() == 1);
}

TEST_CASE("third derivatives are the differences of second ones") {
  const DenseGeometry<test::CurvedValleyForTest> geometry;
  const Eigen::Vector2d x(0.4, 0.3);
  const auto p = geometry.at(x);
  for (int k = 0; k < 2; ++k) {
    const double h = 1e-3;
    const Eigen::VectorXd e = h * Eigen::VectorXd::Unit(2, k);
    const auto H = [&](double s) { return hessian(geometry.problem(), x + s * e); };
    const Eigen::Matrix2d difference = (8 * (H(1) - H(-1)) - (H(2) - H(-2))) / (12 * h);
    CHECK((p.third[k] - difference).norm() <= 1e-10);
  }
}

TEST_CASE("label noise has covariance σ²∇²L on Γ, and Σ_∥ = 0") {
  const DenseGeometry<test::TwoValleysForTest<true>> a({}, label_noise(0.3));
  const DenseGeometry<test::TwoValleysForTest<false>> b({}, label_noise(0.3));
  const Eigen::Vector3d x(0.4, 0, 0);
  const Eigen::Matrix3d H = Eigen::Vector3d(0, 1.5 + std::sin(0.4), 6.5 - std::sin(0.4)).asDiagonal();
  CHECK((a.noise_covariance(x) - 0.09 * H / 2).norm() <= 1e-15);  // n = 2
  CHECK((b.noise_covariance(x) - 0.09 * H).norm() <= 1e-15);
  static_assert(decltype(a)::noise_dim() == 0);
  CHECK(a.ito_correction(a.at(x), 1.0) == Eigen::Vector3d::Zero());
}

TEST_CASE("the valley's drift is -(σ²x/2B)(1+(K−1)ψ(2ηH(1+x²))), SGD's and QSR's its limits") {
  const double sigma = 0.7;
  const DenseGeometry<Valley> geometry({}, label_noise(sigma));
  for (double x : {1e-8, 0.5, 1.5}) {
    const auto p = geometry.at(Eigen::Vector2d(x, 0));
    for (const Round& r : {Round{0.05, 1, 8, 1}, Round{0.05, 40, 8, 1}, Round{0.01, 5000, 3, 2}}) {
      const double sgd = -sigma * sigma * x / (2 * r.global_batch());
      const double eta_H = r.eta * static_cast<double>(r.local_steps);
      CHECK(test::near_relative(geometry.slow_drift(p, SgdMoment(), r)[0], sgd, 1e-13));
      CHECK(test::near_relative(geometry.slow_drift(p, QsrMoment(), r)[0], r.workers * sgd, 1e-13));
      const double multiplier = 1 + (r.workers - 1) * psi(2 * eta_H * (1 + x * x));
      const double drift = geometry.slow_drift(p, PsiMoment(), r)[0];
      CHECK(test::near_relative(drift, multiplier * sgd, 1e-13));
      // refused: ψ of λ instead of 2λ, K for K − 1
      CHECK_FALSE(test::near_relative(drift, (1 + (r.workers - 1) * psi(eta_H * (1 + x * x))) * sgd, 1e-5));
      CHECK_FALSE(test::near_relative(drift, (1 + r.workers * psi(2 * eta_H * (1 + x * x))) * sgd, 1e-3));
    }
  }
}

TEST_CASE("the curved valley's slow SDE, reduced to one dimension by hand") {
  // On Γ, with m = (−b', 1), n = m/|m|, t = (1, b')/|m| and λ = a|m|²: ∇²L = a m mᵀ and
  //   ∇³L[M] = ∇a (mᵀMm) + 2m(∇aᵀMm) + a(2 (∇²v)Mm + m tr(∇²v M)), ∇²v = diag(−b'', 0), v = y − b, so
  //   tᵀ∇³L[Ā] = a' t_x |m|² Ā_nn − 2a b'' t_x |m| (n_x Ā_nn + t_x Ā_tn),
  //   −½ 𝓗^†∇³L[Σ_∥] = ½ (b'' t_x²/|m|) Σ_tt n.
  const DenseGeometry<test::CurvedValleyForTest> geometry;
  Eigen::Matrix2d Sigma;
  Sigma << 1, 0.6, 0.6, 0.8;
  for (double x : {-1.3, 0.0, 1e-8, 0.9}) {
    const Eigen::Vector2d on(x, 0.5 * x * x);
    const auto p = geometry.at(on);
    const double a = 2 + std::sin(x), slope_a = std::cos(x), length = std::sqrt(1 + x * x);
    const Eigen::Vector2d n = Eigen::Vector2d(-x, 1) / length, t = Eigen::Vector2d(1, x) / length;
    const double lambda = a * length * length;
    const double nn = n.dot(Sigma * n), tn = t.dot(Sigma * n), tt = t.dot(Sigma * t);
    const double B = round_of_four.global_batch();
    over_models([&](const SecondMoment& model) {
      const double A_nn = nn * model.coefficient(lambda, lambda, round_of_four) / B;
      const double A_tn = tn * model.coefficient(0, lambda, round_of_four) / B;
      const double along =
          slope_a * t[0] * length * length * A_nn - 2 * a * t[0] * length * (n[0] * A_nn + t[0] * A_tn);
      const Eigen::Vector2d drift = geometry.slow_drift(p, model, round_of_four);
      CHECK((drift + 0.5 * along * t).norm() <= 1e-14);
      // The cross pair is ordered: counted once it gives another drift.
      const double once = along + a * t[0] * length * t[0] * A_tn;
      CHECK((drift + 0.5 * once * t).norm() > 1e-4);
    });
    const Eigen::Vector2d ito = geometry.ito_correction(p, 1 / B);
    CHECK((ito - 0.5 / B * t[0] * t[0] / length * tt * n).norm() <= 1e-14);
    const Eigen::Matrix2d S = geometry.tangential_factor(p);
    CHECK((S * S.transpose() - tt * t * t.transpose()).norm() <= 1e-13);
  }
}

TEST_CASE("SGD's drift is (1/2B) ∂²Φ[Σ], K = 1 gives SGD") {
  const auto check = [](const auto& geometry, const auto& x) {
    const auto p = geometry.at(x);
    const auto expected =
        (geometry.phi_second_derivative(p, geometry.noise_covariance(x)) / (2 * round_of_four.global_batch()))
            .eval();
    const auto drift = (geometry.slow_drift(p, SgdMoment(), round_of_four) +
                        geometry.ito_correction(p, 1 / round_of_four.global_batch()))
                           .eval();
    CHECK((drift - expected).norm() <= 1e-14);
    Round alone = round_of_four;
    alone.workers = 1;
    const auto sgd = geometry.slow_drift(p, SgdMoment(), alone).eval();
    CHECK((geometry.slow_drift(p, PsiMoment(), alone) - sgd).norm() <= 1e-15);
    CHECK((geometry.slow_drift(p, QsrMoment(), alone) - sgd).norm() <= 1e-15);
  };
  check(DenseGeometry<test::CurvedValleyForTest>(), Eigen::Vector2d(-0.7, 0.245));
  check(DenseGeometry<test::CircleForTest>(), Eigen::Vector2d(0.6, 0.8));
  check(DenseGeometry<test::SphereForTest<3>>(), Eigen::Vector3d(2.0 / 3, 1.0 / 3, -2.0 / 3));
  check(DenseGeometry<Valley>({}, label_noise(0.4)), Eigen::Vector2d(0.9, 0));
  check(DenseGeometry<test::TwoValleysForTest<true>>({}, label_noise(0.4)), Eigen::Vector3d(0.9, 0, 0));
}

TEST_CASE("on the circle cross terms alone turn the angle at −(c/B)(1+(K−1)ψ(2ηH))") {
  const double c = 0.5;
  const DenseGeometry<test::CircleForTest> geometry({c});
  const double B = round_of_four.global_batch();
  for (double angle : {0.3, 2.0, 4.0}) {
    const Eigen::Vector2d x(std::cos(angle), std::sin(angle)), t(-x[1], x[0]);
    const auto p = geometry.at(x);
    const double eta_H = round_of_four.eta * static_cast<double>(round_of_four.local_steps);
    const double expected = -c / B * (1 + (round_of_four.workers - 1) * psi(2 * eta_H));
    CHECK(test::near_relative(t.dot(geometry.slow_drift(p, PsiMoment(), round_of_four)), expected, 1e-13));
    CHECK(test::near_relative(t.dot(geometry.slow_drift(p, SgdMoment(), round_of_four)), -c / B, 1e-13));
    // The Itô term points inward at −(1/2B) per tangent direction.
    CHECK((geometry.ito_correction(p, 1 / B) + x / (2 * B)).norm() <= 1e-14);
  }
}

TEST_CASE("isotropic noise on the sphere: no slow drift, and E x/|x| decays at (d−1)ν²/2B") {
  const DenseGeometry<test::SphereForTest<3>> geometry({0.7});
  const Eigen::Vector3d x(2.0 / 3, 1.0 / 3, -2.0 / 3);
  const auto p = geometry.at(x);
  over_models([&](const SecondMoment& model) {
    CHECK(geometry.slow_drift(p, model, round_of_four).norm() <= 1e-15);
  });
  CHECK((geometry.ito_correction(p, 0.125) + 2 * 0.49 * 0.125 / 2 * x).norm() <= 1e-14);
}

TEST_CASE("a constant trace stops SGD and QSR but not Local SGD") {
  const double sigma = 0.8, x = 0.4;
  const auto check = [&](const auto& geometry, int n) {
    const auto p = geometry.at(Eigen::Vector3d(x, 0, 0));
    CHECK(geometry.slow_drift(p, SgdMoment(), round_of_four).norm() <= 1e-15);
    CHECK(geometry.slow_drift(p, QsrMoment(), round_of_four).norm() <= 1e-15);
    // −(σ²/4B) d/dx (K−1) Σ_i F(2ηHλ_i)/(2ηH) with F' = ψ
    const double eta_H = round_of_four.eta * static_cast<double>(round_of_four.local_steps);
    const double l1 = (1.5 + std::sin(x)) / n, l2 = (6.5 - std::sin(x)) / n;
    const double expected = -sigma * sigma / (4 * round_of_four.global_batch()) *
                            (round_of_four.workers - 1) * std::cos(x) / n *
                            (psi(2 * eta_H * l1) - psi(2 * eta_H * l2));
    const auto drift = geometry.slow_drift(p, PsiMoment(), round_of_four).eval();
    CHECK(test::near_relative(drift[0], expected, 1e-12));
    // refused: 1/n dropped inside ψ
    if (n > 1)
      CHECK_FALSE(test::near_relative(drift[0],
                                      expected * (psi(2 * eta_H * l1 * n) - psi(2 * eta_H * l2 * n)) /
                                          (psi(2 * eta_H * l1) - psi(2 * eta_H * l2)),
                                      1e-2));
  };
  check(DenseGeometry<test::TwoValleysForTest<true>>({}, label_noise(sigma)), 2);
  check(DenseGeometry<test::TwoValleysForTest<false>>({}, label_noise(sigma)), 1);
}

TEST_CASE("without label noise an interpolator has no slow drift") {
  const DenseGeometry<Valley> geometry;
  const auto p = geometry.at(Eigen::Vector2d(0.9, 0));
  for (bool replacement : {true, false}) {
    CHECK(geometry.slow_drift(p, SamplingMoment(replacement), Round{0.1, 10, 4, 1}).norm() == 0);
  }
  CHECK(DenseGeometry<Valley>({}, label_noise(1)).slow_drift(p, SgdMoment(), round_of_four).norm() > 0.01);
}

TEST_CASE("orthogonal samples: sampling changes SGD's denominator to 2λ − ηλ²(1+(n−1)/B)") {
  const double sigma = 0.8, x = 0.4;
  const DenseGeometry<test::TwoValleysForTest<true>> geometry({}, label_noise(sigma));
  const auto p = geometry.at(Eigen::Vector3d(x, 0, 0));
  for (int B : {1, 3}) {
    const Round round{0.2, 1, 1, B};
    const auto a = geometry.second_moment(p, SamplingMoment(), round);
    CHECK(a.converged);
    CHECK(a.iterations > 3);
    for (int i = 1; i < 3; ++i) {
      const double l = p.lambda[i];
      const double expected = sigma * sigma * l / B / (2 * l - round.eta * l * l * (1 + 1.0 / B));
      CHECK(test::near_relative(a.A(i, i), expected, 1e-12));
      CHECK_FALSE(test::near_relative(a.A(i, i), sigma * sigma / B / (2 - round.eta * l), 1e-2));
    }
    CHECK(std::abs(a.A(1, 2)) <= 1e-15);
  }
}

TEST_CASE("the sampling feedback solves its equation for samples that overlap") {
  const double sigma = 0.5;
  const DenseGeometry<SharedFit> geometry({}, label_noise(sigma));
  const Eigen::Vector4d x(0, 0, 0, 0.6);
  const auto p = geometry.at(x);
  REQUIRE(p.rank() == 3);
  const Round round{0.5, 6, 3, 2};
  const SamplingMoment model(false);
  const auto a = geometry.second_moment(p, model, round);
  REQUIRE(a.converged);
  // Everything again as matrices in the original basis, each sample's Hessian by jets over its own loss.
  const Eigen::Matrix4d A = geometry.matrix(p, a), H = hessian(SharedFit{}, x);
  Eigen::Matrix4d feedback = -H * A * H;
  for (int s = 0; s < 3; ++s) {
    Eigen::Vector4d J;
    for (int k = 0; k < 4; ++k) {
      Eigen::Vector4d up = x, down = x;
      up[k] += 0.5;
      down[k] -= 0.5;
      double f_up, f_down;  // at u = 0 the outputs are linear in u and constant in v
      SharedFit{}.outputs(up.data(), s, &f_up);
      SharedFit{}.outputs(down.data(), s, &f_down);
      J[k] = f_up - f_down;
    }
    feedback += J * J.dot(A * J) * J.transpose() / 3;
  }
  const double w = model.sampling_weight(round, 3);
  CHECK(w == 0.5);
  const Eigen::Matrix4d source = p.V.transpose() * (sigma * sigma * H + round.eta * w * feedback) * p.V;
  for (int i = 1; i < 4; ++i)
    for (int j = 1; j < 4; ++j)
      CHECK(test::near(
          a.A(i, j), model.coefficient(p.lambda[i], p.lambda[j], round) * source(i, j) / round.global_batch(),
          1e-11));
  CHECK((round.eta * w * feedback).norm() > 0.05 * sigma * sigma * H.norm());  // it matters
  // Where the moment itself diverges the status says so, and the drift is not a number.
  const Round unstable{1.4, 6, 1, 1};
  CHECK_FALSE(geometry.second_moment(p, SamplingMoment(), unstable).converged);
  CHECK(std::isnan(geometry.slow_drift(p, SamplingMoment(), unstable)[3]));
}

TEST_CASE("the dynamic route is the static one") {
  const auto check = [](const auto& fixed, const auto& dynamic, const auto& x) {
    const auto p = fixed.at(x);
    const auto q = dynamic.at(x);
    CHECK((p.lambda - q.lambda).norm() <= 1e-13);
    CHECK(p.tangent == q.tangent);
    CHECK((p.gradient - q.gradient).norm() <= 1e-15);
    CHECK((fixed.noise_covariance(x) - dynamic.noise_covariance(x)).norm() <= 1e-14);
    const auto compare = [&](const SecondMoment& model) {
      const auto drift = fixed.slow_drift(p, model, round_of_four).eval();
      CHECK((drift - dynamic.slow_drift(q, model, round_of_four)).norm() <= 1e-13);
    };
    over_models(compare);
    compare(SamplingMoment());
    CHECK((fixed.ito_correction(p, 0.3) - dynamic.ito_correction(q, 0.3)).norm() <= 1e-13);
    const Eigen::MatrixXd S = fixed.tangential_factor(p), R = dynamic.tangential_factor(q);
    CHECK((S * S.transpose() - R * R.transpose()).norm() <= 1e-13);
    const auto M = fixed.noise_covariance(x);
    CHECK((fixed.phi_second_derivative(p, M) - dynamic.phi_second_derivative(q, M)).norm() <= 1e-12);
  };
  check(DenseGeometry<test::CurvedValleyForTest>(), DenseGeometry<AtRunTime<test::CurvedValleyForTest>>(),
        Eigen::Vector2d(-0.7, 0.245));
  check(DenseGeometry<test::SphereForTest<3>>(), DenseGeometry<AtRunTime<test::SphereForTest<3>>>(),
        Eigen::Vector3d(2.0 / 3, 1.0 / 3, -2.0 / 3));
  check(DenseGeometry<test::TwoValleysForTest<true>>({}, label_noise(0.4)),
        DenseGeometry<AtRunTime<test::TwoValleysForTest<true>>>({}, label_noise(0.4)),
        Eigen::Vector3d(0.9, 0, 0));
  check(DenseGeometry<SharedFit>({}, label_noise(0.4)),
        DenseGeometry<AtRunTime<SharedFit>>({}, label_noise(0.4)), Eigen::Vector4d(0, 0, 0, 0.6));
}
