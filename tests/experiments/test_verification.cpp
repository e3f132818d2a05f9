#include "slowsde/experiments/verification.hpp"

#include <doctest/doctest.h>

#include <stdexcept>
#include <string>

#include "slowsde/experiments/progress.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;

namespace {

/// A claim that measures `mean` ± 0.01 where 1 is predicted, with a wrong theory at 2.
Claim claim_of(double mean, std::uint64_t n = 100) {
  return {.statement = "something is one",
          .source = "a paper, eq. (1)",
          .comparisons = 1,
          .measure = [=](ClaimRun&) -> std::vector<Comparison> {
            return {{.quantity = "q [1]",
                     .prediction = "by definition",
                     .measured = {mean, 0.01, n},
                     .predicted = Measured::exact(1),
                     .effect = 1,
                     .least_n = 100,
                     .rivals = {{"two", Measured::exact(2)}, {"none", Measured::exact(0)}}}};
          }};
}

Registry registry_with(double second, std::uint64_t n = 100) {
  Registry registry;
  registry.add_claim("first", claim_of(1.01));
  registry.add_claim("second", claim_of(second, n));
  return registry;
}

Verification run(const Registry& registry, const std::string& filter = "") {
  Progress silent;
  return verify(registry, Effort::quick, filter, 7, 1, silent);
}

}  // namespace

TEST_CASE("the exit status is 0 when all are confirmed, 1 when one is refuted, 3 when one is inconclusive") {
  CHECK(run(registry_with(0.99)).exit_status() == 0);
  CHECK(run(registry_with(1.2)).exit_status() == 1);
  CHECK(run(registry_with(1.0, 99)).exit_status() == 3);
  Registry both = registry_with(1.2);
  both.add_claim("third", claim_of(1, 1));
  CHECK(run(both).exit_status() == 1);
}

TEST_CASE("a filter chooses claims by name and leaves the budget of false alarms that of the whole suite") {
  const Registry registry = registry_with(1.2);
  const Verification all = run(registry), one = run(registry, "^fi");
  REQUIRE(one.claims.size() == 1);
  CHECK(one.claims[0].name == "first");
  CHECK(one.exit_status() == 0);
  CHECK(one.critical == all.critical);
  CHECK(test::near(all.critical, critical_z(false_alarm_budget, 2), 1e-12));
  CHECK_THROWS_AS(run(registry, "third"), std::invalid_argument);
  CHECK_THROWS_AS(run(registry, "["), std::invalid_argument);
}

TEST_CASE("a claim that measures another number of things than it declares is an error of the program") {
  Registry registry;
  Claim wrong = claim_of(1);
  wrong.comparisons = 2;
  registry.add_claim("wrong", wrong);
  CHECK_THROWS_AS(run(registry), std::logic_error);
}

TEST_CASE("table, JSON and NetCDF say the same") {
  const Verification v = run(registry_with(1.2));
  const std::string table = verification_table(v, true), json = verification_json(v);
  for (const char* word : {"refuted", "second", "something is one", "a paper, eq. (1)", "q [1]", "two"}) {
    CAPTURE(word);
    CHECK(table.find(word) != std::string::npos);
    CHECK(json.find(word) != std::string::npos);
  }
  CHECK(table.find("2 claims: 1 confirmed, 1 refuted, 0 inconclusive") != std::string::npos);
  const Result result = verification_result(v);
  result.check();
  CHECK(result.variable("measured").data == std::vector<double>{1.01, 1.2});
  CHECK(test::near(result.variable("z").data[1], 20, 1e-9));
  CHECK(test::near(result.variable("rival_z").data[0], 99, 1e-9));
  CHECK(result.variable("rival_predicted").data[0] ==
        v.claims[0].comparisons[0].comparison.rivals[0].predicted.mean);
  CHECK(result.variable("rival_predicted_se").data[0] == 0);
  CHECK(result.text_variable("verdict").data == std::vector<std::string>{"confirmed", "refuted"});
}
