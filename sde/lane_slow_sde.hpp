// The slow SDE of a small problem lane by lane: packs of trajectories on a CPU, one trajectory to a thread of
// a GPU. slow_sde.hpp has the same equation for every second-moment model, one trajectory at a time.
#pragma once

#include <cmath>
#include <limits>
#include <stdexcept>
#include <utility>

#include "slowsde/sde/conventional_sde.hpp"
#include "slowsde/sde/ito_sde.hpp"
#include "slowsde/sde/lane_geometry.hpp"
#include "slowsde/sde/moment_formula.hpp"
#include "slowsde/sde/slow_run.hpp"

namespace slowsde {

/// SlowSde<P>'s equation,
///   dζ = (1/√B) Σ_∥^{1/2} dW − (1/2B) 𝓗^†∇³L[Σ_∥] dt − ½ P_∥∇³L[Ā] dt,
/// with the second moment of a formula; the feedback of sampling is not among them. `Clock` maps slow time to
/// the Round under way. Where the formula has no stationary second moment the drift is NaN.
template <LaneManifoldProblem P, class Clock>
class LaneSlowSde {
 public:
  static constexpr int D = static_dimension<P>();
  static constexpr int noise_columns() {
    if constexpr (GaussianNoiseProblem<P>)
      return P::noise_dim;
    else
      return 0;
  }
  static constexpr NoiseClass noise = noise_columns() == 0 ? NoiseClass::none : NoiseClass::general;
  static constexpr Calculus calculus = Calculus::ito;

  /// `label_noise`: σ of the label noise of a least-squares problem. Throws std::invalid_argument for
  /// MomentFormula::other and for label noise of another problem.
  LaneSlowSde(const LaneGeometry<P>& geometry, double label_noise, MomentFormula formula, Clock round,
              SlowSdeVariant variant = SlowSdeVariant::full)
      : geometry_(geometry),
        round_(std::move(round)),
        formula_(formula),
        variant_(variant),
        label_scale_(label_noise * label_noise / geometry.samples()) {
    detail::require(label_noise >= 0, "slow SDE in lanes", "label_noise >= 0", label_noise);
    if (formula == MomentFormula::other)
      throw std::invalid_argument("slow SDE in lanes: the second moment must be a formula");
    if (label_noise > 0 && !LeastSquaresProblem<P>)
      throw std::invalid_argument("slow SDE in lanes: label noise needs a least-squares problem");
  }

  SLOWSDE_HD const LaneGeometry<P>& geometry() const { return geometry_; }
  SLOWSDE_HD static constexpr int dim() { return D; }
  SLOWSDE_HD static constexpr int noise_dim() { return noise_columns(); }

  /// (d)
  template <class T>
  SLOWSDE_HD void drift(const T* x, double t, T* out) const {
    LanePoint<T, D> p;
    geometry_.at(x, p);
    drift_at(p, x, round_(t), out);
  }

  /// P_∥S/√B: (d × noise_dim), row-major.
  template <class T>
  SLOWSDE_HD void diffusion(const T* x, double t, T* S) const {
    LaneFrame<T, D> p;
    geometry_.frame(x, p);
    diffusion_at(p, x, round_(t), S);
  }

  /// Both from one evaluation of the geometry.
  template <class T>
  SLOWSDE_HD void drift_and_diffusion(const T* x, double t, T* out, T* S) const {
    LanePoint<T, D> p;
    geometry_.at(x, p);
    const Round round = round_(t);
    drift_at(p, x, round, out);
    diffusion_at(p, x, round, S);
  }

 private:
  static constexpr int M = noise_columns() == 0 ? 1 : noise_columns();  // an array has at least one element

  /// S in the eigenbasis, VᵀS: (d × noise_dim).
  template <class T>
  SLOWSDE_HD void noise_factor(const LaneFrame<T, D>& p, const T* x, T (&c)[D][M]) const {
    if constexpr (GaussianNoiseProblem<P>) {
      T S[D * M];
      geometry_.problem().noise_factor(x, static_cast<T*>(S));
      for (int j = 0; j < M; ++j)
        for (int i = 0; i < D; ++i) {
          c[i][j] = p.V[0][i] * S[j];
          for (int k = 1; k < D; ++k) c[i][j] = c[i][j] + p.V[k][i] * S[k * M + j];
        }
    }
  }

  /// Σ in the eigenbasis; label noise has no tangential part, as JP_∥ = 0 on Γ.
  template <class T>
  SLOWSDE_HD void covariance(const LaneFrame<T, D>& p, const T* x, T (&Sigma)[D][D]) const {
    for (int i = 0; i < D; ++i)
      for (int j = 0; j < D; ++j) Sigma[i][j] = T(0.0);
    if constexpr (GaussianNoiseProblem<P>) {
      T c[D][M];
      noise_factor(p, x, c);
      for (int i = 0; i < D; ++i)
        for (int j = i; j < D; ++j) {
          for (int m = 0; m < M; ++m) Sigma[i][j] = Sigma[i][j] + c[i][m] * c[j][m];
          Sigma[j][i] = Sigma[i][j];
        }
    }
    if constexpr (LeastSquaresProblem<P>) {
      if (label_scale_ == 0) return;
      detail::visit_residuals(geometry_.problem(), geometry_.samples(), x,
                              [&](int, int, const T&, const T* J) {
                                T row[D];
                                p.to_eigenbasis(J, row);
                                for (int i = 0; i < D; ++i)
                                  for (int j = 0; j < D; ++j)
                                    if (i >= geometry_.tangent() && j >= geometry_.tangent())
                                      Sigma[i][j] = Sigma[i][j] + T(label_scale_) * (row[i] * row[j]);
                              });
    }
  }

  /// V M Vᵀ
  template <class T>
  SLOWSDE_HD static void from_eigenbasis(const LaneFrame<T, D>& p, const T (&M_eigen)[D][D],
                                         T (&M_out)[D][D]) {
    T half[D][D];  // M Vᵀ
    for (int i = 0; i < D; ++i)
      for (int k = 0; k < D; ++k) {
        half[i][k] = M_eigen[i][0] * p.V[k][0];
        for (int j = 1; j < D; ++j) half[i][k] = half[i][k] + M_eigen[i][j] * p.V[k][j];
      }
    for (int l = 0; l < D; ++l)
      for (int k = l; k < D; ++k) {
        M_out[l][k] = p.V[l][0] * half[0][k];
        for (int i = 1; i < D; ++i) M_out[l][k] = M_out[l][k] + p.V[l][i] * half[i][k];
        M_out[k][l] = M_out[l][k];
      }
  }

  /// The components of ∇³L[V M Vᵀ] in the eigenbasis.
  template <class T>
  SLOWSDE_HD static void third_in_eigenbasis(const LanePoint<T, D>& p, const T (&M_eigen)[D][D],
                                             T (&out)[D]) {
    T M_theta[D][D], contraction[D];
    from_eigenbasis(p, M_eigen, M_theta);
    p.third_contraction(M_theta, contraction);
    p.to_eigenbasis(contraction, out);
  }

  template <class T>
  SLOWSDE_HD void drift_at(const LanePoint<T, D>& p, const T* x, const Round& round, T* out) const {
    const int m = geometry_.tangent();
    const double B = round.global_batch();
    T Sigma[D][D], c[D];
    covariance(p, x, Sigma);
    for (int i = 0; i < D; ++i) c[i] = T(0.0);
    if (variant_ != SlowSdeVariant::diffusion_only) {
      const double cross = variant_ == SlowSdeVariant::no_cross     ? 0.0
                           : variant_ == SlowSdeVariant::cross_once ? 0.5
                                                                    : 1.0;
      T A[D][D], contraction[D];  // Ā_ij = c_ij Σ_ij/B without its tangent–tangent block
      for (int i = 0; i < D; ++i)
        for (int j = i; j < D; ++j) {
          const T lambda_i = i < m ? T(0.0) : p.lambda[i];
          A[i][j] = A[j][i] = j < m ? T(0.0)
                                    : T((i < m ? cross : 1.0) / B) * Sigma[i][j] *
                                          moment_coefficient(formula_, lambda_i, p.lambda[j], round);
        }
      third_in_eigenbasis(p, A, contraction);
      for (int i = 0; i < D; ++i) c[i] = i < m ? T(-0.5) * contraction[i] : c[i];
    }
    if (noise != NoiseClass::none && variant_ != SlowSdeVariant::drift_only &&
        variant_ != SlowSdeVariant::no_ito) {
      T contraction[D];
      for (int i = 0; i < D; ++i)
        for (int j = 0; j < D; ++j) Sigma[i][j] = i < m && j < m ? Sigma[i][j] : T(0.0);
      third_in_eigenbasis(p, Sigma, contraction);
      const T factor(-0.5 / B * moment_diffusion_weight(formula_, round));
      for (int i = 0; i < D; ++i) c[i] = i < m ? c[i] : factor * contraction[i] / p.lambda[i];
    }
    p.from_eigenbasis(c, out);
  }

  template <class T>
  SLOWSDE_HD void diffusion_at(const LaneFrame<T, D>& p, const T* x, const Round& round, T* S) const {
    if constexpr (noise != NoiseClass::none) {
      const double weight =
          variant_ == SlowSdeVariant::drift_only ? 0.0 : moment_diffusion_weight(formula_, round);
      const T scale(std::sqrt(weight / round.global_batch()));
      T c[D][M];
      noise_factor(p, x, c);
      for (int j = 0; j < M; ++j)
        for (int k = 0; k < D; ++k) {
          T sum(0.0);
          for (int i = 0; i < D; ++i)
            if (i < geometry_.tangent()) sum = sum + p.V[k][i] * c[i][j];
          S[k * M + j] = scale * sum;
        }
    }
  }

  LaneGeometry<P> geometry_;
  Clock round_;
  MomentFormula formula_;
  SlowSdeVariant variant_;
  double label_scale_;
};

/// How far from Γ the steps of each lane ended.
template <class T>
struct LaneRetractionReport {
  T worst = T(0.0);        ///< largest distance from a step's end to the point of Γ it belongs to
  T unconverged = T(0.0);  ///< steps of which that point was not found
};

/// Φ(from) in closed form, as GradientFlow's.
template <class P, class T>
SLOWSDE_HD LaneFoot<T> closed_phi_in_lanes(const LaneGeometry<P>& geometry, const T* from, T* to) {
  using std::sqrt;
  constexpr int D = LaneGeometry<P>::D;
  geometry.problem().phi(from, to);
  T moved(0.0), finite(0.0);
  for (int j = 0; j < D; ++j) {
    const T move = to[j] - from[j];
    moved = moved + move * move;
    finite = finite + (to[j] - to[j]);  // 0, or not a number
  }
  return {.residual = finite, .distance = sqrt(moved), .bound = T(0.0)};
}

/// retract_to_manifold in lanes: x, (d), goes back to Γ, with Retraction::none its distance is reported and x
/// stays; Retraction::phi needs LaneClosedPhi. A lane that is not finite stays as it is.
template <class P, class T>
SLOWSDE_HD void retract_lanes(const LaneGeometry<P>& geometry, Retraction kind, double residual, T* x,
                              LaneRetractionReport<T>& report) {
  using std::abs;
  constexpr int D = LaneGeometry<P>::D;
  const T zero(0.0), one(1.0);
  T foot[D];
  auto finite = zero < one;
  for (int j = 0; j < D; ++j) {
    foot[j] = x[j];
    finite = finite & (abs(x[j]) <= T(std::numeric_limits<double>::max()));
  }
  const LaneFoot<T> end = [&] {
    if constexpr (LaneClosedPhi<P>)
      if (kind == Retraction::phi) return closed_phi_in_lanes(geometry, x, static_cast<T*>(foot));
    return geometry.project(static_cast<T*>(foot), residual);
  }();
  report.worst = select(finite & (report.worst < end.distance), end.distance, report.worst);
  report.unconverged = report.unconverged + select(finite & !(end.residual <= end.bound), one, zero);
  if (kind == Retraction::none) return;
  for (int j = 0; j < D; ++j) x[j] = select(finite, foot[j], x[j]);
}

}  // namespace slowsde
