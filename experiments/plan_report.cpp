// What a plan leaves: arrays, a summary in words, JSON.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "slowsde/experiments/json.hpp"
#include "slowsde/experiments/plan.hpp"

namespace slowsde {
namespace {

constexpr double giga = 1e9;
constexpr double nothing = std::numeric_limits<double>::quiet_NaN();

RunVolume volume(const RoundCounts& counts) { return {counts.steps, counts.rounds}; }

/// Columns of text, the first to the left and all others to the right.
class TextTable {
 public:
  void row(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  std::string text() const {
    std::vector<std::size_t> width;
    for (const auto& cells : rows_)
      for (std::size_t c = 0; c < cells.size(); ++c) {
        if (c == width.size()) width.push_back(0);
        width[c] = std::max(width[c], columns(cells[c]));
      }
    std::string out;
    for (const auto& cells : rows_) {
      std::string line;
      for (std::size_t c = 0; c < cells.size(); ++c) {
        const std::string fill(width[c] - columns(cells[c]), ' ');
        line += (c == 0 ? "" : "  ") + (c == 0 ? cells[c] + fill : fill + cells[c]);
      }
      line.erase(line.find_last_not_of(' ') + 1);
      out += line;
      out += '\n';
    }
    return out;
  }

 private:
  static std::size_t columns(const std::string& text) {  // code points of UTF-8
    return static_cast<std::size_t>(
        std::count_if(text.begin(), text.end(), [](unsigned char c) { return (c & 0xC0) != 0x80; }));
  }
  std::vector<std::vector<std::string>> rows_;
};

std::string percent(double part) { return fmt::format("{:.1f}", 100 * part); }

std::string size_text(double bytes) {
  const char* const units[] = {"B", "kB", "MB", "GB", "TB", "PB"};
  int unit = 0;
  while (bytes >= 1000 && unit < 5) bytes /= 1000, ++unit;
  return fmt::format("{:.3g} {}", bytes, units[unit]);
}

std::string hours_text(double hours) { return fmt::format("{:.{}f}", hours, hours < 10 ? 3 : 2); }

// With its range where that shows in the digits.
std::string hours_text(const PlanClock& clock, const RunVolume& run, double bandwidth) {
  const double hours = clock.hours(run, bandwidth), error = clock.hours_error(run, bandwidth);
  const int digits = hours < 10 ? 3 : 2;
  const bool shows = error >= 0.5 * std::pow(10, -digits);
  return hours_text(hours) + (shows ? fmt::format("±{:.{}f}", error, digits) : "");
}

void write_setting(const PlanConfig& plan, std::string& out) {
  out += fmt::format("{} steps, {} workers, {}\n", plan.rates->steps(), plan.workers, plan.schedule);
  if (plan.clock) {
    const PlanClock& clock = *plan.clock;
    const auto times = [](double value, double se) {
      return se > 0 ? fmt::format("{:.4g} ± {:.2g} s", value, 1.96 * se) : fmt::format("{:.4g} s", value);
    };
    out += fmt::format("wall clock {}: {} a step, {} an average of {} at {:g} Gbps ", clock.source,
                       times(clock.times.step_seconds, clock.times.step_se),
                       times(clock.times.average_seconds, clock.times.average_se), size_text(plan.bytes),
                       clock.measured_bandwidth / giga);
    out += fmt::format("(latency {:g} s, efficiency {:.3g})\n", clock.model.latency, clock.model.efficiency);
    const double step = clock.times.step_seconds, average = clock.times.average_seconds;
    out += fmt::format(
        "averaging after every step takes {:.1f} % of the time of data parallelism at {:g} Gbps\n",
        100 * average / (step + average), clock.measured_bandwidth / giga);
  }
  if (plan.spectrum)
    out += fmt::format(
        "drift: {}, eta*lambda from {:.2g} to {:.2g} at the largest learning rate, model {}\n",
        plan.spectrum_source,
        plan.drift.eta_scale * plan.rates->largest() *
            *std::min_element(plan.spectrum->eigenvalues.begin(), plan.spectrum->eigenvalues.end()),
        plan.drift.eta_scale * plan.rates->largest() * plan.spectrum->largest(), plan.moment_name);
}

void write_rules(const PlanConfig& plan, const PlanOutcome& outcome, std::string& out) {
  TextTable table;
  std::vector<std::string> head = {"rule", "rounds", "%", "largest H"};
  if (plan.bytes > 0) head.push_back("sent");
  if (plan.spectrum) head.insert(head.end(), {"mean m", "late m", "extra drift %", "sum eta^2 m"});
  if (plan.clock)
    for (const double b : plan.clock->bandwidths) head.push_back(fmt::format("h at {:g} Gbps", b / giga));
  table.row(head);
  for (const PlannedRule& rule : outcome.rules) {
    const RoundCounts& counts = rule.drift.counts;
    std::vector<std::string> cells = {
        rule.constant_steps > 0 ? fmt::format("{} (H = {})", rule.name, rule.constant_steps) : rule.name,
        std::to_string(counts.rounds), percent(counts.communication()), std::to_string(rule.drift.longest)};
    if (plan.bytes > 0) {
      const CostModel sizes{.workers = plan.workers, .bytes = plan.bytes};
      cells.push_back(size_text(sizes.bytes_sent() * static_cast<double>(counts.rounds)));
    }
    if (plan.spectrum) {
      cells.push_back(fmt::format("{:.2f}", rule.drift.mean_multiplier()));
      cells.push_back(fmt::format("{:.2f}", rule.drift.late_multiplier));
      cells.push_back(percent(rule.drift.extra_drift(plan.workers)));
      cells.push_back(fmt::format("{:.4g}", rule.drift.regularization));
    }
    if (plan.clock)
      for (const double b : plan.clock->bandwidths)
        cells.push_back(hours_text(*plan.clock, volume(counts), b));
    table.row(std::move(cells));
  }
  out += fmt::format("\n{}", table.text());
  if (plan.spectrum) {
    const double time = outcome.rules.front().drift.counts.slow_time;
    out += fmt::format(
        "m: drift over that of SGD with the same batch, 1 to K = {}; late m: in the last tenth of the slow "
        "time\n"
        "sum eta^2 m lies between {:.4g} (SGD) and {:.4g}\n",
        plan.workers, time, plan.workers * time);
  }
}

/// H(t) of every rule at a few steps, with the learning rate there.
void write_schedule(const PlanConfig& plan, const PlanOutcome& outcome, std::string& out) {
  const std::vector<std::int64_t>& steps = outcome.sample_steps;
  std::vector<std::size_t> shown;
  for (const double part : {0.0, 0.25, 0.5, 0.75, 0.9, 0.99}) {
    const auto at = static_cast<std::size_t>(std::lround(part * static_cast<double>(steps.size() - 1)));
    if (shown.empty() || at > shown.back()) shown.push_back(at);
  }
  TextTable table;
  std::vector<std::string> head = {"H in the round of step"}, rates = {"learning rate"};
  for (const std::size_t j : shown) {
    head.push_back(std::to_string(steps[j]));
    rates.push_back(fmt::format("{:.3g}", (*plan.rates)(steps[j])));
  }
  table.row(std::move(head));
  table.row(std::move(rates));
  for (const PlannedRule& rule : outcome.rules) {
    std::vector<std::string> cells = {rule.name};
    for (const std::size_t j : shown) cells.push_back(fmt::format("{:.0f}", rule.local_steps[j]));
    table.row(std::move(cells));
  }
  out += fmt::format("\n{}", table.text());
}

std::string rule_text(const PowerRuleParams& rule, double alpha) {
  std::string text = rule.gamma == 2
                         ? fmt::format("qsr with alpha = {:.4g}", alpha)
                         : fmt::format("power with gamma = {:g}, alpha = {:.4g}", rule.gamma, alpha);
  text += fmt::format(", base_steps = {}", rule.base_steps);
  if (rule.max_steps > 0) text += fmt::format(", max_steps = {}", rule.max_steps);
  return text;
}

void write_alphas(const PlanConfig& plan, const PlanOutcome& outcome, std::string& out) {
  if (!outcome.answer) return;
  TextTable table;
  std::vector<std::string> head = {"alpha", "%", "extra drift %", "largest H"};
  if (plan.clock)
    for (const double b : plan.clock->bandwidths) head.push_back(fmt::format("h at {:g} Gbps", b / giga));
  table.row(head);
  for (const AlphaPoint& p : outcome.points) {
    std::vector<std::string> cells = {fmt::format("{:.4g}", p.alpha), percent(p.communication),
                                      percent(p.extra_drift), std::to_string(p.drift.longest)};
    if (plan.clock)
      for (const double b : plan.clock->bandwidths)
        cells.push_back(hours_text(plan.clock->hours(volume(p.drift.counts), b)));
    table.row(std::move(cells));
  }
  out += fmt::format("\n{} over alpha\n",
                     plan.target_rule.gamma == 2
                         ? fmt::format("qsr, base_steps = {}", plan.target_rule.base_steps)
                         : fmt::format("power, gamma = {:g}, base_steps = {}", plan.target_rule.gamma,
                                       plan.target_rule.base_steps));
  out += table.text();
  const AlphaPoint& best = outcome.answer->best;
  out += fmt::format(
      "\nasked: at least {:g} % of the possible extra drift at no more than {:g} % of data parallelism's "
      "averages\n",
      100 * plan.target.extra_drift, 100 * plan.target.communication);
  const std::string reached =
      fmt::format("{} % at {} %", percent(best.extra_drift), percent(best.communication));
  if (outcome.answer->feasible) {
    out += fmt::format("answer: {}: {}", rule_text(plan.target_rule, best.alpha), reached);
  } else {
    out += fmt::format(
        "answer: none up to alpha = {:.4g}, where a round takes {:g} % of the slow time; nearest is {}: {}",
        alpha_range(*plan.rates, plan.target_rule, plan.target.largest_share).high,
        100 * plan.target.largest_share, rule_text(plan.target_rule, best.alpha), reached);
  }
  if (plan.clock) {
    out += ";";
    for (const double b : plan.clock->bandwidths)
      out += fmt::format("{} {} h at {:g} Gbps", b == plan.clock->bandwidths.front() ? "" : ",",
                         hours_text(plan.clock->hours(volume(best.drift.counts), b)), b / giga);
  }
  out += "\n";
}

std::string regime_json(const PlanConfig& plan, const PlanOutcome& outcome) {
  JsonWriter json;
  json.begin_object();
  json.member("workers", plan.workers).member("largest_eta", plan.drift.eta_scale * plan.rates->largest());
  json.member("slow_time", plan.drift.eta_scale * plan.drift.eta_scale * plan.rates->slow_time());
  if (plan.spectrum)
    json.member("largest_eta_lambda",
                plan.drift.eta_scale * plan.rates->largest() * plan.spectrum->largest());
  json.key("rules").begin_array();
  for (const PlannedRule& rule : outcome.rules)
    json.begin_object()
        .member("name", rule.name)
        .member("largest_share_of_slow_time_in_a_round", rule.drift.largest_share)
        .member("share_of_slow_time_in_rounds_of_changing_rate", rule.drift.drifting_share)
        .end_object();
  return json.end_array().end_object().text();
}

}  // namespace

Result plan_result(const PlanConfig& plan, const PlanOutcome& outcome) {
  Result result;
  result.warnings = outcome.warnings;
  result.regime = regime_json(plan, outcome);
  write_setting(plan, result.summary);
  write_rules(plan, outcome, result.summary);
  write_schedule(plan, outcome, result.summary);
  write_alphas(plan, outcome, result.summary);

  const std::size_t rules = outcome.rules.size(), samples = outcome.sample_steps.size();
  result.dims = {{"rule", rules}, {"sample", samples}};
  TextVariable names{"rule", "synchronization rule", {"rule"}, {}};
  const auto scalar = [&](const char* name, const char* units, const char* text, double value) {
    result.add(Variable{name, units, text, {}, {value}});
  };
  scalar("workers", "1", "number of workers K", plan.workers);
  scalar("total_steps", "1", "number of steps N", static_cast<double>(plan.rates->steps()));
  scalar("sgd_regularization", "1", "sum of eta^2, what SGD reaches",
         plan.drift.eta_scale * plan.drift.eta_scale * plan.rates->slow_time());

  Variable step{"step", "1", "step k", {"sample"}, {}},
      lr{"lr", "1", "learning rate at the step", {"sample"}, {}};
  for (const std::int64_t k : outcome.sample_steps) {
    step.data.push_back(static_cast<double>(k));
    lr.data.push_back((*plan.rates)(k));
  }
  Variable rounds{"rounds", "1", "averages of the run", {"rule"}, {}};
  Variable communication{"communication", "1", "averages relative to data parallelism", {"rule"}, {}};
  Variable sent{"bytes_sent", "B", "bytes that a worker sends", {"rule"}, {}};
  Variable longest{"largest_local_steps", "1", "largest H", {"rule"}, {}};
  Variable H{"local_steps", "1", "H of the round that holds the step", {"rule", "sample"}, {}};
  Variable m{
      "multiplier", "1", "drift over that of SGD, of the round that holds the step", {"rule", "sample"}, {}};
  Variable sum{"regularization", "1", "sum of eta^2 m", {"rule"}, {}};
  Variable mean{"mean_multiplier", "1", "mean of m over the slow time", {"rule"}, {}};
  Variable late{"late_multiplier", "1", "mean of m over the last tenth of the slow time", {"rule"}, {}};
  Variable extra{"extra_drift", "1", "extra drift relative to that of endless rounds", {"rule"}, {}};
  const CostModel sizes{.workers = plan.workers, .bytes = plan.bytes};
  for (const PlannedRule& rule : outcome.rules) {
    names.data.push_back(rule.constant_steps > 0 ? fmt::format("{} (H = {})", rule.name, rule.constant_steps)
                                                 : rule.name);
    const RoundCounts& counts = rule.drift.counts;
    rounds.data.push_back(static_cast<double>(counts.rounds));
    communication.data.push_back(counts.communication());
    sent.data.push_back(sizes.bytes_sent() * static_cast<double>(counts.rounds));
    longest.data.push_back(static_cast<double>(rule.drift.longest));
    H.data.insert(H.data.end(), rule.local_steps.begin(), rule.local_steps.end());
    m.data.insert(m.data.end(), rule.multiplier.begin(), rule.multiplier.end());
    sum.data.push_back(plan.spectrum ? rule.drift.regularization : nothing);
    mean.data.push_back(plan.spectrum ? rule.drift.mean_multiplier() : nothing);
    late.data.push_back(plan.spectrum ? rule.drift.late_multiplier : nothing);
    extra.data.push_back(plan.spectrum ? rule.drift.extra_drift(plan.workers) : nothing);
  }
  result.add(names);
  for (Variable* v : {&step, &lr, &rounds, &communication, &longest, &H}) result.add(std::move(*v));
  if (plan.bytes > 0) result.add(std::move(sent));
  if (plan.spectrum) {
    for (Variable* v : {&m, &sum, &mean, &late, &extra}) result.add(std::move(*v));
    result.dims["eigenvalue"] = plan.spectrum->eigenvalues.size();
    result.add(
        Variable{"eigenvalue", "1", "eigenvalue of the Hessian", {"eigenvalue"}, plan.spectrum->eigenvalues});
    Variable weight{"weight", "1", "weight of its contribution to the drift", {"eigenvalue"}, {}};
    for (std::size_t i = 0; i < plan.spectrum->eigenvalues.size(); ++i)
      weight.data.push_back(plan.spectrum->weight(i));
    result.add(std::move(weight));
  }

  if (plan.clock) {
    const PlanClock& clock = *plan.clock;
    result.dims["bandwidth"] = clock.bandwidths.size();
    Variable bandwidth{"bandwidth", "Gbit/s", "bandwidth of a worker's link", {"bandwidth"}, {}};
    for (const double b : clock.bandwidths) bandwidth.data.push_back(b / giga);
    result.add(std::move(bandwidth));
    Variable hours{"hours", "h", "wall clock", {"rule", "bandwidth"}, {}};
    Variable error{"hours_error", "h", "half-width of the wall clock's range", {"rule", "bandwidth"}, {}};
    for (const PlannedRule& rule : outcome.rules)
      for (const double b : clock.bandwidths) {
        hours.data.push_back(clock.hours(volume(rule.drift.counts), b));
        error.data.push_back(clock.hours_error(volume(rule.drift.counts), b));
      }
    result.add(std::move(hours));
    result.add(std::move(error));
    scalar("step_seconds", "s", "computation in a step", clock.times.step_seconds);
    scalar("average_seconds", "s", "an average at the bandwidth of the measurement",
           clock.times.average_seconds);
    scalar("step_seconds_se", "s", "standard error of step_seconds", clock.times.step_se);
    scalar("average_seconds_se", "s", "standard error of average_seconds", clock.times.average_se);
    scalar("measured_bandwidth", "Gbit/s", "bandwidth of the measurement", clock.measured_bandwidth / giga);
    scalar("latency", "s", "latency of a message", clock.model.latency);
    scalar("efficiency", "1", "attained part of the bandwidth", clock.model.efficiency);
  }

  if (outcome.answer) {
    result.dims["alpha"] = outcome.points.size();
    Variable alpha{"alpha", "1", "alpha of the power rule", {"alpha"}, {}};
    Variable part{"alpha_communication", "1", "averages relative to data parallelism", {"alpha"}, {}};
    Variable gain{"alpha_extra_drift", "1", "extra drift relative to that of endless rounds", {"alpha"}, {}};
    Variable hours{"alpha_hours", "h", "wall clock", {"alpha", "bandwidth"}, {}};
    for (const AlphaPoint& p : outcome.points) {
      alpha.data.push_back(p.alpha);
      part.data.push_back(p.communication);
      gain.data.push_back(p.extra_drift);
      if (plan.clock)
        for (const double b : plan.clock->bandwidths)
          hours.data.push_back(plan.clock->hours(volume(p.drift.counts), b));
    }
    for (Variable* v : {&alpha, &part, &gain}) result.add(std::move(*v));
    if (plan.clock) result.add(std::move(hours));
    const AlphaPoint& best = outcome.answer->best;
    scalar("target_extra_drift", "1", "extra drift that was asked for", plan.target.extra_drift);
    scalar("target_communication", "1", "communication that was allowed", plan.target.communication);
    scalar("target_gamma", "1", "exponent of the power rule", plan.target_rule.gamma);
    scalar("answer_feasible", "1", "1 where the answer meets both targets", outcome.answer->feasible ? 1 : 0);
    scalar("answer_alpha", "1", "least alpha that meets the targets, or the nearest", best.alpha);
    scalar("answer_communication", "1", "its communication", best.communication);
    scalar("answer_extra_drift", "1", "its extra drift", best.extra_drift);
  }
  result.check();
  return result;
}

std::string plan_json(const Result& result) {
  JsonWriter json;
  json.begin_object().member("schema_version", Result::current_schema);
  const auto number = [&](const char* name) {
    if (result.has(name)) json.member(name, result.variable(name).data[0]);
  };
  for (const char* name :
       {"workers", "total_steps", "sgd_regularization", "step_seconds", "step_seconds_se", "average_seconds",
        "average_seconds_se", "measured_bandwidth", "latency", "efficiency"})
    number(name);
  for (const char* name : {"bandwidth", "step", "lr"})
    if (result.has(name)) json.member(name, result.variable(name).data);
  const auto rows = [&](const char* key, std::size_t count, const std::vector<const char*>& names) {
    json.key(key).begin_array();
    for (std::size_t i = 0; i < count; ++i) {
      json.begin_object();
      if (std::string(key) == "rules") json.member("name", result.text_variable("rule").data[i]);
      for (const char* name : names) {
        if (!result.has(name)) continue;
        const Variable& v = result.variable(name);
        if (v.dims.size() == 1) {
          json.member(name, v.data[i]);
        } else {
          const std::size_t width = v.data.size() / count;
          const auto begin = v.data.begin() + static_cast<std::ptrdiff_t>(i * width);
          json.member(name, std::vector<double>(begin, begin + static_cast<std::ptrdiff_t>(width)));
        }
      }
      json.end_object();
    }
    json.end_array();
  };
  rows("rules", result.dims.at("rule"),
       {"rounds", "communication", "largest_local_steps", "bytes_sent", "regularization", "mean_multiplier",
        "late_multiplier", "extra_drift", "hours", "hours_error", "local_steps", "multiplier"});
  if (result.has("alpha")) {
    rows("alphas", result.dims.at("alpha"),
         {"alpha", "alpha_communication", "alpha_extra_drift", "alpha_hours"});
    json.key("answer").begin_object();
    for (const char* name : {"target_extra_drift", "target_communication", "target_gamma", "answer_feasible",
                             "answer_alpha", "answer_communication", "answer_extra_drift"})
      number(name);
    json.end_object();
  }
  json.member("warnings", result.warnings);
  return json.end_object().text();
}

}  // namespace slowsde
