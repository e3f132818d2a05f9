#include "slowsde/experiments/verification.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <regex>
#include <stdexcept>

#include "slowsde/experiments/errors.hpp"
#include "slowsde/experiments/json.hpp"
#include "slowsde/experiments/progress.hpp"

namespace slowsde {
namespace {

Verdict overall(const std::vector<JudgedComparison>& comparisons) {
  Verdict verdict = Verdict::confirmed;
  for (const JudgedComparison& c : comparisons) {
    if (c.judgement.verdict == Verdict::refuted) return Verdict::refuted;
    if (c.judgement.verdict == Verdict::inconclusive) verdict = Verdict::inconclusive;
  }
  return verdict;
}

/// mean ± SE with the digits that the error allows.
std::string value_text(const Measured& m) {
  if (!(m.se > 0) || !std::isfinite(m.se) || !std::isfinite(m.mean)) return fmt::format("{:.5g}", m.mean);
  const int digits = std::clamp(static_cast<int>(std::ceil(-std::log10(m.se))) + 1, 0, 12);
  return fmt::format("{:.{}f} ± {:.1g}", m.mean, digits, m.se);
}

const char* effort_name(Effort effort) { return effort == Effort::full ? "full" : "quick"; }

double weakest(const Judgement& judgement) {
  double least = std::numeric_limits<double>::infinity();
  for (const double z : judgement.rivals) least = std::isnan(z) ? z : std::min(least, z);
  return least;
}

}  // namespace

int Verification::count(Verdict verdict) const {
  return static_cast<int>(
      std::count_if(claims.begin(), claims.end(), [&](const auto& c) { return c.verdict == verdict; }));
}

int Verification::exit_status() const {
  if (count(Verdict::refuted) > 0) return static_cast<int>(ExitCode::failure);
  return static_cast<int>(count(Verdict::inconclusive) > 0 ? ExitCode::inconclusive : ExitCode::ok);
}

Verification verify(const Registry& registry, Effort effort, const std::string& filter, std::uint64_t seed,
                    int threads, Progress& progress) {
  std::regex expression;
  try {
    expression = std::regex(filter);
  } catch (const std::regex_error&) {
    throw std::invalid_argument("--filter '" + filter + "' is no regular expression");
  }
  int all = 0, chosen = 0;
  for (const auto& item : registry.claims.items()) {
    all += item.entry.comparisons;
    chosen += std::regex_search(item.name, expression);
  }
  if (chosen == 0) throw std::invalid_argument("--filter '" + filter + "' matches no claim");

  Verification result{.effort = effort, .seed = seed, .critical = critical_z(false_alarm_budget, all)};
  progress.start(chosen);
  for (const auto& item : registry.claims.items()) {
    if (!std::regex_search(item.name, expression)) continue;
    const Claim& claim = item.entry;
    const auto begin = std::chrono::steady_clock::now();
    ClaimRun run(item.name, seed, effort, threads);
    JudgedClaim judged{
        .name = item.name, .statement = claim.statement, .source = claim.source, .config = claim.config};
    std::vector<Comparison> comparisons = claim.measure(run);
    if (comparisons.size() != static_cast<std::size_t>(claim.comparisons))
      throw std::logic_error(fmt::format("claim '{}' declares {} comparisons and returned {}", item.name,
                                         claim.comparisons, comparisons.size()));
    for (Comparison& comparison : comparisons) {
      require_risk(item.name, comparison);
      Judgement judgement = judge(comparison, result.critical);
      judged.comparisons.push_back({std::move(comparison), std::move(judgement)});
    }
    judged.verdict = overall(judged.comparisons);
    judged.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    result.claims.push_back(std::move(judged));
    progress.add(1);
  }
  progress.finish();
  return result;
}

std::string verification_table(const Verification& v, bool rivals) {
  std::string text;
  for (const JudgedClaim& claim : v.claims) {
    text += fmt::format("{:<12}  {}  [{:.1f} s]\n", verdict_name(claim.verdict), claim.name, claim.seconds);
    text += fmt::format("              {}  ({})\n", claim.statement, claim.source);
    for (const auto& [c, judgement] : claim.comparisons) {
      text += fmt::format("    {}: measured {}, predicted {} ({}), z = {:.2f}, n = {}", c.quantity,
                          value_text(c.measured), value_text(c.predicted), c.prediction, judgement.z,
                          c.measured.n);
      if (!c.rivals.empty())
        text += fmt::format("; {} wrong theories at >= {:.1f} SE", c.rivals.size(), weakest(judgement));
      text += judgement.reason.empty()
                  ? "\n"
                  : fmt::format("; {}: {}\n", verdict_name(judgement.verdict), judgement.reason);
      for (std::size_t r = 0; rivals && r < c.rivals.size(); ++r)
        text += fmt::format("        {}: {}, {:.1f} SE away\n", c.rivals[r].name,
                            value_text(c.rivals[r].predicted), judgement.rivals[r]);
    }
  }
  text += fmt::format(
      "{} claims: {} confirmed, {} refuted, {} inconclusive (suite {}, seed {}; |z| <= {:.2f} keeps the "
      "false "
      "alarms of the whole suite below {:g}; wrong theories must be at least {:g} SE away)\n",
      v.claims.size(), v.count(Verdict::confirmed), v.count(Verdict::refuted), v.count(Verdict::inconclusive),
      effort_name(v.effort), v.seed, v.critical, false_alarm_budget, rejection);
  return text;
}

std::string verification_json(const Verification& v) {
  JsonWriter json;
  const auto measured = [&](std::string_view key, const Measured& m) {
    json.key(key).begin_object().member("mean", m.mean).member("se", m.se).member("n", m.n).end_object();
  };
  json.begin_object().member("schema_version", 1).member("suite", effort_name(v.effort));
  json.member("seed", v.seed)
      .member("false_alarm_budget", false_alarm_budget)
      .member("critical_z", v.critical)
      .member("rejection_z", rejection);
  json.member("confirmed", v.count(Verdict::confirmed)).member("refuted", v.count(Verdict::refuted));
  json.member("inconclusive", v.count(Verdict::inconclusive)).key("claims").begin_array();
  for (const JudgedClaim& claim : v.claims) {
    json.begin_object().member("name", claim.name).member("statement", claim.statement);
    json.member("source", claim.source)
        .member("config", claim.config)
        .member("verdict", verdict_name(claim.verdict));
    json.key("comparisons").begin_array();
    for (const auto& [c, judgement] : claim.comparisons) {
      json.begin_object().member("quantity", c.quantity).member("prediction_by", c.prediction);
      measured("measured", c.measured);
      measured("predicted", c.predicted);
      json.member("effect", c.effect).member("margin", c.margin).member("least_n", c.least_n);
      json.member("z", judgement.z).member("verdict", verdict_name(judgement.verdict));
      json.member("reason", judgement.reason).key("wrong_theories").begin_array();
      for (std::size_t r = 0; r < c.rivals.size(); ++r) {
        json.begin_object().member("name", c.rivals[r].name);
        measured("predicted", c.rivals[r].predicted);
        json.member("z", judgement.rivals[r]).end_object();
      }
      json.end_array().end_object();
    }
    json.end_array().end_object();
  }
  return json.end_array().end_object().text();
}

Result verification_result(const Verification& v) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  Result result;
  std::vector<const JudgedComparison*> all;
  TextVariable claim{"claim", "claim that the comparison belongs to", {"comparison"}, {}},
      quantity{"quantity", "what was compared", {"comparison"}, {}},
      verdict{"verdict", "verdict on the comparison", {"comparison"}, {}};
  std::size_t width = 1;
  for (const JudgedClaim& judged : v.claims)
    for (const JudgedComparison& c : judged.comparisons) {
      all.push_back(&c);
      claim.data.push_back(judged.name);
      quantity.data.push_back(c.comparison.quantity);
      verdict.data.emplace_back(verdict_name(c.judgement.verdict));
      width = std::max(width, c.comparison.rivals.size());
    }
  result.dims = {{"comparison", std::max<std::size_t>(all.size(), 1)}, {"rival", width}};
  result.add(std::move(claim));
  result.add(std::move(quantity));
  result.add(std::move(verdict));
  const auto column = [&](const char* name, const char* long_name, auto value) {
    Variable variable{name, "1", long_name, {"comparison"}, {}};
    for (const JudgedComparison* c : all) variable.data.push_back(value(*c));
    result.add(std::move(variable));
  };
  column("measured", "measured mean", [](const auto& c) { return c.comparison.measured.mean; });
  column("measured_se", "its standard error", [](const auto& c) { return c.comparison.measured.se; });
  column("predicted", "predicted mean", [](const auto& c) { return c.comparison.predicted.mean; });
  column("predicted_se", "its standard error", [](const auto& c) { return c.comparison.predicted.se; });
  column("replicas", "replicas of the measurement",
         [](const auto& c) { return static_cast<double>(c.comparison.measured.n); });
  column("effect", "size of what is claimed", [](const auto& c) { return c.comparison.effect; });
  column("margin", "of an equivalence; 0: agreement within the errors",
         [](const auto& c) { return c.comparison.margin; });
  column("z", "|measured - predicted| in standard errors", [](const auto& c) { return c.judgement.z; });
  const std::vector<std::string> each = {"comparison", "rival"};
  TextVariable names{"rival_name", "wrong theory", each, {}};
  Variable predicted{"rival_predicted", "1", "what the wrong theory predicts", each, {}},
      errors{"rival_predicted_se", "1", "its standard error", each, {}},
      distances{"rival_z", "1", "distance of the wrong theory in standard errors", each, {}};
  for (const JudgedComparison* c : all)
    for (std::size_t r = 0; r < width; ++r) {
      const bool there = r < c->comparison.rivals.size();
      const Measured value = there ? c->comparison.rivals[r].predicted : Measured{nan, nan, 0};
      names.data.push_back(there ? c->comparison.rivals[r].name : "");
      predicted.data.push_back(value.mean);
      errors.data.push_back(value.se);
      distances.data.push_back(there ? c->judgement.rivals[r] : nan);
    }
  result.add(std::move(names));
  for (Variable* variable : {&predicted, &errors, &distances}) result.add(std::move(*variable));
  result.attributes["title"] = std::string("Verification, suite ") + effort_name(v.effort);
  result.attributes["kind"] = "verification";
  result.attributes["seed"] = std::to_string(v.seed);
  result.attributes["critical_z"] = fmt::format("{:.4f}", v.critical);
  result.summary = verification_table(v, true);
  return result;
}

}  // namespace slowsde
