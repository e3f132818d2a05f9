#include "slowsde/optim/sync_rule.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <stdexcept>

using namespace slowsde;

namespace {

constexpr std::int64_t far = std::int64_t{1} << 40;

// Something for every parameter that has no default.
RuleArguments some_arguments(const RuleDescription& rule) {
  RuleArguments told;
  for (const RuleParameter& p : rule.parameters) {
    if (p.fallback) continue;
    if (p.kind == RuleParameter::Kind::integers)
      told.set(p.name, std::vector<std::int64_t>{0, 40});
    else if (p.kind == RuleParameter::Kind::integer)
      told.set(p.name, 6);
    else
      told.set(p.name, 0.2);
  }
  if (rule.name == "table") told.set("local_steps", std::vector<std::int64_t>{3, 9});
  return told;
}

// The steps since the start, rounded down to a power of base: a rule as a user would write it.
class PowersRule final : public SyncRule {
 public:
  explicit PowersRule(double base) : base_(base) {}
  std::string_view name() const override { return "powers"; }

 private:
  double desired_steps(std::int64_t step, double) const override {
    return step < 1 ? 1 : std::pow(base_, std::floor(std::log(static_cast<double>(step)) / std::log(base_)));
  }
  double base_;
};

RuleDescription powers() {
  return {"powers",
          "the step, rounded down to a power",
          {RuleParameter::positive("base", "of the powers", 2)},
          [](const RuleArguments& told) { return std::make_shared<PowersRule>(told.real("base")); }};
}

}  // namespace

TEST_CASE("QSR at constant lr is constant H") {
  const PowerRule qsr({.alpha = 0.2, .base_steps = 2});
  const ConstantRule constant(16);
  for (std::int64_t k : {0, 1, 1000, 99999})
    CHECK(qsr.local_steps(k, 0.05, far) == constant.local_steps(k, 0.05, far));
}

TEST_CASE("QSR truncates the double (α/η)²: 0.8·0.1² and 0.8·0.01 differ") {
  const PowerRule qsr({.alpha = 0.2, .base_steps = 2});
  CHECK(qsr.local_steps(0, 0.8 * (0.1 * 0.1), far) == 624);
  CHECK(qsr.local_steps(0, 0.8 * 0.01, far) == 625);
}

TEST_CASE(
    "QSR never goes below H_base, nor above H_max, and keeps H_base for rounds that begin in the warm-up") {
  const PowerRule qsr({.alpha = 0.2, .base_steps = 4, .max_steps = 50, .warmup_steps = 10});
  CHECK(qsr.local_steps(10, 0.8, far) == 4);
  CHECK(qsr.local_steps(10, 0.04, far) == 25);
  CHECK(qsr.local_steps(10, 0.001, far) == 50);
  CHECK(qsr.local_steps(9, 0.001, far) == 4);
  CHECK(qsr.local_steps(9, 0.0, far) == 4);
}

TEST_CASE(
    "at a tiny learning rate the rule asks for more steps than an integer holds and gets what remains") {
  for (double gamma : {1.0, 2.0, 3.0})
    for (double lr : {0.0, 5e-324, 1e-200, 1e-12}) {
      const PowerRule rule({.alpha = 0.2, .gamma = gamma});
      CHECK(rule.local_steps(5, lr, 1000003) == 1000003);
      CHECK(rule.local_steps(5, lr, 1) == 1);
    }
  const PowerRule rule({.alpha = 0.2});
  CHECK(rule.local_steps(5, 1e-300, std::numeric_limits<std::int64_t>::max()) ==
        std::numeric_limits<std::int64_t>::max());
}

TEST_CASE("the exponent γ separates QSR from its ablations") {
  CHECK(PowerRule({.alpha = 0.5, .gamma = 1}).local_steps(0, 0.125, far) == 4);
  CHECK(PowerRule({.alpha = 0.5, .gamma = 2}).local_steps(0, 0.125, far) == 16);
  CHECK(PowerRule({.alpha = 0.5, .gamma = 3}).local_steps(0, 0.125, far) == 64);
}

TEST_CASE("post-local SGD averages every step until k0, SWAP only at the end from k0 on") {
  const PostLocalRule post_local(8, 100);
  CHECK(post_local.local_steps(99, 0.1, 900) == 1);
  CHECK(post_local.local_steps(100, 0.1, 900) == 8);
  CHECK(post_local.local_steps(996, 0.1, 4) == 4);
  const SwapRule swap(3, 100);
  CHECK(swap.local_steps(99, 0.1, 901) == 3);
  CHECK(swap.local_steps(102, 0.1, 898) == 898);
}

TEST_CASE("H ∝ k grows with the step, the table changes at its steps, parallel is 1") {
  const ProportionalRule proportional(2, 0.1);
  CHECK(proportional.local_steps(0, 0.1, far) == 2);
  CHECK(proportional.local_steps(39, 0.1, far) == 3);
  CHECK(proportional.local_steps(1000, 0.1, far) == 100);
  const TableRule table({{0, 1}, {10, 7}, {20, 3}});
  CHECK(table.local_steps(9, 0.1, far) == 1);
  CHECK(table.local_steps(10, 0.1, far) == 7);
  CHECK(table.local_steps(19, 0.1, far) == 7);
  CHECK(table.local_steps(1000, 0.1, far) == 3);
  CHECK(ParallelRule().local_steps(7, 0.1, far) == 1);
}

TEST_CASE("every rule gives between 1 and the remaining steps") {
  for (const RuleDescription& description : sync_rule_catalogue()) {
    CAPTURE(description.name);
    const auto rule = make_sync_rule(description.name, some_arguments(description));
    for (std::int64_t k : {0, 5, 6, 49, 50, 100})
      for (double lr : {0.0, 1e-9, 0.1, 1e9})
        for (std::int64_t remaining : {1, 2, 1000}) {
          const std::int64_t H = rule->local_steps(k, lr, remaining);
          CHECK(H >= 1);
          CHECK(H <= remaining);
        }
    CHECK_THROWS_WITH_AS(rule->local_steps(0, 0.1, 0), "sync rule: remaining >= 1 is violated by 0",
                         std::invalid_argument);
    CHECK_THROWS_AS(rule->local_steps(-1, 0.1, 5), std::invalid_argument);
    CHECK_THROWS_AS(rule->local_steps(0, std::nan(""), 5), std::invalid_argument);
    CHECK_THROWS_AS(rule->local_steps(0, -0.1, 5), std::invalid_argument);
  }
}

TEST_CASE("impossible rules are refused by the inequality they violate") {
  CHECK_THROWS_WITH_AS(ConstantRule(0), "sync rule: local_steps >= 1 is violated by 0",
                       std::invalid_argument);
  CHECK_THROWS_WITH_AS(PowerRule({.alpha = 0}), "sync rule: 0 < alpha < infinity is violated by 0",
                       std::invalid_argument);
  CHECK_THROWS_WITH_AS(PowerRule({.base_steps = 4, .max_steps = 3}),
                       "sync rule: max_steps >= base_steps is violated by 3", std::invalid_argument);
  CHECK_THROWS_AS(TableRule({}), std::invalid_argument);
  CHECK_THROWS_AS(TableRule({{1, 2}}), std::invalid_argument);
  CHECK_THROWS_AS(TableRule({{0, 2}, {0, 3}}), std::invalid_argument);
  CHECK_THROWS_AS(ProportionalRule(1, -1), std::invalid_argument);
  CHECK_THROWS_AS(SwapRule(1, -1), std::invalid_argument);
  CHECK_THROWS_AS(PostLocalRule(0, 1), std::invalid_argument);
  CHECK_THROWS_WITH_AS(make_sync_rule("qrs", {}),
                       "unknown sync rule \"qrs\"; known: constant, parallel, qsr, power, post-local, swap, "
                       "proportional, table",
                       std::invalid_argument);
}

TEST_CASE("a rule is made from its description: defaults, bounds and names hold") {
  for (const RuleDescription& description : sync_rule_catalogue()) {
    CAPTURE(description.name);
    CHECK(!description.summary.empty());
    for (const RuleParameter& p : description.parameters) {
      CHECK(!p.summary.empty());
      CHECK(description.line().find(p.name) != std::string::npos);
      RuleArguments told = some_arguments(description);
      if (p.kind == RuleParameter::Kind::integers) {
        told.set(p.name, std::vector<std::int64_t>{0});
      } else if (p.kind == RuleParameter::Kind::integer) {
        told.set(p.name, static_cast<std::int64_t>(p.bound) - 1);
      } else {
        told.set(p.name, p.above ? p.bound : p.bound - 1);
      }
      CHECK_THROWS_AS(description.rule(told), std::invalid_argument);
    }
    CHECK_THROWS_AS(description.rule(some_arguments(description).set("nonsense", 1)), std::invalid_argument);
  }
  CHECK(sync_rule_catalogue()[2].line() ==
        "Quadratic Synchronization Rule: max(H_base, floor((alpha/lr)^2)); keys: alpha, base_steps (1), "
        "max_steps (0)");
  CHECK_THROWS_WITH_AS(make_sync_rule("constant", {}),
                       "sync rule constant: the parameter 'local_steps' is missing", std::invalid_argument);
  CHECK_THROWS_WITH_AS(make_sync_rule("constant", RuleArguments().set("local_steps", 2.5)),
                       "sync rule: the parameter 'local_steps' must be an integer", std::invalid_argument);
  CHECK_THROWS_WITH_AS(make_sync_rule("qsr", RuleArguments().set("alpha", 0)),
                       "sync rule: alpha > 0 is violated by 0", std::invalid_argument);
}

TEST_CASE("the power rule of exponent 2 and QSR are one rule, told the warm-up by the schedule") {
  RuleArguments told = RuleArguments().set("alpha", 0.2).set("base_steps", 4);
  told.warmup_steps = 10;
  const auto qsr = make_sync_rule("qsr", told), power = make_sync_rule("power", told);
  const auto cubic = make_sync_rule("power", RuleArguments(told).set("gamma", 3));
  for (std::int64_t k : {9, 10})
    for (double lr : {0.2, 0.05, 0.01}) CHECK(qsr->local_steps(k, lr, far) == power->local_steps(k, lr, far));
  CHECK(qsr->local_steps(9, 0.01, far) == 4);
  CHECK(qsr->local_steps(10, 0.01, far) == 400);
  CHECK(cubic->local_steps(10, 0.01, far) == 8000);
}

TEST_CASE("a rule of the user's is one class and its description") {
  CHECK(powers().rule({})->local_steps(1000, 0.1, far) == 512);
  CHECK(powers().rule(RuleArguments().set("base", 10))->local_steps(1001, 0.1, far) == 1000);
  CHECK(powers().line() == "the step, rounded down to a power; keys: base (2)");
}
