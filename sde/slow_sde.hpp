// The slow SDE on the manifold Γ of minimizers: a geometry times a second-moment model.
#pragma once

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <stdexcept>
#include <utility>

#include "slowsde/sde/dense_geometry.hpp"
#include "slowsde/sde/gradient_flow.hpp"
#include "slowsde/sde/ito_sde.hpp"
#include "slowsde/sde/second_moment.hpp"
#include "slowsde/sde/slow_run.hpp"

namespace slowsde {

/// dζ = (1/√B) Σ_∥^{1/2} dW − (1/2B) 𝓗^†∇³L[Σ_∥] dt − ½ P_∥∇³L[Ā] dt  (Itô), on slow time t = Σ η²
/// [L22; G23, Theorem 3.2; G24, Theorem 3.1]. Σ_∥ carries the model's diffusion_weight. `round(t)` is the
/// round under way at slow time t. With label noise Σ_∥ = 0 and this is an ordinary differential equation.
/// Where the model has no stationary second moment the drift is NaN. In double precision only.
template <Problem P>
class SlowSde {
 public:
  using Geometry = DenseGeometry<P>;
  using Vector = typename Geometry::Vector;
  static constexpr NoiseClass noise = Geometry::noise_dim() == 0 ? NoiseClass::none : NoiseClass::general;
  static constexpr Calculus calculus = Calculus::ito;

  /// Throws std::invalid_argument without a model or a round.
  SlowSde(Geometry geometry, std::shared_ptr<const SecondMoment> moment, std::function<Round(double)> round,
          SlowSdeVariant variant = SlowSdeVariant::full)
      : geometry_(std::move(geometry)),
        moment_(std::move(moment)),
        round_(std::move(round)),
        variant_(variant) {
    if (!moment_) throw std::invalid_argument("slow SDE: a second-moment model is needed");
    if (!round_) throw std::invalid_argument("slow SDE: a round as a function of slow time is needed");
  }

  const Geometry& geometry() const { return geometry_; }
  int dim() const { return geometry_.dim(); }
  static constexpr int noise_dim() { return Geometry::noise_dim(); }

  /// (d)
  void drift(const double* x, double t, double* out) const {
    const Round round = round_(t);
    const auto p = geometry_.at(point(x));
    Vector sum = Vector::Zero(dim());
    if (variant_ != SlowSdeVariant::diffusion_only) {
      auto moment = geometry_.second_moment(p, *moment_, round);
      if (variant_ == SlowSdeVariant::no_cross) scale_cross(p.tangent, 0.0, moment.A);
      if (variant_ == SlowSdeVariant::cross_once) scale_cross(p.tangent, 0.5, moment.A);
      if (!moment.converged) moment.A.setConstant(std::numeric_limits<double>::quiet_NaN());
      sum += geometry_.slow_drift(p, moment);
    }
    if (variant_ != SlowSdeVariant::drift_only && variant_ != SlowSdeVariant::no_ito)
      sum += geometry_.ito_correction(p, moment_->diffusion_weight(round) / round.global_batch());
    for (int i = 0; i < dim(); ++i) out[i] = sum[i];
  }

  /// P_∥S/√B: (d × noise_dim), row-major.
  void diffusion(const double* x, double t, double* S) const {
    const Round round = round_(t);
    const double scale = variant_ == SlowSdeVariant::drift_only
                             ? 0
                             : std::sqrt(moment_->diffusion_weight(round) / round.global_batch());
    const auto factor = geometry_.tangential_factor(geometry_.frame(point(x)));
    for (int i = 0; i < dim(); ++i)
      for (int j = 0; j < noise_dim(); ++j) S[i * noise_dim() + j] = scale * factor(i, j);
  }

 private:
  Vector point(const double* x) const { return Eigen::Map<const Vector>(x, dim()); }

  template <class Matrix>
  void scale_cross(int tangent, double scale, Matrix& A) const {
    const int d = dim();
    for (int i = 0; i < tangent; ++i)
      for (int j = tangent; j < d; ++j) {
        A(i, j) *= scale;
        A(j, i) *= scale;
      }
  }

  Geometry geometry_;
  std::shared_ptr<const SecondMoment> moment_;
  std::function<Round(double)> round_;
  SlowSdeVariant variant_;
};

/// How far from Γ the steps of a trajectory ended.
struct RetractionReport {
  double worst = 0;       ///< largest distance from a step's end to the point of Γ it belongs to
  bool converged = true;  ///< that point was found after every step
};

/// Brings x, (d), back to Γ; with Retraction::none its distance is reported and x stays. A state that is not
/// finite stays as it is.
template <Problem P>
void retract_to_manifold(const GradientFlow<P>& flow, Retraction kind, double* x, RetractionReport& report) {
  using Vector = typename DenseGeometry<P>::Vector;
  const int d = flow.geometry().dim();
  const Vector from = Eigen::Map<const Vector>(x, d);
  if (!from.allFinite()) return;
  const auto end = kind == Retraction::phi
                       ? flow(from)
                       : project_to_manifold(flow.geometry(), from, flow.options().residual);
  report.worst = std::max(report.worst, (end.point - from).norm());
  report.converged = report.converged && end.converged;
  if (kind == Retraction::none) return;
  for (int i = 0; i < d; ++i) x[i] = end.point[i];
}

}  // namespace slowsde
