#include "slowsde/problems/least_squares_model.hpp"

namespace slowsde {

void LeastSquaresModel::gradient(const Eigen::VectorXd& theta, Eigen::VectorXd& g) const {
  Eigen::VectorXd r;
  Eigen::MatrixXd J;
  residual(theta, r);
  jacobian(theta, J);
  g.noalias() = J.transpose() * r / samples();
}

void LeastSquaresModel::gram(const Eigen::VectorXd& theta, Eigen::MatrixXd& G) const {
  Eigen::MatrixXd J;
  jacobian(theta, J);
  G.noalias() = J * J.transpose() / samples();
}

void LeastSquaresModel::pull_back(const Eigen::VectorXd& theta, const Eigen::VectorXd& y,
                                  Eigen::VectorXd& out) const {
  Eigen::MatrixXd J;
  jacobian(theta, J);
  out.noalias() = J.transpose() * y;
}

void LeastSquaresModel::push_forward(const Eigen::VectorXd& theta, const Eigen::VectorXd& v,
                                     Eigen::VectorXd& out) const {
  Eigen::MatrixXd J;
  jacobian(theta, J);
  out.noalias() = J * v;
}

double LeastSquaresModel::loss(const Eigen::VectorXd& theta) const {
  Eigen::VectorXd r;
  residual(theta, r);
  return r.squaredNorm() / (2.0 * samples());
}

}  // namespace slowsde
