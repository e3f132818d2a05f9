// The double-precision faces of a network with a data set: least squares for the geometry in residual space,
// and classification by cross-entropy.
#pragma once

#include <Eigen/Core>
#include <cstdint>
#include <memory>
#include <vector>

#include "slowsde/problems/dataset.hpp"
#include "slowsde/problems/least_squares_model.hpp"
#include "slowsde/problems/network.hpp"
#include "slowsde/problems/network_derivatives.hpp"

namespace slowsde {

/// L(θ) = (1/2n) Σ_i |f(θ, x_i) − y_i|² for any network. Derivatives are a reverse pass over a truncated
/// Taylor series of matrices in the direction of differentiation; nothing of size d × d is formed. Safe for
/// several threads at once.
class NetworkModel : public LeastSquaresModel {
 public:
  /// Throws std::invalid_argument when the network's inputs and outputs are not the data's.
  NetworkModel(Network network, const Dataset& data);

  const Network& network() const;
  int dim() const override;
  int samples() const override;
  int outputs() const override;
  void residual(const Eigen::VectorXd& theta, Eigen::VectorXd& r) const override;
  void jacobian(const Eigen::VectorXd& theta, Eigen::MatrixXd& J) const override;
  void gradient(const Eigen::VectorXd& theta, Eigen::VectorXd& g) const override;
  void curvature_contraction(const Eigen::VectorXd& theta, const Eigen::MatrixXd& W,
                             Eigen::VectorXd& out) const override;
  void gram(const Eigen::VectorXd& theta, Eigen::MatrixXd& G) const override;
  void pull_back(const Eigen::VectorXd& theta, const Eigen::VectorXd& y, Eigen::VectorXd& out) const override;
  void push_forward(const Eigen::VectorXd& theta, const Eigen::VectorXd& v,
                    Eigen::VectorXd& out) const override;

  /// out = ∇²L(θ) u: (d)
  void hessian_vector_product(const Eigen::VectorXd& theta, const Eigen::VectorXd& u,
                              Eigen::VectorXd& out) const;
  /// out = ∇³L(θ)[u uᵀ]: (d)
  void third_contraction(const Eigen::VectorXd& theta, const Eigen::VectorXd& u, Eigen::VectorXd& out) const;

 private:
  struct Data;
  std::shared_ptr<const Data> data_;
};

/// L(θ) = −(1/n) Σ_i Σ_c q_ic log softmax(f(θ, x_i))_c + ½λ|θ|², with q_i = 1 at the label of sample i, or,
/// in the mean over labels that are flipped with probability p (LabelFlip), 1 − p there and p/(C−1)
/// elsewhere.
class ClassificationModel {
 public:
  /// x: (n × inputs), sample-major. Throws std::invalid_argument when sizes disagree, a label is not one of
  /// the outputs, weight_decay λ < 0, or label_flip p is no probability.
  ClassificationModel(Network network, const std::vector<double>& x, std::vector<int> labels,
                      double weight_decay = 0, double label_flip = 0, ParallelLoop loop = {});

  const Network& network() const { return derivatives_.network(); }
  int dim() const { return network().dim(); }
  int samples() const { return derivatives_.samples(); }
  int classes() const { return network().outputs(); }
  double weight_decay() const { return weight_decay_; }
  const std::vector<int>& labels() const { return labels_; }
  /// Samples per class: (classes).
  std::vector<int> class_counts() const;

  double loss(const Eigen::VectorXd& theta) const;
  void gradient(const Eigen::VectorXd& theta, Eigen::VectorXd& g) const;
  /// out = ∇²L(θ) u: (d). The passes at θ are kept from call to call while θ stays the same.
  void hessian_vector_product(const Eigen::VectorXd& theta, const Eigen::VectorXd& u,
                              Eigen::VectorXd& out) const;
  /// out = ∇³L(θ)[u uᵀ]: (d)
  void third_contraction(const Eigen::VectorXd& theta, const Eigen::VectorXd& u, Eigen::VectorXd& out) const;
  /// Samples whose largest output is their label's.
  std::int64_t correct(const Eigen::VectorXd& theta) const;

 private:
  std::vector<int> labels_;
  double weight_decay_;
  mutable NetworkDerivatives<double> derivatives_;  // a workspace, with the point that it holds
  mutable Eigen::VectorXd point_;
};

}  // namespace slowsde
