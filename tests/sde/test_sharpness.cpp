#include "slowsde/sde/sharpness.hpp"

#include <doctest/doctest.h>

#include <Eigen/Dense>

#include "slowsde/problems/derivatives.hpp"
#include "slowsde/problems/random_address.hpp"
#include "tests/support/manifold_problems.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;

namespace {

/// A symmetric matrix with the given eigenvalues in a random orthonormal basis.
Eigen::MatrixXd symmetric(const Eigen::VectorXd& eigenvalues, std::uint64_t seed) {
  const auto d = eigenvalues.size();
  Eigen::MatrixXd g(d, d);
  for (Eigen::Index i = 0; i < d * d; ++i)
    g(i / d, i % d) = normal_at(seed, Stream::initial, 0, 0, static_cast<std::uint64_t>(i));
  const Eigen::MatrixXd q = Eigen::HouseholderQR<Eigen::MatrixXd>(g).householderQ();
  return q * eigenvalues.asDiagonal() * q.transpose();
}

HessianVectorProduct product(const Eigen::MatrixXd& H) {
  return [&H](const Eigen::VectorXd& u, Eigen::VectorXd& out) { out = H * u; };
}

/// f = (uv, 2uv²) in the parameters (u, v), one sample with two outputs, targets zero.
class TwoOutputs final : public LeastSquaresModel {
 public:
  int dim() const override { return 2; }
  int samples() const override { return 1; }
  int outputs() const override { return 2; }
  void residual(const Eigen::VectorXd& z, Eigen::VectorXd& r) const override {
    r.resize(2);
    r << z[0] * z[1], 2 * z[0] * z[1] * z[1];
  }
  void jacobian(const Eigen::VectorXd& z, Eigen::MatrixXd& J) const override {
    J.resize(2, 2);
    J << z[1], z[0], 2 * z[1] * z[1], 4 * z[0] * z[1];
  }
  void curvature_contraction(const Eigen::VectorXd&, const Eigen::MatrixXd&,
                             Eigen::VectorXd& out) const override {
    out = Eigen::VectorXd::Zero(2);
  }
};

}  // namespace

TEST_CASE("trace, spectrum and λ_max of a matrix with known eigenvalues") {
  for (int d : {1, 2, 3, 12, 150}) {
    Eigen::VectorXd eigenvalues(d);
    for (int i = 0; i < d; ++i) eigenvalues[i] = i < d / 2 ? 0 : 0.01 * std::pow(1.06, i) - 0.02;
    eigenvalues[0] = -5;  // a large negative eigenvalue is not the largest
    const Eigen::MatrixXd H = symmetric(eigenvalues, 1);
    const auto hvp = product(H);
    CHECK(test::near(exact_trace(hvp, d), eigenvalues.sum(), 1e-12));
    std::sort(eigenvalues.begin(), eigenvalues.end());
    CHECK((spectrum(hvp, d) - eigenvalues).norm() <= 1e-12);
    const auto top = largest_eigenvalue(hvp, d);
    REQUIRE(top.converged);
    CHECK(test::near(top.value, eigenvalues[d - 1], 1e-9));
    CHECK(top.residual <= 1e-8);
    CHECK((H * top.vector - top.value * top.vector).norm() <= 1e-8);
    CHECK(test::near(top.vector.norm(), 1, 1e-12));
    CHECK(top.products <= std::max(3, 40 * d));
    if (d == 150) CHECK(top.products < d);
  }
}

TEST_CASE("λ_max of nothing is zero, and a hopeless spectrum is reported as not converged") {
  for (int d : {5, 50}) {
    const Eigen::MatrixXd nothing = Eigen::MatrixXd::Zero(d, d);
    const auto zero = largest_eigenvalue(product(nothing), d);
    CHECK(zero.converged);
    CHECK(zero.value == 0);
    const Eigen::MatrixXd broken = Eigen::MatrixXd::Constant(d, d, std::nan(""));
    CHECK_FALSE(largest_eigenvalue(product(broken), d).converged);
  }
  // Three nonzero eigenvalues: the Krylov space is exhausted before the basis is full.
  Eigen::VectorXd few = Eigen::VectorXd::Zero(150);
  few.tail(3) << 1, 2, 3;
  const Eigen::MatrixXd low_rank = symmetric(few, 6);
  CHECK(test::near(largest_eigenvalue(product(low_rank), 150).value, 3, 1e-10));
  // Eigenvalues 1 − 1e-7 i²: one restart of three vectors cannot tell them apart.
  Eigen::VectorXd eigenvalues(400);
  for (int i = 0; i < 400; ++i) eigenvalues[i] = 1 - 1e-7 * i * i;
  LanczosOptions options;
  options.max_restarts = 1;
  options.basis_size = 3;
  const Eigen::MatrixXd H = symmetric(eigenvalues, 2);
  const auto top = largest_eigenvalue(product(H), 400, options);
  CHECK_FALSE(top.converged);
  CHECK(std::isnan(top.value));
  options.basis_size = 2;
  CHECK_THROWS_WITH_AS(largest_eigenvalue(product(H), 400, options),
                       "sharpness: basis_size >= 3 is violated by 2", std::invalid_argument);
}

TEST_CASE("on a problem the products are those of its jets, and on Γ the trace is ‖J‖²/n") {
  const test::CurvedValleyForTest problem;
  const Eigen::VectorXd x = Eigen::Vector2d(-0.7, 0.245);
  const HessianVectorProduct hvp = [&](const Eigen::VectorXd& u, Eigen::VectorXd& out) {
    out = hessian_vector_product(problem, x, u);
  };
  const double expected = (2 + std::sin(-0.7)) * 1.49;  // a(1 + b'²)
  CHECK(test::near(exact_trace(hvp, 2), expected, 1e-14));
  CHECK(test::near(largest_eigenvalue(hvp, 2).value, expected, 1e-12));
  // u = 0: J = ((v, 0), (2v², 0))
  const double v = 0.6;
  CHECK(
      test::near(interpolator_trace(TwoOutputs(), Eigen::Vector2d(0, v)), v * v + 4 * v * v * v * v, 1e-15));
}

TEST_CASE("the k largest eigenvalues are those of the dense matrix, repeated as often as they occur") {
  for (const int d : {1, 2, 5, 90, 150}) {
    Eigen::VectorXd eigenvalues(d);
    for (int i = 0; i < d; ++i) eigenvalues[i] = 3 * std::pow(0.9, i / 3) - 1;  // threefold, some negative
    const Eigen::MatrixXd H = symmetric(eigenvalues, 11);
    for (const int k : {1, 2, 7}) {
      if (k > d) continue;
      CAPTURE(d);
      CAPTURE(k);
      const auto top = largest_eigenvalues(product(H), d, k);
      REQUIRE(top.converged);
      CHECK((top.values - eigenvalues.head(k)).norm() <= 1e-8);
      CHECK(top.residuals.maxCoeff() <= 1e-7);
      CHECK((H * top.vectors - top.vectors * top.values.asDiagonal()).norm() <= 1e-7);
      CHECK((top.vectors.transpose() * top.vectors - Eigen::MatrixXd::Identity(k, k)).norm() <= 1e-7);
      if (k == 1) CHECK(test::near(top.values[0], largest_eigenvalue(product(H), d).value, 1e-10));
    }
  }
}

TEST_CASE("eigenvalues that one Krylov space cannot hold are found all the same") {
  // A multiple of the identity in each of three blocks: every Krylov space has three dimensions.
  const int d = 60;
  Eigen::VectorXd eigenvalues = Eigen::VectorXd::Constant(d, -1);
  eigenvalues.head(4).setConstant(5);
  eigenvalues.segment(4, 30).setConstant(2);
  const Eigen::MatrixXd H = eigenvalues.asDiagonal();
  const auto top = largest_eigenvalues(product(H), d, 6);
  REQUIRE(top.converged);
  CHECK((top.values - eigenvalues.head(6)).norm() <= 1e-9);
  // Rank 2, zero, and no finite product.
  Eigen::VectorXd few = Eigen::VectorXd::Zero(d);
  few.head(2) << 4, 3;
  const Eigen::MatrixXd low_rank = symmetric(few, 12);
  const auto low = largest_eigenvalues(product(low_rank), d, 4);
  REQUIRE(low.converged);
  CHECK((low.values - few.head(4)).norm() <= 1e-9);
  const Eigen::MatrixXd nothing = Eigen::MatrixXd::Zero(d, d);
  const auto zero = largest_eigenvalues(product(nothing), d, 3);
  CHECK(zero.converged);
  CHECK(zero.values.isZero(0));
  const Eigen::MatrixXd broken = Eigen::MatrixXd::Constant(d, d, std::nan(""));
  const auto none = largest_eigenvalues(product(broken), d, 3);
  CHECK_FALSE(none.converged);
  CHECK(std::isnan(none.values[0]));
  CHECK_THROWS_WITH_AS(largest_eigenvalues(product(H), d, 0), "sharpness: 1 <= k <= d is violated by 0",
                       std::invalid_argument);
  CHECK_THROWS_AS(largest_eigenvalues(product(H), d, d + 1), std::invalid_argument);
}
