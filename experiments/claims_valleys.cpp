// Claims on the valley f = √(1+x²)·y with label noise, whose slow SDEs are ODEs in x.
#include <cmath>

#include "slowsde/experiments/builtin_claims.hpp"
#include "slowsde/experiments/claim_measurements.hpp"
#include "slowsde/experiments/wrong_moments.hpp"
#include "slowsde/optim/psi_moment.hpp"
#include "slowsde/optim/qsr_moment.hpp"
#include "slowsde/optim/sgd_moment.hpp"
#include "slowsde/problems/valley.hpp"
#include "slowsde/sde/closed_forms.hpp"

namespace slowsde {
namespace {

constexpr int K = 4;
constexpr double x0 = 1.5, t = 2;

Measured x_at_end(ClaimRun& run, const Round& round, std::size_t replicas) {
  return mean_at_end<NoiseKind::label>(
      Valley{}, local_sgd(round, t), {x0, 0}, t,
      {.replicas = replicas, .seed = run.next_seed(), .threads = run.threads()},
      [](const double* zeta) { return zeta[0]; });
}

/// E x as η → 0, free of the terms in η and η², with H(η) local steps.
template <class Steps>
Measured limit(ClaimRun& run, double eta, Steps steps, std::size_t quick) {
  const auto at = [&](double e) {
    return x_at_end(run, {.eta = e, .local_steps = std::llround(steps(e)), .workers = K},
                    run.replicas(quick));
  };
  const Measured first = at(eta), second = at(eta / 2);
  return extrapolate(first, second, at(eta / 4));
}

Measured ode(const SecondMoment& moment, const Round& round) {
  return Measured::exact(valley_ode(valley_curvature(), moment, 1, round, x0, t));
}

std::vector<Comparison> drift_ratio(ClaimRun& run) {
  const double eta_H = 0.4, alpha2 = 0.1024, smallest = 0.02;
  const Round round{.eta = smallest, .local_steps = std::llround(eta_H / smallest), .workers = K};
  const Round many{.eta = smallest, .local_steps = round.local_steps, .workers = K, .local_batch = 1};
  const Measured sgd = limit(
      run, 0.08, [](double) { return 1.0; }, 3200);
  const Measured local = limit(
      run, 0.08, [&](double eta) { return eta_H / eta; }, 3200);
  const Measured qsr = limit(
      run, 0.08, [&](double eta) { return alpha2 / (eta * eta); }, 1600);
  const Measured of_sgd = ode(SgdMoment(), many), of_psi = ode(PsiMoment(), round),
                 of_qsr = ode(QsrMoment(), many);
  return {{.quantity = "E x of SGD at t = 2, B = 4",
           .prediction = "x0 exp(−σ²t/2B)",
           .measured = sgd,
           .predicted = of_sgd,
           .effect = std::abs(x0 - of_sgd.mean),
           .least_n = 3000,
           .rivals = {{"the drift of QSR", of_qsr}, {"no drift", Measured::exact(x0)}}},
          {.quantity = "E x of Local SGD at t = 2, K = 4, ηH = 0.4",
           .prediction = "ODE with 1 + (K−1)ψ(2ηHλ)",
           .measured = local,
           .predicted = of_psi,
           .effect = std::abs(of_sgd.mean - of_psi.mean),
           .least_n = 3000,
           .rivals = {{"ψ ≡ 0", of_sgd},
                      {"ψ ≡ 1", of_qsr},
                      {"K for K − 1", ode(wrong_psi(1, 1), round)},
                      {"ψ(ηHλ) for ψ(2ηHλ)", ode(wrong_psi(0, 0.5), round)}}},
          {.quantity = "E x of Local SGD at t = 2, K = 4, α² = η²H = 0.1",
           .prediction = "x0 exp(−Kσ²t/2B)",
           .measured = qsr,
           .predicted = of_qsr,
           .effect = std::abs(of_sgd.mean - of_qsr.mean),
           .least_n = 1500,
           .rivals = {{"ψ ≡ 0", of_sgd},
                      {"the drift at ηH = 0.4", of_psi},
                      {"K + 1 for K", Measured::exact(x0 * std::exp(-(K + 1) * t / (2 * K)))}}}};
}

}  // namespace

void add_valley_claims(Registry& registry) {
  registry.add_claim(
      "drift-ratio",
      {.statement = "Local SGD drifts toward flat minima 1 + (K−1)ψ(2ηHλ) times as fast as SGD, and K times "
                    "under the Quadratic Synchronization Rule",
       .source = "Gu et al. 2023, Theorem 3.3; Gu et al. 2024, Theorem 3.1",
       .comparisons = 3,
       .measure = drift_ratio});
}

}  // namespace slowsde
