#include "slowsde/optim/rule_description.hpp"

#include <algorithm>
#include <cmath>
#include <sstream>
#include <stdexcept>
#include <utility>

namespace slowsde {
namespace {

[[noreturn]] void refuse(std::string_view rule, const std::string& message) {
  throw std::invalid_argument("sync rule" + (rule.empty() ? "" : " " + std::string(rule)) + ": " + message);
}

std::string shown(double number) {
  std::ostringstream text;
  text << number;
  return text.str();
}

}  // namespace

RuleParameter RuleParameter::integer(std::string name, std::string summary, std::int64_t bound,
                                     std::optional<std::int64_t> fallback) {
  RuleParameter p{.name = std::move(name), .summary = std::move(summary)};
  p.bound = static_cast<double>(bound);
  if (fallback) p.fallback = static_cast<double>(*fallback);
  return p;
}

RuleParameter RuleParameter::positive(std::string name, std::string summary, std::optional<double> fallback) {
  return {.name = std::move(name),
          .summary = std::move(summary),
          .kind = Kind::real,
          .above = true,
          .fallback = fallback};
}

RuleParameter RuleParameter::integers(std::string name, std::string summary, std::string as_long_as) {
  return {.name = std::move(name),
          .summary = std::move(summary),
          .kind = Kind::integers,
          .as_long_as = std::move(as_long_as)};
}

RuleArguments& RuleArguments::put(std::string name, Value value) {
  values_.insert_or_assign(std::move(name), std::move(value));
  return *this;
}

const RuleArguments::Value& RuleArguments::at(std::string_view name) const {
  const auto found = values_.find(name);
  if (found == values_.end()) refuse("", "the parameter '" + std::string(name) + "' is missing");
  return found->second;
}

std::int64_t RuleArguments::integer(std::string_view name) const {
  if (const auto* number = std::get_if<std::int64_t>(&at(name))) return *number;
  refuse("", "the parameter '" + std::string(name) + "' must be an integer");
}

double RuleArguments::real(std::string_view name) const {
  const Value& value = at(name);
  if (const auto* number = std::get_if<double>(&value)) return *number;
  if (const auto* number = std::get_if<std::int64_t>(&value)) return static_cast<double>(*number);
  refuse("", "the parameter '" + std::string(name) + "' must be a number");
}

const std::vector<std::int64_t>& RuleArguments::integers(std::string_view name) const {
  if (const auto* list = std::get_if<std::vector<std::int64_t>>(&at(name))) return *list;
  refuse("", "the parameter '" + std::string(name) + "' must be a list of integers");
}

std::string RuleDescription::line() const {
  std::string text = summary;
  for (const RuleParameter& p : parameters) {
    text += (&p == &parameters.front() ? "; keys: " : ", ") + p.name;
    if (p.fallback) text += " (" + shown(*p.fallback) + ")";
  }
  return text;
}

std::shared_ptr<const SyncRule> RuleDescription::rule(RuleArguments arguments) const {
  for (const auto& entry : arguments.values())
    if (std::none_of(parameters.begin(), parameters.end(),
                     [&](const RuleParameter& p) { return p.name == entry.first; }))
      refuse(name, "has no parameter '" + entry.first + "'");
  for (const RuleParameter& p : parameters) {
    if (arguments.values().count(p.name) == 0) {
      if (!p.fallback) refuse(name, "the parameter '" + p.name + "' is missing");
      if (p.kind == RuleParameter::Kind::integer)
        arguments.set(p.name, static_cast<std::int64_t>(*p.fallback));
      else
        arguments.set(p.name, *p.fallback);
    }
    if (p.kind == RuleParameter::Kind::integers) {
      if (!p.as_long_as.empty() &&
          arguments.integers(p.name).size() != arguments.integers(p.as_long_as).size())
        refuse(name, p.name + " must have as many entries as " + p.as_long_as);
    } else {
      const double value = arguments.real(p.name);
      if (!((p.above ? value > p.bound : value >= p.bound) && std::isfinite(value)))
        refuse("", p.name + (p.above ? " > " : " >= ") + shown(p.bound) + " is violated by " + shown(value));
    }
  }
  return make(arguments);
}

}  // namespace slowsde
