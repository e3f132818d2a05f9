// The geometry of the manifold Γ of minimizers at one of its points, from the eigenpairs of ∇²L and the third
// derivative by jets: tangent and normal space, noise, the stationary second moment Ā of an algorithm, the
// terms of the slow SDE and the derivatives of Φ. For small problems of static dimension everything lives on
// the stack; otherwise d up to about 2000.
#pragma once

#include <Eigen/Dense>
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <utility>
#include <vector>

#include "slowsde/problems/derivatives.hpp"
#include "slowsde/problems/requirement.hpp"
#include "slowsde/problems/symmetric_eigen.hpp"
#include "slowsde/sde/second_moment.hpp"

namespace slowsde {

struct DenseGeometryOptions {
  double tangent_threshold = 1e-6;    ///< directions with λ ≤ threshold·λ_max are tangent
  int rank = -1;                      ///< rank of ∇²L on Γ where it is known; −1: by the threshold
  double label_noise = 0;             ///< σ of the label noise of a least-squares problem
  double feedback_tolerance = 1e-13;  ///< relative change at which the sampling feedback has converged
  int feedback_iterations = 2000;     ///< most iterations of the sampling feedback

  /// Throws std::invalid_argument naming the violated inequality.
  void check() const {
    detail::require(tangent_threshold >= 0 && tangent_threshold < 1, "dense geometry",
                    "0 <= tangent_threshold < 1", tangent_threshold);
    detail::require(rank >= -1, "dense geometry", "rank >= -1", rank);
    detail::require(label_noise >= 0, "dense geometry", "label_noise >= 0", label_noise);
    detail::require(feedback_tolerance > 0, "dense geometry", "feedback_tolerance > 0", feedback_tolerance);
    detail::require(feedback_iterations >= 1, "dense geometry", "feedback_iterations >= 1",
                    feedback_iterations);
  }
};

/// The tangent and the normal space at x: eigenpairs ∇²L v_i = λ_i v_i in ascending order, of which the first
/// `tangent` are tangent. D is the static dimension or Eigen::Dynamic.
template <int D>
struct TangentFrame {
  using Vector = Eigen::Matrix<double, D, 1>;
  using Matrix = Eigen::Matrix<double, D, D>;

  Vector x, gradient, lambda;
  Matrix V;         ///< columns v_i
  int tangent = 0;  ///< dim Γ

  int dim() const { return static_cast<int>(x.size()); }
  int rank() const { return dim() - tangent; }
  double lambda_max() const { return lambda[dim() - 1]; }
  double gradient_norm() const { return gradient.norm(); }
  /// Least normal eigenvalue over the largest |tangent one|: how clear the split is. ∞ where one side is
  /// empty.
  double rank_gap() const {
    double largest = 0;
    for (int i = 0; i < tangent; ++i) largest = std::max(largest, std::abs(lambda[i]));
    return rank() == 0 ? std::numeric_limits<double>::infinity() : lambda[tangent] / largest;
  }

  /// P_∥ u
  Vector project(const Vector& u) const {
    Vector c = V.transpose() * u;
    for (int i = tangent; i < dim(); ++i) c[i] = 0;
    return V * c;
  }
  /// 𝓗^† u
  Vector pseudo_inverse(const Vector& u) const {
    Vector c = V.transpose() * u;
    for (int i = 0; i < dim(); ++i) c[i] = i < tangent ? 0 : c[i] / lambda[i];
    return V * c;
  }
  Matrix tangent_projector() const {  ///< P_∥
    Matrix kept = V;
    for (int i = tangent; i < dim(); ++i) kept.col(i).setZero();
    return kept * V.transpose();
  }
};

/// A frame together with the third derivative where that is small enough to be kept: third[k](i, j) = ∂_ijk
/// L.
template <int D>
struct DensePoint : TangentFrame<D> {
  std::array<Eigen::Matrix<double, D, D>, static_cast<std::size_t>(D)> third;
};
template <>
struct DensePoint<Eigen::Dynamic> : TangentFrame<Eigen::Dynamic> {};

/// Ā in the eigenbasis, symmetric and without its tangent–tangent block.
template <int D>
struct EigenbasisMoment {
  Eigen::Matrix<double, D, D> A;
  bool has_cross = false;  ///< whether the tangent–normal block differs from zero
  bool converged = true;   ///< of the sampling feedback
  int iterations = 0;      ///< of the sampling feedback
};

/// Dense route to the geometry of Γ. One sample's gradient covariance is
///   Σ = S Sᵀ (the problem's `noise_factor`) + (σ²/n) Σ_i J_iᵀJ_i (label noise of a least-squares problem),
/// of which the second part has no tangential component: J P_∥ = 0 on Γ.
template <Problem P>
class DenseGeometry {
  static constexpr int static_dim = static_dimension<P>();

 public:
  /// The dimension known at compile time, up to 8; Eigen::Dynamic otherwise.
  static constexpr int D = static_dim >= 1 && static_dim <= 8 ? static_dim : Eigen::Dynamic;
  using Vector = Eigen::Matrix<double, D, 1>;
  using Matrix = Eigen::Matrix<double, D, D>;
  using Frame = TangentFrame<D>;
  using Point = DensePoint<D>;
  using Moment = EigenbasisMoment<D>;
  /// Columns of the tangential diffusion factor: label noise has none.
  static constexpr int noise_dim() {
    if constexpr (GaussianNoiseProblem<P>)
      return P::noise_dim;
    else
      return 0;
  }
  /// A factor of a covariance: (d × noise_dim)
  using Factor =
      Eigen::Matrix<double, D, noise_dim(), D == 1 && noise_dim() != 1 ? Eigen::RowMajor : Eigen::ColMajor>;

  explicit DenseGeometry(P problem = {}, const DenseGeometryOptions& options = {})
      : problem_(std::move(problem)), options_(options) {
    options_.check();
    if (options_.rank > dim()) throw std::invalid_argument("dense geometry: rank <= dim is violated");
    if (options_.label_noise > 0 && !LeastSquaresProblem<P>)
      throw std::invalid_argument("dense geometry: label noise needs a least-squares problem");
  }

  const P& problem() const { return problem_; }
  const DenseGeometryOptions& options() const { return options_; }
  int dim() const { return dimension(problem_); }
  int samples() const {
    if constexpr (LeastSquaresProblem<P>)
      return problem_.samples();
    else
      return 1;
  }

  /// Tangent and normal space at x; x should lie on Γ, to within what separates its eigenvalues.
  Frame frame(const Vector& x) const {
    Frame result;
    const int d = dim();
    Matrix H(d, d);
    if constexpr (D != Eigen::Dynamic) {
      for (int j = 0; j < D; ++j) {
        const auto g = series<1>(x, j, j);
        for (int i = 0; i < D; ++i) {
          H(i, j) = g[i].c[1];
          result.gradient[i] = g[i].c[0];
        }
      }
    } else {
      result.gradient.resize(d);
      slowsde::gradient(problem_, x.data(), result.gradient.data());
      H = hessian(problem_, x);
    }
    split(x, H, result);
    return result;
  }

  /// The same geometry with the rank of ∇²L fixed to what it is at x, a point of Γ: then points some distance
  /// off Γ, where tangent eigenvalues leave zero, are split as those on it.
  DenseGeometry with_rank_at(const Vector& x) const {
    DenseGeometry result = *this;
    result.options_.rank = frame(x).rank();
    return result;
  }

  /// The frame at x with the third derivative where D is static.
  Point at(const Vector& x) const {
    Point result;
    if constexpr (D != Eigen::Dynamic) {
      Matrix H;
      for (int j = 0; j < D; ++j) {
        const auto g = series<2>(x, j, j);
        for (int k = 0; k < D; ++k) {
          result.gradient[k] = g[k].c[0];
          H(k, j) = g[k].c[1];
          result.third[k](j, j) = 2 * g[k].c[2];
        }
      }
      // ∇³L[u, v] = ½(∇³L[u+v, u+v] − ∇³L[u, u] − ∇³L[v, v])
      for (int i = 0; i < D; ++i)
        for (int j = i + 1; j < D; ++j) {
          const auto g = series<2>(x, i, j);
          for (int k = 0; k < D; ++k)
            result.third[k](i, j) = result.third[k](j, i) =
                0.5 * (2 * g[k].c[2] - result.third[k](i, i) - result.third[k](j, j));
        }
      split(x, H, result);
    } else {
      static_cast<Frame&>(result) = frame(x);
    }
    return result;
  }

  /// Σ(x) of one sample's gradient: (d × d).
  Matrix noise_covariance(const Vector& x) const {
    Matrix result = label_covariance(x);
    if constexpr (GaussianNoiseProblem<P>) {
      const Factor S = gaussian_factor(x);
      result += S * S.transpose();
    }
    return result;
  }

  /// Ā of an algorithm in the eigenbasis of `p`, without its tangent–tangent block:
  ///   Ā_ij = c_ij (Σ + η w (E_s[h_s Ā h_s] − 𝓗Ā𝓗))_ij / B, h_s = J_sᵀJ_s,
  /// the feedback solved by fixed-point iteration (it acts on the normal block only, as h_s P_∥ = 0). A model
  /// whose iteration does not settle is returned with converged = false.
  Moment second_moment(const Frame& p, const SecondMoment& model, const Round& round) const {
    const int d = dim(), m = p.tangent;
    const double B = round.global_batch();
    Moment result;
    Matrix& A = result.A;
    A = p.V.transpose() * label_covariance(p.x) * p.V;  // Σ in the eigenbasis
    for (int i = 0; i < m; ++i)
      for (int j = 0; j < d; ++j) A(i, j) = A(j, i) = 0;
    if constexpr (GaussianNoiseProblem<P>) {
      const Factor S = p.V.transpose() * gaussian_factor(p.x);
      A.noalias() += S * S.transpose();
    }
    Matrix c(d, d);  // c_ij/B
    for (int j = 0; j < d; ++j) {
      if (j < m) {
        for (int i = 0; i < m; ++i) c(i, j) = 0;
        continue;
      }
      const double cross = m > 0 ? model.coefficient(0, p.lambda[j], round) / B : 0;
      for (int i = 0; i < m; ++i) {
        c(i, j) = c(j, i) = cross;
        result.has_cross = result.has_cross || A(i, j) != 0;
      }
      for (int i = m; i <= j; ++i) c(i, j) = c(j, i) = model.coefficient(p.lambda[i], p.lambda[j], round) / B;
    }
    if constexpr (LeastSquaresProblem<P>) {
      const double w = model.sampling_weight(round, samples());
      if (w > 0 && samples() > 1) {
        feed_back(p, c, round.eta * w, result);
        return result;
      }
    }
    A = A.cwiseProduct(c).eval();
    return result;
  }

  /// The moment as a matrix: (d × d).
  Matrix matrix(const Frame& p, const Moment& a) const { return p.V * a.A * p.V.transpose(); }

  /// ∇³L[M] with entries Σ_jk ∂_ijk L·M_jk at the point, for symmetric M: (d).
  Vector third_contraction(const Point& p, const Matrix& M) const {
    if constexpr (D != Eigen::Dynamic) {
      Vector result;
      for (int k = 0; k < D; ++k) result[k] = p.third[k].cwiseProduct(M).sum();
      return result;
    } else {
      return third_contraction_of_matrix(problem_, p.x, M);
    }
  }

  /// −½ P_∥ ∇³L[Ā]: the drift toward flat minima [G23, Theorem 3.2].
  Vector slow_drift(const Point& p, const Moment& a) const {
    if constexpr (D == Eigen::Dynamic) {
      if (!a.has_cross) {  // one sweep per eigenvector of the normal block
        const int r = p.rank();
        const Eigen::MatrixXd normal = a.A.bottomRightCorner(r, r);
        Eigen::VectorXd weights(r);
        Eigen::MatrixXd directions(r, r);
        symmetric_eigen(r, normal.data(), weights.data(), directions.data());
        return -0.5 * p.project(contract_factor(p, p.V.rightCols(r) * directions, weights));
      }
    }
    return -0.5 * p.project(third_contraction(p, matrix(p, a)));
  }
  /// The same from the model; NaN where its sampling feedback has no fixed point, so that a trajectory that
  /// needs it counts as diverged.
  Vector slow_drift(const Point& p, const SecondMoment& model, const Round& round) const {
    const Moment a = second_moment(p, model, round);
    if (!a.converged) return Vector::Constant(dim(), std::numeric_limits<double>::quiet_NaN());
    return slow_drift(p, a);
  }

  /// P_∥S, the tangential noise of one sample's gradient: (d × noise_dim); Σ_∥ = P_∥S(P_∥S)ᵀ.
  Factor tangential_factor(const Frame& p) const {
    if constexpr (GaussianNoiseProblem<P>) {
      Factor c = p.V.transpose() * gaussian_factor(p.x);
      for (int i = p.tangent; i < dim(); ++i) c.row(i).setZero();
      return p.V * c;
    } else {
      return Factor(dim(), 0);
    }
  }

  /// −(weight/2) 𝓗^†∇³L[Σ_∥], weight = 1/B for SGD: the normal drift that keeps a diffusion on Γ.
  Vector ito_correction(const Point& p, double weight) const {
    if constexpr (!GaussianNoiseProblem<P>) {
      return Vector::Zero(dim());
    } else {
      const Factor S = tangential_factor(p);
      if constexpr (D == Eigen::Dynamic)
        return -0.5 * weight * p.pseudo_inverse(contract_factor(p, S, Eigen::VectorXd::Ones(S.cols())));
      else
        return -0.5 * weight * p.pseudo_inverse(third_contraction(p, S * S.transpose()));
    }
  }

  /// ∂²Φ[M] = −𝓗^†∇³L[P_∥MP_∥] − P_∥∇³L[W∘(M − P_∥MP_∥)] on Γ for symmetric M, W_ij = 1/(λ_i+λ_j) in the
  /// eigenbasis over ordered pairs [L22]. Two derivatives of ∂Φ(x)∇L(x) = 0 give (λ_i+λ_j) ∂²Φ[v_i, v_j] =
  /// −P_∥∇³L[v_i, v_j]; a second derivative of ∇L(Φ(x)) = 0 along Γ gives 𝓗∂²Φ[u, u] = −∇³L[u, u].
  Vector phi_second_derivative(const Point& p, const Matrix& M) const {
    const int d = dim(), m = p.tangent;
    Matrix mixed = p.V.transpose() * M * p.V, tangent = Matrix::Zero(d, d);
    for (int j = 0; j < d; ++j)
      for (int i = 0; i < d; ++i) {
        if (i < m && j < m)
          std::swap(mixed(i, j), tangent(i, j));
        else
          mixed(i, j) /= (i < m ? 0 : p.lambda[i]) + (j < m ? 0 : p.lambda[j]);
      }
    return -p.pseudo_inverse(third_contraction(p, p.V * tangent * p.V.transpose())) -
           p.project(third_contraction(p, p.V * mixed * p.V.transpose()));
  }

 private:
  /// Taylor series of ∇L along e_i, or along e_i + e_j where j ≠ i.
  template <int N>
  std::array<Taylor<double, N>, static_cast<std::size_t>(D)> series(const Vector& x, int i, int j) const {
    std::array<Taylor<double, N>, static_cast<std::size_t>(D)> theta, g;
    for (int k = 0; k < D; ++k) theta[k] = Taylor<double, N>::line(x[k], k == i || k == j ? 1.0 : 0.0);
    slowsde::gradient(problem_, theta.data(), g.data());
    return g;
  }

  void split(const Vector& x, const Matrix& H, Frame& result) const {
    const int d = dim();
    const Matrix symmetric = 0.5 * (H + H.transpose());
    result.x = x;
    result.lambda.resize(d);
    result.V.resize(d, d);
    symmetric_eigen(d, symmetric.data(), result.lambda.data(), result.V.data());
    if (options_.rank >= 0) {
      result.tangent = d - options_.rank;
    } else {
      const double least = options_.tangent_threshold * result.lambda.cwiseAbs().maxCoeff();
      while (result.tangent < d && !(result.lambda[result.tangent] > least)) ++result.tangent;
    }
  }

  Factor gaussian_factor(const Vector& x) const requires GaussianNoiseProblem<P> {
    std::array<double, static_cast<std::size_t>(std::max(D, 1) * P::noise_dim)> fixed;
    std::vector<double> dynamic(D == Eigen::Dynamic ? static_cast<std::size_t>(dim() * P::noise_dim) : 0);
    double* S = D == Eigen::Dynamic ? dynamic.data() : fixed.data();
    problem_.noise_factor(x.data(), S);
    Factor result(dim(), P::noise_dim);
    for (int i = 0; i < dim(); ++i)
      for (int j = 0; j < P::noise_dim; ++j) result(i, j) = S[i * P::noise_dim + j];
    return result;
  }

  /// (σ²/n) Σ_i J_iᵀJ_i: (d × d).
  Matrix label_covariance(const Vector& x) const {
    Matrix result = Matrix::Zero(dim(), dim());
    if constexpr (LeastSquaresProblem<P>) {
      if (options_.label_noise > 0) {
        const double scale = options_.label_noise * options_.label_noise / samples();
        if constexpr (D == Eigen::Dynamic) {
          const Eigen::MatrixXd J = jacobian(x);
          result.noalias() += scale * (J.transpose() * J);
        } else {
          for_each_output(x, [&](int, const Vector& row) { result += scale * (row * row.transpose()); });
        }
      }
    }
    return result;
  }

  /// Calls visit(a, ∇f_a) for the nC outputs, sample-major.
  template <class Visit>
  void for_each_output(const Vector& x, Visit visit) const {
    const int n = samples(), C = outputs_per_sample(problem_);
    Vector row(dim());
    if constexpr (D != Eigen::Dynamic) {
      std::array<Dual<double, D>, static_cast<std::size_t>(D)> theta;
      for (int k = 0; k < D; ++k) theta[k] = Dual<double, D>::variable(x[k], k);
      std::vector<Dual<double, D>> f(C);
      for (int i = 0; i < n; ++i) {
        problem_.outputs(theta.data(), i, f.data());
        for (int c = 0; c < C; ++c) {
          for (int k = 0; k < D; ++k) row[k] = f[c].d[k];
          visit(i * C + c, row);
        }
      }
    } else if constexpr (HasSampleGradient<P>) {  // J_iᵀe_c by the reverse pass with ε = f − y − e_c
      std::vector<double> f(C), y(C), eps(C), scratch(problem_.scratch_size());
      for (int i = 0; i < n; ++i) {
        problem_.outputs(x.data(), i, f.data());
        problem_.targets(i, y.data());
        for (int c = 0; c < C; ++c) {
          for (int e = 0; e < C; ++e) eps[e] = f[e] - y[e] - (e == c ? 1 : 0);
          row.setZero();
          problem_.add_sample_gradient(x.data(), i, eps.data(), row.data(), scratch.data());
          visit(i * C + c, row);
        }
      }
    } else {
      Eigen::MatrixXd rows(dim(), C);
      for (int i = 0; i < n; ++i) {
        detail::forward_blocks(problem_, x.data(), [&](const auto* theta, int first, int count) {
          std::vector<std::decay_t<decltype(*theta)>> f(C);
          problem_.outputs(theta, i, f.data());
          for (int c = 0; c < C; ++c)
            for (int k = 0; k < count; ++k) rows(first + k, c) = f[c].d[k];
        });
        for (int c = 0; c < C; ++c) visit(i * C + c, rows.col(c));
      }
    }
  }

  /// J: (nC × d), rows sample-major.
  Eigen::MatrixXd jacobian(const Vector& x) const {
    Eigen::MatrixXd J(samples() * outputs_per_sample(problem_), dim());
    for_each_output(x, [&](int a, const Vector& row) { J.row(a) = row.transpose(); });
    return J;
  }

  /// Solves A = c∘(Σ + κ(E_s[h_s A h_s] − 𝓗A𝓗)) in the normal eigenbasis, where h_s = J_sᵀJ_s; `a.A` holds Σ
  /// and then A.
  void feed_back(const Frame& p, const Matrix& c, double kappa, Moment& a) const {
    const int n = samples(), C = outputs_per_sample(problem_), r = p.rank();
    const auto normal_block = [r](const Eigen::MatrixXd& M) {
      return Eigen::MatrixXd(M.bottomRightCorner(r, r));
    };
    const Eigen::MatrixXd J = jacobian(p.x) * Eigen::MatrixXd(p.V).rightCols(r);
    const Eigen::MatrixXd sigma = normal_block(a.A), c_normal = normal_block(c);
    const Eigen::VectorXd lambda = Eigen::VectorXd(p.lambda).tail(r);
    Eigen::MatrixXd A = sigma.cwiseProduct(c_normal);
    a.A = a.A.cwiseProduct(c).eval();
    a.converged = false;
    while (a.iterations < options_.feedback_iterations && !a.converged) {
      ++a.iterations;
      Eigen::MatrixXd source = -(lambda.asDiagonal() * A * lambda.asDiagonal());
      for (int s = 0; s < n; ++s) {
        const Eigen::MatrixXd Js = J.middleRows(s * C, C);
        const Eigen::MatrixXd W = Js * A * Js.transpose();
        source.noalias() += Js.transpose() * (W / n * Js);
      }
      const Eigen::MatrixXd next = (sigma + kappa * source).cwiseProduct(c_normal);
      const double change = (next - A).cwiseAbs().maxCoeff();
      A = next;
      if (!std::isfinite(change)) break;
      a.converged = change <= options_.feedback_tolerance * A.cwiseAbs().maxCoeff();
    }
    for (int j = 0; j < r; ++j)
      for (int i = 0; i < r; ++i) a.A(p.tangent + i, p.tangent + j) = A(i, j);
  }

  /// Σ_k μ_k ∇³L[u_k u_kᵀ] over the columns u_k of U.
  Vector contract_factor(const Point& p, const Eigen::MatrixXd& U, const Eigen::VectorXd& mu) const {
    Vector result = Vector::Zero(dim());
    for (Eigen::Index k = 0; k < U.cols(); ++k)
      if (mu[k] != 0) result += mu[k] * slowsde::third_contraction(problem_, p.x, Eigen::VectorXd(U.col(k)));
    return result;
  }

  P problem_;
  DenseGeometryOptions options_;
};

}  // namespace slowsde
