// Every rule on every schedule against a second implementation, in another language and from the papers alone
// (tests/optim/sync_rule_oracle.py).
#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "slowsde/optim/round_plan.hpp"
#include "slowsde/optim/sync_rule.hpp"
#include "tests/support/scratch.hpp"

using namespace slowsde;

namespace {

struct Case {
  LearningRateParams lr;
  std::string rule;
  RuleArguments told;
  std::int64_t N = 0;
};

std::string exactly(double x) {
  std::ostringstream text;
  text.precision(17);
  text << x;
  return text.str();
}

template <class T>
std::string listed(const std::vector<T>& values) {
  std::string out = "[";
  for (const T& v : values) out += (out.size() > 1 ? ", " : "") + std::to_string(v);
  return out + "]";
}

std::string json(const Case& c) {
  std::string out = "{\"N\": " + std::to_string(c.N) + ", \"lr\": {\"shape\": \"" +
                    std::string(learning_rate_shape_name(c.lr.shape)) +
                    "\", \"peak\": " + exactly(c.lr.peak) + ", \"end\": " + exactly(c.lr.end) +
                    ", \"warmup\": " + std::to_string(c.lr.warmup_steps) +
                    ", \"total\": " + std::to_string(c.lr.total_steps) + ", \"at\": " + listed(c.lr.step_at) +
                    ", \"factor\": " + exactly(c.lr.step_factor) + ", \"base\": " + exactly(c.lr.power_base) +
                    "}, \"rule\": {\"name\": \"" + c.rule + "\"";
  for (const auto& [name, value] : c.told.values()) {
    out += ", \"" + name + "\": ";
    if (const auto* integer = std::get_if<std::int64_t>(&value)) out += std::to_string(*integer);
    if (const auto* real = std::get_if<double>(&value)) out += exactly(*real);
    if (const auto* list = std::get_if<std::vector<std::int64_t>>(&value)) out += listed(*list);
  }
  return out + "}}";
}

// A schedule of any shape and a rule of any kind; lengths that no H divides, rates from 1 to 1e-12 and 0,
// caps.
Case random_case(std::mt19937_64& random, const std::string& rule) {
  const auto integer = [&](std::int64_t low, std::int64_t high) {
    return std::uniform_int_distribution<std::int64_t>(low, high)(random);
  };
  const auto logarithmic = [&](double low, double high) {
    return std::exp(std::uniform_real_distribution<double>(std::log(low), std::log(high))(random));
  };
  Case c;
  c.rule = rule;
  c.N = integer(1, 5000);
  constexpr LearningRateShape shapes[] = {LearningRateShape::constant, LearningRateShape::linear,
                                          LearningRateShape::cosine, LearningRateShape::step,
                                          LearningRateShape::cosine_powers};
  c.lr.shape = shapes[integer(0, 4)];
  c.lr.peak = logarithmic(1e-3, 1);
  c.lr.end = integer(0, 2) == 0 && c.lr.shape != LearningRateShape::cosine_powers
                 ? 0
                 : c.lr.peak * logarithmic(1e-9, 1);
  c.lr.total_steps = c.N;
  c.lr.warmup_steps = integer(0, 1) * integer(0, c.N - 1);
  c.lr.step_factor = logarithmic(1e-3, 1);
  c.lr.power_base = 1 + logarithmic(0.1, 9);
  if (c.lr.shape == LearningRateShape::step)
    for (std::int64_t at = integer(0, c.N); at < c.N; at += integer(1, c.N)) c.lr.step_at.push_back(at);
  c.told.warmup_steps = c.lr.warmup_steps;
  const std::int64_t base = integer(1, 12);
  if (rule == "qsr" || rule == "power") {
    c.told.set("alpha", c.lr.peak * logarithmic(0.01, 100));
    c.told.set("base_steps", base);
    c.told.set("max_steps", integer(0, 1) * (base + integer(0, 100)));
  }
  if (rule == "power")
    c.told.set("gamma", integer(0, 1) == 0 ? static_cast<double>(integer(1, 4)) : logarithmic(0.3, 9));
  if (rule == "swap" || rule == "proportional") c.told.set("base_steps", base);
  if (rule == "swap" || rule == "post-local") c.told.set("switch_step", integer(0, c.N + 10));
  if (rule == "constant" || rule == "post-local") c.told.set("local_steps", integer(1, c.N + 10));
  if (rule == "proportional") c.told.set("growth", logarithmic(1e-4, 2));
  if (rule == "table") {
    std::vector<std::int64_t> steps{0}, H{integer(1, 20)};
    for (std::int64_t at = integer(1, 1000); at < c.N; at += integer(1, 1000)) {
      steps.push_back(at);
      H.push_back(integer(1, 400));
    }
    c.told.set("steps", steps).set("local_steps", H);
  }
  return c;
}

std::vector<std::string> oracle(const std::vector<Case>& cases) {
  const test::Scratch dir;
  std::string text;
  for (const Case& c : cases) text += json(c) + "\n";
  dir.write("runs", text);
  const std::string command = "/usr/bin/python3 tests/optim/sync_rule_oracle.py <'" +
                              (dir / "runs").string() + "' >'" + (dir / "rounds").string() + "'";
  REQUIRE(std::system(command.c_str()) == 0);
  std::istringstream lines(test::read_text(dir / "rounds"));
  std::vector<std::string> out;
  for (std::string line; std::getline(lines, line);) out.push_back(line);
  return out;
}

std::string own(const Case& c, const SyncRule& rule) {
  std::string out;
  for_each_round(LearningRate(c.lr), rule, c.N, [&](const PlannedRound& round) {
    if (!out.empty()) out.push_back(' ');
    out += std::to_string(round.local_steps);
  });
  return out;
}

}  // namespace

TEST_CASE("400 random schedules: the rounds of all rules are those of the definitions") {
  std::mt19937_64 random(7);
  std::vector<Case> cases;
  for (int i = 0; i < 50; ++i)
    for (const RuleDescription& rule : sync_rule_catalogue()) cases.push_back(random_case(random, rule.name));
  // the settings of Gu et al. 2024, and learning rates at which the rule asks for more than an integer holds
  for (const auto& [peak, epochs, warmup, base, alpha] : {std::tuple{0.8, 200, 1560, 2, 0.2},
                                                          {0.8, 200, 1560, 4, 0.25},
                                                          {0.008, 300, 10000, 4, 0.0175},
                                                          {0.008, 300, 10000, 8, 0.0175}}) {
    Case c{{.shape = LearningRateShape::cosine, .peak = peak, .end = 1e-6, .warmup_steps = warmup},
           "qsr",
           {},
           0};
    c.lr.total_steps = c.N = 312 * epochs;
    c.told.set("alpha", alpha).set("base_steps", base).set("max_steps", 0);
    c.told.warmup_steps = warmup;
    cases.push_back(c);
  }
  for (const double lr : {1e-300, 5e-324, 1e-20}) {
    Case c{{.peak = lr}, "power", {}, 1000};
    c.told.set("alpha", 0.2).set("gamma", 3.0).set("base_steps", 1).set("max_steps", 0);
    cases.push_back(c);
    c.told.set("max_steps", 7);
    cases.push_back(c);
  }
  const std::vector<std::string> expected = oracle(cases);
  REQUIRE(expected.size() == cases.size());
  int clamped = 0, several = 0;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    CAPTURE(json(cases[i]));
    const std::string rounds = own(cases[i], *make_sync_rule(cases[i].rule, cases[i].told));
    CHECK(rounds == expected[i]);
    several += rounds.find(' ') != std::string::npos;
    clamped += rounds == std::to_string(cases[i].N);
  }
  CHECK(several > 300);
  CHECK(clamped > 0);
}

TEST_CASE("rules that are wrong in one detail miss the definitions") {
  std::mt19937_64 random(8);
  std::vector<Case> cases;
  for (int i = 0; i < 60; ++i) cases.push_back(random_case(random, "qsr"));
  const std::vector<std::string> expected = oracle(cases);
  int no_warmup = 0, rounded = 0, cubic = 0, no_base = 0;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    PowerRuleParams p{.alpha = cases[i].told.real("alpha"),
                      .base_steps = cases[i].told.integer("base_steps"),
                      .max_steps = cases[i].told.integer("max_steps"),
                      .warmup_steps = cases[i].told.warmup_steps};
    const auto differs = [&](const PowerRuleParams& wrong) {
      return own(cases[i], PowerRule(wrong)) != expected[i];
    };
    CHECK(!differs(p));
    PowerRuleParams wrong = p;
    wrong.warmup_steps = 0;
    no_warmup += differs(wrong);
    wrong = p;
    wrong.alpha *= 1.05;  // as if rounded up now and then
    rounded += differs(wrong);
    wrong = p;
    wrong.gamma = 3;
    cubic += differs(wrong);
    wrong = p;
    wrong.base_steps = 1;
    no_base += differs(wrong);
  }
  CHECK(no_warmup > 5);
  CHECK(rounded > 20);
  CHECK(cubic > 20);
  CHECK(no_base > 20);
}
