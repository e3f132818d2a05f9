// The slow SDE of label noise is an ODE that descends a function of the Hessian's spectrum. Here it is
// computed from that function by differentiating J, as a route of its own beside the geometries' contractions
// of ∇³L.
#pragma once

#include <Eigen/Core>
#include <functional>

#include "slowsde/problems/least_squares_model.hpp"
#include "slowsde/sde/second_moment.hpp"

namespace slowsde {

/// w(λ) = f'(λ) of the descended function tr f(𝓗).
using SpectralWeight = std::function<double(double lambda)>;

/// SGD: f(λ) = λ, w = 1 (Li, Wang & Arora 2022).
SpectralWeight sgd_weight();
/// Local SGD with ηH fixed: f(λ) = λ + (K−1)F(2ηHλ)/(2ηH), w = 1 + (K−1)ψ(2ηHλ) (Gu et al. 2023,
/// Theorem 3.3).
SpectralWeight local_sgd_weight(const Round& round);
/// Local SGD with η²H fixed: f(λ) = Kλ, w = K (Gu et al. 2024).
SpectralWeight qsr_weight(const Round& round);
/// Any model without feedback of sampling: with Σ = σ²𝓗, Ā = Σ_i c_ii λ_i v_iv_iᵀσ²/B, hence w(λ) = 2λ c(λ,
/// λ). The model must outlive the weight.
SpectralWeight weight_of(const SecondMoment& moment, const Round& round);

/// tr 𝓗 + (K−1) tr F(2ηH𝓗)/(2ηH), given the positive eigenvalues of 𝓗: what Local SGD with label noise
/// descends.
double local_sgd_potential(const Eigen::VectorXd& eigenvalues, const Round& round);

/// dζ/dt = −(σ²/4B) P_∥ ∇ tr f(𝓗), t in units of slow time, for L = (1/2n) Σ r² with label noise of variance
/// σ² on every output. ∂_k tr f(JJᵀ/n) = (2/n) ⟨f'(JJᵀ/n) J, ∂_kJ⟩, with ∂_kJ by central differences of J,
/// Richardson-extrapolated to fourth order: 4d Jacobians a drift, so for small d. Relative error about 1e-11
/// for well-scaled problems.
class LabelNoiseFlow {
 public:
  struct Params {
    double sigma = 1;               ///< standard deviation of the label noise
    double rank_threshold = 1e-10;  ///< eigenvalues of JJᵀ below this fraction of the largest count as zero
    double difference_step = 2e-3;  ///< relative to max(1, |θ_k|)
    double tolerance = 1e-10;       ///< of the integrator, absolute and relative

    /// Throws std::invalid_argument naming the violated inequality.
    void check() const;
  };

  /// `model` must outlive the flow. Throws what params.check() throws.
  LabelNoiseFlow(const LeastSquaresModel& model, const Params& params);

  /// out: (d). `global_batch` is B.
  void drift(const Eigen::VectorXd& zeta, const SpectralWeight& weight, double global_batch,
             Eigen::VectorXd& out) const;

  struct Result {
    Eigen::VectorXd zeta;
    double residual = 0;   ///< |r(ζ)|: how far the integrator has left Γ
    long evaluations = 0;  ///< of the drift
    bool converged =
        false;  ///< false: the step size underflowed or the drift was not finite; ζ is where it stopped
  };
  /// Integrates from zeta over a slow time t ≥ 0 (odeint's controlled Dormand–Prince).
  Result integrate(const Eigen::VectorXd& zeta, double t, const SpectralWeight& weight,
                   double global_batch) const;

 private:
  const LeastSquaresModel& model_;
  Params params_;
};

}  // namespace slowsde
