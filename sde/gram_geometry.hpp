// The geometry of the manifold of interpolators in residual space: everything that a slow SDE with label
// noise needs, from nC × nC matrices, whatever the number of parameters.
#pragma once

#include <Eigen/Core>

#include "slowsde/problems/least_squares_model.hpp"
#include "slowsde/sde/second_moment.hpp"

namespace slowsde {

struct GramOptions {
  double rank_tolerance = 1e-10;      ///< λ counts as zero at or below rank_tolerance·λ_max
  double feedback_tolerance = 1e-10;  ///< relative residual at which the sampling feedback counts as solved
  int feedback_iterations = 1000;     ///< and the largest number of conjugate-gradient iterations

  /// Throws std::invalid_argument: 0 < rank_tolerance < 1, feedback_tolerance > 0, feedback_iterations ≥ 1.
  void check() const;
};

/// The drift of a slow SDE at a point, and how the solution for its sampling feedback ended.
struct SlowDrift {
  Eigen::VectorXd value;     ///< −½ P_∥ ∇³L[Ā]: (d)
  int iterations = 0;        ///< of the sampling feedback; 0 without
  double last_residual = 0;  ///< its relative residual
  bool converged = true;     ///< false where no stationary second moment was found: `value` is zero
};

/// At a point of Γ = {r = 0} of a least-squares model: 𝓗 = JᵀJ/n and G = JJᵀ/n = UΛUᵀ share their non-zero
/// eigenvalues, and v_i = Jᵀu_i/√(nλ_i). A second moment with normal components only is Ā = JᵀSJ with an nC ×
/// nC matrix S, so that no d × d matrix appears.
///
/// Off Γ the same formulas define a smooth continuation, whose drift leaves r unchanged (J·drift = 0).
class GramGeometry {
 public:
  /// Keeps a reference to the model.
  explicit GramGeometry(const LeastSquaresModel& model, const GramOptions& options = {});

  /// Computes J, G and its eigenpairs at θ. Everything below refers to this point.
  void move_to(const Eigen::VectorXd& theta);

  const Eigen::VectorXd& point() const { return theta_; }
  double residual() const { return residual_; }                          ///< max|r|
  double trace() const { return lambda_.sum(); }                         ///< tr 𝓗
  double lambda_max() const { return lambda_[lambda_.size() - 1]; }      ///< of 𝓗
  const Eigen::VectorXd& spectrum() const { return lambda_; }            ///< of G, ascending: (nC)
  int rank() const { return rank_; }                                     ///< eigenvalues above the threshold
  double lambda_min() const { return lambda_[lambda_.size() - rank_]; }  ///< least of them
  /// Least non-zero eigenvalue over the greatest that counts as zero (over the threshold if there is none).
  double rank_gap() const;

  const LeastSquaresModel& model() const { return model_; }
  /// The eigenvalues above the threshold, ascending: (rank). Their eigenvectors v_i of 𝓗 are the basis in
  /// which second moments with normal components only are (rank × rank) matrices A_ij = ⟨v_i, A v_j⟩.
  Eigen::VectorXd eigenvalues() const { return lambda_.tail(rank_); }
  /// ⟨v_i, v⟩: (rank)
  Eigen::VectorXd coordinates(const Eigen::VectorXd& v) const;
  /// Σ_i c_i v_i: (d)
  Eigen::VectorXd combination(const Eigen::VectorXd& c) const;

  /// E_s[h_s A h_s] − 𝓗A𝓗 in that basis, h_s = J_sᵀJ_s: what the choice of one sample adds to the covariance
  /// of a gradient where the displacement has the second moment A. A: (rank × rank). With P = U√Λ it is n·Pᵀ
  /// blk(P A Pᵀ) P − ΛAΛ.
  Eigen::MatrixXd sampling_covariance(const Eigen::MatrixXd& A) const;

  /// How strongly sampling noise feeds back on itself: the largest eigenvalue κ of
  ///   A ↦ (ηw/B) c∘(E_s[h_s A h_s] − 𝓗A𝓗)
  /// for the model's coefficients c and sampling weight w. The model has a stationary second moment where κ <
  /// 1; in the norm Σ_ij A_ij²/c_ij it is at most 1/(1−κ) times the one without feedback. For orthogonal
  /// samples of one output and SGD κ = ηλ(n−1)w/(B(2−ηλ)), which is 1 at the limit of stability in the mean
  /// square, 2λ = ηλ²(1+(n−1)w/B). Infinite where the model has no moment at all (ηλ ≥ 2), NaN where Lanczos
  /// does not converge.
  double feedback_ratio(const SecondMoment& moment, const Round& round) const;

  /// P_∥v: (d)
  Eigen::VectorXd tangent(const Eigen::VectorXd& v) const;

  /// The drift −½ P_∥ ∇³L[Ā] of the model `moment` for label noise, Σ = σ²𝓗 (Li, Wang & Arora 2022, Section
  /// 5; Gu et al. 2023, Theorem 3.2). In G's eigenbasis Ā = JᵀSJ with
  ///   S_ij = c_ij Q_ij/B,  Q = σ²I/n + ηw (blk(W) − W/n)/n,  W = (nG) S (nG) = Cov of the residuals / η,
  /// where blk keeps the C × C diagonal blocks, one per sample: E_s[h_s Ā h_s] = Jᵀ blk(W) J/n with h_s =
  /// J_sᵀJ_s, and 𝓗Ā𝓗 = JᵀWJ/n². The term in W/n is solved for element by element; the fixed point in
  /// blk(W) by conjugate gradients, from the last one found if there is one. On Γ, with w_a the columns of
  /// JᵀS(nG),
  ///   −½ P_∥ ∇³L[Ā] = −(1/n) P_∥ Σ_a ∇²f_a w_a .
  /// Not converged where the iterates are unstable: the model throws std::domain_error (ηλ ≥ 2), or sampling
  /// noise outgrows the contraction of the mean. Throws std::invalid_argument for σ < 0 and what Round::check
  /// throws.
  SlowDrift slow_drift(const SecondMoment& moment, const Round& round, double sigma);

  /// The drift −½ P_∥ ∇³L[Ā]: (d), of a second moment Ā (rank × rank) in the basis of `eigenvalues`.
  Eigen::VectorXd drift_of(const Eigen::MatrixXd& A) const;

 private:
  /// Of Ā = Jᵀ U S Uᵀ J.
  Eigen::VectorXd drift_of_residuals(const Eigen::MatrixXd& S) const;
  Eigen::MatrixXd second_moment(const SecondMoment& moment, const Round& round, double sigma,
                                SlowDrift& drift);

  const LeastSquaresModel& model_;
  GramOptions options_;
  Eigen::VectorXd theta_;
  double residual_ = 0;
  Eigen::MatrixXd J_;       // (nC × d)
  Eigen::VectorXd lambda_;  // eigenvalues of G, ascending
  Eigen::MatrixXd U_;       // (nC × nC)
  int rank_ = 0;
  Eigen::MatrixXd blocks_;  // blk(W)/σ², the blocks on top of each other: (nC × C); empty before the first
};

}  // namespace slowsde
