#include "slowsde/experiments/algorithm_config.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <sstream>
#include <string>

#include "slowsde/experiments/registry.hpp"
#include "slowsde/optim/sync_rule.hpp"
#include "tests/support/scratch.hpp"

using namespace slowsde;

namespace {

// H grows with the square root of the step.
class RootRule final : public SyncRule {
 public:
  explicit RootRule(double scale) : scale_(scale) {}
  std::string_view name() const override { return "root"; }

 private:
  double desired_steps(std::int64_t step, double) const override {
    return scale_ * std::sqrt(static_cast<double>(step));
  }
  double scale_;
};

std::string refusal(const std::string& text, const Registry& registry) {
  ConfigTable config = ConfigTable::parse(text, "c.toml");
  try {
    read_rule(config, registry.rules, 0);
    config.finish();
  } catch (const ConfigError& e) {
    return e.what();
  }
  return "no error";
}

}  // namespace

TEST_CASE("a rule of the user's, in three lines of a registry, is read by its own description") {
  Registry registry = builtin_registry();
  registry.add({"root", "c sqrt(k)", {RuleParameter::positive("scale", "c", 1)}, [](const auto& told) {
                  return std::make_shared<RootRule>(told.real("scale"));
                }});
  ConfigTable config = ConfigTable::parse("rule = { name = \"root\", scale = 2 }", "c.toml");
  CHECK(read_rule(config, registry.rules, 0)->local_steps(100, 0.1, 1000) == 20);
  ConfigTable plain = ConfigTable::parse("rule = { name = \"root\" }", "c.toml");
  CHECK(read_rule(plain, registry.rules, 0)->local_steps(100, 0.1, 1000) == 10);
  CHECK(plain.effective() == "[rule]\nname = \"root\"\nscale = 1.0\n");
  CHECK(registry.rules.items().back().summary == "c sqrt(k); keys: scale (1)");
  CHECK(refusal("rule = { name = \"root\", scale = 0 }", registry) ==
        "c.toml:1:25: rule.scale = 0 must be > 0");
  CHECK(refusal("rule = { name = \"root\", scales = 1 }", registry) ==
        "c.toml:1:25: unknown key 'rule.scales'; did you mean 'rule.scale'?");
  CHECK_THROWS_WITH_AS(registry.add({"root", "", {}, {}}), "there are two sync rules named 'root'",
                       std::invalid_argument);
}

TEST_CASE("what is wrong with a rule is said at its key") {
  const Registry registry = builtin_registry();
  const struct {
    const char *rule, *message;
  } cases[] = {
      {"name = \"constant\"", "c.toml:1:1: the key 'rule.local_steps' is missing"},
      {"name = \"constant\", local_steps = 0", "c.toml:1:29: rule.local_steps = 0 must be >= 1"},
      {"name = \"constant\", local_steps = 2.5", "c.toml:1:29: rule.local_steps = 2.5 must be an integer"},
      {"name = \"constant\", local_step = 2",
       "c.toml:1:29: unknown key 'rule.local_step'; did you mean 'rule.local_steps'?"},
      {"name = \"qsr\", alpha = -1", "c.toml:1:24: rule.alpha = -1 must be > 0"},
      {"name = \"qsr\", alpha = 1, gamma = 3",
       "c.toml:1:35: unknown key 'rule.gamma'; did you mean 'rule.name'?"},
      {"name = \"power\", alpha = 1, base_steps = 4, max_steps = 3",
       "c.toml:1:1: rule: sync rule: max_steps >= base_steps is violated by 3"},
      {"name = \"table\", steps = [0, 5], local_steps = [1]",
       "c.toml:1:26: rule.steps = [0, 5] must have as many entries as local_steps"},
      {"name = \"table\", steps = [1], local_steps = [1]",
       "c.toml:1:1: rule: sync rule: first table step = 0 is violated by 1"},
      {"name = \"qrs\", alpha = 1",
       "c.toml:1:10: rule.name = \"qrs\" must be one of constant, parallel, qsr, power, post-local, swap, "
       "proportional, table; did you mean 'qsr'?"}};
  for (const auto& c : cases) CHECK(refusal("rule = { " + std::string(c.rule) + " }", registry) == c.message);
  CHECK(refusal("", registry) == "no error");
}

TEST_CASE("the rule is told the warm-up of the learning rate") {
  const Registry registry = builtin_registry();
  ConfigTable config = ConfigTable::parse("rule = { name = \"qsr\", alpha = 0.2, base_steps = 3 }", "c.toml");
  const auto rule = read_rule(config, registry.rules, 10);
  CHECK(rule->local_steps(9, 0.01, 1000) == 3);
  CHECK(rule->local_steps(10, 0.01, 1000) == 400);
}

TEST_CASE("the documentation's table of rules has every rule with every parameter and its default") {
  const std::string readme = test::read_text("README.md");
  for (const RuleDescription& rule : sync_rule_catalogue()) {
    CAPTURE(rule.name);
    const std::size_t begin = readme.find("\n| `" + rule.name + "` |");
    REQUIRE(begin != std::string::npos);
    const std::string row = readme.substr(begin + 1, readme.find('\n', begin + 1) - begin - 1);
    for (const RuleParameter& p : rule.parameters) {
      const std::string shown = row.find("the same") != std::string::npos ? "the same" : "`" + p.name + "`";
      CHECK(row.find(shown) != std::string::npos);
      if (p.fallback && shown != "the same") {
        std::ostringstream text;
        text << "`" << p.name << "` (" << *p.fallback;
        CHECK(row.find(text.str()) != std::string::npos);
      }
    }
  }
}
