#include "slowsde/experiments/sweep.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "tests/support/line_experiment.hpp"
#include "tests/support/scratch.hpp"

using slowsde::ConfigTable;
using slowsde::Estimate;
using slowsde::Result;
using slowsde::stack_points;
using slowsde::TextVariable;
using slowsde::Variable;

namespace {

struct Run {
  Estimate estimate;
  Result result;
  std::string effective;
};

Run run(ConfigTable config, int threads = 1) {
  slowsde::Registry registry = slowsde::builtin_registry();
  registry.add(std::make_shared<slowsde::test::LineExperiment>());
  slowsde::Progress progress;
  slowsde::RunContext context{registry, progress};
  context.threads = threads;
  Run out;
  out.estimate = estimate_experiment(config, context);
  config.finish();
  progress.start(out.estimate.work);
  out.result = run_experiment(config, context);
  CHECK(progress.fraction() == 1);
  out.effective = config.effective();
  out.result.check();
  return out;
}

Run run(const std::string& text, int threads = 1) { return run(ConfigTable::parse(text, "s.toml"), threads); }

std::string message_of(const std::string& text) {
  try {
    run(text);
  } catch (const std::exception& e) {
    return e.what();
  }
  return "no error";
}

const std::string head = "kind = \"sweep\"\nseed = 40\n[sweep]\nexperiment = \"line\"\n";

}  // namespace

TEST_CASE("every combination is run, the first key slowest, and stacked along point") {
  const Run r = run(head +
                    "[[sweep.over]]\nkey = \"slope\"\nvalues = [1, 10]\nname = \"m\"\nunits = \"s\"\n"
                    "[[sweep.over]]\nkey = \"run.outputs\"\nvalues = [2, 3, 1]\n[run]\nlabel = \"a\"\n");
  CHECK(r.result.dims == std::map<std::string, std::size_t>{{"point", 6}, {"series", 1}, {"time", 3}});
  CHECK(r.result.variable("m").data == std::vector<double>{1, 1, 1, 10, 10, 10});
  CHECK(r.result.variable("m").units == "s");
  CHECK(r.result.variable("run.outputs").data == std::vector<double>{2, 3, 1, 2, 3, 1});
  const Variable& y = r.result.variable("y");
  CHECK(y.dims == std::vector<std::string>{"point", "series", "time"});
  CHECK(y.data[0] == 0.5);  // the default intercept is that of the point
  CHECK(y.data[1] == 1.5);
  CHECK(std::isnan(y.data[2]));  // a shorter point is filled
  CHECK(y.data[3 * 4 + 2] == 25);
  CHECK(r.result.text_variable("series").dims == std::vector<std::string>{"series"});  // the same everywhere
  CHECK(r.result.variable("seed").data == std::vector<double>{40, 41, 42, 43, 44, 45});
  CHECK(r.result.replicas == 60);
  CHECK(r.estimate.work == 12);
  CHECK(r.estimate.seconds == 3);
  CHECK(r.estimate.bytes == 24);
  CHECK(r.result.summary.find("-- m = 10, run.outputs = 3 --\nslope 10") != std::string::npos);
  CHECK(r.result.attributes.at("kind") == "sweep");
}

TEST_CASE("zip goes through the lists side by side") {
  const Run r = run(head +
                    "zip = true\nseeds = \"same\"\n[[sweep.over]]\nkey = \"slope\"\nvalues = [1, 10]\n"
                    "[[sweep.over]]\nkey = \"intercept\"\nvalues = [0, 5]\n");
  CHECK(r.result.variable("y").data == std::vector<double>{0, 1, 2, 5, 15, 25});
  CHECK(r.result.variable("seed").data == std::vector<double>{40, 40});
}

TEST_CASE("texts, tables and the seed can be swept over") {
  const Run r = run(head +
                    "[[sweep.over]]\nkey = \"run.label\"\nvalues = [\"a\", \"b\"]\n"
                    "[[sweep.over]]\nkey = \"slope\"\nvalues = [3, { value = 4 }]\n");
  CHECK(r.result.text_variable("run.label").data == std::vector<std::string>{"a", "a", "b", "b"});
  CHECK(r.result.text_variable("slope").data ==
        std::vector<std::string>{"3", "{ value = 4 }", "3", "{ value = 4 }"});
  CHECK(r.result.variable("y").data[3 + 1] == 6);  // 4/2 + 4
  const TextVariable& series = r.result.text_variable("series");
  CHECK(series.dims == std::vector<std::string>{"point", "series"});
  CHECK(series.data == std::vector<std::string>{"a", "a", "b", "b"});

  const Run s = run(head + "[[sweep.over]]\nkey = \"seed\"\nname = \"s\"\nvalues = [7, 5]\n");
  CHECK(s.result.variable("seed").data == std::vector<double>{7, 5});
}

TEST_CASE("the effective configuration of a sweep runs to the same results") {
  const Run r =
      run(head + "[[sweep.over]]\nkey = \"slope\"\nvalues = [{ value = 4 }, 1, 10]\n[run]\nlabel = \"a\"\n");
  CHECK(r.effective.find("outputs = 3") != std::string::npos);  // a default on which all points agree
  CHECK(r.effective.find("intercept") == std::string::npos);    // one that depends on the point
  const Run again = run(ConfigTable::parse(r.effective, "e.toml"), 3);
  CHECK(again.result.variable("y").data == r.result.variable("y").data);
  CHECK(again.result.variable("seed").data == r.result.variable("seed").data);
  CHECK(again.effective == r.effective);
}

TEST_CASE("a base file lies beneath the sweep") {
  slowsde::test::Scratch dir;
  dir.write("line.toml", "kind = \"line\"\nslope = 2\nintercept = 1\n");
  const auto file = dir.write(
      "s.toml",
      "kind = \"sweep\"\n[sweep]\nbase = \"line.toml\"\n[[sweep.over]]\nkey = \"slope\"\nvalues = [5, 6]\n");
  const Run r = run(ConfigTable::load(file));
  CHECK(r.result.variable("y").data == std::vector<double>{1, 6, 11, 1, 7, 13});
  CHECK(r.effective.find("base") == std::string::npos);
}

TEST_CASE("what is wrong with a sweep is refused before any point runs") {
  const std::string over = "[[sweep.over]]\nkey = \"slope\"\nvalues = [1, 10]\n";
  CHECK(message_of(head) == "s.toml:3:2: sweep: a sweep needs at least one [[sweep.over]]");
  CHECK(message_of(head + over + over) == "s.toml:9:1: sweep.over.1.key = \"slope\" is there twice");
  CHECK(message_of(head + "zip = true\n" + over + "[[sweep.over]]\nkey = \"intercept\"\nvalues = [1]\n") ==
        "s.toml:11:1: sweep.over.1.values = [1] must hold 2 values as the first list does, for zip = true");
  CHECK(message_of(head + "[[sweep.over]]\nkey = \"slope\"\nvalues = []\n") ==
        "s.toml:7:1: sweep.over.0.values = [] must hold at least one value");
  CHECK(message_of(head + "[[sweep.over]]\nkey = \"slope\"\nvalues = 3\n") ==
        "s.toml:7:1: sweep.over.0.values = 3 must be a list");
  // a value that is impossible at one point, at its own place
  CHECK(message_of(head + "[[sweep.over]]\nkey = \"slope\"\nvalues = [1, -10]\n") ==
        "s.toml:7:14: slope = -10 must be > 0");
  // a key that no point reads
  CHECK(message_of(head + "[[sweep.over]]\nkey = \"slpe\"\nvalues = [1]\n") ==
        "s.toml:7:11: unknown key 'slpe'; did you mean 'slope'?");
  CHECK(message_of(head + over + "[run]\noutput = 3\n") ==
        "s.toml:9:1: unknown key 'run.output'; did you mean 'run.outputs'?");
  CHECK(message_of(head + "[[sweep.over]]\nkey = \"kind\"\nvalues = [\"line\"]\n") ==
        "s.toml:6:1: sweep.over.0.key = \"kind\" can not be swept over");
  CHECK(message_of("kind = \"sweep\"\n[sweep]\nexperiment = \"lin\"\n" + over) ==
        "s.toml:3:1: sweep.experiment = \"lin\" is no experiment; did you mean 'line'?");
  CHECK(message_of("kind = \"sweep\"\n[sweep]\nexperiment = \"sweep\"\n" + over) ==
        "s.toml:3:1: sweep.experiment = \"sweep\" can not be swept over");
  CHECK(message_of("kind = \"swep\"\n") ==
        "s.toml:1:1: kind = \"swep\" is no experiment; did you mean 'sweep'?");
}

TEST_CASE("a swept key can not take the name of a variable of the results") {
  CHECK(message_of(head + "[[sweep.over]]\nkey = \"slope\"\nname = \"y\"\nvalues = [1]\n")
            .find("of their own") != std::string::npos);
}

TEST_CASE("divergence at a point is counted and named") {
  const Run r = run(head + "[[sweep.over]]\nkey = \"slope\"\nvalues = [1, 1000]\n");
  CHECK(r.result.diverged == 10);
  CHECK(r.result.diverged_series == std::vector<std::string>{"slope = 1000: line"});
  CHECK(r.result.warnings.size() == 1);
}

TEST_CASE("points stack into corners of the largest, and variables that differ in dimensions are refused") {
  Result a, b;
  a.dims = {{"x", 2}, {"y", 2}};
  a.add(Variable{"v", "1", "", {"x", "y"}, {1, 2, 3, 4}});
  b.dims = {{"x", 3}, {"y", 1}};
  b.add(Variable{"v", "1", "", {"x", "y"}, {5, 6, 7}});
  b.add(Variable{"only", "1", "", {}, {8}});
  const Result s = stack_points({a, b});
  const std::vector<double> v = s.variable("v").data;
  REQUIRE(v.size() == 12);
  const double n = std::numeric_limits<double>::quiet_NaN();
  const std::vector<double> expected{1, 2, 3, 4, n, n, 5, n, 6, n, 7, n};
  for (std::size_t i = 0; i < v.size(); ++i)
    CHECK((v[i] == expected[i] || (std::isnan(v[i]) && std::isnan(expected[i]))));
  CHECK(std::isnan(s.variable("only").data[0]));
  CHECK(s.variable("only").data[1] == 8);
  b.variables[0].dims = {"y", "x"};
  CHECK_THROWS_AS(stack_points({a, b}), std::invalid_argument);
  CHECK_THROWS_AS(stack_points({}), std::invalid_argument);
}
