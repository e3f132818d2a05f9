#include "slowsde/experiments/plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "slowsde/experiments/algorithm_config.hpp"
#include "slowsde/experiments/csv_columns.hpp"
#include "slowsde/experiments/ensemble_models.hpp"
#include "slowsde/experiments/errors.hpp"
#include "slowsde/experiments/progress.hpp"
#include "slowsde/experiments/registry.hpp"
#include "slowsde/experiments/result.hpp"
#include "slowsde/optim/psi_moment.hpp"
#include "slowsde/problems/npy.hpp"

namespace slowsde {
namespace {

constexpr std::int64_t most_steps = 100'000'000;  // 0.8 GB of learning rates
constexpr double giga = 1e9;

// ------------------------------------------------------------------------------------------------ schedule

void read_log(ConfigTable& config, PlanConfig& plan) {
  if (!config.has("log")) return;
  ConfigTable table = config.table("log");
  plan.log = read_training_log(table.require<std::string>("file"));
}

void read_schedule(ConfigTable& config, PlanConfig& plan) {
  ConfigTable table = config.table("schedule");
  std::int64_t N = table.at_least<std::int64_t>("total_steps", 0, 0);
  if (N == 0 && !plan.log) {
    const auto epochs = table.positive<std::int64_t>("epochs");
    const auto steps = table.positive<std::int64_t>("steps_per_epoch");
    table.check("epochs", epochs <= most_steps / steps,
                fmt::format("must give at most {} steps", most_steps));
    N = epochs * steps;
  }
  if (N > most_steps) throw table.error("total_steps", fmt::format("must be <= {}", most_steps));
  if (plan.log && !table.has("lr")) {
    plan.rates = std::make_shared<RateTable>(plan.log->rates(N));
    plan.warmup_steps = table.at_least<std::int64_t>("warmup_steps", 0, 0);
    plan.schedule = fmt::format("lr as logged, {} rows", plan.log->step.size());
    return;
  }
  if (N == 0) N = plan.log->step.back();
  LearningRateParams rate = read_learning_rate(table);
  if (rate.total_steps == 0) rate.total_steps = N;
  plan.warmup_steps = rate.warmup_steps;
  plan.rates = table.checked("lr", [&] { return std::make_shared<RateTable>(LearningRate(rate), N); });
  plan.schedule = fmt::format("{} lr from {:g}", learning_rate_shape_name(rate.shape), rate.peak);
  if (rate.warmup_steps > 0) plan.schedule += fmt::format(" after {} steps of warm-up", rate.warmup_steps);
}

void read_rules(ConfigTable& config, const Registry& registry, PlanConfig& plan) {
  if (plan.log) plan.rules.push_back({"as logged", plan.log->rule(), ""});
  for (ConfigTable& table : config.tables("rules")) {
    PlanRule added;
    added.name = table.require<std::string>("name");
    for (const PlanRule& other : plan.rules)
      table.check("name", other.name != added.name, "is taken by an earlier rule");
    if (table.has("as_much_as")) {
      added.as_much_as = table.require<std::string>("as_much_as");
      table.check("as_much_as",
                  std::any_of(plan.rules.begin(), plan.rules.end(),
                              [&](const PlanRule& r) { return r.name == added.as_much_as; }),
                  "must name an earlier one of [[rules]]");
    } else {
      added.rule = read_rule(table, registry.rules, plan.warmup_steps);
    }
    plan.rules.push_back(std::move(added));
  }
  if (plan.rules.empty()) throw config.error("a plan needs at least one [[rules]]");
}

// ------------------------------------------------------------------------------------------------ wall clock

RunVolume volume_of(const PlanConfig& plan, const PlanRule& rule) {
  const RoundCounts counts = count_rounds(*plan.rates, *rule.rule);
  return {counts.steps, counts.rounds};
}

// The two times from [model.calibration], a log, or the table itself.
StepAndAverage read_times(ConfigTable& table, const PlanConfig& plan, PlanClock& clock) {
  if (table.has("calibration")) {
    ConfigTable own = table.table("calibration");
    const auto hours = own.list<double>("hours");
    const auto names = own.list<std::string>("rules");
    own.check("hours", hours.size() == 2, "must have two entries");
    own.check("rules", names.size() == 2, "must have two entries");
    clock.rounding = 3600 * 0.5 * own.at_least<double>("rounding", 0, 0);
    TimedRun timed[2];
    for (std::size_t i = 0; i < 2; ++i) {
      const auto named = std::find_if(plan.rules.begin(), plan.rules.end(),
                                      [&](const PlanRule& r) { return r.name == names[i] && r.rule; });
      own.check("rules", named != plan.rules.end(),
                fmt::format("names '{}', which is none of [[rules]]", names[i]));
      own.check("hours", hours[i] > 0 && std::isfinite(hours[i]), "must be > 0");
      timed[i] = {volume_of(plan, *named), 3600 * hours[i]};
    }
    clock.pair = {timed[0], timed[1]};
    clock.source =
        fmt::format("from {:g} h with '{}' and {:g} h with '{}'", hours[0], names[0], hours[1], names[1]);
    return own.checked([&] { return calibrate(timed[0], timed[1]); });
  }
  StepAndAverage times;
  if (!plan.log) {
    times.step_seconds = table.positive<double>("step_seconds");
    times.average_seconds = std::numeric_limits<double>::quiet_NaN();  // of the model
    clock.source = "as given";
    return times;
  }
  const std::vector<Stretch> stretches = plan.log->stretches();
  const bool step_given = table.has("step_seconds"), average_given = table.has("average_seconds");
  if (step_given && average_given)
    throw table.error("average_seconds",
                      "is one too many beside step_seconds: with either the log gives the other");
  Stretch all{0, 0, 0};
  for (const Stretch& s : stretches) {
    all.steps += s.steps;
    all.rounds += s.rounds;
    all.seconds += s.seconds;
  }
  if (step_given || average_given) {
    const char* key = step_given ? "step_seconds" : "average_seconds";
    const double given = table.at_least<double>(key, 0);
    times.step_seconds = step_given ? given : (all.seconds - all.rounds * given) / all.steps;
    times.average_seconds = step_given ? (all.seconds - all.steps * given) / all.rounds : given;
    table.check(key, times.step_seconds >= 0 && times.average_seconds >= 0,
                fmt::format("takes longer than the log's {:g} s", all.seconds));
    clock.source = fmt::format("from the log's {:g} s and the given {}", all.seconds, key);
    return times;
  }
  const LeastSquaresTimes fit = table.checked([&] { return fit_times(stretches); });
  if (!fit.identifiable)
    throw table.error(fmt::format(
        "the log's H is always {}, so its wall time does not tell computation from communication; give "
        "step_seconds or average_seconds",
        plan.log->local_steps.front()));
  if (!(fit.times.step_seconds >= 0 && fit.times.average_seconds >= 0))
    throw table.error(fmt::format(
        "the log's wall time contradicts the model: {:g} +- {:g} s a step, {:g} +- {:g} s an average; give "
        "step_seconds or average_seconds",
        fit.times.step_seconds, fit.times.step_se, fit.times.average_seconds, fit.times.average_se));
  clock.source = fmt::format("least squares over the log's {} stretches", stretches.size());
  if (fit.worst_residual > 5)
    clock.check = fmt::format(
        "the log's line {} is {:.0f} standard deviations off the fitted times: an evaluation, a checkpoint "
        "or a "
        "pause is in the wall time",
        plan.log->lines[fit.worst + 1], fit.worst_residual);
  return fit.times;
}

void read_model(ConfigTable& config, PlanConfig& plan) {
  if (!config.has("model")) return;
  ConfigTable table = config.table("model");
  if (table.has("bytes")) {
    plan.bytes = table.positive<double>("bytes");
  } else {
    plan.bytes = table.positive<double>("parameters") * table.positive<double>("bytes_per_parameter", 4);
  }
  plan.topology = topology(table.one_of("topology", {"ring", "tree"}, "ring"));
  constexpr std::array clock_keys = {"bandwidth_gbps", "bandwidths_gbps", "step_seconds", "average_seconds",
                                     "calibration",    "latency",         "efficiency"};
  const auto given = [&](const char* key) { return table.has(key); };
  if (!plan.log && std::none_of(clock_keys.begin(), clock_keys.end(), given)) return;  // volume alone
  const double nominal = table.positive<double>("bandwidth_gbps");
  PlanClock clock;
  clock.measured_bandwidth = giga * nominal;
  for (const double gbps : table.list<double>("bandwidths_gbps", std::vector<double>{nominal})) {
    table.check("bandwidths_gbps", gbps > 0 && std::isfinite(gbps), "must be > 0");
    clock.bandwidths.push_back(giga * gbps);
  }
  table.check("bandwidths_gbps", !clock.bandwidths.empty(), "must have an entry");
  clock.times = read_times(table, plan, clock);
  const bool known = std::isfinite(clock.times.average_seconds);
  clock.latency_given = !table.has("efficiency");
  if (known && table.has("efficiency") && table.has("latency"))
    throw table.error("latency",
                      "is one too many beside efficiency: with either the measured times give the other");
  if (!known) {
    clock.model = {.step_seconds = clock.times.step_seconds,
                   .workers = plan.workers,
                   .bytes = plan.bytes,
                   .latency = table.at_least<double>("latency", 0, 0),
                   .efficiency = table.positive<double>("efficiency", 1),
                   .topology = plan.topology};
    clock.times.average_seconds = clock.model.average_seconds(clock.measured_bandwidth);
  } else if (clock.latency_given) {
    const double latency = table.at_least<double>("latency", 0, 0);
    clock.model = table.checked([&] {
      return with_latency(clock.times, plan.workers, plan.bytes, clock.measured_bandwidth, latency,
                          plan.topology);
    });
  } else {
    const double efficiency = table.positive<double>("efficiency");
    clock.model = table.checked([&] {
      return with_efficiency(clock.times, plan.workers, plan.bytes, clock.measured_bandwidth, efficiency,
                             plan.topology);
    });
  }
  table.checked([&] { clock.model.check(); });
  if (!clock.check.empty()) plan.warnings.push_back(clock.check);
  if (known && clock.model.efficiency > 1)
    plan.warnings.push_back(fmt::format(
        "an average takes {:.3g} s, less than its bytes need at {:g} Gbps ({:.3g} s): part of it is hidden "
        "behind "
        "computation, or less is sent than 'bytes' says; the hours at other bandwidths scale what is visible",
        clock.times.average_seconds, nominal, 8 * clock.model.bytes_sent() / clock.measured_bandwidth));
  plan.clock = std::move(clock);
}

// ------------------------------------------------------------------------------------------------ spectrum

// Eigenvalues and, if there are any, weights as they stand in a file, and the place of each.
struct SpectrumFile {
  std::vector<double> eigenvalues, weights;
  std::vector<std::string> places;
};

SpectrumFile read_spectrum_csv(const std::string& file) {
  SelectedColumns columns = read_csv_columns(file, {{"eigenvalue", {"eigenvalue", "eigenvalues", "lambda"}},
                                                    {"weight", {"weight", "weights"}, false}});
  SpectrumFile read{std::move(columns.columns[0]), std::move(columns.columns[1]), {}};
  for (const std::size_t line : columns.lines) read.places.push_back(fmt::format("{}:{}", file, line));
  return read;
}

// (n) eigenvalues, or (n × 2) with their weights.
SpectrumFile read_spectrum_npy(const std::string& file) {
  NpyArray array;
  try {
    array = read_npy(file);
  } catch (const std::runtime_error& e) {
    throw IoError(e.what());
  }
  const bool weighted = array.shape.size() == 2 && array.shape[1] == 2;
  if (!(array.shape.size() == 1 || weighted))
    throw IoError(file + ": must have the shape (n), eigenvalues, or (n, 2), eigenvalues and weights");
  SpectrumFile read;
  for (std::uint64_t i = 0; i < array.shape[0]; ++i) {
    read.eigenvalues.push_back(array.value(weighted ? 2 * i : i));
    if (weighted) read.weights.push_back(array.value(2 * i + 1));
    read.places.push_back(fmt::format("{}: row {}", file, i));
    for (const double value : {read.eigenvalues.back(), weighted ? read.weights.back() : 0})
      if (!std::isfinite(value)) throw IoError(fmt::format("{} is not finite", read.places.back()));
  }
  return read;
}

// The spectrum that a training took last, or at the fraction `at` of its steps, all seeds together: each Ritz
// value with the part of the trace it stands for.
SpectrumFile read_spectrum_result(ConfigTable& table, const std::string& file) {
  const Result run = read_result(file);
  if (!run.has("ritz_value") || !run.has("ritz_weight") || !run.has("spectrum_at"))
    throw IoError(file + ": holds no spectra; a training takes them where [measure] has spectrum_at");
  if (run.variable("ritz_value").dims.size() != 4)  // series, sample, spectrum, node
    throw IoError(file + ": is a sweep; the spectrum of a single training is needed");
  const std::vector<std::string>& series = run.text_variable("series").data;
  if (series.size() > 1 && !table.has("series"))
    throw table.error("series", fmt::format("is required: {} has {} of them", file, series.size()));
  const auto wanted = table.get<std::string>("series", series.front());
  const auto at = std::find(series.begin(), series.end(), wanted);
  table.check("series", at != series.end(), fmt::format("'{}' is none of {}'s", wanted, file));
  const std::vector<double>& times = run.variable("spectrum_at").data;
  const double time = table.get<double>("at", times.back());
  const auto taken = std::find(times.begin(), times.end(), time);
  table.check("at", taken != times.end(), fmt::format("{:g} is none of the spectrum_at of {}", time, file));

  const std::size_t samples = run.dims.at("sample"), spectra = times.size(), nodes = run.dims.at("node");
  const std::vector<double>&values = run.variable("ritz_value").data,
        &counts = run.variable("ritz_weight").data;
  SpectrumFile read;
  for (std::size_t sample = 0; sample < samples; ++sample)
    for (std::size_t node = 0; node < nodes; ++node) {
      const std::size_t i = ((static_cast<std::size_t>(at - series.begin()) * samples + sample) * spectra +
                             static_cast<std::size_t>(taken - times.begin())) *
                                nodes +
                            node;
      if (std::isnan(values[i])) continue;  // unused, or the seed had diverged
      read.eigenvalues.push_back(values[i]);
      read.weights.push_back(std::abs(values[i]) * counts[i]);
      read.places.push_back(fmt::format("{}: ritz_value {}", file, i));
    }
  return read;
}

DriftSpectrum read_spectrum_file(ConfigTable& table, PlanConfig& plan, const std::string& file) {
  const SpectrumFile read = file.ends_with(".npy")  ? read_spectrum_npy(file)
                            : file.ends_with(".nc") ? read_spectrum_result(table, file)
                                                    : read_spectrum_csv(file);
  DriftSpectrum spectrum;
  const bool weighted = !read.weights.empty();
  std::size_t left_out = 0;
  double lowest = 0;
  for (std::size_t i = 0; i < read.eigenvalues.size(); ++i) {
    const double lambda = read.eigenvalues[i];
    if (!(lambda > 0)) {  // no direction in which an attracting manifold holds the iterates
      ++left_out;
      lowest = std::min(lowest, lambda);
      continue;
    }
    if (weighted && read.weights[i] < 0)
      throw IoError(fmt::format("{}: weight = {} must be >= 0", read.places[i], read.weights[i]));
    spectrum.eigenvalues.push_back(lambda);
    if (weighted) spectrum.weights.push_back(read.weights[i]);
  }
  if (spectrum.eigenvalues.empty()) throw IoError(file + ": has no eigenvalue > 0");
  if (left_out > 0)
    plan.warnings.push_back(
        fmt::format("{}: {} of {} eigenvalues are not positive (down to {:g}) and are left out", file,
                    left_out, read.eigenvalues.size(), lowest));
  table.checked("file", [&] { spectrum.check(); });
  return spectrum;
}

void read_spectrum(ConfigTable& config, const Registry& registry, PlanConfig& plan) {
  LocalSgd algorithm;
  algorithm.workers = plan.workers;
  read_momentum(config, algorithm);
  if (!config.has("spectrum")) return;
  ConfigTable table = config.table("spectrum");
  if (table.has("file")) {
    const auto file = table.require<std::string>("file");
    plan.spectrum = read_spectrum_file(table, plan, file);
    plan.spectrum_source = fmt::format("{} eigenvalues of {}", plan.spectrum->eigenvalues.size(), file);
  } else {
    DriftSpectrum spectrum;
    spectrum.eigenvalues = table.list<double>("lambdas");
    if (table.has("weights")) spectrum.weights = table.list<double>("weights");
    table.checked("lambdas", [&] { spectrum.check(); });
    plan.spectrum_source = fmt::format("{} given eigenvalues", spectrum.eigenvalues.size());
    plan.spectrum = std::move(spectrum);
  }
  plan.drift.momentum = algorithm.momentum;
  plan.drift.eta_scale = table.positive<double>("eta_scale", 1);
  const auto& entry = *choose(table, "moment", registry.moments, "psi");
  plan.moment_name = table.get<std::string>("moment", "psi");
  plan.moment = table.checked("moment", [&] { return entry.make(algorithm, GradientNoise{}); });

  const double eta = plan.drift.eta_scale * plan.rates->largest(), lambda = plan.spectrum->largest();
  Round largest{.eta = eta, .local_steps = 2, .workers = plan.workers, .momentum = plan.drift.momentum};
  try {
    drift_multiplier(*plan.spectrum, *plan.moment, largest);
  } catch (const std::domain_error& e) {
    throw table.error(fmt::format("{} (at the largest lr; moment = \"psi\" has no such bound)", e.what()));
  }
  const double limit = 2 * (1 + plan.drift.momentum);
  if (eta * lambda >= limit)
    plan.warnings.push_back(
        fmt::format("eta*lambda reaches {:.3g} >= {:.3g}: gradient descent itself is unstable there, and no "
                    "theory of a stationary "
                    "displacement holds",
                    eta * lambda, limit));
  else if (eta * lambda >= 0.5 * limit)
    plan.warnings.push_back(
        fmt::format("eta*lambda reaches {:.3g} of {:.3g}: near the limit of stability, where noise itself "
                    "may be amplified and "
                    "'psi' (eta -> 0) is off; 'finite-step' keeps eta*lambda",
                    eta * lambda, limit));
}

void read_target(ConfigTable& config, PlanConfig& plan) {
  if (!plan.spectrum) return;
  ConfigTable table = config.table("target");
  AlphaTarget& target = plan.target;
  target.extra_drift = table.positive<double>("extra_drift", target.extra_drift);
  target.communication = table.positive<double>("communication", target.communication);
  target.largest_share = table.positive<double>("largest_share", target.largest_share);
  PowerRuleParams& rule = plan.target_rule;
  rule.gamma = table.positive<double>("gamma", 2);
  rule.base_steps = table.at_least<std::int64_t>("base_steps", 1, 1);
  rule.max_steps = table.at_least<std::int64_t>("max_steps", 0, 0);
  rule.warmup_steps = plan.warmup_steps;
  table.checked([&] {
    target.check();
    rule.check();
  });
  const auto count = table.at_least<int>("points", 2, 12);
  if (table.has("alphas")) {
    plan.alphas = table.list<double>("alphas");
    for (const double alpha : plan.alphas)
      table.check("alphas", alpha > 0 && std::isfinite(alpha), "must be > 0");
    table.check("alphas", !plan.alphas.empty(), "must have an entry");
    return;
  }
  // from where the rule exceeds H_base below a quarter of the largest rate
  const AlphaRange range = alpha_range(*plan.rates, rule, target.largest_share);
  const double low = std::min(25 * range.low, 0.5 * range.high);
  for (int i = 0; i < count; ++i)
    plan.alphas.push_back(low * std::pow(range.high / low, static_cast<double>(i) / (count - 1)));
}

}  // namespace

double PlanClock::hours(const RunVolume& run, double bandwidth) const {
  return model.seconds(run, bandwidth) / 3600;
}

double PlanClock::hours_error(const RunVolume& run, double bandwidth) const {
  // T is linear in t_step and a; of a, the part that scales with the bandwidth is what the latency leaves
  const double N = static_cast<double>(run.steps);
  const double R = static_cast<double>(run.rounds) * (latency_given ? measured_bandwidth / bandwidth : 1);
  if (!pair) return 1.96 * times.seconds_se(N, R) / 3600;
  const double n1 = static_cast<double>(pair->first.run.steps),
               r1 = static_cast<double>(pair->first.run.rounds);
  const double n2 = static_cast<double>(pair->second.run.steps),
               r2 = static_cast<double>(pair->second.run.rounds);
  const double determinant = n1 * r2 - n2 * r1;
  return rounding * (std::abs(N * r2 - R * n2) + std::abs(R * n1 - N * r1)) / std::abs(determinant) / 3600;
}

PlanConfig read_plan_config(ConfigTable& config, const Registry& registry) {
  PlanConfig plan;
  plan.workers = config.at_least<int>("workers", 2);
  plan.drift.workers = plan.workers;
  read_log(config, plan);
  read_schedule(config, plan);
  read_rules(config, registry, plan);
  read_model(config, plan);
  read_spectrum(config, registry, plan);
  read_target(config, plan);
  plan.samples = config.at_least<int>("samples", 2, 400);
  if (plan.log && plan.log->skipped > 0)
    plan.warnings.push_back(
        fmt::format("{} rows of the log lack a value and are left out", plan.log->skipped));
  return plan;
}

PlanOutcome compute_plan(const PlanConfig& plan) {
  const RateTable& rates = *plan.rates;
  const std::int64_t N = rates.steps();
  PlanOutcome outcome;
  outcome.warnings = plan.warnings;
  const auto samples = static_cast<std::int64_t>(plan.samples);
  for (std::int64_t j = 0; j < samples; ++j)
    outcome.sample_steps.push_back(static_cast<std::int64_t>(
        std::floor(static_cast<double>(N - 1) * static_cast<double>(j) / static_cast<double>(samples - 1))));
  const DriftSpectrum none{{1}, {}};
  for (const PlanRule& entry : plan.rules) {
    PlannedRule planned;
    planned.name = entry.name;
    std::shared_ptr<const SyncRule> rule = entry.rule;
    if (!rule) {
      const auto like = std::find_if(outcome.rules.begin(), outcome.rules.end(),
                                     [&](const PlannedRule& r) { return r.name == entry.as_much_as; });
      const double H = static_cast<double>(N) / static_cast<double>(like->drift.counts.rounds);
      planned.constant_steps = std::max<std::int64_t>(1, static_cast<std::int64_t>(std::llround(H)));
      rule = std::make_shared<ConstantRule>(planned.constant_steps);
    }
    std::size_t next = 0;
    const auto visit = [&](const PlannedRound& round, double m) {
      for (; next < outcome.sample_steps.size() &&
             outcome.sample_steps[next] < round.first_step + round.local_steps;
           ++next) {
        planned.local_steps.push_back(static_cast<double>(round.local_steps));
        planned.multiplier.push_back(plan.spectrum ? m : std::numeric_limits<double>::quiet_NaN());
      }
    };
    static const PsiMoment without_spectrum;
    planned.drift = schedule_drift(rates, *rule, plan.spectrum ? *plan.spectrum : none,
                                   plan.moment ? *plan.moment : without_spectrum, plan.drift, visit);
    if (plan.spectrum) {
      if (planned.drift.largest_share > 0.05)
        outcome.warnings.push_back(
            fmt::format("'{}': one round takes {:.0f} % of the run's slow time: the theory, in which the "
                        "point of the manifold "
                        "stands still within a round, does not describe it",
                        entry.name, 100 * planned.drift.largest_share));
      if (planned.drift.drifting_share > 0.05)
        outcome.warnings.push_back(
            fmt::format("'{}': in rounds with {:.0f} % of the slow time the learning rate changes by more "
                        "than a fifth within the "
                        "round; its mean is used",
                        entry.name, 100 * planned.drift.drifting_share));
    }
    outcome.rules.push_back(std::move(planned));
  }
  if (plan.spectrum) {
    for (const double alpha : plan.alphas)
      outcome.points.push_back(
          at_alpha(rates, plan.target_rule, alpha, *plan.spectrum, *plan.moment, plan.drift));
    outcome.answer =
        find_alpha(rates, plan.target_rule, *plan.spectrum, *plan.moment, plan.drift, plan.target);
  }
  return outcome;
}

Estimate PlanExperiment::estimate(ConfigTable& config, const RunContext& context) const {
  const PlanConfig plan = read_plan_config(config, context.registry);
  Estimate estimate;
  estimate.work = 1;
  estimate.bytes = 8.0 * static_cast<double>(plan.rates->steps()) + 1e6;
  return estimate;
}

Result PlanExperiment::run(ConfigTable& config, RunContext& context) const {
  const PlanConfig plan = read_plan_config(config, context.registry);
  Result result = plan_result(plan, compute_plan(plan));
  context.progress.add(1);
  return result;
}

}  // namespace slowsde
