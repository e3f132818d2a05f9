// ctest-labels: theory
// The slow theory on a convolutional network with group norm: the fall of tr ∇²L of Φ(θ̄) on digits under SGD
// and Local SGD at a practical learning rate is what the finite-step theory with sampling predicts from the
// same start, with nothing fitted, and neither what the slow SDE in its limit η → 0 predicts nor, for Local
// SGD, what the theory of SGD does.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdio>
#include <iterator>
#include <memory>
#include <vector>

#include "slowsde/optim/local_sgd.hpp"
#include "slowsde/optim/psi_moment.hpp"
#include "slowsde/optim/sampling_moment.hpp"
#include "slowsde/optim/sgd_moment.hpp"
#include "slowsde/problems/network_fit.hpp"
#include "slowsde/problems/network_model.hpp"
#include "slowsde/sde/manifold_flow.hpp"
#include "slowsde/sde/parallel.hpp"
#include "slowsde/sde/residual_flow.hpp"
#include "slowsde/sde/statistics.hpp"

using namespace slowsde;

namespace {

constexpr double sigma = 0.1, eta = 0.05, slow_time = 12;
constexpr int workers = 4, local_batch = 2, seeds = native_width<double>;
constexpr double t_quantile = 2.365;  // 97.5 % of Student's t with 7 degrees of freedom
const std::int64_t local_steps[] = {1, 20};

struct Case {
  Network network = cnn_network({1, 8, 8}, {8, 16}, 10, Activation::tanh, 2);
  Dataset data = digits_regression("results/data/digits.csv", 40);
  NetworkFit fit{network, data};
  NetworkModel model{network, data};
  FlowResult trained = train_to_manifold(model, network.initial_parameters(1, {2.0, 2.0, 1.0}));

  double trace(const Eigen::VectorXd& theta) const {
    Eigen::MatrixXd J;
    model.jacobian(theta, J);
    return J.squaredNorm() / model.samples();
  }
};

Moments simulate(const Case& c, double trace, std::int64_t H, bool& converged) {
  LocalSgd algorithm;
  algorithm.workers = workers;
  algorithm.local_batch = local_batch;
  algorithm.lr = LearningRate::constant(eta);
  algorithm.rule = std::make_shared<ConstantRule>(H);
  algorithm.total_steps = static_cast<std::int64_t>(std::llround(slow_time / (eta * eta)));
  GradientSource source;
  source.seed = 11;
  source.noise = {NoiseKind::minibatch, sigma, true};
  source.local_batch = local_batch;
  Moments falls;
  LocalSgdPack<NetworkFit, double, NoiseKind::minibatch> run(c.fit, algorithm, source, 0);
  run.run(c.trained.point.data(), {{algorithm.total_steps, slow_time}}, [&](int, const Pack<double>* theta) {
    for (int l = 0; l < seeds; ++l) {
      Eigen::VectorXd point(c.trained.point.size());
      for (Eigen::Index j = 0; j < point.size(); ++j) point[j] = theta[j][l];
      const FlowResult end = gradient_flow_limit(c.model, point, {.tolerance = 1e-4});
      converged = converged && end.converged;
      falls.add(trace - c.trace(end.point));
    }
  });
  return falls;
}

double predict(const Case& c, double trace, const SecondMoment& moment, std::int64_t H, bool& converged) {
  const Round round{.eta = eta, .local_steps = H, .workers = workers, .local_batch = local_batch};
  const auto flow = manifold_flow(c.model, c.trained.point, moment, sigma, [&](double) { return round; },
                                  {0.0, slow_time}, {.tolerance = 1e-3});
  converged = converged && flow.converged;
  return trace - flow.records.back().trace;
}

}  // namespace

TEST_CASE("on a convolutional network tr ∇²L falls as the sampling-corrected theory predicts") {
  const Case c;
  REQUIRE(c.trained.converged);
  CHECK(c.trained.residual <= 1e-12);
  const double trace = c.trace(c.trained.point);
  constexpr std::size_t runs = std::size(local_steps), jobs = 4;
  struct Result {
    Moments measured;
    double sampling = 0, limit = 0, sgd = 0;
    bool converged[jobs] = {true, true, true, true};
  };
  std::vector<Result> results(runs);
  parallel_for(2, runs * jobs, [&](std::size_t job) {
    const std::size_t part = job / runs;
    Result& r = results[job % runs];
    const std::int64_t H = local_steps[job % runs];
    bool& converged = r.converged[part];
    if (part == 0) r.measured = simulate(c, trace, H, converged);
    if (part == 1) r.sampling = predict(c, trace, SamplingMoment(true), H, converged);
    if (part == 2)
      r.limit = H == 1 ? predict(c, trace, SgdMoment(), H, converged)
                       : predict(c, trace, PsiMoment(), H, converged);
    if (part == 3 && H > 1) r.sgd = predict(c, trace, SamplingMoment(true), 1, converged);
  });
  std::printf(" H  tr(0)    fall ± SE        sampling  ratio (95%%)            limit   SE away\n");
  for (std::size_t k = 0; k < runs; ++k) {
    const Result& r = results[k];
    CAPTURE(local_steps[k]);
    for (const bool converged : r.converged) CHECK(converged);
    REQUIRE(r.measured.count == seeds);
    const double se = r.measured.standard_error(), ratio = r.measured.mean / r.sampling;
    const double half_width = t_quantile * se / r.sampling;
    std::printf("%2lld  %.2f  %.3f ± %.3f  %.3f  %.4f ± %.4f  %.3f  %.0f\n",
                static_cast<long long>(local_steps[k]), trace, r.measured.mean, se, r.sampling, ratio,
                half_width, r.limit, std::abs(r.measured.mean - r.limit) / se);
    CHECK(half_width <= 0.015);
    CHECK(ratio - half_width >= 0.97);
    CHECK(ratio + half_width <= 1.03);
    CHECK(std::abs(r.measured.mean - r.limit) / se >= 5);
    if (local_steps[k] > 1) CHECK(std::abs(r.measured.mean - r.sgd) / se >= 5);
  }
}
