#include "slowsde/experiments/algorithm_config.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "slowsde/optim/round_plan.hpp"
#include "slowsde/optim/rule_description.hpp"

namespace slowsde {
namespace {

const std::pair<NoiseKind, const char*> noise_names[] = {
    {NoiseKind::gaussian, "gaussian"}, {NoiseKind::label, "label"}, {NoiseKind::minibatch, "minibatch"}};

}  // namespace

LearningRateParams read_learning_rate(ConfigTable owner) {
  LearningRateParams params;
  if (owner.kind("lr") != ConfigKind::table) {
    params.peak = owner.positive<double>("lr");
    return params;
  }
  ConfigTable table = owner.table("lr");
  const std::string shape =
      table.one_of("schedule", {"constant", "linear", "cosine", "step", "cosine-powers"}, "constant");
  params.shape = learning_rate_shape(shape);
  params.peak = table.positive<double>("peak");
  params.warmup_steps = table.at_least<std::int64_t>("warmup_steps", 0, 0);
  if (shape != "constant" && shape != "step") {
    params.end = table.at_least<double>("end", 0, 0);
    params.total_steps = table.at_least<std::int64_t>("total_steps", 0, 0);
  } else if (params.warmup_steps > 0) {
    params.end = table.at_least<double>("end", 0, 0);
  }
  if (shape == "step") {
    params.step_at = table.list<std::int64_t>("at");
    params.step_factor = table.positive<double>("factor", 0.1);
  }
  if (shape == "cosine-powers") params.power_base = table.positive<double>("power_base", 2);
  return params;
}

std::shared_ptr<const SyncRule> read_rule(ConfigTable owner, const EntryCatalogue<RuleDescription>& rules,
                                          std::int64_t warmup_steps) {
  using Kind = RuleParameter::Kind;
  ConfigTable table = owner.table("rule");
  std::vector<std::string> names;
  for (const auto& item : rules.items()) names.push_back(item.name);
  const RuleDescription& rule = *rules.at(table.one_of("name", names, "parallel"));
  RuleArguments told;
  told.warmup_steps = warmup_steps;
  for (const RuleParameter& p : rule.parameters) {
    if (p.kind == Kind::integers) {
      told.set(p.name, table.list<std::int64_t>(p.name));
    } else if (p.kind == Kind::integer) {
      std::optional<std::int64_t> fallback;
      if (p.fallback) fallback = static_cast<std::int64_t>(*p.fallback);
      const auto bound = static_cast<std::int64_t>(p.bound);
      told.set(p.name, table.at_least<std::int64_t>(p.name, bound, fallback));
    } else if (p.above && p.bound == 0) {
      told.set(p.name, table.positive<double>(p.name, p.fallback));
    } else {
      told.set(p.name, table.at_least<double>(p.name, p.bound, p.fallback));
    }
  }
  for (const RuleParameter& p : rule.parameters)
    if (!p.as_long_as.empty())
      table.check(p.name, told.integers(p.name).size() == told.integers(p.as_long_as).size(),
                  "must have as many entries as " + p.as_long_as);
  return table.checked([&] { return rule.rule(told); });
}

void read_momentum(ConfigTable owner, LocalSgd& algorithm) {
  if (!owner.has("momentum")) return;
  ConfigTable momentum = owner.table("momentum");
  algorithm.momentum = momentum.at_least<double>("beta", 0, 0.0);
  momentum.check("beta", algorithm.momentum < 1, "must be < 1");
  const std::string buffers = momentum.one_of("buffers", {"kept", "averaged", "reset"}, "kept");
  algorithm.buffers = buffers == "kept"       ? BufferPolicy::kept
                      : buffers == "averaged" ? BufferPolicy::averaged
                                              : BufferPolicy::reset;
}

namespace {

/// `workers`, `local_batch`, `momentum`.
void read_workers(ConfigTable table, AlgorithmConfig& result) {
  LocalSgd& algorithm = result.algorithm;
  algorithm.workers = table.at_least<int>("workers", 1, 1);
  algorithm.local_batch = table.at_least<int>("local_batch", 1, 1);
  read_momentum(table, algorithm);
  result.slow_time_per_step = 1 / ((1 - algorithm.momentum) * (1 - algorithm.momentum));
}

void find_first_round(AlgorithmConfig& result) {
  const LocalSgd& algorithm = result.algorithm;
  result.single_rate = algorithm.lr(0);
  result.round_at_start = {
      .eta = algorithm.lr(0),
      .local_steps = algorithm.total_steps == 0
                         ? 1
                         : algorithm.rule->local_steps(0, algorithm.lr(0), algorithm.total_steps),
      .workers = algorithm.workers,
      .local_batch = algorithm.local_batch,
      .momentum = algorithm.momentum};
}

}  // namespace

std::string noise_kind_name(NoiseKind kind) {
  for (const auto& [value, name] : noise_names)
    if (value == kind) return name;
  return {};
}

GradientNoise read_noise(ConfigTable table, const std::vector<NoiseKind>& kinds) {
  std::vector<std::string> names;
  for (const NoiseKind kind : kinds) names.push_back(noise_kind_name(kind));
  const std::string name = table.one_of("kind", names, names.front());
  GradientNoise noise;
  for (const auto& [value, text] : noise_names)
    if (name == text) noise.kind = value;
  noise.label_sigma = noise.kind == NoiseKind::gaussian ? 0 : table.at_least<double>("sigma", 0, 1.0);
  if (noise.kind == NoiseKind::minibatch) noise.replacement = table.get<bool>("replacement", true);
  return noise;
}

AlgorithmConfig read_algorithm(ConfigTable table, const EntryCatalogue<RuleDescription>& rules,
                               double slow_time) {
  AlgorithmConfig result;
  LocalSgd& algorithm = result.algorithm;
  result.name = table.require<std::string>("name");
  read_workers(table, result);
  algorithm.svag = table.at_least<int>("svag", 1, 1);
  LearningRateParams rate = read_learning_rate(table);
  algorithm.rule = read_rule(table, rules, rate.warmup_steps);
  // SVAG's η/ℓ: its slow time is counted in the steps of the SGD that it follows.
  if (algorithm.svag > 1) {
    rate.peak /= algorithm.svag;
    rate.end /= algorithm.svag;
    result.slow_time_per_step *= algorithm.svag;
  }
  const double time = slow_time / result.slow_time_per_step;
  table.checked([&] {
    const bool shaped = rate.shape == LearningRateShape::linear || rate.shape == LearningRateShape::cosine ||
                        rate.shape == LearningRateShape::cosine_powers;
    std::int64_t steps = 0;
    try {
      steps = shaped && rate.total_steps > 0 ? rate.total_steps : steps_to_slow_time(rate, time);
    } catch (const std::domain_error& e) {
      throw std::invalid_argument(e.what());
    }
    if (shaped) rate.total_steps = steps;
    algorithm.lr = LearningRate(rate);
    // A schedule without an end leaves room for the last round to be a full one, unless a rule asks for a
    // round longer than the run.
    algorithm.total_steps = steps;
    if (!shaped && steps > 0) {
      const std::int64_t H = algorithm.rule->local_steps(steps, algorithm.lr(steps), steps + 1);
      if (H <= steps) algorithm.total_steps += H;
    }
    algorithm.check();
  });
  find_first_round(result);
  return result;
}

AlgorithmConfig read_algorithm_of_steps(ConfigTable workers, ConfigTable schedule, ConfigTable rule,
                                        const EntryCatalogue<RuleDescription>& rules, const std::string& name,
                                        std::int64_t total_steps) {
  AlgorithmConfig result;
  result.name = name;
  read_workers(workers, result);
  LearningRateParams rate = read_learning_rate(schedule);
  if (rate.total_steps > 0)
    schedule.table("lr").check("total_steps", rate.total_steps == total_steps,
                               "must be that of the run, " + std::to_string(total_steps));
  rate.total_steps = total_steps;
  result.algorithm.total_steps = total_steps;
  result.algorithm.rule = read_rule(rule, rules, rate.warmup_steps);
  schedule.checked([&] {
    result.algorithm.lr = LearningRate(rate);
    result.algorithm.check();
  });
  find_first_round(result);
  return result;
}

}  // namespace slowsde
