#include "slowsde/optim/sync_rule.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "slowsde/problems/requirement.hpp"

namespace slowsde {
namespace {

using Parameter = RuleParameter;

template <class T>
void require(bool holds, const char* inequality, T value) {
  detail::require(holds, "sync rule", inequality, value);
}

}  // namespace

std::int64_t SyncRule::local_steps(std::int64_t step, double lr, std::int64_t remaining) const {
  require(step >= 0, "step >= 0", step);
  require(lr >= 0, "lr >= 0", lr);
  require(remaining >= 1, "remaining >= 1", remaining);
  // clamped while it is still a double: the cast of a number beyond 2^63 is undefined
  const double H = std::floor(desired_steps(step, lr));
  if (H >= static_cast<double>(remaining)) return remaining;
  return std::max(std::int64_t{1}, static_cast<std::int64_t>(H));
}

ConstantRule::ConstantRule(std::int64_t H) : H_(H) { require(H >= 1, "local_steps >= 1", H); }

RuleDescription ConstantRule::description() {
  return {"constant", "H in each round", {Parameter::integer("local_steps", "H", 1)}, [](const auto& told) {
            return std::make_shared<ConstantRule>(told.integer("local_steps"));
          }};
}

RuleDescription ParallelRule::description() {
  return {"parallel", "an average after every step (data-parallel SGD)", {}, [](const auto&) {
            return std::make_shared<ParallelRule>();
          }};
}

void PowerRuleParams::check() const {
  require(alpha > 0 && std::isfinite(alpha), "0 < alpha < infinity", alpha);
  require(gamma > 0 && std::isfinite(gamma), "0 < gamma < infinity", gamma);
  require(base_steps >= 1, "base_steps >= 1", base_steps);
  require(max_steps == 0 || max_steps >= base_steps, "max_steps >= base_steps", max_steps);
  require(warmup_steps >= 0, "warmup_steps >= 0", warmup_steps);
}

PowerRule::PowerRule(const PowerRuleParams& params) : params_(params) { params_.check(); }

double PowerRule::desired_steps(std::int64_t step, double lr) const {
  const double base = static_cast<double>(params_.base_steps);
  if (step < params_.warmup_steps) return base;
  double H = std::floor(std::pow(params_.alpha / lr, params_.gamma));  // infinite at lr = 0
  if (params_.max_steps > 0) H = std::min(H, static_cast<double>(params_.max_steps));
  return std::max(H, base);
}

namespace {

// The parameters of the power rule, γ excepted, and the rule of given γ.
std::vector<Parameter> power_parameters() {
  return {Parameter::positive("alpha", "alpha, in the learning rate's units"),
          Parameter::integer("base_steps", "H_base", 1, 1),
          Parameter::integer("max_steps", "H_max; 0: none", 0, 0)};
}

std::shared_ptr<const SyncRule> power_rule(const RuleArguments& told, double gamma) {
  return std::make_shared<PowerRule>(PowerRuleParams{.alpha = told.real("alpha"),
                                                     .gamma = gamma,
                                                     .base_steps = told.integer("base_steps"),
                                                     .max_steps = told.integer("max_steps"),
                                                     .warmup_steps = told.warmup_steps});
}

}  // namespace

RuleDescription PowerRule::quadratic_description() {
  return {"qsr", "Quadratic Synchronization Rule: max(H_base, floor((alpha/lr)^2))", power_parameters(),
          [](const auto& told) { return power_rule(told, 2); }};
}

RuleDescription PowerRule::description() {
  auto parameters = power_parameters();
  parameters.push_back(Parameter::positive("gamma", "the exponent", 2));
  return {"power", "max(H_base, floor((alpha/lr)^gamma))", std::move(parameters),
          [](const auto& told) { return power_rule(told, told.real("gamma")); }};
}

PostLocalRule::PostLocalRule(std::int64_t H, std::int64_t switch_step) : H_(H), k0_(switch_step) {
  require(H >= 1, "local_steps >= 1", H);
  require(switch_step >= 0, "switch_step >= 0", switch_step);
}

RuleDescription PostLocalRule::description() {
  return {"post-local",
          "1 before step k0, then H",
          {Parameter::integer("local_steps", "H", 1), Parameter::integer("switch_step", "k0", 0)},
          [](const auto& told) {
            return std::make_shared<PostLocalRule>(told.integer("local_steps"), told.integer("switch_step"));
          }};
}

SwapRule::SwapRule(std::int64_t base_steps, std::int64_t switch_step)
    : H_base_(base_steps), k0_(switch_step) {
  require(base_steps >= 1, "base_steps >= 1", base_steps);
  require(switch_step >= 0, "switch_step >= 0", switch_step);
}

double SwapRule::desired_steps(std::int64_t step, double) const {
  return step < k0_ ? static_cast<double>(H_base_) : std::numeric_limits<double>::infinity();
}

RuleDescription SwapRule::description() {
  return {"swap",
          "H_base before step k0, then one round to the end",
          {Parameter::integer("base_steps", "H_base", 1, 1), Parameter::integer("switch_step", "k0", 0)},
          [](const auto& told) {
            return std::make_shared<SwapRule>(told.integer("base_steps"), told.integer("switch_step"));
          }};
}

ProportionalRule::ProportionalRule(std::int64_t base_steps, double growth) : H_base_(base_steps), c_(growth) {
  require(base_steps >= 1, "base_steps >= 1", base_steps);
  require(growth >= 0 && std::isfinite(growth), "0 <= growth < infinity", growth);
}

double ProportionalRule::desired_steps(std::int64_t step, double) const {
  return std::max(static_cast<double>(H_base_), c_ * static_cast<double>(step));
}

RuleDescription ProportionalRule::description() {
  return {"proportional",
          "max(H_base, floor(c k))",
          {Parameter::integer("base_steps", "H_base", 1, 1), Parameter::positive("growth", "c")},
          [](const auto& told) {
            return std::make_shared<ProportionalRule>(told.integer("base_steps"), told.real("growth"));
          }};
}

TableRule::TableRule(Table table) : table_(std::move(table)) {
  require(!table_.empty(), "number of table entries >= 1", table_.size());
  require(table_.front().first == 0, "first table step = 0", table_.front().first);
  for (std::size_t i = 0; i < table_.size(); ++i) {
    require(table_[i].second >= 1, "table local_steps >= 1", table_[i].second);
    if (i > 0) require(table_[i].first > table_[i - 1].first, "increasing table steps", table_[i].first);
  }
}

double TableRule::desired_steps(std::int64_t step, double) const {
  const auto after = std::upper_bound(table_.begin(), table_.end(), step,
                                      [](std::int64_t k, const auto& entry) { return k < entry.first; });
  return static_cast<double>(std::prev(after)->second);
}

RuleDescription TableRule::description() {
  return {"table",
          "H by first step, from a table",
          {Parameter::integers("steps", "first steps, beginning with 0", "local_steps"),
           Parameter::integers("local_steps", "H from each of them on")},
          [](const auto& told) {
            const auto &steps = told.integers("steps"), &local_steps = told.integers("local_steps");
            Table table;
            for (std::size_t i = 0; i < steps.size(); ++i) table.emplace_back(steps[i], local_steps[i]);
            return std::make_shared<TableRule>(std::move(table));
          }};
}

std::shared_ptr<const SyncRule> make_sync_rule(std::string_view name, const RuleArguments& arguments) {
  std::string names;
  for (const RuleDescription& description : sync_rule_catalogue()) {
    if (name == description.name) return description.rule(arguments);
    names += (names.empty() ? "" : ", ") + description.name;
  }
  throw std::invalid_argument("unknown sync rule \"" + std::string(name) + "\"; known: " + names);
}

}  // namespace slowsde
