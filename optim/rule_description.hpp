// How a synchronization rule tells the world about itself: its name, what it can be told, and how it is made.
// Configurations, `slowsde list` and the documentation's tests read this and know no rule of their own.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace slowsde {

class SyncRule;

/// One parameter of a rule. Whatever `make` refuses beyond the bound, it refuses by std::invalid_argument.
struct RuleParameter {
  enum class Kind { integer, real, integers };

  std::string name;
  std::string summary;
  Kind kind = Kind::integer;
  double bound = 0;                     ///< least value of a number
  bool above = false;                   ///< the bound itself is excluded
  std::optional<double> fallback = {};  ///< none: it has to be given
  std::string as_long_as = {};          ///< of a list: another list with as many entries

  /// An integer ≥ bound.
  static RuleParameter integer(std::string name, std::string summary, std::int64_t bound,
                               std::optional<std::int64_t> fallback = {});
  /// A number > 0.
  static RuleParameter positive(std::string name, std::string summary, std::optional<double> fallback = {});
  /// A list of integers.
  static RuleParameter integers(std::string name, std::string summary, std::string as_long_as = {});
};

/// What a rule is told, by the names of its parameters; and w of the learning rate's schedule, which is no
/// parameter of its own.
class RuleArguments {
 public:
  using Value = std::variant<std::int64_t, double, std::vector<std::int64_t>>;

  std::int64_t warmup_steps = 0;  ///< w

  RuleArguments& set(std::string name, std::int64_t value) { return put(std::move(name), value); }
  RuleArguments& set(std::string name, int value) { return put(std::move(name), std::int64_t{value}); }
  RuleArguments& set(std::string name, double value) { return put(std::move(name), value); }
  RuleArguments& set(std::string name, std::vector<std::int64_t> value) {
    return put(std::move(name), std::move(value));
  }

  /// Throw std::invalid_argument where the argument is missing or of another kind; an integer serves as a
  /// real.
  std::int64_t integer(std::string_view name) const;
  double real(std::string_view name) const;
  const std::vector<std::int64_t>& integers(std::string_view name) const;

  const std::map<std::string, Value, std::less<>>& values() const { return values_; }

 private:
  RuleArguments& put(std::string name, Value value);
  const Value& at(std::string_view name) const;
  std::map<std::string, Value, std::less<>> values_;
};

/// A rule of the catalogue.
struct RuleDescription {
  std::string name;
  std::string summary;  ///< one line
  std::vector<RuleParameter> parameters;
  std::function<std::shared_ptr<const SyncRule>(const RuleArguments&)> make;

  /// The summary, and the parameters with their defaults.
  std::string line() const;
  /// make, with the defaults of what was not given. Throws std::invalid_argument for an argument that the
  /// rule does not have or lacks, one beyond its bound, and as the rule does.
  std::shared_ptr<const SyncRule> rule(RuleArguments arguments) const;
};

}  // namespace slowsde
