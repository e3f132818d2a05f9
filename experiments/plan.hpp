// Experiment kind "plan": which synchronization rule, before anything is trained. Rounds, communication and
// wall clock are counted on the true schedule; the drift toward flat minima is what the slow SDE predicts for
// given eigenvalues of the Hessian.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "slowsde/experiments/config.hpp"
#include "slowsde/experiments/experiment.hpp"
#include "slowsde/experiments/training_log.hpp"
#include "slowsde/optim/cost_model.hpp"
#include "slowsde/optim/schedule_drift.hpp"

namespace slowsde {

/// One of [[rules]], or what was logged.
struct PlanRule {
  std::string name;
  std::shared_ptr<const SyncRule> rule;
  std::string as_much_as;  ///< a constant H with the communication of this earlier rule; no `rule` then
};

/// What the wall clock is made of: a model of it, and how well its two times are known.
struct PlanClock {
  CostModel model;
  StepAndAverage times;                               ///< at `measured_bandwidth`
  double measured_bandwidth = 0;                      ///< bits per second
  std::vector<double> bandwidths;                     ///< for which hours are asked
  bool latency_given = true;                          ///< or the efficiency
  std::string source;                                 ///< how the times were found, in words
  std::optional<std::pair<TimedRun, TimedRun>> pair;  ///< two times they were solved from,
  double rounding = 0;                                ///< seconds by which each of the two may be off
  std::string check;                                  ///< how well the fit to a log holds, in words

  /// Hours of a run and how far they may be off: by the rounding of the two times, or 1.96 standard errors.
  double hours(const RunVolume& run, double bandwidth) const;
  double hours_error(const RunVolume& run, double bandwidth) const;
};

/// Everything that a configuration of this kind says.
struct PlanConfig {
  int workers = 1;
  std::shared_ptr<const RateTable> rates;
  std::string schedule;  ///< in words
  std::int64_t warmup_steps = 0;
  std::vector<PlanRule> rules;
  std::optional<PlanClock> clock;
  double bytes = 0;
  Topology topology = Topology::ring;
  std::optional<TrainingLog> log;

  std::optional<DriftSpectrum> spectrum;
  std::string spectrum_source;
  std::shared_ptr<const SecondMoment> moment;
  std::string moment_name;
  DriftSetting drift;
  AlphaTarget target;
  PowerRuleParams target_rule;  ///< γ, H_base, H_max, w of the recommendation and of the α table
  std::vector<double> alphas;
  int samples = 400;
  std::vector<std::string> warnings;
};

/// What a rule comes to.
struct PlannedRule {
  std::string name;
  ScheduleDrift drift;                          ///< without a spectrum only its counts and lengths are set
  std::int64_t constant_steps = 0;              ///< H, where as_much_as chose it
  std::vector<double> local_steps, multiplier;  ///< at the sample steps
};

struct PlanOutcome {
  std::vector<std::int64_t> sample_steps;
  std::vector<PlannedRule> rules;
  std::vector<AlphaPoint> points;  ///< of the α table
  std::optional<AlphaAnswer> answer;
  std::vector<std::string> warnings;
};

/// Throws ConfigError, and IoError for what is wrong with a log or a spectrum's file.
PlanConfig read_plan_config(ConfigTable& config, const Registry& registry);
PlanOutcome compute_plan(const PlanConfig& plan);

/// Arrays, summary, warnings and regime report.
Result plan_result(const PlanConfig& plan, const PlanOutcome& outcome);
/// The numbers of the summary as JSON.
std::string plan_json(const Result& result);

class PlanExperiment final : public Experiment {
 public:
  std::string_view name() const override { return "plan"; }
  std::string_view summary() const override {
    return "which H? communication, wall clock and predicted drift of rules, without training";
  }
  Estimate estimate(ConfigTable& config, const RunContext& context) const override;
  Result run(ConfigTable& config, RunContext& context) const override;
  bool has_seed() const override { return false; }
};

}  // namespace slowsde
