// Claims about how fast the slow theories become exact as η → 0 at fixed ηH, each from two learning rates:
// one half way between them in ln η would not change a slope of least squares. Noise that would hide an error
// of order η goes in two ways: on the flat valley most of the iterates' scatter is that of the sum of their
// noise, whose mean is known to be 0, and what that leaves is much the same at both learning rates, which run
// on one noise.
#include <cmath>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "slowsde/experiments/builtin_claims.hpp"
#include "slowsde/experiments/claim_measurements.hpp"
#include "slowsde/experiments/claim_residual_space.hpp"
#include "slowsde/experiments/flat_valley.hpp"
#include "slowsde/experiments/joined_steps.hpp"
#include "slowsde/optim/effective_rate_moment.hpp"
#include "slowsde/optim/finite_step_moment.hpp"
#include "slowsde/optim/psi_moment.hpp"
#include "slowsde/optim/sampling_moment.hpp"
#include "slowsde/optim/sgd_moment.hpp"
#include "slowsde/problems/diagonal_network.hpp"
#include "slowsde/problems/least_squares_adaptor.hpp"

namespace slowsde {
namespace {

constexpr int K = 4;
constexpr double x0 = 0;

constexpr int ratio = 4;  // of the two learning rates

/// A theory's errors, measured less predicted, of iterates at η and at η/ratio.
using ErrorsFrom = std::function<JointMeans(double eta, std::size_t replicas)>;

struct Setting {
  std::string theory, observable;
  double largest;  ///< η
  std::size_t replicas;
};

Comparison order(ClaimRun& run, const Setting& setting, const ErrorsFrom& errors_from) {
  const double eta = setting.largest * (run.full() ? 0.5 : 1);
  const JointMeans errors = errors_from(eta, run.replicas(setting.replicas));
  constexpr double margin = 0.25;  // half the distance to the orders that schemes have beside it
  return {.quantity = "weak order in η of " + setting.theory + ", " + setting.observable,
          .prediction = "1",
          .measured = exponent({eta, eta / ratio}, errors.mean, errors.correlation),
          .predicted = Measured::exact(1),
          .effect = 2 * margin,
          .margin = margin,
          .least_n = setting.replicas,
          .rivals = {{"the bound of Gu et al. 2023, were it sharp: 1/4", Measured::exact(0.25)},
                     {"an order of 1/2", Measured::exact(0.5)},
                     {"an order of 3/2", Measured::exact(1.5)}}};
}

/// What a theory says of E tr ∇²L at t = 1 in a round.
using Theory = std::function<double(const Round& round)>;

/// A learning rate's round.
using RoundAt = std::function<Round(double eta)>;

/// A theory's errors on the flat valley at t = 1, t = η²k, for heavy ball η_e²k.
ErrorsFrom on_the_valley(ClaimRun& run, const FlatValley& valley, const RoundAt& round_at,
                         const Theory& theory) {
  return [&run, valley, round_at, theory](double eta, std::size_t replicas) {
    const IterateOptions options{.replicas = replicas, .seed = run.next_seed(), .threads = run.threads()};
    const auto algorithm = [](const Round& round) {
      LocalSgd result = local_sgd(round, 1);
      result.momentum = round.momentum;
      const double effective = round.eta / (1 - round.momentum);
      result.total_steps = std::llround(1 / (effective * effective));
      return result;
    };
    const auto traces = [&](const auto& problem, const Round& round) {
      constexpr double at_end = 1e6;  // what is recorded beyond the run is recorded at its end
      return iterate_moments<NoiseKind::gaussian>(
                 problem, algorithm(round), {x0, 0}, {at_end}, options, 1,
                 [](const double* zeta, double* value) { *value = FlatValley::trace(zeta[0]); })
          .sample;
    };
    const auto problem = valley.problem();
    const JoinedSteps<CurvedValley<>, ratio * ratio> joined(problem);
    const Round coarse = round_at(eta), fine = round_at(eta / ratio);
    JointMeans errors = means_without_noise({traces(joined, coarse), traces(problem, fine)},
                                            total_noise(algorithm(fine), options));
    errors.mean[0] = errors.mean[0] - theory(coarse);
    errors.mean[1] = errors.mean[1] - theory(fine);
    return errors;
  };
}

/// The diagonal network with label noise and minibatches, whose covariance has no part along Γ: the errors of
/// the slow flow with each of the moments, of the same iterates.
std::vector<Measured> errors_with_minibatches(ClaimRun& run, double eta, std::size_t replicas,
                                              const std::vector<const SecondMoment*>& moments) {
  constexpr double t = 0.05, sigma = 0.5;
  const DiagonalNetwork network(SparseRegression{.samples = 3, .features = 4, .sparsity = 1}.generate());
  const LeastSquaresModelOf<DiagonalNetwork> model(network);
  const std::vector<double> raw = network.default_start();
  const Eigen::VectorXd start = Eigen::Map<const Eigen::VectorXd>(raw.data(), network.dim());
  const Round round{.eta = eta, .local_steps = std::llround(0.25 / eta), .workers = K, .local_batch = 1};
  const auto trace = [&](const Eigen::VectorXd& zeta) { return trace_on_manifold(model, zeta); };
  const auto table = observe_phi<NoiseKind::minibatch>(
      network, model, local_sgd(round, t), start, {t},
      {.replicas = replicas, .seed = run.next_seed(), .sigma = sigma, .threads = run.threads()}, {}, 1,
      [&](const auto& zeta, double* value) { *value = trace(zeta); });
  std::vector<Measured> errors;
  for (const SecondMoment* moment : moments)
    errors.push_back(table.mean_at(0) - along_slow_flow(model, start, *moment, sigma, round,
                                                        {table.points[0].t}, {.tolerance = 1e-8}, trace)[0]);
  return errors;
}

/// How much the sampling-corrected moment misses of what sampling adds: its error over the difference of the
/// two predictions, which is exact.
Comparison left_by_the_correction(ClaimRun& run, const SecondMoment& without, const SecondMoment& with) {
  constexpr std::size_t quick = 4000;
  const double eta = run.full() ? 0.005 : 0.01;
  const std::vector<Measured> errors =
      errors_with_minibatches(run, eta, run.replicas(quick), {&without, &with});
  const double correction = errors[0].mean - errors[1].mean;  // of the two predictions, without noise
  return {.quantity =
              "error of the sampling-corrected moment over what sampling adds, E tr ∇²L of the network, "
              "η = 0.01 (full: 0.005)",
          .prediction = "0: the correction is the error of first order but for the remainder in ησ²",
          .measured = (1 / correction) * errors[1],
          .predicted = Measured::exact(0),
          .effect = 1,
          .margin = 0.1,
          .least_n = quick,
          .rivals = {{"sampling adds nothing", Measured::exact(1)},
                     {"twice what it adds", Measured::exact(-1)},
                     {"half of what it adds", Measured::exact(0.5)}}};
}

std::vector<Comparison> weak_order(ClaimRun& run) {
  const FlatValley narrow{.along = 0.1, .across = 2}, wide{.along = 1, .across = 1};
  const SgdMoment sgd;
  const PsiMoment psi;
  const FiniteStepMoment finite;
  const SamplingMoment sampling;
  const EffectiveRateMoment<PsiMoment> effective;
  const auto slow = [](const FlatValley& valley, const SecondMoment& moment) -> Theory {
    return [&](const Round& round) { return valley.slow_mean(moment, round, x0, 1); };
  };
  const auto at_unit_product = [](double eta) {
    return Round{.eta = eta, .local_steps = std::llround(1 / eta), .workers = K};
  };
  constexpr double beta = 0.5, alpha2 = 1.0 / 8;
  const std::string trace = "E tr ∇²L at t = 1, K = 4";
  return {
      order(run, {"SGD's slow SDE", trace, 0.1, 64000},
            on_the_valley(
                run, narrow, [](double eta) { return Round{.eta = eta, .local_steps = 1, .workers = K}; },
                slow(narrow, sgd))),
      order(run, {"Local SGD's slow SDE at ηH = 1", trace, 0.1, 32000},
            on_the_valley(run, narrow, at_unit_product, slow(narrow, psi))),
      order(run,
            {"heavy ball's slow SDE at η/(1−β) = η_e, η_eH = 1, β = 1/2, buffers kept", trace, 0.1, 48000},
            on_the_valley(
                run, narrow,
                [=](double effective_rate) {
                  Round round = at_unit_product(effective_rate);
                  round.eta *= 1 - beta;
                  round.momentum = beta;
                  return round;
                },
                slow(narrow, effective))),
      order(run, {"the quasi-static process at η²H = 1/8", trace, 0.125, 80000},
            on_the_valley(
                run, wide,
                [=](double eta) {
                  return Round{.eta = eta, .local_steps = std::llround(alpha2 / (eta * eta)), .workers = K};
                },
                [&](const Round& round) { return wide.quasi_static_mean(round, alpha2, x0, 1); })),
      order(run, {"the slow SDE with the finite-step moment at ηH = 1", trace, 0.25, 200000},
            on_the_valley(run, wide, at_unit_product, slow(wide, finite))),
      order(run,
            {"the slow flow with the finite-step moment where minibatches are drawn, ηH = 1/4",
             "E tr ∇²L of a diagonal network at t = 0.05, n = 3, p = 4, B_loc = 1, σ = 1/2, K = 4", 0.005,
             2000},
            [&](double eta, std::size_t replicas) -> JointMeans {
              return {{errors_with_minibatches(run, eta, replicas, {&finite})[0],
                       errors_with_minibatches(run, eta / ratio, replicas, {&finite})[0]},
                      {1, 0, 0, 1}};
            }),
      left_by_the_correction(run, finite, sampling)};
}

}  // namespace

void add_weak_order_claims(Registry& registry) {
  registry.add_claim(
      "weak-order",
      {.statement = "at fixed ηH, or fixed η²H, the slow SDEs of SGD, Local SGD and heavy ball, "
                    "the quasi-static process and the finite-step moment have weak order 1 in "
                    "η, where Õ(η^{1/4}) is proved, and with minibatches the sampling-corrected moment "
                    "takes away most of the error",
       .source = "Gu et al. 2023, Theorem 3.2 (bound); this project (order)",
       .comparisons = 7,
       .measure = weak_order,
       .config = "weak-order.toml"});
}

}  // namespace slowsde
