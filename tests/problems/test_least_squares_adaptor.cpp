#include "slowsde/problems/least_squares_adaptor.hpp"

#include <doctest/doctest.h>

#include <Eigen/Dense>
#include <cmath>

#include "slowsde/problems/diagonal_network.hpp"
#include "slowsde/problems/matrix_factorization.hpp"
#include "slowsde/problems/matrix_sensing.hpp"
#include "slowsde/problems/two_valleys.hpp"
#include "slowsde/problems/user_valley.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;
using Eigen::MatrixXd;
using Eigen::VectorXd;

namespace {

/// Outputs and targets only: the adaptor has to use jets instead of the reverse pass.
template <class P>
struct WithoutReversePass {
  P problem;
  int dim() const { return dimension(problem); }
  int outputs_count() const { return outputs_per_sample(problem); }
  int samples() const { return problem.samples(); }
  template <class T, class I>
  void outputs(const T* theta, const I& i, T* f) const {
    problem.outputs(theta, i, f);
  }
  template <class I, class T>
  void targets(const I& i, T* y) const {
    problem.targets(i, y);
  }
};

VectorXd scattered(int d, double phase) {
  VectorXd v(d);
  for (int j = 0; j < d; ++j) v[j] = std::sin(12.9898 * j + phase);
  return v;
}

template <class Check>
void for_problems(Check check) {
  check(UserValley<>{});
  check(TwoValleys<1>{});
  check(TwoValleys<2>{});
  check(DiagonalNetwork(SparseRegression{7, 11, 2, 5}.generate()));
  check(MatrixFactorization(RandomLowRank{4, 3, 2, 9}, 3));
  check(MatrixSensing(RandomSensing{{4, 3, 1, 9}, 6}.generate(), 2));
}

}  // namespace

TEST_CASE("the Jacobian by reverse passes, by duals and by differences is the same") {
  for_problems([](const auto& problem) {
    using P = std::decay_t<decltype(problem)>;
    static_assert(HasSampleGradient<P> && !HasSampleGradient<WithoutReversePass<P>>);
    const LeastSquaresModelOf<P> reverse(problem);
    const LeastSquaresModelOf<WithoutReversePass<P>> forward({problem});
    const int d = reverse.dim();
    CHECK(reverse.residuals() == forward.residuals());
    const VectorXd theta = scattered(d, 1);
    MatrixXd by_reverse, by_duals;
    reverse.jacobian(theta, by_reverse);
    forward.jacobian(theta, by_duals);
    REQUIRE(by_reverse.rows() == reverse.residuals());
    REQUIRE(by_reverse.cols() == d);
    CHECK((by_reverse - by_duals).cwiseAbs().maxCoeff() <= 1e-13);
    const double h = 1e-5;
    for (int j = 0; j < d; ++j) {
      VectorXd up, down;
      reverse.residual(theta + h * VectorXd::Unit(d, j), up);
      reverse.residual(theta - h * VectorXd::Unit(d, j), down);
      CHECK(((up - down) / (2 * h) - by_duals.col(j)).cwiseAbs().maxCoeff() <= 1e-8);
    }
    VectorXd g, r, own(d);
    reverse.gradient(theta, g);
    reverse.residual(theta, r);
    CHECK((g - by_duals.transpose() * r / problem.samples()).cwiseAbs().maxCoeff() <= 1e-13);
    CHECK(test::near(reverse.loss(theta), loss(problem, theta.data()), 1e-14));
  });
}

TEST_CASE(
    "the curvature contraction is Σ_a ∂(J w)_a and, with r, completes the Hessian: ∇²L = (JᵀJ + Σ r_a "
    "∇²f_a)/n") {
  for_problems([](const auto& problem) {
    using P = std::decay_t<decltype(problem)>;
    const LeastSquaresModelOf<P> reverse(problem);
    const LeastSquaresModelOf<WithoutReversePass<P>> forward({problem});
    const int d = reverse.dim(), m = reverse.residuals();
    const VectorXd theta = scattered(d, 2), u = scattered(d, 3);
    MatrixXd W(d, m);
    for (int a = 0; a < m; ++a) W.col(a) = scattered(d, 4 + a);
    VectorXd by_reverse, by_duals;
    reverse.curvature_contraction(theta, W, by_reverse);
    forward.curvature_contraction(theta, W, by_duals);
    CHECK((by_reverse - by_duals).cwiseAbs().maxCoeff() <= 1e-12);
    VectorXd difference = VectorXd::Zero(d);
    const double h = 1e-5;
    for (int a = 0; a < m; ++a) {
      MatrixXd up, down;
      reverse.jacobian(theta + h * W.col(a), up);
      reverse.jacobian(theta - h * W.col(a), down);
      difference += (up.row(a) - down.row(a)).transpose() / (2 * h);
    }
    CHECK((by_duals - difference).cwiseAbs().maxCoeff() <= 1e-8);

    MatrixXd J;
    VectorXd r, curvature;
    reverse.jacobian(theta, J);
    reverse.residual(theta, r);
    reverse.curvature_contraction(theta, u * r.transpose(), curvature);  // w_a = r_a u
    const VectorXd hessian_u = (J.transpose() * (J * u) + curvature) / problem.samples();
    CHECK((hessian_u - hessian_vector_product(problem, theta, u)).cwiseAbs().maxCoeff() <= 1e-12);
  });
}
TEST_CASE(
    "on Γ the contraction gives P_∥∇³L[M] = (2/n)P_∥ Σ_a ∇²f_a M∇f_a, and a factor 1 instead of 2 does not") {
  for_problems([](const auto& problem) {
    using P = std::decay_t<decltype(problem)>;
    const LeastSquaresModelOf<P> model(problem);
    const std::vector<double> start = problem.default_start();
    const VectorXd theta = Eigen::Map<const VectorXd>(start.data(), model.dim());
    MatrixXd J;
    VectorXd contraction;
    model.jacobian(theta, J);
    const MatrixXd A = J.transpose() * J / problem.samples();
    const MatrixXd M = A + A * A;
    model.curvature_contraction(theta, M * J.transpose(), contraction);
    const Eigen::CompleteOrthogonalDecomposition<MatrixXd> decomposition(J);
    const auto tangent = [&](const VectorXd& v) { return VectorXd(v - decomposition.solve(J * v)); };
    const VectorXd expected = tangent(third_contraction_of_matrix(problem, theta, M));
    const VectorXd by_model = tangent(contraction) / problem.samples();
    const double tolerance = 1e-10 * M.norm();
    CHECK((2 * by_model - expected).norm() <= tolerance);
    CHECK(expected.norm() > 100 * tolerance);
    CHECK((by_model - expected).norm() > 50 * tolerance);
  });
}
