// Claims on matrix factorization and matrix sensing: the fall of tr 𝓗 of Φ(θ̄) at a finite learning rate.
#include <cmath>
#include <string>
#include <vector>

#include "slowsde/experiments/builtin_claims.hpp"
#include "slowsde/experiments/claim_residual_space.hpp"
#include "slowsde/optim/finite_step_moment.hpp"
#include "slowsde/optim/psi_moment.hpp"
#include "slowsde/optim/qsr_moment.hpp"
#include "slowsde/optim/sampling_moment.hpp"
#include "slowsde/optim/sgd_moment.hpp"
#include "slowsde/problems/least_squares_adaptor.hpp"
#include "slowsde/problems/matrix_factorization.hpp"
#include "slowsde/problems/matrix_sensing.hpp"

namespace slowsde {
namespace {

/// The fall between slow times t/5, when the displacement from the start on Γ has become stationary, and t.
struct Fall {
  double t, sigma;
  std::size_t quick;  ///< replicas
};

template <NoiseKind Kind, class P>
Comparison fall(ClaimRun& run, std::string quantity, const P& problem, const Round& round,
                const FiniteStepMoment& right, const Fall& fall) {
  const LeastSquaresModelOf<P> model(problem);
  const std::vector<double> raw = problem.default_start();
  const Eigen::VectorXd start =
      Eigen::Map<const Eigen::VectorXd>(raw.data(), static_cast<Eigen::Index>(raw.size()));
  const std::vector<double> times = {fall.t / 5, fall.t};
  const auto trace = [&](const Eigen::VectorXd& zeta) { return problem.trace_on_manifold(zeta.data()); };
  const auto table = observe_phi<Kind>(problem, model, local_sgd(round, fall.t), start, times,
                                       {.replicas = run.replicas(fall.quick),
                                        .seed = run.next_seed(),
                                        .sigma = fall.sigma,
                                        .threads = run.threads()},
                                       {}, 1, [&](const auto& zeta, double* value) { *value = trace(zeta); });
  const auto predicted = [&](const SecondMoment& moment, const Round& of) {
    const auto traces = along_slow_flow(model, start, moment, fall.sigma, of,
                                        {table.points[0].t, table.points[1].t}, {.tolerance = 1e-6}, trace);
    return Measured::exact(traces[0] - traces[1]);
  };
  const std::vector<double> traces =
      along_round_moments(model, start, right, fall.sigma, round, {table.points[0].t, table.points[1].t},
                          {.tolerance = 1e-6}, trace);
  const Measured expected = Measured::exact(traces[0] - traces[1]);
  std::vector<Rival> rivals = {{"ψ ≡ 1", predicted(QsrMoment(), round)}};
  if (right.sampling_weight(round, problem.samples()) > 0)
    rivals.push_back({"without the feedback of sampling", predicted(FiniteStepMoment(), round)});
  else if (round.local_steps == 1)
    rivals.push_back({"no fall", Measured::exact(0)});
  if (round.local_steps > 1) {
    Round shorter = round;
    shorter.local_steps /= 2;
    rivals.push_back({"ψ ≡ 0", predicted(SgdMoment(), round)});
    rivals.push_back({"half of H: ψ(ηHλ) for ψ(2ηHλ)", predicted(right, shorter)});
  }
  return {.quantity = std::move(quantity),
          .prediction = "slow flow with the workers' moments step by step through a round",
          .measured = table.mean([&](std::size_t r) { return table.at(r, 0) - table.at(r, 1); }),
          .predicted = expected,
          .effect = expected.mean,
          .least_n = fall.quick,
          .rivals = std::move(rivals)};
}

std::vector<Comparison> factorization(ClaimRun& run) {
  const MatrixFactorization problem(RandomLowRank{4, 3, 3, 1}, 3);
  const auto at = [&](std::int64_t H) {
    return fall<NoiseKind::label>(run,
                                  "fall of tr ∇²L of a 4 × 3 factorization from t = 0.02 to 0.1, σ = 0.1, η "
                                  "= 0.005, K = 4, H = " +
                                      std::to_string(H),
                                  problem, {.eta = 0.005, .local_steps = H, .workers = 4}, FiniteStepMoment(),
                                  {.t = 0.1, .sigma = 0.1, .quick = 160});
  };
  return {at(1), at(100)};
}

std::vector<Comparison> sensing(ClaimRun& run) {
  const MatrixSensing problem(RandomSensing{{4, 4, 1, 1}, 6}.generate(), 2);
  const auto at = [&](std::int64_t H) {
    return fall<NoiseKind::minibatch>(
        run,
        "fall of tr ∇²L of matrix sensing from t = 0.02 to 0.1, n = 6, σ = 0.1, η = 0.004, K = 4, B_loc = "
        "2, H = " +
            std::to_string(H),
        problem, {.eta = 0.004, .local_steps = H, .workers = 4, .local_batch = 2}, SamplingMoment(),
        {.t = 0.1, .sigma = 0.1, .quick = 320});
  };
  return {at(1), at(50)};
}

}  // namespace

void add_matrix_claims(Registry& registry) {
  registry.add_claim("matrix-factorization",
                     {.statement = "on matrix factorization tr ∇²L falls as the finite-step moment says",
                      .source = "this project",
                      .comparisons = 2,
                      .measure = factorization});
  registry.add_claim(
      "matrix-sensing",
      {.statement = "on matrix sensing with minibatches tr ∇²L falls as the sampling-corrected "
                    "moment says, and not as that without sampling",
       .source = "this project",
       .comparisons = 2,
       .measure = sensing});
}

}  // namespace slowsde
