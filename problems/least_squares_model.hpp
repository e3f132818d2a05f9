// The double-precision face of a least-squares problem, from which the residual-space (Gram) geometry, Φ and
// the networks' predictions are computed without ever forming a d × d matrix.
#pragma once

#include <Eigen/Core>

namespace slowsde {

/// L(θ) = (1/2n) Σ_i Σ_c r_ic², r = f − y. Residuals are stored sample-major: index a = i·C + c, nC of them.
class LeastSquaresModel {
 public:
  virtual ~LeastSquaresModel() = default;
  virtual int dim() const = 0;      ///< d
  virtual int samples() const = 0;  ///< n
  virtual int outputs() const = 0;  ///< C
  int residuals() const { return samples() * outputs(); }

  virtual void residual(const Eigen::VectorXd& theta, Eigen::VectorXd& r) const = 0;  ///< r: (nC)
  virtual void jacobian(const Eigen::VectorXd& theta, Eigen::MatrixXd& J) const = 0;  ///< J: (nC × d)

  /// g = Jᵀr/n: (d). Overridden where a reverse pass is cheaper than J.
  virtual void gradient(const Eigen::VectorXd& theta, Eigen::VectorXd& g) const;

  /// out = Σ_a ∇²f_a(θ) w_a: (d), with w_a the columns of W: (d × nC). On Γ, where r = 0,
  /// P_∥∇³L[M] = (2/n) P_∥ Σ_a ∇²f_a M∇f_a, so this is all of the third derivative that a slow drift needs.
  virtual void curvature_contraction(const Eigen::VectorXd& theta, const Eigen::MatrixXd& W,
                                     Eigen::VectorXd& out) const = 0;

  /// Products with J that need not form it where the model knows better; by default they do.
  virtual void gram(const Eigen::VectorXd& theta, Eigen::MatrixXd& G) const;  ///< G = JJᵀ/n: (nC × nC)
  virtual void pull_back(const Eigen::VectorXd& theta, const Eigen::VectorXd& y,
                         Eigen::VectorXd& out) const;  ///< Jᵀy: (d)
  virtual void push_forward(const Eigen::VectorXd& theta, const Eigen::VectorXd& v,
                            Eigen::VectorXd& out) const;  ///< Jv: (nC)

  double loss(const Eigen::VectorXd& theta) const;  ///< L = |r|²/2n
};

}  // namespace slowsde
