#include "slowsde/experiments/suite.hpp"

#include <doctest/doctest.h>

#include <functional>

#include "tests/support/line_experiment.hpp"
#include "tests/support/scratch.hpp"

using slowsde::ConfigTable;
using slowsde::Result;

namespace {

Result run(ConfigTable& config) {
  slowsde::Registry registry = slowsde::builtin_registry();
  registry.add(std::make_shared<slowsde::test::LineExperiment>());
  slowsde::Progress progress;
  slowsde::RunContext context{registry, progress};
  const slowsde::Estimate estimate = estimate_experiment(config, context);
  config.finish();
  progress.start(estimate.work);
  Result result = run_experiment(config, context);
  CHECK(progress.fraction() == 1);
  return result;
}

std::string message_of(const std::string& text) {
  try {
    ConfigTable config = ConfigTable::parse(text, "s.toml");
    run(config);
  } catch (const std::exception& e) {
    return e.what();
  }
  return "no error";
}

const std::string two =
    "kind = \"suite\"\n[[parts]]\nname = \"a\"\nkind = \"line\"\nseed = 3\nslope = 2\n"
    "[[parts]]\nname = \"b\"\nkind = \"sweep\"\n"
    "[parts.sweep]\nexperiment = \"line\"\n[[parts.sweep.over]]\nkey = \"slope\"\nvalues = [1, 200]\n";

}  // namespace

TEST_CASE("each part is an experiment of its own, with its seed and configuration") {
  ConfigTable config = ConfigTable::parse(two, "s.toml");
  const Result r = run(config);
  REQUIRE(r.parts.size() == 2);
  CHECK(r.parts[0].name == "a");
  CHECK(r.parts[0].seed == 3);
  CHECK(r.parts[0].result.variable("seed").data == std::vector<double>{3});
  CHECK(r.parts[1].result.variable("slope").data == std::vector<double>{1, 200});
  CHECK(r.text_variable("part").data == std::vector<std::string>{"a", "b"});
  CHECK(r.replicas == 30);
  CHECK(r.diverged == 10);
  CHECK(r.diverged_series == std::vector<std::string>{"b: slope = 200: line"});
  CHECK(r.attributes.count("seed") == 0);
  CHECK(r.summary.find("== a ==\nslope 2.000000\n\n== b ==\n") == 0);
}

TEST_CASE("a part's configuration runs by itself to the same results") {
  ConfigTable config = ConfigTable::parse(two, "s.toml");
  const Result whole = run(config);
  for (const auto& part : whole.parts) {
    ConfigTable own = ConfigTable::parse(part.config, "part.toml");
    const Result alone = run(own);
    CHECK(alone.variable("y").data == part.result.variable("y").data);
    CHECK(alone.variable("seed").data == part.result.variable("seed").data);
    CHECK(own.effective() == part.config);
  }
  // and so does the suite's
  ConfigTable again = ConfigTable::parse(config.effective(), "e.toml");
  CHECK(run(again).parts[1].result.variable("y").data == whole.parts[1].result.variable("y").data);
  CHECK(again.effective() == config.effective());
}

TEST_CASE("what is wrong in a part is refused in the terms of its own file") {
  slowsde::test::Scratch dir;
  const auto part = dir.write("part.toml", "kind = \"line\"\nslpe = 2\n");
  const auto suite =
      dir.write("suite.toml", "kind = \"suite\"\nparts = [{ name = \"a\", config = \"part.toml\" }]\n");
  std::string message;
  try {
    ConfigTable config = ConfigTable::load(suite);
    run(config);
  } catch (const slowsde::ConfigError& e) {
    message = e.what();
  }
  CHECK(message == part.string() + ":2:1: unknown key 'slpe'; did you mean 'slope'?");
}

TEST_CASE("a suite without parts, or with parts that can not have a directory each, is refused") {
  CHECK(message_of("kind = \"suite\"\n") == "s.toml: a suite needs at least one element in 'parts'");
  CHECK(message_of("kind = \"suite\"\nparts = [{ kind = \"line\" }]\n") ==
        "s.toml:2:10: the key 'parts.0.name' is missing");
  for (const char* name : {"", "../x", "a/b", ".hidden", "a b"}) {
    const std::string message =
        message_of(std::string("kind = \"suite\"\nparts = [{ name = \"") + name + "\", kind = \"line\" }]\n");
    CHECK(message.find("it names a directory") != std::string::npos);
  }
  CHECK(message_of("kind = \"suite\"\nparts = [{ name = \"a\", kind = \"line\" }, { name = \"a\", kind = "
                   "\"line\" }]\n") == "s.toml:2:43: parts.1.name = \"a\" is there twice");
  CHECK(message_of("kind = \"suite\"\nseed = 3\nparts = [{ name = \"a\", kind = \"line\" }]\n") ==
        "s.toml:2:1: unknown key 'seed'");
}
