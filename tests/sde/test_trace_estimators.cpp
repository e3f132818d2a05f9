#include "slowsde/sde/trace_estimators.hpp"

#include <doctest/doctest.h>

#include <Eigen/Dense>
#include <cmath>
#include <vector>

#include "slowsde/problems/random_address.hpp"
#include "slowsde/sde/statistics.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;

namespace {

Eigen::MatrixXd symmetric(const Eigen::VectorXd& eigenvalues, std::uint64_t seed) {
  const auto d = eigenvalues.size();
  Eigen::MatrixXd g(d, d);
  for (Eigen::Index i = 0; i < d * d; ++i)
    g(i / d, i % d) = normal_at(seed, Stream::initial, 0, 0, static_cast<std::uint64_t>(i));
  const Eigen::MatrixXd q = Eigen::HouseholderQR<Eigen::MatrixXd>(g).householderQ();
  return q * eigenvalues.asDiagonal() * q.transpose();
}

SymmetricOperator product(const Eigen::MatrixXd& A) {
  return [&A](const Eigen::VectorXd& x, Eigen::VectorXd& y) { y = A * x; };
}

/// λ_i = (i+1)^{−2}, or the same with signs ++−.
Eigen::VectorXd decaying(int d, bool indefinite) {
  Eigen::VectorXd eigenvalues(d);
  for (int i = 0; i < d; ++i)
    eigenvalues[i] = (indefinite && i % 3 == 2 ? -1.0 : 1.0) / ((i + 1.0) * (i + 1.0));
  return eigenvalues;
}

/// Estimates with different seeds, and what they say of their error.
struct Repetitions {
  Moments value, squared_error, covered;  ///< covered: by ± the 95 % quantile of Student's t
};

template <class Run>
Repetitions repeat(int times, double truth, double t_quantile, Run run) {
  Repetitions r;
  for (int s = 0; s < times; ++s) {
    const TraceEstimate e = run(static_cast<std::uint64_t>(100 + s));
    r.value.add(e.value);
    r.squared_error.add(e.standard_error * e.standard_error);
    r.covered.add(std::abs(e.value - truth) <= t_quantile * e.standard_error ? 1 : 0);
  }
  return r;
}

/// z of "E SE² is the variance of the estimates": the sample variance has relative SE √((κ−1)/n) with κ the
/// kurtosis, which stays below 6 here.
double calibration_z(const Repetitions& r) {
  const double variance = r.value.variance(), n = static_cast<double>(r.value.count);
  return std::abs(r.squared_error.mean - variance) /
         std::hypot(r.squared_error.standard_error(), variance * std::sqrt(5 / n));
}

/// z of "coverage is 95 %", by the binomial standard error.
double coverage_z(const Repetitions& r) {
  return std::abs(r.covered.mean - 0.95) / std::sqrt(0.95 * 0.05 / static_cast<double>(r.covered.count));
}

constexpr int repetitions = 1500;
constexpr double t_19 = 2.093;  // 97.5 % quantile of Student's t with 19 degrees of freedom

}  // namespace

TEST_CASE("the estimates are unbiased and their standard errors calibrated, definite or not") {
  const int d = 40;
  for (const bool indefinite : {false, true}) {
    const Eigen::MatrixXd A = symmetric(decaying(d, indefinite), 3);
    const double trace = A.trace();
    for (const Probe probe : {Probe::rademacher, Probe::gaussian}) {
      CAPTURE(indefinite);
      CAPTURE(static_cast<int>(probe));
      const auto plain = repeat(repetitions, trace, t_19, [&](std::uint64_t seed) {
        return hutchinson_trace(product(A), d, 20, {probe, seed});
      });
      CHECK(test::zscore(plain.value.mean, trace, plain.value.standard_error()) <= 4);
      CHECK(calibration_z(plain) <= 4);
      // Var zᵀAz = 2Σ_{i≠j}A_ij², with the diagonal for Gaussian probes
      const double off_diagonal = A.squaredNorm() - A.diagonal().squaredNorm();
      const double variance = 2 * (probe == Probe::gaussian ? A.squaredNorm() : off_diagonal) / 20;
      CHECK(test::zscore(plain.squared_error.mean, variance, plain.squared_error.standard_error()) <= 4);

      const auto sketched = repeat(repetitions, trace, t_19, [&](std::uint64_t seed) {
        return hutch_plus_plus_trace(product(A), d, 36, {probe, seed});  // 12 + 12 + 12
      });
      CHECK(test::zscore(sketched.value.mean, trace, sketched.value.standard_error()) <= 4);
      CHECK(calibration_z(sketched) <= 4);

      // Wrong theories. Probes of variance 1.05:
      CHECK(test::zscore(1.05 * plain.value.mean, trace, 1.05 * plain.value.standard_error()) >= 5);
      // the residual's probes left out, whose trace is what the sketch missed:
      const auto captured = repeat(repetitions, trace, t_19, [&](std::uint64_t seed) {
        const ProbeOptions options{probe, seed};
        Eigen::MatrixXd AS(d, 12);
        for (int j = 0; j < 12; ++j) AS.col(j) = A * trace_probe(options, static_cast<std::uint64_t>(j), d);
        const Eigen::MatrixXd Q =
            Eigen::HouseholderQR<Eigen::MatrixXd>(AS).householderQ() * Eigen::MatrixXd::Identity(d, 12);
        return TraceEstimate{(Q.transpose() * A * Q).trace(), 0, 24};
      });
      CHECK(test::zscore(captured.value.mean, trace, captured.value.standard_error()) >= 5);
      // Hutchinson's standard error for Hutch++, which ignores the sketch; and the probes' standard deviation
      // for the standard error of their mean:
      auto ignored = sketched;
      ignored.squared_error = plain.squared_error;
      CHECK(calibration_z(ignored) >= 5);
      auto deviation = sketched;
      deviation.squared_error.mean *= 12;
      CHECK(calibration_z(deviation) >= 5);
    }
  }
}

TEST_CASE("intervals cover as often as they say where the probes' values are near normal") {
  const int d = 120;
  Eigen::VectorXd eigenvalues(d);
  for (int i = 0; i < d; ++i) eigenvalues[i] = 1 + 0.5 * std::sin(i);
  const Eigen::MatrixXd A = symmetric(eigenvalues, 5);
  const auto plain = repeat(1000, A.trace(), t_19, [&](std::uint64_t seed) {
    return hutchinson_trace(product(A), d, 20, {Probe::rademacher, seed});
  });
  CHECK(coverage_z(plain) <= 4);
  const auto sketched = repeat(1000, A.trace(), t_19, [&](std::uint64_t seed) {
    return hutch_plus_plus_trace(product(A), d, 60, {Probe::rademacher, seed});
  });
  CHECK(coverage_z(sketched) <= 4);
  // Wrong: a standard error that divides by the number of all products, 60 for 20.
  const auto narrow = repeat(1000, A.trace(), t_19 / std::sqrt(3.0), [&](std::uint64_t seed) {
    return hutch_plus_plus_trace(product(A), d, 60, {Probe::rademacher, seed});
  });
  CHECK(coverage_z(narrow) >= 5);
  // Wrong: one that is half as large again.
  const auto wide = repeat(1000, A.trace(), 1.5 * t_19, [&](std::uint64_t seed) {
    return hutchinson_trace(product(A), d, 20, {Probe::rademacher, seed});
  });
  CHECK(coverage_z(wide) >= 5);
}

TEST_CASE("on a decaying spectrum Hutch++ has the smaller error at equal products, and falls as 1/products") {
  const int d = 300;
  const Eigen::MatrixXd A = symmetric(decaying(d, false), 7);
  double previous = 0;
  for (const int products : {24, 48, 96, 192}) {
    const auto plain = hutchinson_trace(product(A), d, products, {Probe::rademacher, 9});
    const auto sketched = hutch_plus_plus_trace(product(A), d, products, {Probe::rademacher, 9});
    CHECK(plain.products == products);
    CHECK(sketched.products == products);
    CHECK(test::zscore(sketched.value, A.trace(), sketched.standard_error) <= 4);
    CHECK(sketched.standard_error < 0.2 * plain.standard_error);
    // λ_i ~ i^{−2}: the rest after k has norm k^{−3/2}, over √k probes
    if (previous > 0) CHECK(sketched.standard_error < 0.5 * previous);
    previous = sketched.standard_error;
  }
}

TEST_CASE("stochastic Lanczos quadrature integrates functions of the spectrum within its standard error") {
  const int d = 150;
  Eigen::VectorXd eigenvalues(d);
  for (int i = 0; i < d; ++i) eigenvalues[i] = 0.05 + std::pow(0.95, i) * 4;
  const Eigen::MatrixXd A = symmetric(eigenvalues, 13);
  const auto density = stochastic_lanczos_quadrature(product(A), d, {.probes = 40, .steps = 40, .seed = 4});
  REQUIRE(density.finite);
  CHECK(density.products == 40 * 40);
  for (const auto& rule : density.rules) {
    CHECK(test::near(rule.weights.sum(), 1, 1e-12));
    CHECK(rule.nodes.minCoeff() >= eigenvalues.minCoeff() - 1e-12);
    CHECK(rule.nodes.maxCoeff() <= eigenvalues.maxCoeff() + 1e-12);
  }
  // The trace is Hutchinson's from the same probes, and its error too.
  const auto trace = density.moment(1), plain = hutchinson_trace(product(A), d, 40, {Probe::rademacher, 4});
  CHECK(test::near_relative(trace.value, plain.value, 1e-12));
  CHECK(test::near_relative(trace.standard_error, plain.standard_error, 1e-9));
  const auto z = [](const TraceEstimate& e, double truth) {
    return test::zscore(e.value, truth, e.standard_error);
  };
  const double square = eigenvalues.squaredNorm(), log_det = eigenvalues.array().log().sum();
  const auto squares = density.moment(2);
  const auto logarithm = density.trace_of([](double x) { return std::log(x); });
  CHECK(z(trace, eigenvalues.sum()) <= 4);
  CHECK(z(squares, square) <= 4);
  CHECK(z(logarithm, log_det) <= 4);
  CHECK(squares.standard_error < 0.1 * square);
  CHECK(logarithm.standard_error < 0.1 * std::abs(log_det));
  // The quadrature adds nothing to the probes' error: zᵀf(A)z is exact for each.
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> eigen(A);
  for (std::uint64_t p : {0, 7}) {
    const Eigen::VectorXd a = eigen.eigenvectors().transpose() * trace_probe({Probe::rademacher, 4}, p, d);
    const auto& rule = density.rules[p];
    const double exact = a.cwiseAbs2().dot(eigen.eigenvalues().array().log().matrix());
    CHECK(test::near_relative(d * rule.weights.dot(rule.nodes.array().log().matrix()), exact, 1e-6));
  }
  // Wrong: equal weights for the Ritz values; weights of first components instead of their squares.
  auto equal = density, unsquared = density;
  for (auto& rule : equal.rules) rule.weights.setConstant(1.0 / static_cast<double>(rule.nodes.size()));
  for (auto& rule : unsquared.rules) rule.weights = rule.weights.cwiseSqrt() / rule.weights.cwiseSqrt().sum();
  CHECK(test::zscore(equal.moment(2).value, square, squares.standard_error) >= 5);
  CHECK(test::zscore(unsquared.moment(2).value, square, squares.standard_error) >= 5);
  // The distribution function, halfway between eigenvalues, and the smoothed density.
  for (const int above : {10, 40, 80}) {
    const double x = 0.5 * (eigenvalues[above - 1] + eigenvalues[above]);
    const auto share = density.share_below(x);
    // Ritz values resolve the distribution to about a node's weight
    CHECK(std::abs(share.value - (d - above) / static_cast<double>(d)) <= 4 * share.standard_error + 0.05);
  }
  const Eigen::VectorXd grid = Eigen::VectorXd::LinSpaced(2001, -2, 7);
  const Eigen::VectorXd smooth = density.smoothed(grid, 0.1);
  const double step = grid[1] - grid[0];
  CHECK(test::near(smooth.sum() * step, 1, 1e-6));
  CHECK(test::near_relative(smooth.dot(grid) * step * d, trace.value, 1e-6));
  CHECK_THROWS_AS(density.smoothed(grid, 0), std::invalid_argument);
}

TEST_CASE("with as many steps as the space has dimensions the rule is the probe's spectral measure") {
  const int d = 12;
  const Eigen::VectorXd eigenvalues = Eigen::VectorXd::LinSpaced(d, -1, 3);
  const Eigen::MatrixXd A = symmetric(eigenvalues, 17);
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> eigen(A);
  const auto density = stochastic_lanczos_quadrature(product(A), d, {.probes = 3, .steps = 50, .seed = 2});
  for (std::uint64_t p = 0; p < 3; ++p) {
    REQUIRE(density.rules[p].nodes.size() == d);
    const Eigen::VectorXd a = eigen.eigenvectors().transpose() * trace_probe({Probe::rademacher, 2}, p, d);
    CHECK((density.rules[p].nodes - eigenvalues).norm() <= 1e-9);
    CHECK((density.rules[p].weights - a.cwiseAbs2() / d).norm() <= 1e-9);
  }
  // Nodes and weights survive a long run: a clustered spectrum loses orthogonality without care.
  Eigen::VectorXd clustered(200);
  for (int i = 0; i < 200; ++i) clustered[i] = i == 0 ? 1e4 : 1 + 1e-3 * (i % 7);
  const Eigen::MatrixXd C = symmetric(clustered, 18);
  const auto rules = stochastic_lanczos_quadrature(product(C), 200, {.probes = 4, .steps = 60, .seed = 2});
  for (const auto& rule : rules.rules) CHECK((rule.nodes.array() > 1e3).count() == 1);  // no ghost copies
}

TEST_CASE("in one and two dimensions, of low rank and of nothing") {
  const Eigen::MatrixXd one = Eigen::MatrixXd::Constant(1, 1, -2.5);
  CHECK(hutchinson_trace(product(one), 1, 2).value == -2.5);
  CHECK(hutch_plus_plus_trace(product(one), 1, 6).value == -2.5);
  CHECK(hutch_plus_plus_trace(product(one), 1, 6).products == 1);
  CHECK(stochastic_lanczos_quadrature(product(one), 1).moment(3).value == doctest::Approx(-15.625));

  Eigen::MatrixXd two(2, 2);
  two << 2, 1, 1, -1;
  CHECK(hutch_plus_plus_trace(product(two), 2, 6).value == 1);  // k = d: exact
  CHECK(hutch_plus_plus_trace(product(two), 2, 6).standard_error == 0);
  const auto both = stochastic_lanczos_quadrature(product(two), 2, {.probes = 200, .steps = 5, .seed = 1});
  CHECK(test::zscore(both.moment(2).value, 7, both.moment(2).standard_error) <= 4);

  const int d = 50;
  Eigen::VectorXd eigenvalues = Eigen::VectorXd::Zero(d);
  eigenvalues.head(3) << 3, -2, 1;
  const Eigen::MatrixXd low_rank = symmetric(eigenvalues, 19);
  const auto sketched = hutch_plus_plus_trace(product(low_rank), d, 12);  // a sketch of 4 holds the range
  CHECK(test::near(sketched.value, 2, 1e-12));
  CHECK(sketched.standard_error <= 1e-12);
  const auto low =
      stochastic_lanczos_quadrature(product(low_rank), d, {.probes = 60, .steps = 30, .seed = 1});
  CHECK(test::zscore(low.moment(2).value, 14, low.moment(2).standard_error) <= 4);

  const Eigen::MatrixXd nothing = Eigen::MatrixXd::Zero(d, d);
  CHECK(hutchinson_trace(product(nothing), d, 4).value == 0);
  CHECK(hutch_plus_plus_trace(product(nothing), d, 12).value == 0);
  CHECK(hutch_plus_plus_trace(product(nothing), d, 12).standard_error == 0);
  const auto zero = stochastic_lanczos_quadrature(product(nothing), d);
  CHECK(zero.finite);
  CHECK(zero.moment(1).value == 0);
  CHECK(zero.share_below(0).value == doctest::Approx(1));
}

TEST_CASE("a product that is not finite is reported, probes are addressed, impossible requests are refused") {
  const int d = 30;
  const Eigen::MatrixXd broken = Eigen::MatrixXd::Constant(d, d, std::nan(""));
  CHECK(std::isnan(hutchinson_trace(product(broken), d, 4).value));
  CHECK(std::isnan(hutch_plus_plus_trace(product(broken), d, 12).value));
  const auto density = stochastic_lanczos_quadrature(product(broken), d);
  CHECK_FALSE(density.finite);
  CHECK(std::isnan(density.moment(1).value));

  const Eigen::MatrixXd A = symmetric(decaying(d, true), 23);
  CHECK(hutchinson_trace(product(A), d, 10, {Probe::gaussian, 4}).value ==
        hutchinson_trace(product(A), d, 10, {Probe::gaussian, 4}).value);
  CHECK(hutchinson_trace(product(A), d, 10, {Probe::gaussian, 4}).value !=
        hutchinson_trace(product(A), d, 10, {Probe::gaussian, 5}).value);
  CHECK(trace_probe({}, 3, 200).head(30) == trace_probe({}, 3, 30));

  CHECK_THROWS_WITH_AS(hutchinson_trace(product(A), d, 1), "trace estimator: probes >= 2 is violated by 1",
                       std::invalid_argument);
  CHECK_THROWS_AS(hutchinson_trace(product(A), 0, 4), std::invalid_argument);
  CHECK_THROWS_AS(hutch_plus_plus_trace(product(A), d, 5), std::invalid_argument);
  CHECK_THROWS_AS(hutch_plus_plus_trace(product(A), 0, 6), std::invalid_argument);
  CHECK_THROWS_AS(stochastic_lanczos_quadrature(product(A), d, {.probes = 1}), std::invalid_argument);
  CHECK_THROWS_AS(stochastic_lanczos_quadrature(product(A), d, {.steps = 0}), std::invalid_argument);
  CHECK_THROWS_AS(stochastic_lanczos_quadrature(product(A), 0), std::invalid_argument);
}

TEST_CASE("the rule for a given vector has zᵀf(A)z, exactly for polynomials of degree 2m - 1") {
  const int d = 30;
  const Eigen::MatrixXd A = symmetric(decaying(d, true), 8);
  const Eigen::VectorXd z = 3 * trace_probe({Probe::gaussian, 4}, 0, d);
  const auto rule = lanczos_quadrature(product(A), z, 3);
  CHECK(rule.nodes.size() == 3);
  const auto value = [&](int k) {
    return z.squaredNorm() * rule.mean_of([k](double x) { return std::pow(x, k); });
  };
  Eigen::VectorXd power = z;
  for (int k = 0; k <= 6; ++k, power = (A * power).eval())
    CHECK(test::near_relative(value(k), z.dot(power), 1e-11) == (k <= 5));
  CHECK(lanczos_quadrature(product(A), z, 1000).nodes.size() <= d);
  CHECK(lanczos_quadrature(product(Eigen::MatrixXd::Identity(d, d)), z, 9).nodes.size() == 1);
  const auto empty = lanczos_quadrature(product(A / 0.0), z, 3);
  CHECK(empty.nodes.size() == 0);
  CHECK(std::isnan(empty.mean_of([](double) { return 1.0; })));
  CHECK_THROWS_AS(lanczos_quadrature(product(A), z, 0), std::invalid_argument);
  CHECK_THROWS_AS(lanczos_quadrature(product(A), Eigen::VectorXd(), 3), std::invalid_argument);
}
