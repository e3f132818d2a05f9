// ctest-labels: theory
// The headline's claim on a real network: the fall of tr ∇²L of Φ(θ̄) on digits under SGD and Local SGD at a
// practical learning rate is what the finite-step theory with sampling predicts from the same start, with
// nothing fitted, and not what the slow SDE in its limit η → 0 predicts.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdio>
#include <memory>
#include <numeric>
#include <vector>

#include "slowsde/optim/local_sgd.hpp"
#include "slowsde/optim/psi_moment.hpp"
#include "slowsde/optim/sampling_moment.hpp"
#include "slowsde/optim/sgd_moment.hpp"
#include "slowsde/problems/mlp.hpp"
#include "slowsde/sde/manifold_flow.hpp"
#include "slowsde/sde/parallel.hpp"
#include "slowsde/sde/residual_flow.hpp"
#include "slowsde/sde/statistics.hpp"

using namespace slowsde;

namespace {

constexpr double sigma = 0.3, eta = 0.05, slow_time = 60;
constexpr int workers = 4, local_batch = 2, packs = 2, seeds = packs * native_width<double>;
constexpr double t_quantile = 2.131;  // 97.5 % of Student's t with 15 degrees of freedom
const std::int64_t local_steps[] = {1, 10, 100};

/// A start by recipe: digits number first … first + 39, centred; weights N(0, gain²/inputs) with gains 4 and
/// 1 from seed `init`; the gradient flow's end, retracted to max|r| ≤ 1e-12.
struct Start {
  int first;
  std::uint64_t init;
};
const Start starts[] = {{0, 1}, {40, 2}, {80, 3}};

struct Case {
  std::unique_ptr<MlpFit> fit;
  std::unique_ptr<MlpModel> model;
  Eigen::VectorXd start;
  double trace = 0, residual = 0;
};

double trace(const MlpModel& model, const Eigen::VectorXd& theta) {
  Eigen::MatrixXd J;
  model.jacobian(theta, J);
  return J.squaredNorm() / model.samples();
}

Case make_case(const Start& start) {
  std::vector<int> indices(40);
  std::iota(indices.begin(), indices.end(), start.first);
  const Dataset data = digits_regression("results/data/digits.csv", indices);
  const MlpShape shape{{64, 40, 10}};
  Case c;
  c.fit = std::make_unique<MlpFit>(shape, data);
  c.model = std::make_unique<MlpModel>(shape, data);
  const FlowResult trained = train_to_manifold(*c.model, initial_parameters(shape, start.init, {4.0, 1.0}));
  c.start = trained.point;
  c.residual = trained.residual;
  c.trace = trace(*c.model, c.start);
  return c;
}

struct Falls {
  Moments measured;
  double sampling = 0, papers = 0;
  bool converged = true;
};

void simulate(const Case& c, std::int64_t H, std::uint64_t pack, Moments& falls, bool& converged) {
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
  LocalSgdPack<MlpFit, double, NoiseKind::minibatch> run(*c.fit, algorithm, source,
                                                         pack * native_width<double>);
  run.run(c.start.data(), {{algorithm.total_steps, slow_time}}, [&](int, const Pack<double>* theta) {
    for (int l = 0; l < native_width<double>; ++l) {
      Eigen::VectorXd point(c.start.size());
      for (Eigen::Index j = 0; j < point.size(); ++j) point[j] = theta[j][l];
      const FlowResult end = gradient_flow_limit(*c.model, point, {.tolerance = 1e-4});
      converged = converged && end.converged;
      falls.add(c.trace - trace(*c.model, end.point));
    }
  });
}

double predict(const Case& c, const SecondMoment& moment, std::int64_t H, bool& converged) {
  const Round round{.eta = eta, .local_steps = H, .workers = workers, .local_batch = local_batch};
  const auto flow = manifold_flow(*c.model, c.start, moment, sigma, [&](double) { return round; },
                                  {0.0, slow_time}, {.tolerance = 1e-3});
  converged = converged && flow.converged;
  return c.trace - flow.records.back().trace;
}

}  // namespace

TEST_CASE("on digits tr ∇²L falls as the sampling-corrected theory predicts, at three starts and three H") {
  std::vector<Case> cases(std::size(starts));
  parallel_for(2, cases.size(), [&](std::size_t s) { cases[s] = make_case(starts[s]); });
  constexpr std::size_t jobs_per_run = packs + 2;
  std::vector<Falls> results(cases.size() * std::size(local_steps));
  std::vector<Moments> parts(results.size() * packs);
  std::vector<char> reached(results.size() * jobs_per_run, 1);
  parallel_for(2, results.size() * jobs_per_run, [&](std::size_t job) {
    const std::size_t r = job / jobs_per_run, part = job % jobs_per_run;
    const Case& c = cases[r / std::size(local_steps)];
    const std::int64_t H = local_steps[r % std::size(local_steps)];
    bool converged = true;
    if (part < packs)
      simulate(c, H, part, parts[r * packs + part], converged);
    else if (part == packs)
      results[r].sampling = predict(c, SamplingMoment(true), H, converged);
    else if (H == 1)
      results[r].papers = predict(c, SgdMoment(), H, converged);
    else
      results[r].papers = predict(c, PsiMoment(), H, converged);
    reached[job] = converged;
  });
  std::printf("start     H  tr(0)    fall ± SE        sampling  ratio (95%%)            papers   SE away\n");
  for (std::size_t r = 0; r < results.size(); ++r) {
    Falls& f = results[r];
    const std::size_t s = r / std::size(local_steps);
    const std::int64_t H = local_steps[r % std::size(local_steps)];
    f.measured = parts[r * packs];
    for (std::size_t p = 1; p < packs; ++p) f.measured.merge(parts[r * packs + p]);
    CAPTURE(s);
    CAPTURE(H);
    for (std::size_t j = 0; j < jobs_per_run; ++j) CHECK(reached[r * jobs_per_run + j]);
    CHECK(cases[s].residual <= 1e-12);
    REQUIRE(f.measured.count == seeds);
    const double se = f.measured.standard_error(), ratio = f.measured.mean / f.sampling;
    const double half_width = t_quantile * se / f.sampling;
    const double away = std::abs(f.measured.mean - f.papers) / se;
    std::printf("%zu      %4lld  %.2f  %.3f ± %.3f  %.3f  %.4f ± %.4f  %.3f  %.0f\n", s,
                static_cast<long long>(H), cases[s].trace, f.measured.mean, se, f.sampling, ratio, half_width,
                f.papers, away);
    CHECK(half_width <= 0.015);
    CHECK(ratio - half_width >= 0.97);
    CHECK(ratio + half_width <= 1.03);
    CHECK(away >= 5);
  }
}
