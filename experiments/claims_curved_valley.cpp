// Claims on the curved valley, where every term of the slow SDE is at work: its diffusion, the Itô term, the
// cross terms and the drift toward flat minima.
#include <array>
#include <cmath>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "slowsde/experiments/builtin_claims.hpp"
#include "slowsde/experiments/claim_measurements.hpp"
#include "slowsde/optim/psi_moment.hpp"
#include "slowsde/optim/qsr_moment.hpp"
#include "slowsde/optim/sgd_moment.hpp"
#include "slowsde/problems/curved_valley.hpp"

namespace slowsde {
namespace {

using Valley = CurvedValley<>;
constexpr int K = 4;
constexpr double eta_H = 0.5, t = 2;
constexpr std::array<double, 2> start{0.5, 0.125};

Round round_of(double eta) { return {.eta = eta, .local_steps = std::llround(eta_H / eta), .workers = K}; }

/// E x and E (x − x0)².
using Law = std::array<Measured, 2>;

double away(double x) { return (x - start[0]) * (x - start[0]); }

/// The law of a slow SDE: on Γ its x is a diffusion of its own, with the coefficients of the SDE at (x,
/// b(x)). Kolmogorov's backward equation by central differences and the classical Runge–Kutta method; the
/// ends of the grid, where functions continue in straight lines, are more than ten standard deviations away.
Law slow_law(std::shared_ptr<const SecondMoment> moment, SlowSdeVariant variant) {
  const SlowSde<Valley> sde(
      DenseGeometry<Valley>(Valley(), {.rank = 1}), std::move(moment), [](double) { return round_of(0.025); },
      variant);
  constexpr double first = -5.5, h = 0.02, dt = 1.0 / 1000;
  constexpr std::size_t nodes = 601, at_start = 300;
  static_assert(first + at_start * h - start[0] < 1e-12);
  std::vector<double> drift(nodes), variance(nodes);
  for (std::size_t j = 0; j < nodes; ++j) {
    const double x = first + h * static_cast<double>(j);
    const std::array<double, 2> point{x, 0.5 * x * x};
    std::array<double, 2> a;
    std::array<double, 4> S;
    sde.drift(point.data(), 0, a.data());
    sde.diffusion(point.data(), 0, S.data());
    drift[j] = a[0];
    variance[j] = S[0] * S[0] + S[1] * S[1];
  }
  using Values = std::vector<double>;
  const auto rate = [&](const Values& u) {
    Values out(nodes);
    for (std::size_t j = 1; j + 1 < nodes; ++j)
      out[j] = drift[j] * (u[j + 1] - u[j - 1]) / (2 * h) +
               0.5 * variance[j] * (u[j + 1] - 2 * u[j] + u[j - 1]) / (h * h);
    out[0] = drift[0] * (u[1] - u[0]) / h;
    out[nodes - 1] = drift[nodes - 1] * (u[nodes - 1] - u[nodes - 2]) / h;
    return out;
  };
  const auto after = [](const Values& u, double s, const Values& slope) {
    Values out(nodes);
    for (std::size_t j = 0; j < nodes; ++j) out[j] = u[j] + s * slope[j];
    return out;
  };
  const auto mean = [&](const std::function<double(double)>& f) {
    Values u(nodes);
    for (std::size_t j = 0; j < nodes; ++j) u[j] = f(first + h * static_cast<double>(j));
    for (int step = 0; step < std::llround(t / dt); ++step) {
      const Values k1 = rate(u), k2 = rate(after(u, dt / 2, k1)), k3 = rate(after(u, dt / 2, k2)),
                   k4 = rate(after(u, dt, k3));
      for (std::size_t j = 0; j < nodes; ++j) u[j] += dt / 6 * (k1[j] + 2 * k2[j] + 2 * k3[j] + k4[j]);
    }
    return Measured::exact(u[at_start]);
  };
  return {mean([](double x) { return x; }), mean(away)};
}

/// The law of Local SGD as η → 0.
Law law_of_iterates(ClaimRun& run, std::size_t quick) {
  std::vector<Law> levels;
  for (const double share : {1.0, 0.5, 0.25}) {
    const LocalSgd algorithm = local_sgd(round_of(share * (run.full() ? 0.05 : 0.1)), t);
    const IterateOptions options{
        .replicas = run.replicas(quick), .seed = run.next_seed(), .threads = run.threads()};
    const std::vector<double> x =
        iterate_moments<NoiseKind::gaussian>(Valley(), algorithm, start, {t}, options, 1,
                                             [](const double* zeta, double* value) { *value = zeta[0]; })
            .sample;
    std::vector<double> squares;
    for (const double value : x) squares.push_back(away(value));
    const TotalNoise noise = total_noise(algorithm, options);
    levels.push_back({mean_without_noise(x, noise), mean_without_noise(squares, noise)});
  }
  Law limit;
  for (std::size_t q = 0; q < 2; ++q) limit[q] = extrapolate(levels[0][q], levels[1][q], levels[2][q]);
  return limit;
}

std::vector<Comparison> every_term(ClaimRun& run) {
  const std::size_t n = 6400;
  const auto psi_moment = std::make_shared<PsiMoment>();
  const Law measured = law_of_iterates(run, n), right = slow_law(psi_moment, SlowSdeVariant::full),
            sgd = slow_law(std::make_shared<SgdMoment>(), SlowSdeVariant::full);
  const std::vector<std::pair<std::string, Law>> wrong = {
      {"no cross term", slow_law(psi_moment, SlowSdeVariant::no_cross)},
      {"cross term counted once", slow_law(psi_moment, SlowSdeVariant::cross_once)},
      {"ψ ≡ 0", sgd},
      {"ψ ≡ 1", slow_law(std::make_shared<QsrMoment>(), SlowSdeVariant::full)},
      {"the diffusion alone", slow_law(psi_moment, SlowSdeVariant::diffusion_only)}};
  const Law drift_alone = slow_law(psi_moment, SlowSdeVariant::drift_only);
  const char* names[] = {"E x", "E (x − x0)²"};
  std::vector<Comparison> result;
  for (std::size_t q = 0; q < 2; ++q) {
    std::vector<Rival> rivals;
    for (const auto& [name, law] : wrong) rivals.push_back({name, law[q]});
    if (q == 1) rivals.push_back({"the drift alone", drift_alone[q]});  // the mean hardly sees the diffusion
    result.push_back({.quantity = std::string(names[q]) + " of Local SGD at t = 2, K = 4, ηH = 0.5, η → 0",
                      .prediction = "Kolmogorov's equation of the slow SDE along Γ",
                      .measured = measured[q],
                      .predicted = right[q],
                      .effect = std::abs((right[q] - sgd[q]).mean),
                      .least_n = n,
                      .rivals = std::move(rivals)});
  }
  return result;
}

}  // namespace

void add_curved_valley_claims(Registry& registry) {
  registry.add_claim(
      "every-term",
      {.statement = "where the manifold bends and the noise has a full covariance Local SGD follows "
                    "the slow SDE with all of its terms",
       .source = "Gu et al. 2023, Theorem 3.2",
       .comparisons = 2,
       .measure = every_term,
       .config = "law.toml"});
}

}  // namespace slowsde
