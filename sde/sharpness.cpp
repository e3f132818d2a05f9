#include "slowsde/sde/sharpness.hpp"

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

/// Orthogonalizes w against the columns of V, adds the coefficients to h, returns |w|. Twice is enough: the
/// second pass removes what rounding left.
double orthogonalize(const Eigen::Ref<const Eigen::MatrixXd>& V, Eigen::VectorXd& w, Eigen::VectorXd& h) {
  h.setZero(V.cols());
  for (int pass = 0; pass < 2; ++pass) {
    const Eigen::VectorXd projection = V.transpose() * w;
    w -= V * projection;
    h += projection;
  }
  return w.norm();
}

/// Random vector number `number` of this seed, orthogonal to the columns of V and normalized.
Eigen::VectorXd random_unit(const Eigen::Ref<const Eigen::MatrixXd>& V, std::uint64_t number,
                            const LanczosOptions& options) {
  Eigen::VectorXd v(V.rows()), h;
  for (Eigen::Index i = 0; i < v.size(); ++i)
    v[i] =
        normal_at(options.seed, Stream::probe, replica_limit - 1 - number, 0, static_cast<std::uint64_t>(i));
  v.normalize();
  return v / orthogonalize(V, v, h);
}

/// The k largest eigenpairs by Lanczos with thick restarts (Wu & Simon 2000): of a full basis the leading
/// Ritz vectors are kept with the residual vector, which all of them share. An invariant Krylov space is left
/// by a random vector. False where a product is not finite or the restarts are used up.
bool thick_restart_lanczos(const HessianVectorProduct& hvp, int d, int k, int m,
                           const LanczosOptions& options, LargestEigenvalues& result) {
  const double epsilon = std::numeric_limits<double>::epsilon();
  const int kept = k + (m - k) / 2;
  Eigen::MatrixXd V(d, m + 1), T = Eigen::MatrixXd::Zero(m, m);
  Eigen::VectorXd w, h;
  std::uint64_t drawn = 0;
  double scale = 0;  // of ∇²L, from below
  V.col(0) = random_unit(V.leftCols(0), drawn++, options);
  for (int restart = 0, size = 0; restart < options.max_restarts; ++restart) {
    double beta = 0;
    for (; size < m; ++size) {
      hvp(V.col(size), w);
      ++result.products;
      if (!w.allFinite()) return false;
      scale = std::max(scale, w.norm());
      beta = orthogonalize(V.leftCols(size + 1), w, h);
      T.col(size).head(size + 1) = h;
      T.row(size).head(size + 1) = h;
      if (beta <= 64 * epsilon * scale) {
        beta = 0;
        V.col(size + 1) = random_unit(V.leftCols(size + 1), drawn++, options);
      } else {
        V.col(size + 1) = w / beta;
      }
    }
    const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> eigen(T);
    if (eigen.info() != Eigen::Success) return false;
    const auto& theta = eigen.eigenvalues();
    const auto& S = eigen.eigenvectors();
    // |∇²L y − θy| = β|s_m| for the Ritz vector y = V s
    const Eigen::ArrayXd residual = beta * S.row(m - 1).tail(k).transpose().array().abs();
    const Eigen::ArrayXd allowed = options.tolerance * theta.tail(k).array().abs() + 64 * epsilon * scale;
    if ((residual <= allowed).all()) {
      result.values = theta.tail(k).reverse();
      result.vectors = (V.leftCols(m) * S.rightCols(k)).rowwise().reverse();
      return true;
    }
    V.leftCols(kept) = (V.leftCols(m) * S.rightCols(kept)).eval();
    V.col(kept) = V.col(m).eval();
    T.setZero();
    T.diagonal().head(kept) = theta.tail(kept);
    size = kept;
  }
  return false;
}

/// Exchanges eigenpairs for larger ones that the Krylov space missed, until λ_max of the operator in which
/// the pairs found are moved below all of them is no larger than the least of them. False where that λ_max
/// does not converge.
bool complete(const HessianVectorProduct& hvp, int d, int m, const LanczosOptions& options,
              LargestEigenvalues& found) {
  const Eigen::Index k = found.values.size();
  for (;;) {
    const double least = found.values[k - 1];
    const double scale = std::max(std::abs(found.values[0]), std::abs(least));
    const Eigen::VectorXd shift = found.values.array() - least + scale;
    const HessianVectorProduct rest = [&](const Eigen::VectorXd& u, Eigen::VectorXd& out) {
      hvp(u, out);
      out -= found.vectors * shift.cwiseProduct(found.vectors.transpose() * u);
    };
    LargestEigenvalues missed;
    const bool known = thick_restart_lanczos(rest, d, 1, m, options, missed);
    found.products += missed.products;
    if (!known) return false;
    // One as large as the least of them changes nothing.
    if (!(missed.values[0] > least + 10 * options.tolerance * scale)) return true;
    Eigen::VectorXd vector = missed.vectors.col(0), h;
    vector /= orthogonalize(found.vectors, vector, h);
    Eigen::Index place = k - 1;
    for (; place > 0 && found.values[place - 1] < missed.values[0]; --place) {
      found.values[place] = found.values[place - 1];
      found.vectors.col(place) = found.vectors.col(place - 1);
    }
    found.values[place] = missed.values[0];
    found.vectors.col(place) = vector;
  }
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
  const LargestEigenvalues top = largest_eigenvalues(hvp, d, 1, options);
  return {top.values[0], top.vectors.col(0), top.residuals[0], top.products, top.converged};
}

LargestEigenvalues largest_eigenvalues(const HessianVectorProduct& hvp, int d, int k,
                                       const LanczosOptions& options) {
  require(d >= 1, "d >= 1", d);
  require(k >= 1 && k <= d, "1 <= k <= d", k);
  options.check();
  LargestEigenvalues result;
  const int m = std::max(options.basis_size, 2 * k + 1);
  bool found = false;
  if (d <= m) {  // the Krylov space would be everything
    const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> eigen(dense(hvp, d));
    result.products = d;
    found = eigen.info() == Eigen::Success && eigen.eigenvalues().allFinite();
    if (found) {
      result.values = eigen.eigenvalues().tail(k).reverse();
      result.vectors = eigen.eigenvectors().rightCols(k).rowwise().reverse();
    }
  } else {
    found = thick_restart_lanczos(hvp, d, k, m, options, result) &&
            (k == 1 || complete(hvp, d, m, options, result));
  }
  result.residuals.setConstant(k, std::numeric_limits<double>::quiet_NaN());
  if (!found) {
    result.values = result.residuals;
    result.vectors.setZero(d, k);
    return result;
  }
  Eigen::VectorXd out(d);
  for (int i = 0; i < k; ++i) {
    hvp(result.vectors.col(i), out);
    result.residuals[i] = (out - result.values[i] * result.vectors.col(i)).norm();
  }
  result.products += k;
  result.converged = result.residuals.allFinite();
  return result;
}

}  // namespace slowsde
