#include "slowsde/problems/matrix_factorization.hpp"

#include <Eigen/SVD>
#include <algorithm>
#include <cmath>
#include <utility>

#include "slowsde/problems/random_address.hpp"
#include "slowsde/problems/requirement.hpp"

namespace slowsde {
namespace {

using RowMatrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

std::size_t size(int i) { return static_cast<std::size_t>(i); }

// A (rows × rank) matrix of standard normals: worker `part` of the stream of starts.
RowMatrix normal_matrix(int rows, int rank, std::uint64_t seed, std::uint32_t part) {
  RowMatrix A(rows, rank);
  for (Eigen::Index k = 0; k < A.size(); ++k)
    A.data()[k] = normal_at(seed, Stream::initial, 0, part, static_cast<std::uint64_t>(k));
  return A;
}

}  // namespace

void RandomLowRank::check() const {
  using detail::require;
  require(rows >= 1, "random low-rank matrix", "rows >= 1", rows);
  require(cols >= 1, "random low-rank matrix", "cols >= 1", cols);
  require(rank >= 1, "random low-rank matrix", "rank >= 1", rank);
  require(rank <= std::min(rows, cols), "random low-rank matrix", "rank <= min(rows, cols)", rank);
}

std::vector<double> RandomLowRank::generate() const {
  check();
  std::vector<double> matrix(size(rows) * size(cols));
  Eigen::Map<RowMatrix> M(matrix.data(), rows, cols);
  M = normal_matrix(rows, rank, seed, 0) * normal_matrix(cols, rank, seed, 1).transpose() / std::sqrt(rank);
  return matrix;
}

MatrixFactorization::MatrixFactorization(const RandomLowRank& recipe, int inner)
    : MatrixFactorization(recipe.generate(), recipe.rows, recipe.cols, inner) {
  detail::require(inner >= recipe.rank, "matrix factorization", "inner >= rank", inner);
}

MatrixFactorization::MatrixFactorization(std::vector<double> matrix, int rows, int cols, int inner)
    : matrix_(std::move(matrix)), p_(rows), q_(cols), r_(inner) {
  using detail::require;
  require(p_ >= 1, "matrix factorization", "rows >= 1", p_);
  require(q_ >= 1, "matrix factorization", "cols >= 1", q_);
  require(r_ >= 1, "matrix factorization", "inner >= 1", r_);
  require(matrix_.size() == size(p_) * size(q_), "matrix factorization", "number of entries = rows * cols",
          matrix_.size());
}

double MatrixFactorization::least_trace() const {
  const Eigen::MatrixXd M = Eigen::Map<const RowMatrix>(matrix_.data(), p_, q_);
  return 2 * std::sqrt(static_cast<double>(p_) * q_) *
         Eigen::JacobiSVD<Eigen::MatrixXd>(M).singularValues().sum();
}

std::vector<double> MatrixFactorization::default_start() const {
  const Eigen::MatrixXd M = Eigen::Map<const RowMatrix>(matrix_.data(), p_, q_);
  const Eigen::JacobiSVD<Eigen::MatrixXd> svd(M, Eigen::ComputeFullU | Eigen::ComputeFullV);
  const Eigen::VectorXd& s = svd.singularValues();
  const int rank = static_cast<int>(svd.rank());
  detail::require(r_ >= rank, "matrix factorization", "inner >= rank", r_);
  std::vector<double> theta(size(dim()), 0.0);
  Eigen::Map<RowMatrix> U(theta.data(), p_, r_), V(theta.data() + p_ * r_, q_, r_);
  for (int l = 0; l < std::min(r_, q_); ++l) {
    if (l < rank) {
      const double unbalance = l % 2 == 0 ? 2.0 : 0.5;
      U.col(l) = svd.matrixU().col(l) * (std::sqrt(s[l]) * unbalance);
      V.col(l) = svd.matrixV().col(l) * (std::sqrt(s[l]) / unbalance);
    } else {
      V.col(l) = svd.matrixV().col(l) * std::sqrt(std::max(s[0], 1e-300));
    }
  }
  return theta;
}

}  // namespace slowsde
