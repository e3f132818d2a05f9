#include "slowsde/optim/sync_rule.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <stdexcept>

using namespace slowsde;

namespace {
constexpr std::int64_t far = std::int64_t{1} << 40;
}

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
  SyncRuleParams params{.local_steps = 6, .base_steps = 2, .switch_step = 50, .table = {{0, 3}, {40, 9}}};
  for (const auto& [name, description] : sync_rule_catalogue()) {
    CAPTURE(name);
    CHECK(!description.empty());
    const auto rule = make_sync_rule(name, params);
    for (std::int64_t k : {0, 49, 50, 100})
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
