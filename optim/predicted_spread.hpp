// The spread of the workers at the end of a round as the theory says it, beside what worker_spread.hpp
// measures, for networks of any size: from gradient noise at the point where the round began and products
// with the Hessian there.
//
//   const SpreadResponse response(params, first_step, H);
//   std::vector<Eigen::VectorXd> z;
//   for (int j = 0; j < 8; ++j) z.push_back(gradient_noise(oracle, steps[j], theta));
//   const TraceEstimate spread = predicted_spread(hessian, response, z);   // E of worker_spread(…).trace
#pragma once

#include <Eigen/Core>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include "slowsde/optim/network_trainer.hpp"
#include "slowsde/optim/trainer.hpp"
#include "slowsde/sde/trace_estimators.hpp"

namespace slowsde {

/// What a round makes of the gradient noise along an eigenvector of ∇²L. With an update rule that is linear
/// in the gradient, a worker's deviation δ from the mean of the workers, on (parameters, buffer), obeys
///   δ_{h+1} = T_h(λ) δ_h + b_h z_h,   δ = 0 on the parameters at the start of the round,
/// T_h and b_h being one step of the rule itself, with the learning rate of that step, its momentum and its
/// weight decay, for the gradient λδ + z. So the workers' expected covariance has along that eigenvector the
/// noise's variance times
///   f(λ) = Σ_h (T_{H−1}(λ)⋯T_{h+1}(λ) b_h)²_θ;   plain steps: Σ_h η_h² Π_{j>h}(1−η_jλ)²,
/// which for constant η is the c_h of spread_per_noise() (Gu et al. 2023, arXiv:2303.01215: the workers of a
/// round are independent and start from one point). Buffers that are averaged or reset are equal at the start
/// of a round. Buffers that workers keep are not: their variance there is the fixed point of a round like
/// this one, or 0 in the first.
class SpreadResponse {
 public:
  /// Whether there is such a theory: parameters are averaged, not gradients, under SGD, heavy ball or
  /// Nesterov. AdamW's step is not linear in the gradient.
  static bool offered(const TrainerParams& params);

  /// Of the round of steps first_step … first_step + local_steps − 1. Throws std::invalid_argument unless
  /// offered(params), first_step >= 0 and local_steps >= 1.
  SpreadResponse(const TrainerParams& params, std::int64_t first_step, std::int64_t local_steps);

  std::int64_t local_steps() const { return static_cast<std::int64_t>(steps_.size()); }
  /// f(λ), for any λ. Infinite or NaN where kept buffers grow from round to round.
  double operator()(double lambda) const;

  /// Lanczos steps for zᵀf(∇²L)z in a round of H steps. H are exact, since f is a polynomial of degree
  /// 2(H−1). A power xˢ, |x| ≤ 1, is within 2exp(−n²/2s) of a polynomial of degree n (Sachdeva & Vishnoi
  /// 2014, Theorem 3.3), so that for plain steps with 0 ≤ ηλ ≤ 2 fewer do in a long round: the m here has
  /// 2exp(−(2m−1)²/4H) ≤ 10⁻⁶. With kept buffers f is a rational function, and four more are taken.
  static int lanczos_steps(const TrainerParams& params, std::int64_t local_steps);
  int lanczos_steps() const { return lanczos_steps_; }

 private:
  /// One step of the rule on (θ, v) from unit θ, unit v and unit gradient.
  struct Step {
    double theta_theta, theta_v, theta_g;
    double v_theta, v_v, v_g;
  };
  std::vector<Step> steps_;  // (H)
  bool kept_;                // whether the workers' buffers differ at the start of the round
  int lanczos_steps_;
};

/// (g_0 − g_1)/√2 for the gradients of workers 0 and 1 at one step, both at theta: (d). Its second moment is
/// what a step adds to the workers' covariance, C − D, whatever the two have in common: samples dealt from
/// one permutation have n/(n−1) of the variance of independent ones, and the mean gradient, which shifted
/// images have no closed form of, drops out. It holds where the batches of a worker at different steps are
/// related as those of different workers are: not for shards that stay with a worker.
template <class Real>
Eigen::VectorXd gradient_noise(GradientOracle<Real>& oracle, std::int64_t step,
                               const std::vector<Real>& theta) {
  std::vector<Real> g0(theta.size()), g1(theta.size());
  oracle.gradient(0, step, theta.data(), g0.data());
  oracle.gradient(1, step, theta.data(), g1.data());
  Eigen::VectorXd z(static_cast<Eigen::Index>(theta.size()));
  for (std::size_t j = 0; j < theta.size(); ++j)
    z[static_cast<Eigen::Index>(j)] =
        (static_cast<double>(g0[j]) - static_cast<double>(g1[j])) / std::sqrt(2.0);
  return z;
}

/// The expected trace of the workers' sample covariance (with 1/(K−1)) at the end of the round: the mean of
/// zᵀf(∇²L)z over independent noise vectors z at the point θ_0 where the round began, each by Lanczos
/// quadrature, with the standard error of that mean. `hessian`: ∇²L(θ_0), without the weight decay, which is
/// the update rule's. It is the theory of leading order in η: Hessian and noise are those at θ_0 for the
/// whole round, and the noise of a minibatch's Hessian within it is left out. NaN where a product is not
/// finite. Throws std::invalid_argument for fewer than two vectors.
TraceEstimate predicted_spread(const SymmetricOperator& hessian, const SpreadResponse& response,
                               std::span<const Eigen::VectorXd> noise);

/// The same along one unit eigenvector v of ∇²L(θ_0), of eigenvalue λ: what variance_along(…, v) expects,
/// f(λ) times the mean of ⟨v, z⟩². Throws as that does.
TraceEstimate predicted_variance_along(const Eigen::VectorXd& v, double lambda,
                                       const SpreadResponse& response,
                                       std::span<const Eigen::VectorXd> noise);

}  // namespace slowsde
