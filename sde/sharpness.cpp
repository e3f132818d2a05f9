#include "slowsde/sde/sharpness.hpp"

#include <Spectra/SymEigsSolver.h>

#include <Eigen/Eigenvalues>
#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "slowsde/problems/random_address.hpp"
#include "slowsde/problems/requirement.hpp"

namespace slowsde {
namespace {

void require(bool holds, const char* inequality, double value) {
  detail::require(holds, "sharpness", inequality, value);
}

/// Spectra's view of the product.
class Operator {
 public:
  using Scalar = double;

  Operator(const HessianVectorProduct& hvp, int d) : hvp_(hvp), u_(d), out_(d) {}
  Eigen::Index rows() const { return u_.size(); }
  Eigen::Index cols() const { return u_.size(); }
  void perform_op(const double* x, double* y) const {
    u_ = Eigen::Map<const Eigen::VectorXd>(x, u_.size());
    hvp_(u_, out_);
    ++products_;
    std::copy(out_.data(), out_.data() + out_.size(), y);
  }
  int products() const { return products_; }

 private:
  const HessianVectorProduct& hvp_;
  mutable Eigen::VectorXd u_, out_;
  mutable int products_ = 0;
};

/// ∇²L: (d × d), symmetric to the last bit.
Eigen::MatrixXd dense(const HessianVectorProduct& hvp, int d) {
  Eigen::MatrixXd H(d, d);
  Eigen::VectorXd out(d);
  for (int i = 0; i < d; ++i) {
    hvp(Eigen::VectorXd::Unit(d, i), out);
    H.col(i) = out;
  }
  return 0.5 * (H + H.transpose());
}

/// Fills value, vector and products; leaves the vector empty when Lanczos has not converged.
void lanczos(const HessianVectorProduct& hvp, int d, const LanczosOptions& options,
             LargestEigenvalue& result) {
  Operator op(hvp, d);
  Eigen::VectorXd start(d), image(d);
  for (int i = 0; i < d; ++i)
    start[i] = normal_at(options.seed, Stream::probe, replica_limit - 1, 0, static_cast<std::uint64_t>(i));
  op.perform_op(start.data(), image.data());
  if (image.isZero(0)) {  // a random vector is annihilated by ∇²L = 0 alone
    result.value = 0;
    result.vector = start.normalized();
  } else if (image.allFinite()) {
    Spectra::SymEigsSolver<Operator> solver(op, 1, options.basis_size);
    solver.init(start.data());
    solver.compute(Spectra::SortRule::LargestAlge, options.max_restarts, options.tolerance);
    if (solver.info() == Spectra::CompInfo::Successful) {
      result.value = solver.eigenvalues()[0];
      result.vector = solver.eigenvectors(1).col(0);
    }
  }
  result.products = op.products();
}

}  // namespace

double exact_trace(const HessianVectorProduct& hvp, int d) {
  require(d >= 1, "d >= 1", d);
  double trace = 0;
  Eigen::VectorXd out(d);
  for (int i = 0; i < d; ++i) {
    hvp(Eigen::VectorXd::Unit(d, i), out);
    trace += out[i];
  }
  return trace;
}

double interpolator_trace(const LeastSquaresModel& model, const Eigen::VectorXd& theta) {
  Eigen::MatrixXd J;
  model.jacobian(theta, J);
  return J.squaredNorm() / model.samples();
}

Eigen::VectorXd spectrum(const HessianVectorProduct& hvp, int d) {
  require(d >= 1, "d >= 1", d);
  return Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd>(dense(hvp, d), Eigen::EigenvaluesOnly).eigenvalues();
}

void LanczosOptions::check() const {
  require(tolerance > 0, "tolerance > 0", tolerance);
  require(max_restarts >= 1, "max_restarts >= 1", max_restarts);
  require(basis_size >= 3, "basis_size >= 3", basis_size);
}

LargestEigenvalue largest_eigenvalue(const HessianVectorProduct& hvp, int d, const LanczosOptions& options) {
  require(d >= 1, "d >= 1", d);
  options.check();
  LargestEigenvalue result;
  result.value = result.residual = std::numeric_limits<double>::quiet_NaN();
  if (d <= options.basis_size) {  // the Krylov space would be everything
    const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> eigen(dense(hvp, d));
    result.products = d;
    if (eigen.info() == Eigen::Success && eigen.eigenvalues().allFinite()) {
      result.value = eigen.eigenvalues()[d - 1];
      result.vector = eigen.eigenvectors().col(d - 1);
    }
  } else {
    lanczos(hvp, d, options, result);
  }
  if (result.vector.size() == d) {
    Eigen::VectorXd out(d);
    hvp(result.vector, out);
    ++result.products;
    result.residual = (out - result.value * result.vector).norm();
    result.converged = std::isfinite(result.residual);
  }
  return result;
}

TraceEstimate hutchinson_trace(const HessianVectorProduct& hvp, int d, int probes, std::uint64_t seed) {
  require(d >= 1, "d >= 1", d);
  require(probes >= 2, "probes >= 2", probes);
  Eigen::VectorXd z(d), out(d), values(probes);
  for (int p = 0; p < probes; ++p) {
    for (int first = 0; first < d; first += 128) {  // 128 signs in a block of four words
      const auto words = random_words(seed, Stream::probe, static_cast<std::uint64_t>(p), 0,
                                      static_cast<std::uint64_t>(first / 128));
      for (int i = first; i < std::min(d, first + 128); ++i) {
        const auto bit = static_cast<std::size_t>(i - first);
        z[i] = (words[bit / 32] >> (bit % 32)) & 1u ? 1.0 : -1.0;
      }
    }
    hvp(z, out);
    values[p] = z.dot(out);
  }
  TraceEstimate result;
  result.probes = probes;
  result.mean = values.mean();
  result.standard_error = std::sqrt((values.array() - result.mean).square().sum() / (probes - 1.0) / probes);
  return result;
}

}  // namespace slowsde
