// Claims about the diagonal linear network under label noise (Li, Wang & Arora 2022, Section 6): from far off
// the manifold the gradient flow takes it to Φ(θ₀), from there the drift to the interpolator of least
// Σ_j m_j|β_j|, m_j = mean_i x_ij².
#include <algorithm>
#include <boost/numeric/odeint/integrate/integrate_adaptive.hpp>
#include <boost/numeric/odeint/stepper/controlled_runge_kutta.hpp>
#include <boost/numeric/odeint/stepper/generation.hpp>
#include <boost/numeric/odeint/stepper/runge_kutta_dopri5.hpp>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "slowsde/experiments/builtin_claims.hpp"
#include "slowsde/experiments/claim_residual_space.hpp"
#include "slowsde/optim/finite_step_moment.hpp"
#include "slowsde/optim/qsr_moment.hpp"
#include "slowsde/optim/sgd_moment.hpp"
#include "slowsde/problems/diagonal_network.hpp"
#include "slowsde/problems/least_squares_adaptor.hpp"
#include "slowsde/sde/gram_geometry.hpp"

namespace slowsde {
namespace {

using Eigen::VectorXd;

constexpr int K = 4;

struct Regression {
  DiagonalNetwork network;
  LeastSquaresModelOf<DiagonalNetwork> model{network};
  VectorXd start;

  explicit Regression(RegressionData data) : network(std::move(data)) {
    const std::vector<double> raw = network.default_start();
    start = Eigen::Map<const VectorXd>(raw.data(), network.dim());
  }

  double weighted_norm(const std::vector<double>& beta) const {
    double sum = 0;
    for (std::size_t j = 0; j < beta.size(); ++j) sum += network.second_moments()[j] * std::abs(beta[j]);
    return sum;
  }
  double weighted_norm(const VectorXd& zeta) const {
    return weighted_norm(network.coefficients(zeta.data()));
  }
  /// |β − β*|₁
  double distance_to_coefficients(const VectorXd& zeta) const {
    const std::vector<double> beta = network.coefficients(zeta.data());
    double sum = 0;
    for (std::size_t j = 0; j < beta.size(); ++j) sum += std::abs(beta[j] - network.data().coefficients[j]);
    return sum;
  }
};

/// A rank that falls is part of what is measured.
constexpr GramOptions any_rank{.rank_tolerance = 1e-12};
constexpr double sigma = 0.5;

Round at_rate(double eta, std::int64_t H) { return {.eta = eta, .local_steps = H, .workers = K}; }

template <class Observe>
std::vector<double> slow_flow(const Regression& regression, const SecondMoment& moment, const Round& round,
                              const std::vector<double>& times, Observe observe) {
  return along_slow_flow(regression.model, regression.start, moment, sigma, round, times,
                         {.tolerance = 1e-5, .gram = any_rank}, observe);
}

IterateOptions ensemble_options(ClaimRun& run) {
  return {.replicas = run.replicas(16, 8), .seed = run.next_seed(), .sigma = sigma, .threads = run.threads()};
}

constexpr FlowOptions near_manifold{.tolerance = 1e-4};  ///< Φ of iterates

template <class Observe>
ReplicaTable iterates(ClaimRun& run, const Regression& regression, const Round& round,
                      const std::vector<double>& times, std::size_t observables, Observe observe) {
  return observe_phi<NoiseKind::label>(regression.network, regression.model, local_sgd(round, times.back()),
                                       regression.start, times, ensemble_options(run), near_manifold,
                                       observables, observe);
}

// β* has two entries ±1 and is the only minimiser of Σ m_j|β_j| among the interpolators (the tests hold its
// dual certificate).
const SparseRegression recipe{.samples = 12, .features = 20, .sparsity = 2, .seed = 5};

// --- the fast phase, from u = v = 0.3, β = 0

struct Observed {
  double duration;  ///< ηk
  double sigma;
  bool projected;  ///< Φ(θ̄), or θ̄ itself
};

/// E Σm|β| as η → 0 at fixed ηH; one local step where that is 0.
Measured fast_phase_norm(ClaimRun& run, const Regression& regression, const VectorXd& start, double eta_H,
                         const Observed& what) {
  const auto at = [&](double eta) {
    LocalSgd algorithm = local_sgd(at_rate(eta, std::max(1LL, std::llround(eta_H / eta))), 1);
    algorithm.total_steps = std::llround(what.duration / eta);
    IterateOptions options = ensemble_options(run);
    options.sigma = what.sigma;
    options.project = what.projected;
    // Recorded at a time beyond the run, which is then its end.
    return observe_phi<NoiseKind::label>(
               regression.network, regression.model, algorithm, start, {2 * what.duration * eta}, options,
               near_manifold, 1,
               [&](const VectorXd& theta, double* value) { *value = regression.weighted_norm(theta); })
        .mean_at(0);
  };
  const double largest = run.full() ? 0.01 : 0.02;
  const Measured first = at(largest), second = at(largest / 2);
  return extrapolate(first, second, at(largest / 4));
}

/// x(τ) of the gradient flow dx/dτ = −∇L.
VectorXd along_gradient_flow(const LeastSquaresModel& model, const VectorXd& start, double tau) {
  namespace odeint = boost::numeric::odeint;
  using State = std::vector<double>;
  VectorXd g;
  const auto flow = [&](const State& x, State& rate, double) {
    model.gradient(Eigen::Map<const VectorXd>(x.data(), model.dim()), g);
    for (std::size_t j = 0; j < x.size(); ++j) rate[j] = -g[static_cast<Eigen::Index>(j)];
  };
  State x(start.begin(), start.end());
  odeint::integrate_adaptive(odeint::make_controlled<odeint::runge_kutta_dopri5<State>>(1e-9, 1e-9), flow, x,
                             0.0, tau, 1e-2);
  return Eigen::Map<const VectorXd>(x.data(), model.dim());
}

std::vector<Comparison> fast_phase(ClaimRun& run) {
  constexpr Observed on_the_way{.duration = 2, .sigma = 0.05, .projected = false},
      at_its_end{.duration = 20, .sigma = sigma, .projected = true};
  const Regression regression(recipe.generate());
  const auto limit_from = [&](double scale) {
    const FlowResult end =
        gradient_flow_limit(regression.model, VectorXd::Constant(regression.network.dim(), scale),
                            {.tolerance = run.full() ? 1e-6 : 1e-5});
    return Measured::exact(end.converged ? regression.weighted_norm(end.point)
                                         : std::numeric_limits<double>::quiet_NaN());
  };
  const VectorXd start = VectorXd::Constant(regression.network.dim(), 0.3);
  const auto followed = [&](double tau) {
    return Measured::exact(regression.weighted_norm(along_gradient_flow(regression.model, start, tau)));
  };
  const Measured limit = limit_from(0.3), on_flow = followed(on_the_way.duration),
                 nearest = Measured::exact(regression.weighted_norm(retract(regression.model, start).point));
  std::vector<Comparison> comparisons;
  for (const double eta_H : {0.0, 0.4}) {
    const std::string who = eta_H == 0 ? "SGD" : "Local SGD, ηH = 0.4,",
                      setting = " from u = v = 0.3, n = 12, p = 20, K = 4, η → 0, σ = ";
    comparisons.push_back({.quantity = "E Σm|β| of θ̄ of " + who + " after 2/η steps" + setting + "0.05",
                           .prediction = "the gradient flow at τ = 2",
                           .measured = fast_phase_norm(run, regression, start, eta_H, on_the_way),
                           .predicted = on_flow,
                           .effect = on_flow.mean,
                           .least_n = 16,
                           .rivals = {{"it has not moved", Measured::exact(0)},
                                      {"half the time: the gradient flow at τ = 1", followed(1)},
                                      {"it has arrived: Φ(θ₀)", limit}}});
    comparisons.push_back(
        {.quantity = "E Σm|β| of Φ(θ̄) of " + who + " after 20/η steps" + setting + "0.5",
         .prediction = "Φ(θ₀), the end of the gradient flow",
         .measured = fast_phase_norm(run, regression, start, eta_H, at_its_end),
         .predicted = limit,
         .effect = nearest.mean - limit.mean,
         .least_n = 16,
         .rivals = {{"the point of Γ that Gauss–Newton steps lead to", nearest},
                    {"the size of the start does not matter: Φ of u = v = 1", limit_from(1)},
                    {"the least of all interpolators",
                     Measured::exact(regression.weighted_norm(regression.network.data().coefficients))}}});
  }
  return comparisons;
}

// --- recovery, from a dense interpolator

constexpr double eta = 0.01, sgd_time = 8, late = 16;

/// When a quantity with values v at times t passes a level, by linear interpolation; t2 where it stands
/// still.
double passage(double level, double t1, double v1, double t2, double v2) {
  return v1 == v2 ? t2 : t1 + (t2 - t1) * (v1 - level) / (v1 - v2);
}

/// Slow time at which the flow has come down to the level, at most SGD's.
double time_of(const Regression& regression, const SecondMoment& moment, const Round& round, double level) {
  std::vector<double> times(80);
  for (std::size_t k = 0; k < times.size(); ++k) times[k] = sgd_time * static_cast<double>(k + 1) / 80;
  const auto norms = slow_flow(regression, moment, round, times,
                               [&](const VectorXd& zeta) { return regression.weighted_norm(zeta); });
  for (std::size_t k = 1; k < times.size(); ++k)
    if (norms[k] <= level) return passage(level, times[k - 1], norms[k - 1], times[k], norms[k]);
  return sgd_time;
}

Measured ratio(const Measured& a, const Measured& b) {
  const double r = a.mean / b.mean;
  return {r, std::abs(r) * std::hypot(a.se / a.mean, b.se / b.mean), std::min(a.n, b.n)};
}

std::vector<Comparison> recovery(ClaimRun& run) {
  const Regression regression(recipe.generate());
  const auto norm = [&](const VectorXd& zeta) { return regression.weighted_norm(zeta); };
  const double least = regression.weighted_norm(regression.network.data().coefficients),
               first = norm(regression.start),
               first_distance = regression.distance_to_coefficients(regression.start);
  const Round sgd = at_rate(eta, 1), local = at_rate(eta, 50), half = at_rate(eta, 25);
  const auto flow = [&](const SecondMoment& moment, const Round& round, double t) {
    return slow_flow(regression, moment, round, {t}, norm)[0];
  };
  const double level = flow(FiniteStepMoment(), sgd, sgd_time),
               local_time = time_of(regression, FiniteStepMoment(), local, level);
  const auto around = [](double t) { return std::vector<double>{0.9 * t, 1.1 * t}; };

  std::vector<double> sgd_times = around(sgd_time), local_times = around(local_time);
  local_times.push_back(late);
  const auto observe = [&](const VectorXd& zeta, double* value) { *value = norm(zeta); };
  // A geometry per observation: replicas are observed by several threads.
  const auto observe_rank = [&](const VectorXd& zeta, double* values) {
    values[0] = norm(zeta);
    GramGeometry geometry(regression.model, any_rank);
    geometry.move_to(zeta);
    values[1] = std::log(eta / (geometry.lambda_min() * late));
    values[2] = regression.distance_to_coefficients(zeta) / first_distance;
  };
  const ReplicaTable of_sgd = iterates(run, regression, sgd, sgd_times, 1, observe),
                     of_local = iterates(run, regression, local, local_times, 3, observe_rank);

  const auto measured_passage = [&](const ReplicaTable& table) {
    return table.mean([&](std::size_t r) {
      return passage(level, table.points[0].t, table.at(r, 0), table.points[1].t, table.at(r, 1));
    });
  };
  // The same interpolation of the flow at the times that were recorded.
  const auto predicted_passage = [&](const ReplicaTable& table, const SecondMoment& moment,
                                     const Round& round) {
    const double t1 = table.points[0].t, t2 = table.points[1].t;
    const auto norms = slow_flow(regression, moment, round, {t1, t2}, norm);
    return passage(level, t1, norms[0], t2, norms[1]);
  };
  const FiniteStepMoment finite;
  const auto factor = [&](const Round& round) {
    return Measured::exact(predicted_passage(of_sgd, finite, sgd) /
                           predicted_passage(of_local, finite, round));
  };
  const Measured sooner = factor(local);

  const double t_sgd = of_sgd.points[1].t, t_late = of_local.points[2].t;
  const Measured end_sgd = Measured::exact(flow(finite, sgd, t_sgd)),
                 end_local = Measured::exact(flow(finite, local, t_late));
  const auto relaxation = [&](const VectorXd& zeta) {
    GramGeometry geometry(regression.model, any_rank);
    geometry.move_to(zeta);
    return std::log(eta / (geometry.lambda_min() * late));
  };
  const double broken = slow_flow(regression, finite, local, {t_late}, relaxation)[0];
  const std::string setting = "n = 12, p = 20, σ = 0.5, η = 0.01, K = 4";
  return {
      {.quantity = "E Σm|β| of SGD at t = 8.8 (from 2.895; the least is 0.764), " + setting,
       .prediction = "slow flow with the finite-step moment",
       .measured = of_sgd.mean_at(1),
       .predicted = end_sgd,
       .effect = first - end_sgd.mean,
       .least_n = 16,
       .rivals = {{"no drift", Measured::exact(first)},
                  {"SGD's slow SDE as η → 0", Measured::exact(flow(SgdMoment(), sgd, t_sgd))},
                  {"B_loc for B", Measured::exact(flow(QsrMoment(), sgd, t_sgd))}}},
      {.quantity = "E Σm|β| of Local SGD, H = 50, at t = 16 (from 2.895; the least is 0.764), " + setting,
       .prediction = "slow flow with the finite-step moment",
       .measured = of_local.mean_at(2),
       .predicted = end_local,
       .effect = end_local.mean - least,
       .least_n = 16,
       .rivals = {{"SGD's drift", Measured::exact(flow(finite, sgd, t_late))},
                  {"half of H: ψ(ηHλ) for ψ(2ηHλ)", Measured::exact(flow(finite, half, t_late))},
                  {"the least", Measured::exact(least)}}},
      {.quantity = "SGD's steps to Σm|β| = 1.487 over those of Local SGD, H = 50, " + setting,
       .prediction = "slow flow with the finite-step moment",
       .measured = ratio(measured_passage(of_sgd), measured_passage(of_local)),
       .predicted = sooner,
       .effect = sooner.mean - 1,
       .least_n = 16,
       .rivals = {{"no gain", Measured::exact(1)},
                  {"K times as fast: ψ ≡ 1", Measured::exact(K)},
                  {"half of H: ψ(ηHλ) for ψ(2ηHλ)", factor(half)}}},
      {.quantity = "E ln(η/(λ_min t)) of Local SGD, H = 50, at t = 16, " + setting,
       .prediction = "slow flow: two entries of β cannot hold rank 12, λ_min falls until it does not relax "
                     "within the run",
       .measured = of_local.mean_at(2, 1),
       .predicted = Measured::exact(broken),
       .effect = broken - relaxation(regression.start),
       .least_n = 16,
       .rivals = {{"λ_min of the start: the premise of fast relaxation holds",
                   Measured::exact(relaxation(regression.start))},
                  {"λ_min along SGD's flow",
                   Measured::exact(slow_flow(regression, finite, sgd, {t_late}, relaxation)[0])}}},
      {.quantity = "E |β − β*|₁ of Local SGD, H = 50, at t = 16, over that of the start, " + setting,
       .prediction = "0 to 5 %: it recovers β*, the minimiser of Σm|β|",
       .measured = of_local.mean_at(2, 2),
       .predicted = Measured::exact(0),
       .effect = 1,
       .margin = 0.05,
       .least_n = 16,
       .rivals = {{"the interpolator of least |β|₂, which is the start", Measured::exact(1)},
                  {"SGD's flow to the same time",
                   Measured::exact(slow_flow(regression, finite, sgd, {t_late},
                                             [&](const VectorXd& zeta) {
                                               return regression.distance_to_coefficients(zeta);
                                             })[0] /
                                   first_distance)}}}};
}

// --- which norm: one sample, y = Σ x_j β_j. A unit of y costs x_j in Σ m_j|β_j| = Σ x_j²|β_j| and 1/x_j in
// Σ|β_j|, so the two have their minimisers at opposite ends.

std::vector<Comparison> weights(ClaimRun& run) {
  const Regression regression(
      {.samples = 1, .features = 3, .inputs = {0.5, 1, 2}, .targets = {1}, .coefficients = {}});
  const auto share = [&](const VectorXd& zeta) {
    return 0.5 * regression.network.coefficients(zeta.data())[0];
  };
  std::vector<Comparison> comparisons;
  for (const std::int64_t H : {1, 40}) {
    const Round round = at_rate(0.02, H);
    const double t = H == 1 ? 40 : 12;
    const ReplicaTable table = iterates(run, regression, round, {t}, 1,
                                        [&](const VectorXd& zeta, double* value) { *value = share(zeta); });
    const auto flow = [&](const SecondMoment& moment, double end) {
      return Measured::exact(slow_flow(regression, moment, round, {end}, share)[0]);
    };
    comparisons.push_back(
        {.quantity = "E x_1β_1/y, x = (0.5, 1, 2), σ = 0.5, K = 4, " +
                     std::string(H == 1 ? "t = 40, H = 1" : "t = 12, H = 40"),
         .prediction = "slow flow with the finite-step moment; 1 as t → ∞",
         .measured = table.mean_at(0),
         .predicted = flow(FiniteStepMoment(), table.points[0].t),
         .effect = flow(FiniteStepMoment(), t).mean - share(regression.start),
         .least_n = 16,
         .rivals = {{"the minimiser of Σ|β|: 0", Measured::exact(0)},
                    {"the interpolator of least norm", Measured::exact(share(regression.start))},
                    {"half the slow time", flow(FiniteStepMoment(), t / 2)}}});
  }
  return comparisons;
}

}  // namespace

void add_sparsity_claims(Registry& registry) {
  registry.add_claim(
      "fast-phase",
      {.statement =
           "from far off the manifold SGD and Local SGD alike follow the gradient flow for O(1/η) "
           "steps, which leave Φ where it was: the slow motion starts at Φ(θ₀), not at another point",
       .source = "Gu et al. 2023, Theorem 3.2; Li, Wang & Arora 2022, Theorem 4.6",
       .comparisons = 4,
       .measure = fast_phase});
  registry.add_claim(
      "sparse-recovery",
      {.statement = "a diagonal network drifts to the sparse interpolator of least Σm|β|, Local "
                    "SGD in fewer steps by the predicted factor, until the rank of ∇²L drops "
                    "and the premise of fast relaxation is gone",
       .source = "Li, Wang & Arora 2022, Section 6; Gu et al. 2023, Theorem 3.3",
       .comparisons = 5,
       .measure = recovery});
  registry.add_claim("sparse-weights",
                     {.statement = "the norm that label noise minimises on a diagonal network weighs |β_j| "
                                   "with mean_i x_ij²",
                      .source = "Li, Wang & Arora 2022, Section 6",
                      .comparisons = 2,
                      .measure = weights});
}

}  // namespace slowsde
