#include "slowsde/problems/matrix_factorization.hpp"

#include <doctest/doctest.h>

#include <Eigen/Dense>
#include <cmath>
#include <stdexcept>

#include "slowsde/problems/derivatives.hpp"
#include "slowsde/problems/least_squares_adaptor.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;
using RowMatrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

TEST_CASE("tr 𝓗 = q|U|² + p|V|² is least, 2√(pq)|M|_*, exactly where q·UᵀU = p·VᵀV") {
  const int p = 6, q = 4, r = 4;
  const MatrixFactorization problem(RandomLowRank{p, q, 3, 7}, r);
  const Eigen::MatrixXd M = Eigen::Map<const RowMatrix>(problem.matrix().data(), p, q);
  const Eigen::JacobiSVD<Eigen::MatrixXd> svd(M, Eigen::ComputeThinU | Eigen::ComputeThinV);
  const Eigen::VectorXd root = svd.singularValues().cwiseSqrt();
  CHECK(svd.rank() == 3);
  const double least = 2 * std::sqrt(24.0) * svd.singularValues().sum();
  CHECK(test::near_relative(problem.least_trace(), least, 1e-13));
  const auto point = [&](const RowMatrix& U, const RowMatrix& V) {
    Eigen::VectorXd theta(problem.dim());
    theta << Eigen::Map<const Eigen::VectorXd>(U.data(), U.size()),
        Eigen::Map<const Eigen::VectorXd>(V.data(), V.size());
    return theta;
  };
  const double balance = std::pow(static_cast<double>(p) / q, 0.25);  // q·UᵀU = p·VᵀV
  const RowMatrix U = balance * svd.matrixU() * root.asDiagonal();
  const RowMatrix V = svd.matrixV() * root.asDiagonal() / balance;
  const Eigen::VectorXd balanced = point(U, V);
  CHECK(loss(problem, balanced.data()) <= 1e-26);
  CHECK(test::near_relative(problem.trace_on_manifold(balanced.data()), least, 1e-13));
  CHECK(test::near_relative(hessian(problem, balanced).trace(), least, 1e-12));
  // Other points of Γ, (U A, V A^{-T}): all sharper, by second order in the distance from an orthogonal A.
  for (const double t : {1e-2, 0.3}) {
    Eigen::Matrix4d A = Eigen::Matrix4d::Identity();
    A(0, 1) = t;
    A(2, 2) += 0.5 * t;
    const Eigen::VectorXd other = point(U * A, V * A.inverse().transpose());
    CHECK(loss(problem, other.data()) <= 1e-24);
    const double excess = problem.trace_on_manifold(other.data()) / least - 1;
    CHECK(excess > 1e-2 * t * t);
    CHECK(excess < t * t);
  }
  // UᵀU = VᵀV, the balance of the plain norm, is not least for p ≠ q.
  const Eigen::VectorXd plain = point(U / balance, V * balance);
  CHECK(problem.trace_on_manifold(plain.data()) > 1.01 * least);
  const std::vector<double> start = problem.default_start();
  CHECK(loss(problem, start.data()) <= 1e-26);
  CHECK(problem.trace_on_manifold(start.data()) > 1.2 * least);
}

TEST_CASE("𝓗 has rank pq − (p − rank U)(q − rank V)") {
  const auto rank = [](const MatrixFactorization& problem) {
    const std::vector<double> start = problem.default_start();
    Eigen::MatrixXd J;
    LeastSquaresModelOf<MatrixFactorization>(problem).jacobian(
        Eigen::Map<const Eigen::VectorXd>(start.data(), problem.dim()), J);
    return Eigen::JacobiSVD<Eigen::MatrixXd>(J).rank();
  };
  CHECK(rank(MatrixFactorization(RandomLowRank{6, 4, 4, 1}, 4)) == 24);
  CHECK(rank(MatrixFactorization(RandomLowRank{6, 4, 2, 1}, 4)) == 24);          // V keeps rank 4
  CHECK(rank(MatrixFactorization(RandomLowRank{6, 4, 2, 1}, 2)) == 24 - 4 * 2);  // both of rank 2
  CHECK(rank(MatrixFactorization(RandomLowRank{4, 6, 2, 1}, 7)) == 24);
}

TEST_CASE("impossible factorizations are refused") {
  CHECK_THROWS_WITH_AS((RandomLowRank{3, 2, 3, 1}.generate()),
                       "random low-rank matrix: rank <= min(rows, cols) is violated by 3",
                       std::invalid_argument);
  CHECK_THROWS_AS((RandomLowRank{0, 2, 1, 1}.generate()), std::invalid_argument);
  CHECK_THROWS_WITH_AS((MatrixFactorization(RandomLowRank{4, 3, 3, 1}, 2)),
                       "matrix factorization: inner >= rank is violated by 2", std::invalid_argument);
  CHECK_THROWS_AS((MatrixFactorization({1.0, 2.0, 3.0}, 2, 2, 1)), std::invalid_argument);
  CHECK_THROWS_AS((MatrixFactorization({1.0, 0.0, 0.0, 1.0}, 2, 2, 1).default_start()),
                  std::invalid_argument);
}
