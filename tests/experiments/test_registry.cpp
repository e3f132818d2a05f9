#include "slowsde/experiments/registry.hpp"

#include <doctest/doctest.h>

#include <functional>

#include "tests/support/line_experiment.hpp"

using slowsde::Catalogue;
using slowsde::ConfigError;
using slowsde::ConfigTable;
using slowsde::Registry;

namespace {

std::string message_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const std::exception& e) {
    return e.what();
  }
  return "no error";
}

}  // namespace

TEST_CASE("a catalogue keeps its entries in order and finds them by name") {
  Catalogue<int> rules("sync rule", "sync rules");
  rules.add("qsr", "H grows as (alpha/eta)^2", 1);
  rules.add("constant", "the same H always", 2);
  CHECK(rules.at("constant") == 2);
  CHECK(rules.items()[0].name == "qsr");
  CHECK(rules.items()[0].summary == "H grows as (alpha/eta)^2");
  CHECK(rules.find("none") == nullptr);
  CHECK(message_of([&] { rules.at("constnat"); }) ==
        "unknown sync rule 'constnat'; did you mean 'constant'?");
  CHECK(message_of([&] { rules.at("zzzzzz"); }) == "unknown sync rule 'zzzzzz'; there are: qsr, constant");
  CHECK(message_of([&] { rules.add("qsr", "", 3); }) == "there are two sync rules named 'qsr'");
  CHECK(message_of([&] { rules.add("", "", 3); }) == "a sync rule needs a name");
  CHECK(message_of([] { Catalogue<int>("rule", "rules").at("x"); }) == "unknown rule 'x'; there is none");
}

TEST_CASE("a configuration chooses an entry, and an unknown one is refused at its place") {
  Catalogue<int> rules("sync rule", "sync rules");
  rules.add("constant", "", 2);
  ConfigTable c = ConfigTable::parse("\nrule = \"constnat\"\n", "c.toml");
  CHECK(message_of([&] { choose(c, "rule", rules); }) ==
        "c.toml:2:1: rule = \"constnat\" is no sync rule; did you mean 'constant'?");
  ConfigTable d = ConfigTable::parse("", "d.toml");
  CHECK(choose(d, "rule", rules, "constant") == 2);
  CHECK(message_of([&] { choose(d, "other", rules); }) == "d.toml: the key 'other' is missing");
}

TEST_CASE("registries are objects of their own: what is added to one is not in another") {
  Registry mine = slowsde::builtin_registry();
  mine.add(std::make_shared<slowsde::test::LineExperiment>());
  CHECK(mine.experiments.at("line")->summary() == "a straight line");
  CHECK(slowsde::builtin_registry().experiments.find("line") == nullptr);
  CHECK(mine.experiments.find("sweep") != nullptr);
  CHECK(mine.experiments.find("suite") != nullptr);
}

TEST_CASE("an experiment is not begun on a backend that it does not run on") {
  Registry registry = slowsde::builtin_registry();
  registry.add(std::make_shared<slowsde::test::LineExperiment>());
  slowsde::Progress progress;
  slowsde::RunContext context{registry, progress};
  context.backend = slowsde::Backend::cuda;
  const std::string refusal = "experiments of kind 'line' do not run on --backend cuda";
  ConfigTable line = ConfigTable::parse("kind = \"line\"", "c.toml");
  CHECK(message_of([&] { estimate_experiment(line, context); }) == refusal);
  ConfigTable sweep = ConfigTable::parse(
      "kind = \"sweep\"\nsweep = { experiment = \"line\", over = [{ key = \"slope\", values = [1] }] }",
      "c.toml");
  CHECK(message_of([&] { estimate_experiment(sweep, context); }) == refusal);
}

TEST_CASE("estimates of runs that follow each other add up, except for memory") {
  slowsde::Estimate all{1, 2, 300, {"a"}};
  all += slowsde::Estimate{10, 20, 100, {"a", "b"}};
  CHECK(all.work == 11);
  CHECK(all.seconds == 22);
  CHECK(all.bytes == 300);
  CHECK(all.notes == std::vector<std::string>{"a", "b"});
}
