// Claims about what drawing minibatches adds to a worker's second moment: at finite η a part that is linear
// in the displacement, of the order of ηλ.
#include <Eigen/Core>
#include <array>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "slowsde/experiments/builtin_claims.hpp"
#include "slowsde/experiments/claim_measurements.hpp"
#include "slowsde/experiments/linear_fit.hpp"
#include "slowsde/optim/finite_step_moment.hpp"
#include "slowsde/optim/psi_moment.hpp"
#include "slowsde/optim/round_moments.hpp"
#include "slowsde/optim/sampling_moment.hpp"
#include "slowsde/problems/least_squares_adaptor.hpp"
#include "slowsde/sde/dense_geometry.hpp"
#include "slowsde/sde/gram_geometry.hpp"

namespace slowsde {
namespace {

using Geometry = DenseGeometry<LinearFit>;

/// E of the mean loss ½θᵀ𝓗θ, divided by η: ½ tr 𝓗Ā, from the workers' moments step by step through a round,
/// which close where outputs are linear.
Measured mean_loss_of_round(const SamplingMoment& moment, const Round& round) {
  const LeastSquaresModelOf<LinearFit> model{LinearFit()};
  GramGeometry geometry(model);
  geometry.move_to(Eigen::VectorXd::Zero(LinearFit::dim));
  const RoundMoments moments = round_moments(geometry, moment, round, 1, {});
  if (!moments.converged) return Measured::exact(std::numeric_limits<double>::quiet_NaN());
  return Measured::exact(0.5 / round.eta * geometry.eigenvalues().dot(moments.mean_own.diagonal()));
}

/// The same from a model of the moment.
Measured mean_loss(const SecondMoment& moment, const Round& round) {
  const Geometry geometry({}, {.tangent_threshold = 1e-9, .label_noise = 1});
  const auto p = geometry.frame(Geometry::Vector::Zero());
  const auto A = geometry.second_moment(p, moment, round);
  if (!A.converged) return Measured::exact(std::numeric_limits<double>::quiet_NaN());
  double sum = 0;
  const auto matrix = geometry.matrix(p, A);
  for (int s = 0; s < LinearFit::count; ++s) {
    const Eigen::Map<const Geometry::Vector> x(LinearFit::x + s * LinearFit::dim);
    sum += 0.5 / LinearFit::count * x.dot(matrix * x);
  }
  return Measured::exact(sum);
}

Measured measured_loss(ClaimRun& run, const Round& round, bool replacement, std::size_t quick) {
  // The slowest normal direction forgets its start within 1/(ηλ_min) ≈ 50 steps.
  const std::int64_t H = round.local_steps, warm = 500 / H, rounds = 1000 / H;
  LocalSgd algorithm = local_sgd(round, 1);
  algorithm.total_steps = (warm + rounds) * H;
  const LinearFit fit;
  const Measured loss =
      means_inside_rounds<NoiseKind::minibatch>(fit, algorithm, {}, warm,
                                                {.replicas = run.replicas(quick),
                                                 .seed = run.next_seed(),
                                                 .replacement = replacement,
                                                 .threads = run.threads()},
                                                1, [&](const Pack<double>* theta, Pack<double>* value) {
                                                  *value = Pack<double>(0.0);
                                                  for (int s = 0; s < LinearFit::count; ++s) {
                                                    Pack<double> f;
                                                    fit.outputs(theta, s, &f);
                                                    *value = *value + (0.5 / LinearFit::count) * f * f;
                                                  }
                                                })[0];
  return (1 / round.eta) * loss;
}

std::vector<Comparison> sampling(ClaimRun& run) {
  std::vector<Comparison> comparisons;
  for (const std::int64_t H : {1, 5})
    for (const bool replacement : {true, false}) {
      // ηλ_max = 0.35: what sampling adds is a third of the moment
      const Round round{.eta = 0.25, .local_steps = H, .workers = 3, .local_batch = replacement ? 1 : 2};
      const Measured right = mean_loss_of_round(SamplingMoment(replacement), round),
                     finite = mean_loss(FiniteStepMoment(), round);
      std::size_t quick = 3200;
      std::vector<Rival> rivals = {{"the finite-step moment without sampling", finite},
                                   {"the moment as η → 0", mean_loss(PsiMoment(), round)},
                                   {"B for B_loc", (1.0 / round.workers) * right}};
      if (!replacement)
        rivals.push_back({"w = 1, as with replacement", mean_loss_of_round(SamplingMoment(true), round)});
      if (H > 1) {
        rivals.push_back({"the noise of every step fed with the mean moment of the round",
                          mean_loss(SamplingMoment(replacement), round)});
        if (!replacement) quick = 16000;  // it differs by a third of a per cent
      }
      comparisons.push_back(
          {.quantity = "E loss/η inside a round, n = 4, η = 0.25, K = 3, H = " + std::to_string(H) +
                       (replacement ? ", one sample with replacement" : ", two samples without replacement"),
           .prediction = "the workers' moments with sampling step by step, exact for linear outputs",
           .measured = measured_loss(run, round, replacement, quick),
           .predicted = right,
           .effect = std::abs(right.mean - finite.mean),
           .least_n = quick,
           .rivals = std::move(rivals)});
    }
  return comparisons;
}

}  // namespace

void add_sampling_claims(Registry& registry) {
  registry.add_claim("sampling",
                     {.statement = "when minibatches are drawn from n samples only the sampling-corrected "
                                   "finite-step moment is right, with and without replacement",
                      .source = "this project",
                      .comparisons = 4,
                      .measure = sampling,
                      .config = "worker-cloud.toml"});
}

}  // namespace slowsde
