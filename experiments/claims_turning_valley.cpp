// Claims on a valley whose normal eigenvectors turn along the floor while its eigenvalues stay: tr ∇²L and
// the diagonal of Ā in the eigenbasis push nothing, so that the drift is that of the pairs i ≠ j alone.
#include <array>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "slowsde/experiments/builtin_claims.hpp"
#include "slowsde/experiments/claim_measurements.hpp"
#include "slowsde/optim/psi_moment.hpp"
#include "slowsde/optim/sgd_moment.hpp"
#include "slowsde/sde/psi.hpp"

namespace slowsde {
namespace {

/// θ = (x, y), L = ½(λ₁(e₁·y)² + λ₂(e₂·y)²) with the frame e₁, e₂ at the angle x; Γ = {y = 0}. The gradient
/// noise has unit variances and the correlation ρ in that frame, and no part along Γ. With N' = (λ₁ −
/// λ₂)(e₁e₂ᵀ
/// + e₂e₁ᵀ) and S₁₂ = ρ the slow drift is, for every x,
///   dx/dt = −½⟨N', Ā⟩ = (λ₂ − λ₁)ρ/(B(λ₁ + λ₂)) · (1 + (K−1)ψ(ηH(λ₁ + λ₂)))  [G23, Theorem 3.2].
struct TurningValley {
  static constexpr int dim = 3, noise_dim = 2;
  static constexpr double lambda1 = 1, lambda2 = 4, rho = 0.8;

  template <class T>
  T loss(const T* z) const {
    using std::cos;
    using std::sin;
    const T c = cos(z[0]), s = sin(z[0]);
    const T first = c * z[1] + s * z[2], second = c * z[2] - s * z[1];
    return 0.5 * (lambda1 * (first * first) + lambda2 * (second * second));
  }
  template <class T>
  void noise_factor(const T* z, T* S) const {
    using std::cos;
    using std::sin;
    const T c = cos(z[0]), s = sin(z[0]);
    const double rest = std::sqrt(1 - rho * rho);
    S[0] = S[1] = T(0.0);
    S[2] = c - rho * s;
    S[3] = -rest * s;
    S[4] = s + rho * c;
    S[5] = rest * c;
  }
};

constexpr int K = 4;
constexpr double eta_H = 0.3, t = 2;

/// E x at t of iterates from 0, as η → 0; with H = 1 where ηH is 0.
Measured turned(ClaimRun& run, double product, std::size_t replicas) {
  const auto at = [&](double eta) {
    const std::int64_t H = product == 0 ? 1 : std::llround(product / eta);
    return mean_at_end<NoiseKind::gaussian>(
        TurningValley(), local_sgd({.eta = eta, .local_steps = H, .workers = K}, t), {0, 0, 0}, t,
        {.replicas = replicas, .seed = run.next_seed(), .threads = run.threads()},
        [](const double* zeta) { return zeta[0]; });
  };
  const double largest = run.full() ? 0.05 : 0.1;
  const Measured first = at(largest), second = at(largest / 2);
  return extrapolate(first, second, at(largest / 4));
}

/// E x at t by the slow drift of the dense geometry, which is the same everywhere on Γ.
Measured slow(const SecondMoment& moment) {
  const DenseGeometry<TurningValley> geometry({}, {.rank = 2});
  const Round round{.eta = 0.1, .local_steps = std::llround(eta_H / 0.1), .workers = K};
  return Measured::exact(geometry.slow_drift(geometry.at({0, 0, 0}), moment, round)[0] * t);
}

std::vector<Comparison> eigenvalue_pairs(ClaimRun& run) {
  const std::size_t n = run.replicas(3200);
  constexpr double sum = TurningValley::lambda1 + TurningValley::lambda2,
                   push = (TurningValley::lambda2 - TurningValley::lambda1) * TurningValley::rho / K * t;
  const auto multiplied = [&](double factor) { return Measured::exact(push / sum * factor); };
  const auto with = [&](double x) { return multiplied(1 + (K - 1) * psi(x)); };
  const Measured of_sgd = slow(SgdMoment()), of_local = slow(PsiMoment());
  const Rival diagonal{"the diagonal of Ā alone: no drift", Measured::exact(0)};
  const std::string setting = "t = 2, K = 4, λ = 1 and 4, ρ = 0.8, η → 0";
  return {{.quantity = "E x [rad] of SGD at " + setting,
           .prediction = "slow drift of the pair: (λ₂ − λ₁)ρ/(B(λ₁ + λ₂))",
           .measured = turned(run, 0, n),
           .predicted = of_sgd,
           .effect = of_sgd.mean,
           .least_n = 3200,
           .rivals = {diagonal,
                      {"the pair counted once", 0.5 * of_sgd},
                      {"2√(λ₁λ₂) for λ₁ + λ₂", Measured::exact(push / 4)},
                      {"the drift of Local SGD", of_local}}},
          {.quantity = "E x [rad] of Local SGD, ηH = 0.3, at " + setting,
           .prediction = "slow drift of the pair: that of SGD times 1 + (K−1)ψ(ηH(λ₁ + λ₂))",
           .measured = turned(run, eta_H, n),
           .predicted = of_local,
           .effect = of_local.mean - of_sgd.mean,
           .least_n = 3200,
           .rivals = {diagonal,
                      {"the pair counted once", 0.5 * of_local},
                      {"ψ of the first eigenvalue: ψ(2ηHλ₁)", with(2 * eta_H * TurningValley::lambda1)},
                      {"ψ of the second eigenvalue: ψ(2ηHλ₂)", with(2 * eta_H * TurningValley::lambda2)},
                      {"half of H: ψ(ηH(λ₁ + λ₂)/2)", with(eta_H * sum / 2)},
                      {"K for K − 1", multiplied(1 + K * psi(eta_H * sum))},
                      {"ψ ≡ 1", multiplied(K)}}}};
}

}  // namespace

void add_turning_valley_claims(Registry& registry) {
  registry.add_claim(
      "eigenvalue-pairs",
      {.statement = "where the noise does not commute with ∇²L every pair of eigenvalues drifts with the "
                    "factor 1 + (K−1)ψ(ηH(λ_i + λ_j)) of its own: here one pair i ≠ j is all there is",
       .source = "Gu et al. 2023, Theorem 3.2",
       .comparisons = 2,
       .measure = eigenvalue_pairs});
}

}  // namespace slowsde
