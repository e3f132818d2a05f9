// Higher derivatives of a problem that was written once: Hessian-vector product and contractions of the third
// derivative, by jets over its gradient.
#pragma once

#include <Eigen/Core>
#include <cmath>
#include <vector>

#include "slowsde/problems/gradient.hpp"
#include "slowsde/problems/jet.hpp"
#include "slowsde/problems/problem.hpp"
#include "slowsde/problems/symmetric_eigen.hpp"

namespace slowsde {
namespace detail {

/// Coefficient N of the Taylor series of ∇L along θ + s·u, times N!.
template <int N, Problem P>
Eigen::VectorXd directional_gradient(const P& problem, const Eigen::VectorXd& theta,
                                     const Eigen::VectorXd& u) {
  using T = Taylor<double, N>;
  const auto d = static_cast<std::size_t>(dimension(problem));
  std::vector<T> x(d), g(d);
  for (std::size_t j = 0; j < d; ++j)
    x[j] = T::line(theta[static_cast<Eigen::Index>(j)], u[static_cast<Eigen::Index>(j)]);
  gradient(problem, x.data(), g.data());
  Eigen::VectorXd result(static_cast<Eigen::Index>(d));
  for (std::size_t j = 0; j < d; ++j) result[static_cast<Eigen::Index>(j)] = g[j].derivative(N);
  return result;
}

}  // namespace detail

/// ∇²L(θ)·u: (d).
template <Problem P>
Eigen::VectorXd hessian_vector_product(const P& problem, const Eigen::VectorXd& theta,
                                       const Eigen::VectorXd& u) {
  return detail::directional_gradient<1>(problem, theta, u);
}

/// ∇²L(θ): (d × d), symmetric to the last bit.
template <Problem P>
Eigen::MatrixXd hessian(const P& problem, const Eigen::VectorXd& theta) {
  const int d = dimension(problem);
  Eigen::MatrixXd result(d, d);
  for (int j = 0; j < d; ++j)
    result.col(j) = hessian_vector_product(problem, theta, Eigen::VectorXd::Unit(d, j));
  return 0.5 * (result + result.transpose()).eval();
}

/// ∇³L(θ)[u, u]: (d).
template <Problem P>
Eigen::VectorXd third_contraction(const P& problem, const Eigen::VectorXd& theta, const Eigen::VectorXd& u) {
  return detail::directional_gradient<2>(problem, theta, u);
}

/// ∇³L(θ)[M] with entries Σ_jk ∂_ijk L·M_jk, for symmetric M: (d × d). One Taylor sweep per eigenvector of M
/// whose eigenvalue is not negligible (relative threshold 1e-16).
template <Problem P>
Eigen::VectorXd third_contraction_of_matrix(const P& problem, const Eigen::VectorXd& theta,
                                            const Eigen::MatrixXd& M) {
  Eigen::VectorXd mu(M.rows());
  Eigen::MatrixXd V(M.rows(), M.cols());
  symmetric_eigen(static_cast<int>(M.rows()), M.data(), mu.data(), V.data());
  const double least = 1e-16 * mu.cwiseAbs().maxCoeff();
  Eigen::VectorXd result = Eigen::VectorXd::Zero(theta.size());
  for (Eigen::Index k = 0; k < theta.size(); ++k)
    if (std::abs(mu[k]) > least)
      result += mu[k] * third_contraction(problem, theta, Eigen::VectorXd(V.col(k)));
  return result;
}

}  // namespace slowsde
