#include "slowsde/experiments/worker_cloud.hpp"

#include <fmt/format.h>

#include <Eigen/Dense>
#include <array>
#include <chrono>
#include <limits>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "slowsde/experiments/progress.hpp"
#include "slowsde/optim/local_sgd.hpp"
#include "slowsde/optim/round_moments.hpp"
#include "slowsde/optim/sampling_moment.hpp"
#include "slowsde/problems/mlp.hpp"
#include "slowsde/sde/parallel.hpp"
#include "slowsde/sde/statistics.hpp"

namespace slowsde {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr int W = native_width<double>;
constexpr std::size_t quantities = 4;  // along three eigenvectors, and the trace
constexpr std::array<const char*, quantities> quantity_names = {"largest eigenvalue", "middle eigenvalue",
                                                                "least eigenvalue", "trace"};

struct Plan {
  MlpShape shape;
  int samples = 0;
  double gain = 1, sigma = 0;
  Round round;
  std::size_t packs = 0;
  std::int64_t warm_rounds = 0, rounds = 0;
  std::uint64_t seed = 1;

  double rounds_in_all() const {
    return static_cast<double>(packs) * static_cast<double>(warm_rounds + rounds);
  }
};

Plan read_plan(ConfigTable& config, const RunContext& context) {
  Plan plan;
  ConfigTable network = config.table("network");
  for (const std::int64_t width : network.list<std::int64_t>("widths", {8, 10, 3}))
    plan.shape.widths.push_back(static_cast<int>(width));
  network.check("widths", plan.shape.widths.size() >= 2, "must name at least inputs and outputs");
  for (const int width : plan.shape.widths) network.check("widths", width >= 1, "must hold numbers >= 1");
  plan.samples = network.at_least<int>("samples", 1, 6);
  network.check("samples", plan.samples * plan.shape.outputs() <= plan.shape.dim(),
                "times the outputs must be at most the number of parameters, or nothing is interpolated");
  plan.gain = network.positive<double>("init_gain", 1.2);
  plan.sigma = config.table("noise").positive<double>("sigma", 0.01);
  ConfigTable algorithm = config.table("algorithm");
  plan.round.workers = algorithm.at_least<int>("workers", 2, 4);
  plan.round.local_batch = algorithm.at_least<int>("local_batch", 1, 1);
  plan.round.eta = algorithm.positive<double>("lr", 0.05);
  plan.round.local_steps = algorithm.at_least<std::int64_t>("local_steps", 1, 16);
  ConfigTable run = config.table("run");
  const auto replicas = run.at_least<std::int64_t>("replicas", 2, 192);
  plan.packs = static_cast<std::size_t>((replicas + W - 1) / W);
  plan.warm_rounds = run.at_least<std::int64_t>("warm_rounds", 0, 60);
  plan.rounds = run.at_least<std::int64_t>("rounds", 1, 200);
  plan.seed = context.seed;
  return plan;
}

Dataset interpolated(const MlpShape& shape, const Eigen::VectorXd& theta, int samples, std::uint64_t seed) {
  Dataset data = gaussian_inputs(samples, shape.inputs(), shape.outputs(), seed);
  set_targets(data, MlpFit(shape, data), theta.data());
  return data;
}

/// The problem at a point of Γ, and the coordinates of a displacement from it.
struct Setting {
  Eigen::VectorXd theta;
  MlpFit fit;
  MlpModel model;
  GramGeometry geometry{model};
  Eigen::MatrixXd project;  ///< ⟨v_i, δ⟩ = ⟨v_i, J^†(Jδ)⟩, read off the residuals Jδ: (rank × nC)
  int rank = 0;

  explicit Setting(const Plan& plan)
      : theta(initial_parameters(plan.shape, plan.seed, plan.gain)),
        fit(plan.shape, interpolated(plan.shape, theta, plan.samples, plan.seed)),
        model(plan.shape, fit.data()) {
    geometry.move_to(theta);
    rank = geometry.rank();
    Eigen::MatrixXd J, basis(theta.size(), rank);
    model.jacobian(theta, J);
    for (int i = 0; i < rank; ++i) basis.col(i) = geometry.combination(Eigen::VectorXd::Unit(rank, i));
    project = (J * J.transpose()).ldlt().solve(J * basis).transpose();
  }

  /// Index of the eigenvector that a quantity is along.
  int direction(std::size_t q) const { return q == 0 ? rank - 1 : q == 1 ? rank / 2 : 0; }
};

using Packs = std::vector<Pack<double>>;

/// Own and cross moments of a pack of replicas, mean over the rounds, in units of σ²: (H × 2 × quantities).
Packs measure(const Plan& plan, const Setting& setting, std::uint64_t pack) {
  using T = Pack<double>;
  const MlpFit& fit = setting.fit;
  const int C = fit.outputs_count(), residuals = fit.samples() * C, rank = setting.rank,
            K = plan.round.workers;
  const std::int64_t H = plan.round.local_steps;
  LocalSgd algorithm;
  algorithm.workers = K;
  algorithm.local_batch = plan.round.local_batch;
  algorithm.lr = LearningRate::constant(plan.round.eta);
  algorithm.rule = std::make_shared<ConstantRule>(H);
  algorithm.total_steps = (plan.warm_rounds + plan.rounds) * H;
  GradientSource source;
  source.seed = plan.seed;
  source.noise = {.kind = NoiseKind::minibatch, .label_sigma = plan.sigma, .replacement = true};
  source.local_batch = plan.round.local_batch;

  const auto row = [&](std::int64_t h) { return static_cast<std::size_t>((h - 1) * rank); };
  // Workers run their rounds one after another: of each step the sums of coordinates and of their squares.
  Packs sum(static_cast<std::size_t>(H * rank)), squares(sum.size()), r(static_cast<std::size_t>(residuals)),
      y(static_cast<std::size_t>(C)), moments(static_cast<std::size_t>(H) * 2 * quantities, T(0.0));
  const auto observe = [&](std::int64_t k, int worker, const T* at) {
    const std::int64_t round = (k - 1) / H, h = k - round * H;
    if (round < plan.warm_rounds) return;
    for (int i = 0; i < fit.samples(); ++i) {
      T* f = r.data() + i * C;
      fit.outputs(at, i, f);
      fit.targets(i, y.data());
      for (int c = 0; c < C; ++c) f[c] = f[c] - y[static_cast<std::size_t>(c)];
    }
    T* s = sum.data() + row(h);
    T* s2 = squares.data() + row(h);
    T own_trace(0.0), cross_trace(0.0);
    T* out = moments.data() + static_cast<std::size_t>(h - 1) * 2 * quantities;
    for (int i = 0; i < rank; ++i) {
      T a(0.0);
      for (int m = 0; m < residuals; ++m) a = a + T(setting.project(i, m)) * r[static_cast<std::size_t>(m)];
      s[i] = worker == 0 ? a : s[i] + a;
      s2[i] = worker == 0 ? a * a : s2[i] + a * a;
      if (worker + 1 < K) continue;
      // Σ_w a_w²/K and Σ_{w≠w'} a_w a_w'/(K(K−1))
      const T own = s2[i] * T(1.0 / K), cross = (s[i] * s[i] - s2[i]) * T(1.0 / (K * (K - 1.0)));
      own_trace = own_trace + own;
      cross_trace = cross_trace + cross;
      for (std::size_t q = 0; q + 1 < quantities; ++q) {
        if (setting.direction(q) != i) continue;
        out[q] = out[q] + own;
        out[quantities + q] = out[quantities + q] + cross;
      }
    }
    if (worker + 1 < K) return;
    out[quantities - 1] = out[quantities - 1] + own_trace;
    out[2 * quantities - 1] = out[2 * quantities - 1] + cross_trace;
  };
  LocalSgdPack<MlpFit, double, NoiseKind::minibatch> run(fit, algorithm, source, pack * W);
  run.run(
      setting.theta.data(), {{algorithm.total_steps, 0}}, [](int, const T*) {}, observe);
  for (T& value : moments)
    value = value * T(1 / (static_cast<double>(plan.rounds) * plan.sigma * plan.sigma));
  return moments;
}

}  // namespace

Estimate WorkerCloudExperiment::estimate(ConfigTable& config, const RunContext& context) const {
  Plan plan = read_plan(config, context);
  Estimate estimate;
  estimate.work = static_cast<double>(plan.packs);
  estimate.bytes = 16e6 + static_cast<double>(plan.packs) * static_cast<double>(plan.round.local_steps) *
                              (2 * quantities * W * sizeof(double));
  if (context.measure) {
    const double all = plan.rounds_in_all();
    const Setting setting(plan);
    plan.packs = 1, plan.warm_rounds = 1, plan.rounds = 4;
    const auto begin = std::chrono::steady_clock::now();
    measure(plan, setting, 0);
    estimate.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() /
                       plan.rounds_in_all() * all / context.threads;
  }
  return estimate;
}

Result WorkerCloudExperiment::run(ConfigTable& config, RunContext& context) const {
  const Plan plan = read_plan(config, context);
  const Setting setting(plan);
  const auto H = static_cast<std::size_t>(plan.round.local_steps);

  std::vector<std::int64_t> steps(H + 1);
  std::iota(steps.begin(), steps.end(), 0);
  const SamplingMoment sampling;
  const FiniteStepMoment finite;
  const std::array<std::pair<const char*, const FiniteStepMoment*>, 2> theories = {
      {{"sampling", &sampling}, {"finite-step", &finite}}};
  std::vector<RoundMoments> predicted;
  for (const auto& [name, moment] : theories) {
    predicted.push_back(round_moments(setting.geometry, *moment, plan.round, 1, steps));
    if (!predicted.back().converged)
      throw std::runtime_error(
          fmt::format("the theory '{}' has no stationary round at this learning rate", name));
  }

  std::vector<Packs> packs(plan.packs);
  parallel_for(context.threads, packs.size(), [&](std::size_t pack) {
    packs[pack] = measure(plan, setting, pack);
    context.progress.add(1);
  });

  Result result;
  result.dims = {{"step", H + 1}, {"quantity", quantities}, {"theory", theories.size()}};
  TextVariable quantity{"quantity", "what of a second moment", {"quantity"}, {}};
  for (const char* name : quantity_names) quantity.data.emplace_back(name);
  result.add(std::move(quantity));
  TextVariable theory{"theory", "second-moment model", {"theory"}, {}};
  for (const auto& [name, moment] : theories) theory.data.emplace_back(name);
  result.add(std::move(theory));
  Variable step{"step", "1", "local steps h since the last average", {"step"}, {}};
  for (const std::int64_t h : steps) step.data.push_back(static_cast<double>(h));
  result.add(std::move(step));
  const Eigen::VectorXd lambda = setting.geometry.eigenvalues();
  Variable eigenvalue{
      "eigenvalue", "1", "eigenvalue of the Hessian that a quantity belongs to", {"quantity"}, {}};
  for (std::size_t q = 0; q < quantities; ++q)
    eigenvalue.data.push_back(q + 1 < quantities ? lambda[setting.direction(q)] : nan);
  result.add(std::move(eigenvalue));
  for (const auto& [name, value] : {std::pair<const char*, double>{"workers", plan.round.workers},
                                    {"local_batch", plan.round.local_batch},
                                    {"eta", plan.round.eta},
                                    {"sigma", plan.sigma},
                                    {"replicas", static_cast<double>(plan.packs * W)}})
    result.add({name, "1", name, {}, {value}});

  std::uint64_t lost = 0;
  const char* const kinds[] = {"own", "cross"};
  std::string summary =
      "second moments over sigma^2 after the last local step: measured, with sampling, without\n";
  for (std::size_t kind = 0; kind < 2; ++kind) {
    const std::string name = kinds[kind];
    Variable mean{
        name, "1", name + " second moment of the displacement over sigma^2", {"step", "quantity"}, {}};
    Variable se{name + "_se", "1", "its standard error over the replicas", {"step", "quantity"}, {}};
    Variable theirs{name + "_predicted", "1", "the same in theory", {"theory", "step", "quantity"}, {}};
    mean.data.assign(quantities, nan);  // at h = 0 nothing has spread: what is there is the last round's end
    se.data.assign(quantities, nan);
    for (std::size_t h = 1; h <= H; ++h)
      for (std::size_t q = 0; q < quantities; ++q) {
        Moments moments;
        for (const Packs& pack : packs)
          for (int l = 0; l < W; ++l) moments.add(pack[((h - 1) * 2 + kind) * quantities + q][l]);
        mean.data.push_back(moments.mean);
        se.data.push_back(moments.standard_error());
        lost = std::max(lost, moments.diverged);
      }
    for (const RoundMoments& round : predicted)
      for (const StepMoments& at : round.steps) {
        const Eigen::MatrixXd& A = kind == 0 ? at.own : at.cross;
        for (std::size_t q = 0; q < quantities; ++q)
          theirs.data.push_back(q + 1 < quantities ? A(setting.direction(q), setting.direction(q))
                                                   : A.trace());
      }
    for (std::size_t q = 0; q < quantities; ++q) {
      const std::size_t last = H * quantities + q, all = (H + 1) * quantities;
      summary += fmt::format("  {:<6} {:<19} {:.6f} +- {:.6f}   {:.6f}   {:.6f}\n", name, quantity_names[q],
                             mean.data[last], se.data[last], theirs.data[last], theirs.data[all + last]);
    }
    result.add(std::move(mean));
    result.add(std::move(se));
    result.add(std::move(theirs));
  }
  result.replicas = static_cast<long long>(plan.packs * W);
  result.diverged = static_cast<long long>(lost);
  if (lost > 0) result.warnings.push_back(fmt::format("{} replicas diverged and are left out", lost));
  if (lost == plan.packs * W) result.diverged_series.emplace_back("Local SGD");
  result.summary = std::move(summary);
  return result;
}

}  // namespace slowsde
