#include "slowsde/problems/least_squares_model.hpp"

namespace slowsde {

void LeastSquaresModel::gradient(const Eigen::VectorXd& theta, Eigen::VectorXd& g) const {
  Eigen::VectorXd r;
  Eigen::MatrixXd J;
  residual(theta, r);
  jacobian(theta, J);
  g.noalias() = J.transpose() * r / samples();
}

double LeastSquaresModel::loss(const Eigen::VectorXd& theta) const {
  Eigen::VectorXd r;
  residual(theta, r);
  return r.squaredNorm() / (2.0 * samples());
}

}  // namespace slowsde
