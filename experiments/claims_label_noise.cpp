// Claims about label noise, under which the slow SDE is an ODE that descends a function of the spectrum of
// ∇²L: on the products u·v of a number and a vector, with two distinct eigenvalues and a trace that falls.
#include <Eigen/Core>
#include <array>
#include <cmath>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "slowsde/experiments/builtin_claims.hpp"
#include "slowsde/experiments/claim_measurements.hpp"
#include "slowsde/experiments/wrong_moments.hpp"
#include "slowsde/optim/finite_step_moment.hpp"
#include "slowsde/optim/psi_moment.hpp"
#include "slowsde/optim/qsr_moment.hpp"
#include "slowsde/optim/sgd_moment.hpp"
#include "slowsde/problems/least_squares_adaptor.hpp"
#include "slowsde/sde/label_noise_flow.hpp"

namespace slowsde {
namespace {

/// f = u·v, u ∈ R, v ∈ R², target (1, ½), as one sample of two outputs; θ = (u, v). Γ: v = target/u, where
/// the nonzero eigenvalues of ∇²L are u² + |v|² and u².
struct ScaledVector {
  static constexpr int dim = 3, outputs_count = 2;
  static constexpr std::array<double, 2> target{1, 0.5};

  int samples() const { return 1; }
  template <class T, class I>
  void outputs(const T* theta, const I&, T* f) const {
    f[0] = theta[0] * theta[1];
    f[1] = theta[0] * theta[2];
  }
  template <class I, class T>
  void targets(const I&, T* y) const {
    y[0] = T(target[0]);
    y[1] = T(target[1]);
  }
};

constexpr int K = 4;
constexpr std::array<double, 3> start{2, ScaledVector::target[0] / 2, ScaledVector::target[1] / 2};

/// tr ∇²L = 2u² + |v|².
double trace(const double* theta) {
  return 2 * theta[0] * theta[0] + theta[1] * theta[1] + theta[2] * theta[2];
}

/// tr ∇²L at slow time t along the closed form of a moment, σ = 1.
Measured closed_form(const SecondMoment& moment, const Round& round, double t) {
  const LeastSquaresModelOf<ScaledVector> model{ScaledVector()};
  const Eigen::VectorXd from = Eigen::Map<const Eigen::Vector3d>(start.data());
  const auto end =
      LabelNoiseFlow(model, {}).integrate(from, t, weight_of(moment, round), round.global_batch());
  return Measured::exact(end.converged ? trace(end.zeta.data()) : std::nan(""));
}

/// The same along the general form, −½P∇³L[Ā] from derivatives of L.
Measured general_form(std::shared_ptr<const SecondMoment> moment, const Round& round, double t) {
  const SlowSde<ScaledVector> sde(DenseGeometry<ScaledVector>({}, {.label_noise = 1}), std::move(moment),
                                  [round](double) { return round; });
  return Measured::exact(
      slow_sample(sde, start, t, {.trajectories = 1, .dt = 0.0025, .threads = 1}, trace).front());
}

Measured iterates(ClaimRun& run, const Round& round, double t, double sigma, std::size_t quick) {
  return mean_at_end<NoiseKind::label>(
      ScaledVector{}, local_sgd(round, t), start, t,
      {.replicas = run.replicas(quick), .seed = run.next_seed(), .sigma = sigma, .threads = run.threads()},
      trace);
}

/// E tr ∇²L at slow time t as η → 0, with H(η) local steps.
Measured limit(ClaimRun& run, const std::function<double(double eta)>& steps, double t, std::size_t quick) {
  const auto at = [&](double eta) {
    return iterates(run, {.eta = eta, .local_steps = std::llround(steps(eta)), .workers = K}, t, 1, quick);
  };
  const double largest = run.full() ? 0.02 : 0.04;
  const Measured first = at(largest), second = at(largest / 2);
  return extrapolate(first, second, at(largest / 4));
}

/// E tr ∇²L where σ²t = 1 as σ → 0 at a finite η.
Measured small_noise_limit(ClaimRun& run, const Round& round, std::size_t quick) {
  const auto at = [&](double sigma2) { return iterates(run, round, 1 / sigma2, std::sqrt(sigma2), quick); };
  const double largest = run.full() ? 1.0 / 16 : 1.0 / 8;
  const Measured first = at(largest), second = at(largest / 2);
  return extrapolate(first, second, at(largest / 4));
}

std::vector<Comparison> label_noise(ClaimRun& run) {
  const double eta_H = 0.16, t = 1, alpha2 = 0.04;
  const std::size_t n = 1600;
  const Round round{.eta = 0.01, .local_steps = 16, .workers = K};
  const Measured of_start = Measured::exact(trace(start.data())), of_sgd = closed_form(SgdMoment(), round, t),
                 of_psi = closed_form(PsiMoment(), round, t), of_qsr = closed_form(QsrMoment(), round, t);
  const auto fall = [&](const Measured& at) { return std::abs((of_start - at).mean); };
  const std::vector<Rival> wrong = {{"ψ ≡ 0", of_sgd},
                                    {"ψ ≡ 1", of_qsr},
                                    {"K for K − 1", closed_form(wrong_psi(1, 1), round, t)},
                                    {"ψ(ηHλ) for ψ(2ηHλ)", closed_form(wrong_psi(0, 0.5), round, t)}};

  // QSR for slow time t against SGD for K times as long: both from iterates.
  const double times = 0.32;  // a whole number of steps at every learning rate
  const Measured qsr = limit(
      run, [&](double eta) { return alpha2 / (eta * eta); }, times, n);
  const Measured sgd = limit(
      run, [](double) { return 1.0; }, K * times, n);
  const auto faster = [&](double factor) {
    return closed_form(SgdMoment(), round, factor * times) - closed_form(SgdMoment(), round, K * times);
  };

  const Round pairs{.eta = 0.1, .local_steps = 2, .workers = K};
  const Measured of_pairs = closed_form(FiniteStepMoment(), pairs, 1);
  return {{.quantity = "tr ∇²L by the general form at t = 1, K = 4, ηH = 0.16",
           .prediction = "descent of tr ∇²L + (K−1) tr F(2ηH∇²L)/(2ηH)",
           .measured = general_form(std::make_shared<PsiMoment>(), round, t),
           .predicted = of_psi,
           .effect = fall(of_psi),
           .margin = 1e-5 * fall(of_psi),  // what the steps of 1/400 leave
           .rivals = wrong},
          {.quantity = "E tr ∇²L of Local SGD at t = 1, K = 4, ηH = 0.16, η → 0",
           .prediction = "descent of tr ∇²L + (K−1) tr F(2ηH∇²L)/(2ηH)",
           .measured = limit(
               run, [&](double eta) { return eta_H / eta; }, t, n),
           .predicted = of_psi,
           .effect = std::abs((of_sgd - of_psi).mean),
           .least_n = n,
           .rivals = wrong},
          {.quantity = "E tr ∇²L under QSR (K = 4, η²H = 0.04) at t = 0.32 less SGD's at t = 1.28, η → 0",
           .prediction = "0",
           .measured = qsr - sgd,
           .predicted = Measured::exact(0),
           .effect = fall(closed_form(SgdMoment(), round, K * times)),
           .margin = 0.02 * fall(closed_form(SgdMoment(), round, K * times)),
           .least_n = n,
           .rivals = {{"K − 1 times as fast", faster(K - 1)},
                      {"K + 1 times as fast", faster(K + 1)},
                      {"as fast as SGD", faster(1)}}},
          {.quantity = "E tr ∇²L of Local SGD where σ²t = 1, σ → 0, η = 0.1, K = 4, H = 2",
           .prediction = "closed form with the finite-step moment",
           .measured = small_noise_limit(run, pairs, 3200),
           .predicted = of_pairs,
           .effect = std::abs((of_pairs - closed_form(PsiMoment(), pairs, 1)).mean),
           .least_n = 3200,
           .rivals = {{"H off by one: 1", closed_form(finite_step_of(-1), pairs, 1)},
                      {"H off by one: 3", closed_form(finite_step_of(1), pairs, 1)},
                      {"ψ", closed_form(PsiMoment(), pairs, 1)},
                      {"K for K − 1", closed_form(finite_step_with_K(), pairs, 1)}}}};
}

}  // namespace

void add_label_noise_claims(Registry& registry) {
  registry.add_claim(
      "label-noise",
      {.statement = "under label noise the closed form, the general form and the iterates agree, "
                    "and tr ∇²L falls K times as fast under the Quadratic Synchronization Rule",
       .source = "Li, Wang & Arora 2022, Corollary 5.2; Gu et al. 2023, Theorem 3.3",
       .comparisons = 4,
       .measure = label_noise});
}

}  // namespace slowsde
