// ctest-labels: theory
#include "slowsde/sde/steppers.hpp"

#include <doctest/doctest.h>

#include <Eigen/Dense>

#include <array>
#include <string>
#include <type_traits>
#include <vector>

#include "slowsde/sde/sde_ensemble.hpp"
#include "tests/support/sde_examples.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;
using namespace slowsde::test;

namespace {

using ItoGbm = GeometricBrownianMotion<>;
using StratonovichGbm = GeometricBrownianMotion<Calculus::stratonovich>;
using GeneralGbm = GeometricBrownianMotion<Calculus::ito, NoiseClass::general>;

struct Flow {
  static constexpr NoiseClass noise = NoiseClass::none;
  static constexpr Calculus calculus = Calculus::ito;
  int dim() const { return 1; }
  template <class T>
  void drift(const T* x, double t, T* out) const {
    out[0] = x[0] * -(1 + t);
  }
};

static_assert(Steppable<EulerMaruyama, ItoGbm> && !Steppable<EulerMaruyama, StratonovichGbm>);
static_assert(Steppable<Heun, StratonovichGbm> && !Steppable<Heun, ItoGbm>);
static_assert(Steppable<Milstein, ItoGbm> && !Steppable<Milstein, StratonovichGbm>);
static_assert(!Steppable<Milstein, GeneralGbm> && !Steppable<Milstein, NonCommuting<>>);
static_assert(Steppable<PlatenWeak2, NonCommuting<>> && !Steppable<PlatenWeak2, StratonovichGbm>);
static_assert(Steppable<EulerMaruyama, GrowingOrnsteinUhlenbeck> &&
              Steppable<Heun, GrowingOrnsteinUhlenbeck> && Steppable<Milstein, GrowingOrnsteinUhlenbeck>);
static_assert(Steppable<EulerMaruyama, Flow> && Steppable<Heun, Flow> && Steppable<Milstein, Flow> &&
              Steppable<PlatenWeak2, Flow>);
static_assert(!Sde<int> && !Steppable<EulerMaruyama, int>);

constexpr double end_time = 1;

struct Run {
  std::size_t trajectories;
  int fine_log2;  ///< the finest level has 2^fine_log2 steps
  std::uint64_t seed;
};

/// Endpoints (trajectory-major, d each) at 2^level steps on the Brownian path of the finest level.
template <class Scheme, template <class> class Path = BrownianPath, class S>
std::vector<double> endpoints(const S& sde, const std::vector<double>& x0, const Run& run, int level) {
  const auto d = static_cast<std::size_t>(sde.dim());
  EnsembleOptions options;
  options.trajectories = run.trajectories;
  options.seed = run.seed;
  options.output_times = {end_time};
  options.max_step = end_time / (1 << level);
  options.refinement = std::uint64_t{1} << (run.fine_log2 - level);
  options.threads = available_threads();
  std::vector<double> ends(run.trajectories * d);
  run_ensemble<Pack<double>, Path>(
      Scheme{}, sde, options, [&](std::size_t, double* x) { std::copy(x0.begin(), x0.end(), x); },
      [&](std::size_t, std::size_t i, const double* x) { std::copy(x, x + d, ends.data() + i * d); });
  return ends;
}

/// W(1) of every trajectory, the increments of the finest level summed.
std::vector<double> endpoints_of_w(const Run& run) {
  std::vector<double> W(run.trajectories);
  for (std::size_t first = 0; first < run.trajectories; first += 8) {
    BrownianPath<Pack<double>> path(run.seed, first, 1, 1, std::uint64_t{1} << run.fine_log2);
    Pack<double> w;
    path.increments(0, end_time, &w);
    for (std::size_t l = 0; l < 8 && first + l < run.trajectories; ++l) W[first + l] = w[static_cast<int>(l)];
  }
  return W;
}

/// E f(X_h) at one level.
template <class Scheme, template <class> class Path = BrownianPath, class S, class F>
Moments mean_at(const S& sde, const std::vector<double>& x0, const Run& run, int level, F f) {
  Moments result;
  const auto d = static_cast<std::size_t>(sde.dim());
  const auto ends = endpoints<Scheme, Path>(sde, x0, run, level);
  for (std::size_t i = 0; i < run.trajectories; ++i) result.add(f(ends.data() + i * d));
  return result;
}

double z_of(const Moments& m, double expected) { return zscore(m.mean, expected, m.standard_error()); }

const auto first_of = [](const double* x) { return x[0]; };
const auto square_of = [](const double* x) { return x[0] * x[0]; };
const auto square_of_second = [](const double* x) { return x[1] * x[1]; };

/// dX = A X dt + Σ_j B_j X dW_j with P = E XXᵀ: P' = A P + P Aᵀ + Σ_j B_j P B_jᵀ.
template <Calculus C>
struct Linear {
  static constexpr NoiseClass noise = NoiseClass::general;
  static constexpr Calculus calculus = C;
  static constexpr int d = 3, m = 3;
  Eigen::Matrix3d A{{-0.7, 0.3, 0.1}, {-0.2, -0.5, 0.4}, {0.3, -0.1, -0.6}};
  std::array<Eigen::Matrix3d, 3> B{Eigen::Matrix3d{{0.1, 0.6, 0.0}, {0.0, -0.2, 0.3}, {0.2, 0.0, 0.1}},
                                   Eigen::Matrix3d{{0.0, -0.1, 0.3}, {0.5, 0.1, 0.0}, {0.0, 0.2, -0.2}},
                                   Eigen::Matrix3d{{-0.2, 0.0, 0.1}, {0.1, 0.3, -0.4}, {0.3, 0.1, 0.0}}};

  int dim() const { return d; }
  int noise_dim() const { return m; }
  void drift(const double* x, double, double* out) const {
    Eigen::Map<Eigen::Vector3d>{out} = A * Eigen::Map<const Eigen::Vector3d>(x);
  }
  void diffusion(const double* x, double, double* S) const {
    for (int j = 0; j < m; ++j) {
      const Eigen::Vector3d column = B[static_cast<std::size_t>(j)] * Eigen::Map<const Eigen::Vector3d>(x);
      for (int i = 0; i < d; ++i) S[i * m + j] = column[i];
    }
  }
  /// The same equation in Stratonovich's form: A − ½ Σ_j B_j².
  Linear<Calculus::stratonovich> stratonovich() const {
    Linear<Calculus::stratonovich> result;
    for (const auto& b : B) result.A -= 0.5 * b * b;
    return result;
  }
  /// E XXᵀ at time 1 from X(0) = (1, 1, 1), the operator's exponential by squaring a Taylor step.
  Eigen::Matrix<double, 9, 1> second_moment() const {
    Eigen::Matrix<double, 9, 9> L;
    for (int c = 0; c < 9; ++c) {
      Eigen::Matrix3d P = Eigen::Matrix3d::Zero();
      P(c % 3, c / 3) = 1;
      Eigen::Matrix3d image = A * P + P * A.transpose();
      for (const auto& b : B) image += b * P * b.transpose();
      L.col(c) = image.reshaped();
    }
    const Eigen::Matrix<double, 9, 9> step = L / 1024;
    Eigen::Matrix<double, 9, 9> term = Eigen::Matrix<double, 9, 9>::Identity(), E = term;
    for (int k = 1; k <= 8; ++k) {
      term = (term * step / k).eval();
      E += term;
    }
    for (int s = 0; s < 10; ++s) E = (E * E).eval();
    return E * Eigen::Matrix<double, 9, 1>::Ones();
  }
};

/// Noise that is handed in: the nodes of a quadrature over what a step draws.
struct GivenNoise {
  std::array<double, 3> dW, sign;
  void increments(std::uint64_t, double, double* out) { std::copy(dW.begin(), dW.end(), out); }
  void signs(std::uint64_t, int count, double* out) { std::copy_n(sign.begin(), count, out); }
};

/// |E X_nX_nᵀ − exact| at n = 8 … 256 steps without sampling: X_n is linear in X_0 and a polynomial of degree
/// 2 in each increment, so five Gauss–Hermite nodes per Brownian motion and both signs of each V integrate
/// it.
template <class Scheme, class S>
std::vector<double> second_moment_errors(const S& sde, const Linear<Calculus::ito>& truth, bool levy_area) {
  // Nodes 0, ±√(5 ∓ √10) and weights 8/15, (7 ± 2√10)/60 of the standard normal law.
  const double root10 = std::sqrt(10.0), inner = std::sqrt(5 - root10), outer = std::sqrt(5 + root10);
  const double w_inner = (7 + 2 * root10) / 60, w_outer = (7 - 2 * root10) / 60;
  const double node[] = {0, inner, -inner, outer, -outer};
  const double weight[] = {8.0 / 15, w_inner, w_inner, w_outer, w_outer};
  const Eigen::Matrix<double, 9, 1> exact_moment = truth.second_moment();
  std::vector<double> errors;
  for (int steps = 8; steps <= 256; steps *= 2) {
    const double dt = 1.0 / steps;
    Stepper stepper(Scheme{}, sde);
    Eigen::Matrix<double, 9, 9> Q = Eigen::Matrix<double, 9, 9>::Zero();  // vec P → vec E M P Mᵀ
    for (int outcome = 0; outcome < 125 * 8; ++outcome) {
      GivenNoise noise;
      double probability = 1.0 / 8;
      for (int j = 0, rest = outcome / 8; j < 3; ++j, rest /= 5) {
        noise.dW[static_cast<std::size_t>(j)] = node[rest % 5] * std::sqrt(dt);
        probability *= weight[rest % 5];
        noise.sign[static_cast<std::size_t>(j)] = levy_area ? 1 - 2 * (outcome >> j & 1) : 0;
      }
      Eigen::Matrix3d M = Eigen::Matrix3d::Identity();
      for (int c = 0; c < 3; ++c) stepper.do_step(sde, M.data() + 3 * c, 0, dt, noise);
      for (int i = 0; i < 3; ++i)
        for (int j = 0; j < 3; ++j) Q.block<3, 3>(3 * i, 3 * j) += probability * M(i, j) * M;
    }
    Eigen::Matrix<double, 9, 1> P = Eigen::Matrix<double, 9, 1>::Ones();
    for (int n = 0; n < steps; ++n) P = (Q * P).eval();
    errors.push_back((P - exact_moment).norm());
  }
  return errors;
}

}  // namespace

TEST_CASE("on linear SDEs the exact second moments of the schemes have weak orders 1 and 2") {
  const Linear<Calculus::ito> sde;  // three fields that do not commute
  const auto check = [](const char* what, const std::vector<double>& errors, double p) {
    for (std::size_t l = 0; l + 1 < errors.size(); ++l) {
      const double observed = std::log2(errors[l] / errors[l + 1]);
      MESSAGE(std::string(what) << ": error " << errors[l] << ", order " << observed);
      CHECK(order(observed, p, 0.12));
    }
  };
  check("Euler-Maruyama", second_moment_errors<EulerMaruyama>(sde, sde, true), 1);
  check("Platen", second_moment_errors<PlatenWeak2>(sde, sde, true), 2);
  const auto heun = second_moment_errors<Heun>(sde.stratonovich(), sde, true);
  check("Heun", heun, 1);
  // Wrong theory: V = 0, the fields treated as if they commuted, has order 1.
  check("Platen without V", second_moment_errors<PlatenWeak2>(sde, sde, false), 1);
  // Wrong theory: Itô's drift in Heun's scheme stays away from the limit.
  Linear<Calculus::stratonovich> uncorrected = sde.stratonovich();
  uncorrected.A = sde.A;
  const auto away = second_moment_errors<Heun>(uncorrected, sde, true);
  CHECK(away.back() > 0.9 * away[away.size() - 2]);
  CHECK(away.back() > 100 * heun.back());
}

TEST_CASE("for a single field the diagonal and the general form of Platen's scheme agree") {
  const Run run{64, 5, 16};
  const auto diagonal = endpoints<PlatenWeak2>(ItoGbm{}, {1}, run, 5);
  const auto general = endpoints<PlatenWeak2>(GeneralGbm{}, {1}, run, 5);
  for (std::size_t i = 0; i < diagonal.size(); ++i) CHECK(near_relative(diagonal[i], general[i], 1e-14));
}

TEST_CASE(
    "Euler-Maruyama, Milstein and Heun converge on each path to the solution of geometric Brownian motion") {
  const Run run{1 << 13, 10, 13};
  const auto W = endpoints_of_w(run);
  const auto rms_at = [&](const std::vector<double>& ends) {
    Moments m;
    for (std::size_t i = 0; i < W.size(); ++i)
      m.add(std::pow(ends[i] - ItoGbm{}.solution(end_time, W[i]), 2));
    return std::sqrt(m.mean);
  };
  // The error against the solution is what the order leaves of it between two levels three halvings apart.
  const auto check = [&](double coarse, double fine, double p) {
    MESSAGE("rms error " << coarse << " -> " << fine);
    CHECK(order(std::log2(coarse / fine) / 3, p, 0.08));
  };
  check(rms_at(endpoints<EulerMaruyama>(ItoGbm{}, {1}, run, 7)),
        rms_at(endpoints<EulerMaruyama>(ItoGbm{}, {1}, run, 10)), 0.5);
  check(rms_at(endpoints<Milstein>(ItoGbm{}, {1}, run, 7)),
        rms_at(endpoints<Milstein>(ItoGbm{}, {1}, run, 10)), 1);
  check(rms_at(endpoints<Heun>(StratonovichGbm{}, {1}, run, 7)),
        rms_at(endpoints<Heun>(StratonovichGbm{}, {1}, run, 10)), 1);

  // Wrong theory: Itô's scheme on the Stratonovich drift, the missing correction, stays away.
  const ItoGbm missing{.drift_rate = StratonovichGbm{}.drift_rate};
  CHECK(rms_at(endpoints<EulerMaruyama>(missing, {1}, run, 10)) >
        5 * rms_at(endpoints<EulerMaruyama>(ItoGbm{}, {1}, run, 10)));
}

TEST_CASE("Every scheme's moments tend to the solution's, and those of wrong theories do not") {
  const Run run{1 << 16, 6, 14};
  // Bias: what the last halving still moved, times 1/(2^p − 1), on coupled paths (SE far below the moment's).
  const auto check = [&]<class Scheme, class S, class F>(Scheme, const char* what, const S& sde,
                                                         const std::vector<double>& x0, F f, double p,
                                                         double expected) {
    const Moments m = mean_at<Scheme>(sde, x0, run, 6, f);
    const double moved = std::abs(m.mean - mean_at<Scheme>(sde, x0, run, 5, f).mean);
    const double bias = 1.5 * moved / (std::exp2(p) - 1);
    MESSAGE(std::string(what) << ": " << m.mean << " +- " << m.standard_error() << ", bias " << bias
                              << ", exact " << expected);
    CHECK(m.diverged == 0);
    CHECK(std::abs(m.mean - expected) <= 4 * m.standard_error() + bias);
    // the bias allowance is no place to hide in
    CHECK(bias < 0.05 * std::abs(expected));
    const auto rejected = [&](const Moments& wrong) {
      CHECK(wrong.diverged == 0);
      const double se = std::hypot(wrong.standard_error(), m.standard_error());
      CHECK((std::abs(wrong.mean - expected) - bias) / se >= 5);
    };
    rejected(mean_at<Scheme, NoiseOfSizeDt>(sde, x0, run, 6, f));
    rejected(mean_at<Scheme, NoNoise>(sde, x0, run, 6, f));
  };
  const ItoGbm gbm;
  const GrowingOrnsteinUhlenbeck ou;
  const NonCommuting<> two;
  const NonCommuting<Calculus::stratonovich> two_stratonovich;
  const std::vector<double> start2 = {two.x0[0], two.x0[1]};
  check(EulerMaruyama{}, "Euler-Maruyama, GBM", gbm, {1}, square_of, 1, gbm.mean_square(1));
  check(Milstein{}, "Milstein, GBM", gbm, {1}, square_of, 1, gbm.mean_square(1));
  check(Heun{}, "Heun, GBM", StratonovichGbm{}, {1}, square_of, 1, gbm.mean_square(1));
  check(PlatenWeak2{}, "Platen, GBM", GeneralGbm{}, {1}, square_of, 2, gbm.mean_square(1));
  check(EulerMaruyama{}, "Euler-Maruyama, additive", ou, {1}, square_of, 1, ou.mean_square(1));
  check(Heun{}, "Heun, additive", ou, {1}, square_of, 2, ou.mean_square(1));
  check(PlatenWeak2{}, "Platen, additive", ou, {1}, square_of, 2, ou.mean_square(1));
  check(EulerMaruyama{}, "Euler-Maruyama, two fields", two, start2, square_of_second, 1, two.mean_square2(1));
  check(Heun{}, "Heun, two fields", two_stratonovich, start2, square_of_second, 1, two.mean_square2(1));
  check(PlatenWeak2{}, "Platen, two fields", two, start2, square_of_second, 2, two.mean_square2(1));

  // Wrong theory: V = 0. At a step where the scheme's own bias is small the moment is off by order h.
  const Run coarse_run{1 << 19, 3, 17};
  const Moments with_area = mean_at<PlatenWeak2>(two, start2, coarse_run, 3, square_of_second);
  const Moments no_area = mean_at<PlatenWeak2, NoLevyArea>(two, start2, coarse_run, 3, square_of_second);
  const double own_bias = 0.004;  // |E f(X_h) − E f(X_{h/2})|·4/3 = 0.0025 at h = 1/8
  MESSAGE("with V " << with_area.mean << ", without " << no_area.mean << " +- " << no_area.standard_error());
  CHECK(std::abs(with_area.mean - two.mean_square2(1)) <= 4 * with_area.standard_error() + own_bias);
  CHECK((std::abs(no_area.mean - two.mean_square2(1)) - own_bias) / no_area.standard_error() >= 5);

  // The missing Itô correction, both ways round.
  const Moments ito_as_stratonovich =
      mean_at<Heun>(StratonovichGbm{.drift_rate = gbm.drift_rate}, {1}, run, 6, first_of);
  const Moments stratonovich_as_ito =
      mean_at<PlatenWeak2>(ItoGbm{.drift_rate = StratonovichGbm{}.drift_rate}, {1}, run, 6, first_of);
  const Moments right = mean_at<PlatenWeak2>(gbm, {1}, run, 6, first_of);
  CHECK(z_of(right, gbm.mean(1)) <= 4);
  CHECK(z_of(ito_as_stratonovich, gbm.mean(1)) >= 5);
  CHECK(z_of(stratonovich_as_ito, gbm.mean(1)) >= 5);
}

TEST_CASE("without noise Euler-Maruyama is Euler's method and Heun and Platen's scheme are Heun's") {
  const double exact = std::exp(-1.5);  // x' = −(1 + t)x over [0, 1]
  const auto error = [&]<class Scheme>(Scheme, int steps) {
    const Flow flow;
    BrownianPath<double> noise(1, 0, 0);
    Stepper<Scheme, Flow> stepper(Scheme{}, flow);
    double x = 1;
    for (int k = 0; k < steps; ++k)
      stepper.do_step(flow, &x, static_cast<std::uint64_t>(k), 1.0 / steps, noise);
    return std::abs(x - exact);
  };
  for (int steps = 64; steps < 1024; steps *= 2) {
    CHECK(order(std::log2(error(EulerMaruyama{}, steps) / error(EulerMaruyama{}, 2 * steps)), 1, 0.03));
    CHECK(order(std::log2(error(Heun{}, steps) / error(Heun{}, 2 * steps)), 2, 0.05));
    CHECK(order(std::log2(error(PlatenWeak2{}, steps) / error(PlatenWeak2{}, 2 * steps)), 2, 0.05));
  }
}

TEST_CASE("a pack's lanes take the steps that each trajectory takes alone") {
  const GrowingOrnsteinUhlenbeck sde;
  const auto check = [&]<class Scheme>(Scheme) {
    BrownianPath<Pack<double>> noise(5, 64, 1);
    Stepper<Scheme, GrowingOrnsteinUhlenbeck, Pack<double>> together(Scheme{}, sde, 0.25, 7);
    Pack<double> x(1.0);
    for (std::uint64_t k = 7; k < 40; ++k) together.do_step(sde, &x, k, 0.05, noise);
    for (int lane = 0; lane < 8; ++lane) {
      BrownianPath<double> own(5, 64 + static_cast<std::uint64_t>(lane), 1);
      Stepper<Scheme, GrowingOrnsteinUhlenbeck> alone(Scheme{}, sde, 0.25, 7);
      double y = 1;
      for (std::uint64_t k = 7; k < 40; ++k) alone.do_step(sde, &y, k, 0.05, own);
      CHECK(exact(x[lane], y));
    }
  };
  check(EulerMaruyama{});
  check(Heun{});
  check(Milstein{});
  check(PlatenWeak2{});
}

TEST_CASE("a retraction is applied after each step") {
  const auto to_circle = [](auto* x) {
    using std::sqrt;
    const auto r = sqrt(x[0] * x[0] + x[1] * x[1]);
    x[0] = x[0] / r;
    x[1] = x[1] / r;
  };
  const NonCommuting<> sde;
  const Retracted scheme{EulerMaruyama{}, to_circle};
  static_assert(!Steppable<decltype(scheme), StratonovichGbm>);
  BrownianPath<double> noise(3, 0, 2), same(3, 0, 2);
  Stepper stepper(scheme, sde);
  Stepper<EulerMaruyama, NonCommuting<>> bare(EulerMaruyama{}, sde);
  double x[2] = {1, 0}, y[2] = {1, 0};
  for (std::uint64_t k = 0; k < 100; ++k) {
    stepper.do_step(sde, x, k, 0.01, noise);
    CHECK(near(x[0] * x[0] + x[1] * x[1], 1, 1e-15));
    bare.do_step(sde, y, k, 0.01, same);
    to_circle(y);
    CHECK(exact(x[0], y[0]));
  }
}
