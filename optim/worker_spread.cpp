#include "slowsde/optim/worker_spread.hpp"

#include <Eigen/Eigenvalues>
#include <algorithm>
#include <cmath>
#include <limits>

#include "slowsde/problems/requirement.hpp"

namespace slowsde {
namespace {

void require(bool holds, const char* inequality, Eigen::Index value) {
  detail::require(holds, "worker spread", inequality, value);
}

/// Calls use(first, X) for consecutive rows X (≤ 512 × K) of the deviations θ_w − θ̄.
template <class Real, class Use>
void for_deviations(std::span<const Real* const> workers, Eigen::Index d, Use use) {
  const auto K = static_cast<Eigen::Index>(workers.size());
  Eigen::MatrixXd X;
  for (Eigen::Index first = 0; first < d; first += 512) {
    X.resize(std::min<Eigen::Index>(512, d - first), K);
    for (Eigen::Index w = 0; w < K; ++w)
      X.col(w) = Eigen::Map<const Eigen::Matrix<Real, Eigen::Dynamic, 1>>(
                     workers[static_cast<std::size_t>(w)] + first, X.rows())
                     .template cast<double>();
    const Eigen::VectorXd mean = X.rowwise().mean();
    X.colwise() -= mean;
    use(first, X);
  }
}

}  // namespace

template <class Real>
WorkerSpread worker_spread(std::span<const Real* const> workers, Eigen::Index d) {
  const auto K = static_cast<Eigen::Index>(workers.size());
  require(K >= 2, "K >= 2", K);
  require(d >= 1, "d >= 1", d);
  WorkerSpread spread;
  spread.workers = static_cast<int>(K);
  Eigen::MatrixXd gram = Eigen::MatrixXd::Zero(K, K);
  for_deviations(workers, d, [&](Eigen::Index, const Eigen::MatrixXd& X) { gram += X.transpose() * X; });
  gram /= static_cast<double>(K - 1);
  spread.trace = gram.trace();
  spread.top_direction.setZero(d);
  if (!std::isfinite(spread.trace)) {
    spread.trace = spread.top_eigenvalue = std::numeric_limits<double>::quiet_NaN();
    return spread;
  }
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> eigen(gram);
  spread.eigenvalues = eigen.eigenvalues().reverse().head(std::min(K - 1, d)).cwiseMax(0);
  spread.top_eigenvalue = spread.eigenvalues[0];
  if (spread.top_eigenvalue == 0) return spread;
  const Eigen::VectorXd u = eigen.eigenvectors().col(K - 1);
  for_deviations(workers, d, [&](Eigen::Index first, const Eigen::MatrixXd& X) {
    spread.top_direction.segment(first, X.rows()) = X * u;
  });
  spread.top_direction.normalize();
  return spread;
}

template <class Real>
double variance_along(std::span<const Real* const> workers, const Eigen::VectorXd& v) {
  const auto K = static_cast<Eigen::Index>(workers.size());
  require(K >= 2, "K >= 2", K);
  Eigen::VectorXd along = Eigen::VectorXd::Zero(K);
  for_deviations(workers, v.size(), [&](Eigen::Index first, const Eigen::MatrixXd& X) {
    along += X.transpose() * v.segment(first, X.rows());
  });
  return along.squaredNorm() / static_cast<double>(K - 1);
}

template WorkerSpread worker_spread<float>(std::span<const float* const>, Eigen::Index);
template WorkerSpread worker_spread<double>(std::span<const double* const>, Eigen::Index);
template double variance_along<float>(std::span<const float* const>, const Eigen::VectorXd&);
template double variance_along<double>(std::span<const double* const>, const Eigen::VectorXd&);

}  // namespace slowsde
