// Claims on the circle: nothing but the tangent–normal entries of the second moment turns the mean angle.
#include <cmath>

#include "slowsde/experiments/builtin_claims.hpp"
#include "slowsde/experiments/claim_measurements.hpp"
#include "slowsde/problems/circle.hpp"
#include "slowsde/sde/closed_forms.hpp"
#include "slowsde/sde/psi.hpp"

namespace slowsde {
namespace {

constexpr double c = 0.8, t = 1;
constexpr int K = 4;

/// −(ct/B)·multiplier
Measured turned(double multiplier) { return Measured::exact(-c * t / K * multiplier); }

// Var φ ≈ t/B = 1/4 and |E φ| < 0.5: a full half turn is more than 5 standard deviations away.
Measured angle(ClaimRun& run, double eta, std::int64_t H, std::size_t replicas) {
  const Round round{.eta = eta, .local_steps = H, .workers = K};
  return mean_at_end<NoiseKind::gaussian>(
      Circle{.correlation = c}, local_sgd(round, t), {1, 0}, t,
      {.replicas = replicas, .seed = run.next_seed(), .threads = run.threads()},
      [](const double* zeta) { return std::atan2(zeta[1], zeta[0]); });
}

/// As η → 0, with H(η) local steps.
template <class Steps>
Measured limit(ClaimRun& run, Steps steps, std::size_t quick) {
  const double eta = run.full() ? 0.0125 : 0.025;
  const Measured at_eta = angle(run, 2 * eta, steps(2 * eta), run.replicas(quick));
  return extrapolate(at_eta, angle(run, eta, steps(eta), run.replicas(quick)));
}

std::vector<Comparison> circle(ClaimRun& run) {
  const double eta_H = 0.8, p = psi(2 * eta_H);
  const Measured local = limit(
      run, [&](double eta) { return std::llround(eta_H / eta); }, 48000);
  const Measured sgd = limit(
      run, [](double) { return std::int64_t{1}; }, 24000);
  const Measured right = turned(1 + (K - 1) * p);
  return {{.quantity = "E φ [rad] of Local SGD at t = 1, K = 4, ηH = 0.8",
           .prediction = "−(ct/B)(1 + (K−1)ψ(2ηH))",
           .measured = local,
           .predicted = right,
           .effect = std::abs((right - turned(1)).mean),
           .least_n = 40000,
           .rivals = {{"no cross term", turned(0)},
                      {"cross term counted once", 0.5 * right},
                      {"K for K − 1", turned(1 + K * p)},
                      {"ψ(4ηH), as if both of the pair were normal", turned(1 + (K - 1) * psi(4 * eta_H))},
                      {"ψ ≡ 0", turned(1)},
                      {"ψ ≡ 1", turned(K)},
                      {"B_loc for B", K * right}}},
          {.quantity = "E φ [rad] of SGD at t = 1, B = 4",
           .prediction = "−ct/B",
           .measured = sgd,
           .predicted = turned(1),
           .effect = std::abs(turned(1).mean),
           .least_n = 20000,
           .rivals = {{"no cross term", turned(0)},
                      {"cross term counted once", turned(0.5)},
                      {"B_loc for B", turned(K)}}}};
}

}  // namespace

void add_surface_claims(Registry& registry) {
  registry.add_claim("cross-terms",
                     {.statement = "pairs of a tangent and a normal direction drive the drift by "
                                   "(1 + (K−1)ψ(ηHλ))/λ, both orders counted",
                      .source = "Gu et al. 2023, Theorem 3.2",
                      .comparisons = 2,
                      .measure = circle});
}

}  // namespace slowsde
