#include "slowsde/experiments/registry.hpp"

#include <stdexcept>

#include "slowsde/experiments/benchmarks.hpp"
#include "slowsde/experiments/builtin_claims.hpp"
#include "slowsde/experiments/builtin_problems.hpp"
#include "slowsde/experiments/ensemble.hpp"
#include "slowsde/experiments/ensemble_models.hpp"
#include "slowsde/experiments/multilevel.hpp"
#include "slowsde/experiments/plan.hpp"
#include "slowsde/experiments/qsr_error.hpp"
#include "slowsde/experiments/stepper_orders.hpp"
#include "slowsde/experiments/suite.hpp"
#include "slowsde/experiments/sweep.hpp"
#include "slowsde/experiments/sync_rules.hpp"
#include "slowsde/experiments/train.hpp"
#include "slowsde/experiments/worker_cloud.hpp"
#include "slowsde/optim/second_moment_catalogue.hpp"
#include "slowsde/optim/sync_rule.hpp"
#include "slowsde/optim/update_rule.hpp"

namespace slowsde {

void Registry::add(std::shared_ptr<const Experiment> experiment) {
  std::string name(experiment->name()), summary(experiment->summary());
  experiments.add(std::move(name), std::move(summary), std::move(experiment));
}

void Registry::add(RuleDescription rule) {
  std::string name = rule.name, line = rule.line();
  rules.add(std::move(name), std::move(line), std::make_shared<const RuleDescription>(std::move(rule)));
}

void Registry::add_claim(std::string name, Claim claim) {
  std::string summary = claim.statement;
  claims.add(std::move(name), std::move(summary), std::move(claim));
}

/// Things that configurations name and whose making is not the registry's business.
struct ModelEntry {};
struct ScheduleEntry {};
struct UpdateEntry {};
struct StepperEntry {};
struct ObservableEntry {};

namespace {

template <class Entry>
void add_names(EntryCatalogue<Entry>& catalogue,
               const std::vector<std::pair<std::string, std::string>>& names) {
  for (const auto& [name, summary] : names) catalogue.add(name, summary, std::make_shared<Entry>());
}

void add_moments(Registry& registry) {
  for (const CatalogueEntry& entry : second_moment_catalogue())
    registry.moments.add(
        entry.name, entry.description,
        std::make_shared<MomentEntry>(MomentEntry{[name = entry.name](const LocalSgd& algorithm,
                                                                      const GradientNoise& noise) {
          if (name == "sampling" && noise.kind != NoiseKind::minibatch)
            throw std::invalid_argument("the second-moment model sampling needs minibatch noise");
          return make_second_moment(name, {.replacement = noise.replacement, .buffers = algorithm.buffers});
        }}));
}

}  // namespace

Registry builtin_registry() {
  Registry registry;
  registry.add(std::make_shared<EnsembleExperiment>());
  registry.add(std::make_shared<PlanExperiment>());
  registry.add(std::make_shared<TrainExperiment>());
  registry.add(std::make_shared<Sweep>());
  registry.add(std::make_shared<Suite>());
  registry.add(std::make_shared<SyncRulesExperiment>());
  registry.add(std::make_shared<MultilevelExperiment>());
  registry.add(std::make_shared<QsrErrorExperiment>());
  registry.add(std::make_shared<StepperOrdersExperiment>());
  registry.add(std::make_shared<WorkerCloudExperiment>());
  add_valley_problems(registry);
  add_surface_problems(registry);
  add_matrix_problems(registry);
  add_network_problems(registry);
  add_benchmarks(registry);
  add_valley_claims(registry);
  add_surface_claims(registry);
  add_horizon_claims(registry);
  add_quasi_static_claims(registry);
  add_weak_order_claims(registry);
  add_diffusion_claims(registry);
  add_flat_valley_claims(registry);
  add_label_noise_claims(registry);
  add_curved_valley_claims(registry);
  add_turning_valley_claims(registry);
  add_momentum_claims(registry);
  add_sampling_claims(registry);
  add_matrix_claims(registry);
  add_sparsity_claims(registry);
  add_network_claims(registry);
  add_label_claims(registry);
  add_moments(registry);
  add_names(registry.models, theory_catalogue());
  for (RuleDescription& rule : sync_rule_catalogue()) registry.add(std::move(rule));
  add_names(registry.schedules, {{"constant", "the peak"},
                                 {"linear", "linear decay to the end"},
                                 {"cosine", "half a cosine from peak to end"},
                                 {"step", "times a factor at given steps"},
                                 {"cosine-powers", "cosine, rounded to powers of a base"}});
  add_names(registry.updates, update_rule_catalogue());
  add_names(registry.steppers, {{"euler-maruyama", "weak order 1, Ito"},
                                {"platen-weak-2", "weak order 2, Ito, general noise"},
                                {"milstein", "strong order 1, Ito, diagonal noise (library)"},
                                {"heun", "weak order 1, Stratonovich (library)"}});
  add_names(registry.observables, {{"x0, x1, ...", "a component"},
                                   {"log_x0, ...", "logarithm of its absolute value"},
                                   {"norm", "Euclidean norm"},
                                   {"angle", "atan2(x1, x0)"},
                                   {"loss", "training loss"},
                                   {"trace", "trace of the Hessian of the loss"},
                                   {"lambda_max", "largest eigenvalue of the Hessian"},
                                   {"residual", "least squares: largest |f - y|"},
                                   {"train_accuracy", "mlp-digits: argmax hits, training images"},
                                   {"test_accuracy", "mlp-digits: argmax hits, the images after them"}});
  return registry;
}

}  // namespace slowsde
