// Claims about rounds of a fixed slow time α² = η²H: the quasi-static process that Local SGD then becomes as
// η → 0, and how it tends to the slow SDE of the Quadratic Synchronization Rule as α → 0.
#include <boost/math/quadrature/gauss.hpp>
#include <boost/math/special_functions/legendre.hpp>
#include <cmath>
#include <numbers>
#include <string>
#include <vector>

#include "slowsde/experiments/builtin_claims.hpp"
#include "slowsde/experiments/claim_measurements.hpp"
#include "slowsde/experiments/flat_valley.hpp"
#include "slowsde/experiments/qsr_coupling.hpp"
#include "slowsde/experiments/small_problem.hpp"
#include "slowsde/experiments/wrong_moments.hpp"
#include "slowsde/optim/qsr_moment.hpp"
#include "slowsde/optim/sgd_moment.hpp"
#include "slowsde/problems/sphere.hpp"
#include "slowsde/sde/closed_forms.hpp"

namespace slowsde {
namespace {

constexpr int K = 4;
constexpr FlatValley valley;
constexpr Round any_round{.eta = 0.1, .local_steps = 10, .workers = K};

double sharpness(const double* zeta) { return FlatValley::trace(zeta[0]); }

// --- α → 0

constexpr double t = 1, x0 = -std::numbers::pi / 4, step = 1.0 / 32;
constexpr int levels = 6;  // α² = 1, 1/2, …, 1/32

double alpha2_of(int level) { return std::ldexp(1.0, -level); }

std::vector<Comparison> qsr_error(ClaimRun& run) {
  const std::size_t n = run.replicas(800);
  const SmallProblem<CurvedValley<>> problem(valley.problem());
  const QsrCoupling coupling{.workers = K,
                             .noise = {.kind = NoiseKind::gaussian, .label_sigma = 0},
                             .start = {x0, 0},
                             .slow_time = t,
                             .dt = step,
                             .trajectories = n,
                             .seed = run.next_seed(),
                             .threads = run.threads()};
  const std::vector<double> qsr = coupling.sample(problem, coupling.slow_sde(std::make_shared<QsrMoment>()));
  const double of_qsr = valley.slow_mean(QsrMoment(), any_round, x0, t);
  std::vector<std::vector<double>> error;  // of the slow SDE, by levels
  std::vector<double> predicted;
  for (int level = 0; level < levels; ++level) {
    error.push_back(coupling.sample(problem, coupling.quasi_static(alpha2_of(level))));
    for (std::size_t j = 0; j < n; ++j) error.back()[j] -= qsr[j];
    predicted.push_back(valley.quasi_static_mean(any_round, alpha2_of(level), x0, t) - of_qsr);
  }

  std::vector<Comparison> result;
  for (int level = 0; level + 1 < levels; ++level) {
    const std::size_t l = static_cast<std::size_t>(level);
    const std::string setting = "α² = 1/" + std::to_string(1 << level) + " and half of it";
    result.push_back(
        {.quantity = "exponent in α² of what QSR's slow SDE errs in E tr ∇²L at t = 1, K = 4, " + setting,
         .prediction = "Kolmogorov's equation of the quasi-static process",
         .measured = local_exponent(error[l], error[l + 1]),
         .predicted = Measured::exact(std::log2(predicted[l] / predicted[l + 1])),
         .effect = 0.5,  // between orders of α
         .least_n = 800,
         .rivals = {{"the error stays: the factor is not K", Measured::exact(0)},
                    {"an error of order α", Measured::exact(0.5)},
                    {"an error of order α³", Measured::exact(1.5)}}});
  }

  // What is left as α → 0: the error's terms in α² and α⁴ removed.
  std::vector<double> limit(n);
  for (std::size_t j = 0; j < n; ++j)
    limit[j] = qsr[j] + (8 * error[levels - 1][j] - 6 * error[levels - 2][j] + error[levels - 3][j]) / 3;
  const auto model = [&](const SecondMoment& moment) {
    return Measured::exact(valley.slow_mean(moment, any_round, x0, t));
  };
  const auto factor = [&](double times) {
    return model(WrongMoment([=](double i, double j, const Round&) { return times / (i + j); }));
  };
  result.push_back(
      {.quantity = "E tr ∇²L of the quasi-static process at t = 1, K = 4, α → 0",
       .prediction = "K times the drift of SGD",
       .measured = mean_without_noise(
           limit, total_noise(coupling.seed, n, K, static_cast<std::uint64_t>(std::llround(t / step)))),
       .predicted = factor(K),
       .effect = std::abs((factor(K) - factor(K - 1)).mean),
       .least_n = 800,
       .rivals = {{"SGD", factor(1)}, {"K − 1 for K", factor(K - 1)}, {"K + 1 for K", factor(K + 1)}}});
  return result;
}

// --- η → 0 at fixed α

constexpr double alpha2 = 0.5, run_time = 1;

Round round_of(double eta, int workers) {
  return {.eta = eta, .local_steps = std::llround(alpha2 / (eta * eta)), .workers = workers};
}

/// E tr ∇²L on the valley as η → 0, from x = 0, with the part of the scatter that the total noise explains
/// removed.
Measured iterates_on_valley(ClaimRun& run, std::size_t replicas) {
  const auto at = [&](double eta) {
    return mean_at_end_without_noise(
        valley.problem(), local_sgd(round_of(eta, K), run_time), {0, 0}, run_time,
        {.replicas = replicas, .seed = run.next_seed(), .threads = run.threads()}, sharpness);
  };
  const double largest = run.full() ? 0.05 : 0.1;
  const Measured first = at(largest), second = at(largest / 2);
  return extrapolate(first, second, at(largest / 4));
}

/// E ζ₁ on the sphere as η → 0, from ζ = (1, 0, 0), with two workers.
Measured iterates_on_sphere(ClaimRun& run, std::size_t replicas) {
  const auto at = [&](double eta) {
    return mean_at_end<NoiseKind::gaussian>(
        Sphere<3>(), local_sgd(round_of(eta, 2), run_time), {1, 0, 0}, run_time,
        {.replicas = replicas, .seed = run.next_seed(), .threads = run.threads()},
        [](const double* zeta) { return zeta[0]; });
  };
  const double largest = run.full() ? 0.05 : 0.1;
  const Measured first = at(largest);
  return extrapolate(first, at(largest / 2));
}

/// What a round of the quasi-static process on the sphere leaves of E ζ₁: that of the direction of the sum of
/// two points which have diffused independently for slow time `round_time`. A point's polar angle θ has the
/// density Σ_l (l + ½) e^{−l(l+1)s/2} P_l(cos θ) in cos θ, its azimuth is uniform.
double two_on_sphere(double round_time) {
  using Rule = boost::math::quadrature::gauss<double, 30>;
  constexpr int azimuths = 64;
  std::vector<double> cosine, weight;
  for (std::size_t i = 0; i < Rule::abscissa().size(); ++i)
    for (const double c : {-Rule::abscissa()[i], Rule::abscissa()[i]}) {
      double density = 0;
      for (unsigned l = 0; l < 40; ++l)
        density += (l + 0.5) * std::exp(-0.5 * l * (l + 1) * round_time) *
                   boost::math::legendre_p(static_cast<int>(l), c);
      cosine.push_back(c);
      weight.push_back(Rule::weights()[i] * density);
    }
  double mean = 0;
  for (std::size_t i = 0; i < cosine.size(); ++i)
    for (std::size_t j = 0; j < cosine.size(); ++j)
      for (int m = 0; m < azimuths; ++m) {
        const double a = cosine[i], b = cosine[j];
        const double between = a * b + std::sqrt((1 - a * a) * (1 - b * b)) *
                                           std::cos(2 * std::numbers::pi * (m + 0.5) / azimuths);
        mean += weight[i] * weight[j] / azimuths * (a + b) / std::sqrt(2 + 2 * between);
      }
  return mean;
}

std::vector<Comparison> quasi_static(ClaimRun& run) {
  const auto process = [&](double round_time, int workers) {
    const Round round{.eta = 0.1, .local_steps = 10, .workers = workers};
    return Measured::exact(valley.quasi_static_mean(round, round_time, 0, run_time));
  };
  const Measured qsr = Measured::exact(valley.slow_mean(QsrMoment(), any_round, 0, run_time));
  const auto turned = [](double round_time) {
    return Measured::exact(std::pow(two_on_sphere(round_time), run_time / round_time));
  };
  const auto diffused = [](int workers) {
    return Measured::exact(sphere_sgd_mean(3, 1, {.eta = 0.1, .workers = workers}, run_time));
  };
  return {{.quantity = "E tr ∇²L on the valley at t = 1, K = 4, α² = η²H = 1/2, η → 0",
           .prediction = "Kolmogorov's equation of the quasi-static process",
           .measured = iterates_on_valley(run, run.replicas(6400)),
           .predicted = process(alpha2, K),
           .effect = std::abs((process(alpha2, K) - qsr).mean),
           .least_n = 6400,
           .rivals = {{"the slow SDE of QSR", qsr},
                      {"SGD", Measured::exact(valley.slow_mean(SgdMoment(), any_round, 0, run_time))},
                      {"one worker: B_loc for B", process(alpha2, 1)},
                      {"2H for H", process(2 * alpha2, K)}}},
          {.quantity = "E ζ₁ on the sphere at t = 1, K = 2, α² = η²H = 1/2, η → 0",
           .prediction = "the direction of the mean of two diffused points, by quadrature",
           .measured = iterates_on_sphere(run, run.replicas(40000)),
           .predicted = turned(alpha2),
           .effect = std::abs((turned(alpha2) - diffused(2)).mean),
           .least_n = 40000,
           .rivals = {{"the slow SDE of QSR, which is SGD's here", diffused(2)},
                      {"one worker: B_loc for B", diffused(1)},
                      {"2H for H", turned(2 * alpha2)}}}};
}

}  // namespace

void add_quasi_static_claims(Registry& registry) {
  registry.add_claim(
      "qsr-error", {.statement = "under the Quadratic Synchronization Rule the drift is K times SGD's, with "
                                 "an error of order α²",
                    .source = "Gu et al. 2024, Theorem 3.1",
                    .comparisons = levels,
                    .measure = qsr_error,
                    .config = "alpha2.toml"});
  registry.add_claim(
      "quasi-static",
      {.statement = "at fixed η²H Local SGD becomes the quasi-static process as η → 0, and not "
                    "the slow SDE of the Quadratic Synchronization Rule",
       .source = "this project",
       .comparisons = 2,
       .measure = quasi_static});
}

}  // namespace slowsde
