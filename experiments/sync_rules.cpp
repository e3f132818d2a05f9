#include "slowsde/experiments/sync_rules.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "slowsde/experiments/ensemble_engine.hpp"
#include "slowsde/experiments/json.hpp"
#include "slowsde/experiments/progress.hpp"
#include "slowsde/experiments/rule_pairs.hpp"
#include "slowsde/experiments/sweep.hpp"
#include "slowsde/optim/round_plan.hpp"

namespace slowsde {
namespace {

constexpr int grid_points = 200;
/// A theory holds the geometry fixed within a round; where the compared observable changes by a larger share
/// of its first value within one, the pairs are marked.
constexpr double long_round = 0.01;

struct Schedule {
  std::string name;
  std::int64_t total_steps = 0;
  EnsemblePlan plan;  ///< iterates: the rules in their order; models: theirs
};

struct SyncRulesPlan {
  std::vector<std::string> rules;
  std::vector<Schedule> schedules;
  std::size_t compare = 0;  ///< index of the observable that is compared
};

void check_name(const ConfigTable& table, const std::string& name, const std::vector<std::string>& taken) {
  table.check("name", !name.empty(), "must not be empty");
  table.check("name", std::find(taken.begin(), taken.end(), name) == taken.end(),
              "is taken by an earlier one");
}

SyncRulesPlan read_plan(ConfigTable& config, const Registry& registry) {
  SyncRulesPlan all;
  EnsemblePlan common = read_ensemble_plan(config, registry, {"trace"});
  common.run.samples = common.run.replicas;
  ConfigTable run = config.table("run");
  const auto total_steps = run.at_least<std::int64_t>("total_steps", 1);
  const auto compare = run.get<std::string>("compare", common.run.observables.front());
  const auto& names = common.run.observables;
  const auto compared = std::find(names.begin(), names.end(), compare);
  run.check("compare", compared != names.end(), "must be one of run.observables");
  all.compare = static_cast<std::size_t>(compared - names.begin());

  ConfigTable algorithm = config.table("algorithm"), theory = config.table("theory");
  std::vector<ConfigTable> schedules = config.tables("schedules"), rules = config.tables("rules");
  if (schedules.empty()) throw config.error("sync-rules needs at least one [[schedules]]");
  if (rules.size() < 2) throw config.error("sync-rules needs at least two [[rules]]");
  for (ConfigTable& rule : rules) {
    const auto name = rule.require<std::string>("name");
    check_name(rule, name, all.rules);
    all.rules.push_back(name);
  }
  std::vector<std::string> taken;
  for (ConfigTable& table : schedules) {
    Schedule schedule{table.require<std::string>("name"), 0, common};
    schedule.total_steps = table.at_least<std::int64_t>("total_steps", 1, total_steps);
    check_name(table, schedule.name, taken);
    taken.push_back(schedule.name);
    for (std::size_t r = 0; r < rules.size(); ++r) {
      EnsemblePlan& plan = schedule.plan;
      plan.iterates.push_back(read_algorithm_of_steps(algorithm, table, rules[r], registry.rules,
                                                      all.rules[r], schedule.total_steps));
      const AlgorithmConfig& added = plan.iterates.back();
      check_algorithm(plan, added, algorithm);
      // The predictions of the models of one rule each; a name that no rule of the user's has.
      plan.models.push_back(read_model_of(theory, registry, added, all.rules[r] + ": predicted", plan.noise,
                                          plan.run.replicas, "sampling"));
      theory.check("theory", plan.models.back().theory == "slow-sde", "must be slow-sde");
      check_model(plan, plan.models.back(), theory);
    }
    const AlgorithmConfig& first = schedule.plan.iterates.front();
    const RoundCounts counts = count_rounds(first.algorithm.lr, ParallelRule(), schedule.total_steps);
    table.check("lr", counts.slow_time > 0, "must be > 0 somewhere");
    schedule.plan.run.set_slow_time(counts.slow_time * first.slow_time_per_step);
    all.schedules.push_back(std::move(schedule));
  }
  return all;
}

/// Mean of the compared observable in a series at slow time t, interpolated between its records.
double mean_at(const EnsembleSeries& series, std::size_t observable, std::size_t observables, double t) {
  const std::size_t P = series.points.size();
  const auto value = [&](std::size_t p) { return series.cells[p * observables + observable].mean; };
  for (std::size_t p = 1; p < P; ++p) {
    const double begin = series.points[p - 1].t, end = series.points[p].t;
    if (t <= end && end > begin) {
      const double u = std::clamp((t - begin) / (end - begin), 0.0, 1.0);
      return (1 - u) * value(p - 1) + u * value(p);
    }
  }
  return value(P - 1);
}

/// Largest predicted change of the observable within one round, relative to its value at the start.
double longest_round_change(const AlgorithmConfig& config, const EnsembleSeries& predicted,
                            std::size_t observable, std::size_t observables) {
  const double start = std::abs(predicted.cells[observable].mean);
  double largest = 0;
  for_each_round(config.algorithm.lr, *config.algorithm.rule, config.algorithm.total_steps,
                 [&](const PlannedRound& round) {
                   if (round.local_steps == 1) return;  // an average in every step has no slow motion within
                   const auto at = [&](double t) {
                     return mean_at(predicted, observable, observables, t * config.slow_time_per_step);
                   };
                   largest = std::max(largest, std::abs(at(round.end) - at(round.begin)));
                 });
  return largest / start;
}

/// One rule under one schedule.
struct Cell {
  RuleOutcome outcome;
  Moments moments;
  double communication = 0, round_change = 0;
  std::int64_t longest_round = 0;
  double accuracy = std::numeric_limits<double>::quiet_NaN(), accuracy_half = accuracy;
};

struct Pair {
  std::size_t first, second;
  PairComparison comparison;
  bool long_rounds;
};

struct Table {
  std::vector<Cell> cells;  ///< (rules)
  std::vector<Pair> pairs;
};

double half_width(const Moments& m) {
  return student_quantile(static_cast<int>(m.count) - 1) * m.standard_error();
}

Table compare(const SyncRulesPlan& all, const Schedule& schedule, const std::vector<EnsembleSeries>& series) {
  Table table;
  const std::size_t R = all.rules.size(), m = all.compare;
  const std::vector<std::string>& names = schedule.plan.run.observables;
  const std::size_t M = names.size();
  const auto kept = static_cast<std::size_t>(schedule.plan.run.samples);
  for (std::size_t r = 0; r < R; ++r) {
    const EnsembleSeries &measured = series[r], &predicted = series[R + r];
    const std::size_t last = (measured.points.size() - 1) * M;
    Cell cell;
    cell.outcome.predicted = predicted.cells[last + m].mean;
    const auto begin = measured.samples.begin() + static_cast<std::ptrdiff_t>(m * kept);
    cell.outcome.measured.assign(begin, begin + static_cast<std::ptrdiff_t>(kept));
    cell.moments = measured.cells[last + m];
    const AlgorithmConfig& config = schedule.plan.iterates[r];
    cell.communication =
        count_rounds(config.algorithm.lr, *config.algorithm.rule, schedule.total_steps).communication();
    cell.round_change = longest_round_change(config, predicted, m, M);
    for_each_round(config.algorithm.lr, *config.algorithm.rule, schedule.total_steps,
                   [&](const PlannedRound& round) {
                     cell.longest_round = std::max(cell.longest_round, round.local_steps);
                   });
    const auto accuracy = std::find(names.begin(), names.end(), "test_accuracy");
    if (accuracy != names.end()) {
      const Moments& test = measured.cells[last + static_cast<std::size_t>(accuracy - names.begin())];
      cell.accuracy = test.mean;
      cell.accuracy_half = half_width(test);
    }
    table.cells.push_back(std::move(cell));
  }
  for (std::size_t a = 0; a < R; ++a)
    for (std::size_t b = a + 1; b < R; ++b)
      table.pairs.push_back(
          {a, b, compare_pair(table.cells[a].outcome, table.cells[b].outcome),
           std::max(table.cells[a].round_change, table.cells[b].round_change) > long_round});
  return table;
}

void add_variables(Result& result, const SyncRulesPlan& all, const std::vector<Table>& tables) {
  const std::size_t R = all.rules.size();
  result.dims["rule"] = R;
  result.dims["pair"] = R * (R - 1) / 2;
  result.dims["grid"] = grid_points;
  TextVariable schedule{"schedule", "learning-rate schedule", {"point"}, {}};
  for (const Schedule& s : all.schedules) schedule.data.push_back(s.name);
  result.add(std::move(schedule));
  result.add(TextVariable{"rule", "synchronization rule", {"rule"}, all.rules});
  TextVariable first{"first_rule", "first rule of a pair", {"pair"}, {}};
  TextVariable second{"second_rule", "second rule of a pair", {"pair"}, {}};
  for (const Pair& pair : tables.front().pairs) {
    first.data.push_back(all.rules[pair.first]);
    second.data.push_back(all.rules[pair.second]);
  }
  result.add(std::move(first));
  result.add(std::move(second));
  result.add(TextVariable{"compared",
                          "observable of the final values and the gaps",
                          {},
                          {all.schedules.front().plan.run.observables[all.compare]}});

  const auto per_rule = [&](const char* name, const char* long_name, auto value) {
    Variable v{name, "1", long_name, {"point", "rule"}, {}};
    for (const Table& table : tables)
      for (const Cell& cell : table.cells) v.data.push_back(value(cell));
    result.add(std::move(v));
  };
  per_rule("final_predicted", "prediction at the end", [](const Cell& c) { return c.outcome.predicted; });
  per_rule("final_measured", "mean over the replicas at the end",
           [](const Cell& c) { return c.moments.mean; });
  per_rule("final_se", "its standard error", [](const Cell& c) { return c.moments.standard_error(); });
  per_rule("final_half_width", "half-width of its 95 % interval",
           [](const Cell& c) { return half_width(c.moments); });
  per_rule("total_communication", "rounds / steps of the whole run",
           [](const Cell& c) { return c.communication; });
  per_rule("longest_round", "local steps of the longest round",
           [](const Cell& c) { return static_cast<double>(c.longest_round); });
  per_rule("longest_round_change",
           "largest predicted change within a round, relative to the value at the start",
           [](const Cell& c) { return c.round_change; });
  const auto per_pair = [&](const char* name, const char* long_name, auto value) {
    Variable v{name, "1", long_name, {"point", "pair"}, {}};
    for (const Table& table : tables)
      for (const Pair& pair : table.pairs) v.data.push_back(value(pair));
    result.add(std::move(v));
  };
  per_pair("predicted_gap", "first minus second rule, predicted",
           [](const Pair& p) { return p.comparison.predicted_gap; });
  per_pair("measured_gap", "first minus second rule, mean over the replicas' differences",
           [](const Pair& p) { return p.comparison.measured_gap; });
  per_pair("gap_se", "its standard error", [](const Pair& p) { return p.comparison.se; });
  per_pair("gap_half_width", "half-width of its 95 % interval",
           [](const Pair& p) { return p.comparison.half_width; });
  per_pair("long_rounds", "1 where a round of the pair is too long for its geometry to stand still",
           [](const Pair& p) { return p.long_rounds ? 1.0 : 0.0; });
  TextVariable verdict{"verdict", "of a pair", {"point", "pair"}, {}};
  for (const Table& table : tables)
    for (const Pair& pair : table.pairs)
      verdict.data.emplace_back(pair_verdict_name(pair.comparison.verdict));
  result.add(std::move(verdict));

  Variable step{"grid_step", "1", "steps at which H and the learning rate are given", {"point", "grid"}, {}};
  Variable lr{"grid_lr", "1", "learning rate", {"point", "grid"}, {}};
  Variable H{"grid_local_steps", "1", "local steps of the round under way", {"point", "rule", "grid"}, {}};
  for (const Schedule& s : all.schedules) {
    const auto at = [&](int g) { return s.total_steps * g / grid_points; };
    for (int g = 0; g < grid_points; ++g) {
      step.data.push_back(static_cast<double>(at(g)));
      lr.data.push_back(s.plan.iterates.front().algorithm.lr(at(g)));
    }
    for (const AlgorithmConfig& config : s.plan.iterates) {
      int g = 0;
      for_each_round(config.algorithm.lr, *config.algorithm.rule, s.total_steps,
                     [&](const PlannedRound& round) {
                       for (; g < grid_points && at(g) < round.first_step + round.local_steps; ++g)
                         H.data.push_back(static_cast<double>(round.local_steps));
                     });
    }
  }
  result.add(std::move(step));
  result.add(std::move(lr));
  result.add(std::move(H));
}

std::string summarize(const SyncRulesPlan& all, const std::vector<Table>& tables) {
  std::size_t width = 0;
  for (const std::string& rule : all.rules) width = std::max(width, rule.size());
  const std::string& observable = all.schedules.front().plan.run.observables[all.compare];
  std::array<int, 5> counts{};
  int marked = 0;
  std::string text;
  for (std::size_t s = 0; s < tables.size(); ++s) {
    const Table& table = tables[s];
    text += fmt::format(
        "-- {}: {} steps, t = {} --\n{:<{}}  comm. %  longest H  {} measured, 95 %   predicted{}\n",
        all.schedules[s].name, all.schedules[s].total_steps,
        short_number(all.schedules[s].plan.run.slow_time), "rule", width, observable,
        std::isnan(table.cells.front().accuracy) ? "" : "   test accuracy %");
    for (std::size_t r = 0; r < table.cells.size(); ++r) {
      const Cell& c = table.cells[r];
      text += fmt::format("{:<{}}  {:7.2f}  {:9}  {:9.3f} +- {:6.3f}  {:9.3f}", all.rules[r], width,
                          100 * c.communication, c.longest_round, c.moments.mean, half_width(c.moments),
                          c.outcome.predicted);
      if (!std::isnan(c.accuracy))
        text += fmt::format("   {:6.2f} +- {:.2f}", 100 * c.accuracy, 100 * c.accuracy_half);
      text += c.round_change > long_round ? fmt::format("   long round: {} changes by {:.1f} % within it\n",
                                                        observable, 100 * c.round_change)
                                          : "\n";
    }
    text += fmt::format("pairs, gap in {}: predicted, measured with its 95 % interval\n", observable);
    for (const Pair& pair : table.pairs) {
      const PairComparison& c = pair.comparison;
      ++counts[static_cast<std::size_t>(c.verdict)];
      marked += pair.long_rounds;
      text += fmt::format(
          "  {:<{}} - {:<{}}  {:8.3f}  {:8.3f} +- {:6.3f}  {}, the interval {} 0 and {} the prediction{}\n",
          all.rules[pair.first], width, all.rules[pair.second], width, c.predicted_gap, c.measured_gap,
          c.half_width, pair_verdict_name(c.verdict),
          std::abs(c.measured_gap) <= c.half_width ? "holds" : "excludes",
          std::abs(c.measured_gap - c.predicted_gap) <= c.half_width ? "holds" : "excludes",
          pair.long_rounds ? ", long rounds" : "");
    }
  }
  const auto count = [&](PairVerdict v) { return counts[static_cast<std::size_t>(v)]; };
  const int decided = count(PairVerdict::ordered) + count(PairVerdict::contradicted);
  return fmt::format(
             "{} pairs are decided (predicted gap > 5 SE): {} ordered as predicted, {} contradicted; "
             "{} ties, {} with a gap that is not predicted, {} unknown; {} marked for long rounds\n",
             decided, count(PairVerdict::ordered), count(PairVerdict::contradicted), count(PairVerdict::tie),
             count(PairVerdict::unpredicted), count(PairVerdict::unknown), marked) +
         text;
}

void warn(Result& result, const SyncRulesPlan& all, const std::vector<Table>& tables) {
  const std::string& observable = all.schedules.front().plan.run.observables[all.compare];
  for (std::size_t s = 0; s < tables.size(); ++s) {
    const std::string& schedule = all.schedules[s].name;
    for (std::size_t r = 0; r < all.rules.size(); ++r)
      if (const Cell& c = tables[s].cells[r]; c.round_change > long_round)
        result.warnings.push_back(
            fmt::format("{}: {}: {} changes by {:.1f} % within one round: the theory takes the manifold's "
                        "geometry as fixed "
                        "within a round, so its pairs are marked",
                        schedule, all.rules[r], observable, 100 * c.round_change));
    for (const Pair& pair : tables[s].pairs)
      if (pair.comparison.verdict == PairVerdict::contradicted ||
          pair.comparison.verdict == PairVerdict::unpredicted)
        result.warnings.push_back(fmt::format(
            "{}: {} against {}: {}, predicted {:.4g}, measured {:.4g} +- {:.2g}", schedule,
            all.rules[pair.first], all.rules[pair.second], pair_verdict_name(pair.comparison.verdict),
            pair.comparison.predicted_gap, pair.comparison.measured_gap, pair.comparison.half_width));
  }
}

}  // namespace

Result SyncRulesExperiment::run(ConfigTable& config, RunContext& context) const {
  SyncRulesPlan all = read_plan(config, context.registry);
  std::vector<std::string> start_warnings;
  std::vector<Result> points;
  std::vector<Table> tables;
  for (std::size_t s = 0; s < all.schedules.size(); ++s) {
    EnsemblePlan& plan = all.schedules[s].plan;
    if (s == 0) {
      start_warnings = prepare_start(plan);
    } else {
      plan.start = all.schedules[0].plan.start;
      plan.model_start = all.schedules[0].plan.model_start;
    }
    RunContext own = context;
    own.scope += all.schedules[s].name + '/';
    const std::vector<EnsembleSeries> series = run_plan(plan, own);
    points.push_back(ensemble_result(plan, series, {}));
    tables.push_back(compare(all, all.schedules[s], series));
  }
  Result result = stack_points(points);
  result.warnings = start_warnings;
  JsonWriter regimes;
  regimes.begin_array();
  for (std::size_t s = 0; s < points.size(); ++s) {
    const std::string& name = all.schedules[s].name;
    result.replicas += points[s].replicas;
    result.diverged += points[s].diverged;
    for (const std::string& series : points[s].diverged_series)
      result.diverged_series.push_back(name + ": " + series);
    for (const std::string& warning : points[s].warnings) result.warnings.push_back(name + ": " + warning);
    regimes.raw(points[s].regime);
  }
  regimes.end_array();
  result.regime = regimes.text();
  add_variables(result, all, tables);
  warn(result, all, tables);
  result.summary = summarize(all, tables);
  return result;
}

Estimate SyncRulesExperiment::estimate(ConfigTable& config, const RunContext& context) const {
  Estimate estimate;
  for (const Schedule& schedule : read_plan(config, context.registry).schedules)
    estimate += estimate_plan(schedule.plan, context);
  return estimate;
}

}  // namespace slowsde
