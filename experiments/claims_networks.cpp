// Claims on small networks that interpolate real images: the fall of tr ∇²L of Φ(θ̄) at a practical learning
// rate, from one start on Γ, with nothing fitted.
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "slowsde/experiments/builtin_claims.hpp"
#include "slowsde/experiments/claim_residual_space.hpp"
#include "slowsde/experiments/first_digits.hpp"
#include "slowsde/optim/finite_step_moment.hpp"
#include "slowsde/optim/psi_moment.hpp"
#include "slowsde/optim/sampling_moment.hpp"
#include "slowsde/optim/sgd_moment.hpp"
#include "slowsde/problems/mlp.hpp"
#include "slowsde/problems/network_fit.hpp"
#include "slowsde/problems/network_model.hpp"

namespace slowsde {
namespace {

struct Setting {
  double sigma, eta, t;
  std::int64_t local_steps;
  std::size_t replicas;
};

/// Measured, and predicted by each theory.
struct Falls {
  Measured measured, sampling, finite, limit, sgd;
};

/// The fall between slow times t/4 and t: at first the displacement from the start on Γ is not stationary,
/// and long after that the fall levels off, so that theories of different drifts meet.
template <class Fit>
Falls falls(ClaimRun& run, const Fit& fit, const LeastSquaresModel& model, const Eigen::VectorXd& initial,
            const Setting& s) {
  const FlowResult trained = train_to_manifold(model, initial);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const Eigen::VectorXd start =
      trained.converged ? trained.point : Eigen::VectorXd::Constant(initial.size(), nan);
  const auto trace = [&](const Eigen::VectorXd& zeta) { return trace_on_manifold(model, zeta); };
  const Round round{.eta = s.eta, .local_steps = s.local_steps, .workers = 4, .local_batch = 2};
  const std::vector<double> times = {s.t / 4, s.t};
  const ReplicaTable table = observe_phi<NoiseKind::minibatch>(
      fit, model, local_sgd(round, s.t), start, times,
      {.replicas = s.replicas, .seed = run.next_seed(), .sigma = s.sigma, .threads = run.threads()},
      {.tolerance = 1e-4}, 1, [&](const Eigen::VectorXd& zeta, double* value) { *value = trace(zeta); });
  const auto predicted = [&](const SecondMoment& moment, std::int64_t H) {
    if (!trained.converged) return Measured::exact(nan);
    Round of = round;
    of.local_steps = H;
    const auto traces = along_slow_flow(model, start, moment, s.sigma, of,
                                        {table.points[0].t, table.points[1].t}, {.tolerance = 1e-3}, trace);
    return Measured::exact(traces[0] - traces[1]);
  };
  const auto step_by_step = [&] {
    if (!trained.converged) return Measured::exact(nan);
    const auto traces =
        along_round_moments(model, start, SamplingMoment(), s.sigma, round,
                            {table.points[0].t, table.points[1].t}, {.tolerance = 1e-3}, trace);
    return Measured::exact(traces[0] - traces[1]);
  };
  const std::int64_t H = s.local_steps;
  Falls result{.measured = table.mean([&](std::size_t r) { return table.at(r, 0) - table.at(r, 1); }),
               .sampling = {},
               .finite = {},
               .limit = {},
               .sgd = {}};
  parallel_for(run.threads(), 4, [&](std::size_t theory) {
    if (theory == 0) result.sampling = H == 1 ? predicted(SamplingMoment(), H) : step_by_step();
    if (theory == 1) result.finite = predicted(FiniteStepMoment(), H);
    if (theory == 2) result.limit = H == 1 ? predicted(SgdMoment(), H) : predicted(PsiMoment(), H);
    if (theory == 3) result.sgd = H == 1 ? Measured::exact(0) : predicted(SamplingMoment(), 1);
  });
  return result;
}

Falls sum(Falls a, const Falls& b) {
  return {.measured = a.measured + b.measured,
          .sampling = a.sampling + b.sampling,
          .finite = a.finite + b.finite,
          .limit = a.limit + b.limit,
          .sgd = a.sgd + b.sgd};
}

Comparison compare(std::string quantity, const Falls& f, std::int64_t H, std::size_t least_n) {
  // What the moment leaves out: higher moments of the noise, O(ησ²/B_loc), and small eigenvalues that do not
  // relax within the run. Half of what sampling adds is allowed for it: the theory without stays outside.
  return {.quantity = std::move(quantity),
          .prediction =
              "slow flow with the workers' moments with sampling step by step, to half of what "
              "sampling adds",
          .measured = f.measured,
          .predicted = f.sampling,
          .effect = f.sampling.mean,
          .margin = 0.5 * std::abs(f.sampling.mean - f.finite.mean),
          .least_n = least_n,
          .rivals = {{"the slow SDE as η → 0", f.limit},
                     {"without sampling", f.finite},
                     {H == 1 ? "no fall" : "the theory of SGD", f.sgd}}};
}

Falls mlp(ClaimRun& run, const Setting& setting) {
  const int n = run.full() ? 40 : 20, width = run.full() ? 40 : 20;
  const Dataset data = digits_regression(first_digits(), n);
  const MlpShape shape{{64, width, 10}};
  const MlpFit fit(shape, data);
  const MlpModel model(shape, data);
  Falls result = falls(run, fit, model, initial_parameters(shape, 1, {4.0, 1.0}), setting);
  if (run.full())
    for (const std::uint64_t start : {2, 3})
      result = sum(result, falls(run, fit, model, initial_parameters(shape, start, {4.0, 1.0}), setting));
  return result;
}

std::vector<Comparison> digits_mlp(ClaimRun& run) {
  std::vector<Comparison> comparisons;
  for (const std::int64_t H : {1, 20}) {
    const std::size_t replicas = H == 1 ? 64 : 32;
    comparisons.push_back(compare(
        std::string(run.full() ? "fall of tr ∇²L of a 64-40-10 MLP on 40 digits from t = 3 to 12, three "
                                 "starts together"
                               : "fall of tr ∇²L of a 64-20-10 MLP on 20 digits from t = 3 to 12") +
            ", σ = 0.3, η = 0.05, K = 4, B_loc = 2, H = " + std::to_string(H),
        mlp(run, {.sigma = 0.3, .eta = 0.05, .t = 12, .local_steps = H, .replicas = replicas}), H, replicas));
  }
  return comparisons;
}

Falls cnn(ClaimRun& run, const Setting& setting) {
  const int n = run.full() ? 40 : 20, channels = run.full() ? 8 : 4;
  const Dataset data = digits_regression(first_digits(), n);
  const Network network = cnn_network({1, 8, 8}, {channels, 2 * channels}, 10, Activation::tanh, 2);
  return falls(run, NetworkFit(network, data), NetworkModel(network, data),
               network.initial_parameters(1, {2.0, 2.0, 1.0}), setting);
}

std::vector<Comparison> digits_cnn(ClaimRun& run) {
  std::vector<Comparison> comparisons;
  for (const bool local : {false, true}) {
    const Setting setting = run.full() ? Setting{.sigma = 0.1,
                                                 .eta = 0.05,
                                                 .t = 12,
                                                 .local_steps = local ? 20 : 1,
                                                 .replicas = local ? 24u : 64u}
                                       : Setting{.sigma = 0.07,
                                                 .eta = 0.04,
                                                 .t = 12,
                                                 .local_steps = local ? 40 : 1,
                                                 .replicas = local ? 24u : 128u};
    comparisons.push_back(
        compare(std::string("fall of tr ∇²L of a CNN of ") +
                    (run.full() ? "8 and 16 channels on 40 digits from t = 3 to 12, σ = 0.1, η = 0.05"
                                : "4 and 8 channels on 20 digits from t = 3 to 12, σ = 0.07, η = 0.04") +
                    ", K = 4, B_loc = 2, H = " + std::to_string(setting.local_steps),
                cnn(run, setting), setting.local_steps, setting.replicas));
  }
  return comparisons;
}

}  // namespace

void add_network_claims(Registry& registry) {
  registry.add_claim(
      "digits-mlp", {.statement = "on a multilayer perceptron that interpolates digits tr ∇²L falls at a "
                                  "practical learning rate as the sampling-corrected finite-step theory says",
                     .source = "Gu et al. 2023, Theorem 3.3, with the moment of this project",
                     .comparisons = 2,
                     .measure = digits_mlp,
                     .config = "digits.toml"});
  registry.add_claim("digits-cnn",
                     {.statement = "on a convolutional network with group norm that interpolates digits tr "
                                   "∇²L falls as the sampling-corrected finite-step theory says",
                      .source = "Gu et al. 2023, Theorem 3.3, with the moment of this project",
                      .comparisons = 2,
                      .measure = digits_cnn,
                      .config = "cnn.toml"});
}

}  // namespace slowsde
