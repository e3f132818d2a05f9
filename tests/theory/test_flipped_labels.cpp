// ctest-labels: theory
// Classification with flipped labels: at the minimum of the cross-entropy the covariance of one sample's
// gradient is the Hessian, Σ = ∇²L, so that the label-noise theory holds with σ² = 1 (Gu et al. 2023, the
// setting of its CIFAR-10 experiments).
#include <doctest/doctest.h>

#include <Eigen/Dense>
#include <cmath>

#include "slowsde/problems/derivatives.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;

namespace {

constexpr int classes = 10;

/// The mean cross-entropy of free logits θ when the label is flipped with probability p to a class drawn
/// uniformly from the others.
struct FlippedLabels {
  static constexpr int dim = classes;
  double p = 0.1;

  double probability(int c) const { return c == 0 ? 1 - p : p / (classes - 1); }
  template <class T>
  T cross_entropy(const T* theta, int label) const {
    using std::exp;
    using std::log;
    T sum(0.0);
    for (int c = 0; c < classes; ++c) sum = sum + exp(theta[c]);
    return log(sum) - theta[label];
  }
  template <class T>
  T loss(const T* theta) const {
    T mean(0.0);
    for (int c = 0; c < classes; ++c) mean = mean + probability(c) * cross_entropy(theta, c);
    return mean;
  }
};

/// One label's cross-entropy.
struct OneLabel {
  static constexpr int dim = classes;
  FlippedLabels problem;
  int label;
  template <class T>
  T loss(const T* theta) const {
    return problem.cross_entropy(theta, label);
  }
};

Eigen::MatrixXd gradient_covariance(const FlippedLabels& problem, const Eigen::VectorXd& theta) {
  Eigen::VectorXd mean = Eigen::VectorXd::Zero(classes), g(classes);
  Eigen::MatrixXd second = Eigen::MatrixXd::Zero(classes, classes);
  for (int c = 0; c < classes; ++c) {
    gradient(OneLabel{problem, c}, theta.data(), g.data());
    mean += problem.probability(c) * g;
    second += problem.probability(c) * (g * g.transpose());
  }
  return second - mean * mean.transpose();
}

}  // namespace

TEST_CASE("flipped labels: the least loss is the labels' entropy and Σ = ∇²L there, not elsewhere") {
  const FlippedLabels problem;
  Eigen::VectorXd minimum(classes);
  for (int c = 0; c < classes; ++c) minimum[c] = std::log(problem.probability(c));

  const double p = problem.p, entropy = -(1 - p) * std::log(1 - p) - p * std::log(p / (classes - 1));
  CHECK(test::near(loss(problem, minimum.data()), entropy, 1e-14));
  CHECK(test::near(entropy, 0.5448054, 1e-7));
  Eigen::VectorXd g(classes);
  gradient(problem, minimum.data(), g.data());
  CHECK(g.norm() <= 1e-14);
  const Eigen::MatrixXd H = hessian(problem, minimum), S = gradient_covariance(problem, minimum);
  CHECK((S - H).norm() <= 1e-13 * H.norm());

  // Wrong: the noise of a label drawn uniformly from all classes, and Σ = ∇²L away from the minimum.
  CHECK(!((S * (classes - 1.0) / classes - H).norm() <= 1e-2 * H.norm()));
  Eigen::VectorXd off = minimum;
  off[0] += 0.5;
  CHECK(!((gradient_covariance(problem, off) - hessian(problem, off)).norm() <= 1e-2 * H.norm()));
}
