#include "slowsde/problems/covariance_factor.hpp"

#include <Eigen/Eigenvalues>
#include <cmath>

#include "slowsde/problems/requirement.hpp"

namespace slowsde {

std::vector<double> covariance_factor(const std::vector<double>& sigma, int d) {
  using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  using detail::require;
  const char* owner = "covariance";
  require(d >= 1, owner, "dimension >= 1", d);
  require(sigma.size() == static_cast<std::size_t>(d) * static_cast<std::size_t>(d), owner,
          "number of entries = dimension^2", sigma.size());
  for (const double entry : sigma) require(std::isfinite(entry), owner, "|entry| < infinity", entry);
  const Eigen::Map<const Matrix> A(sigma.data(), d, d);
  const double asymmetry = (A - A.transpose()).cwiseAbs().maxCoeff();
  require(asymmetry <= 1e-14 * A.cwiseAbs().maxCoeff(), owner, "Sigma = Sigma^T", asymmetry);
  const Eigen::SelfAdjointEigenSolver<Matrix> eigen(A, Eigen::EigenvaluesOnly);
  const double least = eigen.eigenvalues()[0], largest = eigen.eigenvalues()[d - 1];
  require(least >= -1e-14 * d * largest, owner, "Sigma positive semidefinite (least eigenvalue >= 0)", least);

  // Cholesky column by column. A pivot that is zero to rounding belongs to a direction without noise of its
  // own: positive semidefiniteness makes the rest of its column zero too.
  std::vector<double> factor(sigma.size(), 0.0);
  Eigen::Map<Matrix> S(factor.data(), d, d);
  for (int j = 0; j < d; ++j) {
    const double pivot = A(j, j) - S.row(j).head(j).squaredNorm();
    if (!(pivot > 4e-16 * A(j, j))) continue;
    S(j, j) = std::sqrt(pivot);
    for (int i = j + 1; i < d; ++i) S(i, j) = (A(i, j) - S.row(i).head(j).dot(S.row(j).head(j))) / S(j, j);
  }
  return factor;
}

}  // namespace slowsde
