#include "slowsde/problems/accuracy.hpp"

#include <doctest/doctest.h>

#include <limits>
#include <stdexcept>

using namespace slowsde;

namespace {

// Outputs that are the parameters themselves: f_ic = θ_{iC+c}.
class Identity final : public LeastSquaresModel {
 public:
  Identity(int n, int C, std::vector<double> y) : n_(n), C_(C), y_(std::move(y)) {}
  int dim() const override { return n_ * C_; }
  int samples() const override { return n_; }
  int outputs() const override { return C_; }
  void residual(const Eigen::VectorXd& theta, Eigen::VectorXd& r) const override {
    r = theta - Eigen::Map<const Eigen::VectorXd>(y_.data(), dim());
  }
  void jacobian(const Eigen::VectorXd&, Eigen::MatrixXd& J) const override {
    J = Eigen::MatrixXd::Identity(dim(), dim());
  }
  void curvature_contraction(const Eigen::VectorXd&, const Eigen::MatrixXd&,
                             Eigen::VectorXd& out) const override {
    out = Eigen::VectorXd::Zero(dim());
  }

 private:
  int n_, C_;
  std::vector<double> y_;
};

}  // namespace

TEST_CASE("accuracy is the share of samples whose largest output is the right one") {
  const std::vector<double> y = {1, 0, 0, /**/ 0, 0, 1, /**/ 0, 1, 0, /**/ 1, 0, 0};
  const Identity model(4, 3, y);
  Eigen::VectorXd f(12);
  f << 0.5, 0.4, 0.3, /**/ -3, -2, -1, /**/ 0.9, 0.8, 0, /**/ 0, 0, 0.1;
  CHECK(accuracy(model, y, f) == 0.5);
  f[10] = 2;  // still wrong
  CHECK(accuracy(model, y, f) == 0.5);
  f[9] = 3;
  CHECK(accuracy(model, y, f) == 0.75);
  f[0] = f[1];  // of equals the first counts
  CHECK(accuracy(model, y, f) == 0.75);
  CHECK(accuracy(model, y, Eigen::Map<const Eigen::VectorXd>(y.data(), 12)) == 1);
}

TEST_CASE("an output that is not finite is never a hit") {
  const std::vector<double> y = {1, 0};
  const Identity model(1, 2, y);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(accuracy(model, y, Eigen::Vector2d(nan, -1)) == 0);
  CHECK(accuracy(model, y, Eigen::Vector2d(nan, nan)) == 0);
  CHECK(accuracy(model, y, Eigen::Vector2d(-1, nan)) == 1);
}

TEST_CASE("targets of another size are refused") {
  const Identity model(1, 2, {1, 0});
  CHECK_THROWS_AS(accuracy(model, {1, 0, 0}, Eigen::Vector2d(1, 0)), std::invalid_argument);
}
