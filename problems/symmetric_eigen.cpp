#include "slowsde/problems/symmetric_eigen.hpp"

#include <Eigen/Eigenvalues>
#include <utility>

namespace slowsde {

namespace {

template <int D>
void solve(int d, const double* A, double* lambda, double* V) {
  using Matrix = Eigen::Matrix<double, D, D>;
  const Eigen::SelfAdjointEigenSolver<Matrix> eigen(Matrix(Eigen::Map<const Matrix>(A, d, d)));
  Eigen::Map<Eigen::Vector<double, D>>(lambda, d) = eigen.eigenvalues();
  Eigen::Map<Matrix>(V, d, d) = eigen.eigenvectors();
}

}  // namespace

void symmetric_eigen(int d, const double* A, double* lambda, double* V) {
  const bool fixed = [&]<int... I>(std::integer_sequence<int, I...>) {
    return ((d == I + 1 && (solve<I + 1>(d, A, lambda, V), true)) || ...);
  }
  (std::make_integer_sequence<int, 8>{});
  if (!fixed) solve<Eigen::Dynamic>(d, A, lambda, V);
}

}  // namespace slowsde
