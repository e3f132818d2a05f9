#include "slowsde/experiments/ensemble_models.hpp"

#include <algorithm>
#include <utility>

#include "slowsde/optim/round_plan.hpp"

namespace slowsde {
namespace {

/// Models draw their Brownian motions from a seed of their own, so that no model shares a path with another
/// or with the iterates; the name keeps it the same when series are added or reordered.
std::uint64_t seed_of(const std::string& name, std::uint64_t seed) {
  std::uint64_t hash = 0xcbf29ce484222325u ^ (seed * 0x9E3779B97F4A7C15u);
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return hash;
}

/// Whether all rounds are alike but for a last one that the end of the run cuts short.
bool steady(const RoundClock& clock, double slow_time_per_step) {
  if (clock.changes().size() == 1) return true;
  if (clock.changes().size() > 2) return false;
  const Round &first = clock(0), &last = clock(clock.end());
  const double length = last.eta * last.eta * static_cast<double>(last.local_steps) * slow_time_per_step;
  return last.local_steps < first.local_steps && clock.end() - clock.changes()[1] < 1.5 * length;
}

}  // namespace

std::vector<std::pair<std::string, std::string>> theory_catalogue() {
  return {
      {"slow-sde", "the slow SDE on the manifold: geometry times a second-moment model"},
      {"closed-form", "label noise: descent of tr f(Hessian), computed without the third derivative"},
      {"quasi-static",
       "quasi-static QSR: copies of SGD's slow SDE for slow time alpha^2, then the flow's end of their mean"},
      {"conventional-sde", "the conventional SDE of SGD or Local SGD, valid for O(1/eta) steps"}};
}

ModelConfig read_model(ConfigTable table, const Registry& registry,
                       const std::vector<AlgorithmConfig>& iterates, const GradientNoise& noise,
                       int default_replicas) {
  const auto name = table.require<std::string>("name");
  const auto of = table.get<std::string>("of", iterates.front().name);
  const auto modelled =
      std::find_if(iterates.begin(), iterates.end(), [&](const auto& c) { return c.name == of; });
  table.check("of", modelled != iterates.end(), "must name one of [[iterates]]");
  return read_model_of(table, registry, *modelled, name, noise, default_replicas, "psi");
}

ModelConfig read_model_of(ConfigTable table, const Registry& registry, const AlgorithmConfig& algorithm,
                          const std::string& name, const GradientNoise& noise, int default_replicas,
                          const std::string& slow_moment) {
  ModelConfig model;
  model.name = name;
  model.of = algorithm.name;
  std::vector<std::string> theories;
  for (const auto& entry : theory_catalogue()) theories.push_back(entry.first);
  model.theory = table.one_of("theory", theories, "slow-sde");
  model.replicas = table.at_least<int>("replicas", 2, default_replicas);
  const Round& first = algorithm.round_at_start;
  // Rounds within which the learning rate falls by more are divided.
  constexpr double rate_change = 0.05;
  const RoundClock clock(algorithm.algorithm.lr, *algorithm.algorithm.rule, algorithm.algorithm.total_steps,
                         first, algorithm.slow_time_per_step, rate_change);
  const bool one_round_for_all = steady(clock, algorithm.slow_time_per_step);

  if (model.theory == "conventional-sde") {
    const LearningRateParams& rate = algorithm.algorithm.lr.params();
    table.check("theory", rate.shape == LearningRateShape::constant && rate.warmup_steps == 0,
                "needs a constant learning rate");
    table.check("theory", algorithm.algorithm.momentum == 0, "has no momentum");
    table.check("theory", one_round_for_all, "needs the same number of local steps in every round");
    model.conventional.noise = noise;
    model.conventional.round = first;
    model.conventional.local = table.get<bool>("local", first.local_steps > 1);
    // SVAG follows the SDE at the learning rate η of which its steps are the ℓ-th part.
    const int svag = algorithm.algorithm.svag;
    model.conventional.round.eta *= svag;
    if (model.conventional.local) {
      table.check("theory", first.local_steps % svag == 0, "needs local steps that are a multiple of svag");
      model.conventional.round.local_steps /= svag;
    }
    model.dt = table.positive<double>("dt", 0.05);
    model.conventional.dt = model.dt;
    model.steps_per_slow_time = 1 / (model.conventional.round.eta * model.dt);
    return model;
  }

  SlowRun& slow = model.slow;
  slow.noise = noise;
  if (model.theory == "quasi-static") {
    slow.theory = SlowTheory::quasi_static;
    slow.round_time = table.positive<double>("alpha_squared",
                                             first.eta * first.eta * static_cast<double>(first.local_steps));
    table.check("alpha_squared", algorithm.algorithm.momentum == 0, "has no momentum");
  } else if (model.theory == "closed-form") {
    slow.theory = SlowTheory::label_noise_flow;
    table.check("theory", noise.kind != NoiseKind::gaussian, "needs label noise");
    table.check("theory", one_round_for_all, "needs the same learning rate and local steps in every round");
  }
  const std::string default_moment = slow.theory == SlowTheory::quasi_static ? "sgd" : slow_moment;
  slow.moment = table.checked([&] {
    return choose(table, "moment", registry.moments, default_moment)->make(algorithm.algorithm, noise);
  });
  if (slow.theory == SlowTheory::label_noise_flow)
    table.check("moment", slow.moment->sampling_weight(first, 1 << 30) == 0,
                "feeds sampling noise back, which the closed form leaves out");
  slow.round = clock;
  if (slow.theory != SlowTheory::label_noise_flow) {
    const std::string geometry = table.one_of("geometry", {"auto", "dense", "gram"}, "auto");
    slow.geometry = geometry == "dense"  ? GeometryRoute::dense
                    : geometry == "gram" ? GeometryRoute::gram
                                         : GeometryRoute::automatic;
    slow.scheme =
        table.one_of("stepper", {"euler-maruyama", "platen-weak-2"}, "euler-maruyama") == "platen-weak-2"
            ? SlowScheme::platen_weak_2
            : SlowScheme::euler_maruyama;
    const std::string retraction = table.one_of("retraction", {"newton", "phi", "none"}, "newton");
    slow.retraction = retraction == "newton" ? Retraction::newton
                      : retraction == "phi"  ? Retraction::phi
                                             : Retraction::none;
    const std::string variant = table.one_of(
        "variant", {"full", "no-ito", "no-cross", "cross-once", "drift-only", "diffusion-only"}, "full");
    slow.variant = variant == "no-ito"           ? SlowSdeVariant::no_ito
                   : variant == "no-cross"       ? SlowSdeVariant::no_cross
                   : variant == "cross-once"     ? SlowSdeVariant::cross_once
                   : variant == "drift-only"     ? SlowSdeVariant::drift_only
                   : variant == "diffusion-only" ? SlowSdeVariant::diffusion_only
                                                 : SlowSdeVariant::full;
  }
  slow.tolerance = table.positive<double>("tolerance", slow.tolerance);
  model.dt = table.positive<double>("dt", 0.01);
  slow.dt = model.dt;
  model.steps_per_slow_time = 1 / model.dt;
  return model;
}

ModelRun prepare_model(const ModelConfig& model, const ExperimentProblem& problem, const GradientNoise&,
                       const std::vector<double>& start, const std::vector<double>& times,
                       std::uint64_t seed) {
  ModelRun run;
  if (model.theory == "conventional-sde") {
    run.width = native_width<double>;
    ConventionalRun conventional = model.conventional;
    conventional.seed = seed_of(model.name, seed);
    conventional.start = start;
    conventional.times = times;
    run.conventional = conventional;
    run.simulate = [&problem, conventional](std::size_t batch, const RecordStates& record) {
      problem.conventional_trajectories(conventional, batch * native_width<double>, record);
      return DistanceToManifold{};  // it does not live on Γ
    };
    return run;
  }
  SlowRun slow = model.slow;
  slow.seed = seed_of(model.name, seed);
  slow.start = start;
  slow.times = times;
  run.deterministic = problem.deterministic(slow);
  // A slow model lives on Γ; without retraction it is read off where it is.
  run.project = false;
  run.width = problem.slow_width(slow);
  if (!run.deterministic) run.slow = slow;
  run.simulate = [&problem, slow, width = run.width](std::size_t batch, const RecordStates& record) {
    return problem.slow_trajectories(slow, batch * static_cast<std::size_t>(width), record);
  };
  return run;
}

double model_work(const ModelConfig& model, const std::vector<double>& times,
                  const ExperimentProblem& problem) {
  const double T = times.empty() ? 0 : times.back();
  // One slow step costs about as much as some hundred worker-steps: eigenpairs and a third derivative; side
  // by side about a tenth of that.
  const double copies =
      model.theory == "conventional-sde" && model.conventional.local ? model.conventional.round.workers : 1;
  const double cost = model.theory == "conventional-sde"   ? copies
                      : problem.slow_width(model.slow) > 1 ? 10
                                                           : 100;
  return std::max(1.0, T * model.steps_per_slow_time * cost * problem.dim());
}

}  // namespace slowsde
