// The covariance of one sample's gradient as a dense matrix, for any problem and any noise.
#pragma once

#include <Eigen/Core>
#include <vector>

#include "slowsde/problems/derivatives.hpp"
#include "slowsde/problems/least_squares_adaptor.hpp"
#include "slowsde/problems/noise.hpp"
#include "slowsde/problems/requirement.hpp"

namespace slowsde {

/// Σ(θ) as defined with NoiseKind: (d × d). Throws std::invalid_argument where the problem has no such noise:
/// label and minibatch noise need least squares, Gaussian noise a `noise_factor`.
template <Problem P>
Eigen::MatrixXd noise_covariance(const P& problem, const GradientNoise& noise, const Eigen::VectorXd& theta) {
  const int d = dimension(problem);
  if (noise.kind == NoiseKind::gaussian) {
    if constexpr (GaussianNoiseProblem<P>) {
      Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> S(d, P::noise_dim);
      problem.noise_factor(theta.data(), S.data());
      return S * S.transpose();
    } else {
      throw std::invalid_argument("gaussian noise: this problem has no noise_factor");
    }
  } else {
    if constexpr (LeastSquaresProblem<P>) {
      const LeastSquaresModelOf<P> model(problem);
      const int n = model.samples(), C = model.outputs();
      Eigen::MatrixXd J;
      Eigen::VectorXd r;
      model.jacobian(theta, J);
      model.residual(theta, r);
      Eigen::MatrixXd g(d, n);  // one column per sample: J_iᵀr_i
      for (int i = 0; i < n; ++i) g.col(i) = J.middleRows(i * C, C).transpose() * r.segment(i * C, C);
      g.colwise() -= Eigen::VectorXd(g.rowwise().mean());
      Eigen::MatrixXd sum = noise.label_sigma * noise.label_sigma * (J.transpose() * J);
      if (noise.kind == NoiseKind::minibatch) sum += g * g.transpose();
      return sum / n;
    } else {
      throw std::invalid_argument("label and minibatch noise: this problem is not least squares");
    }
  }
}

}  // namespace slowsde
