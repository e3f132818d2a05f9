// Configurations: TOML files with inheritance and overrides, read through typed accessors that record what
// was asked.
//
// Reading a key makes it known and fixes its effective value, defaults included; finish() then refuses every
// key of the files that nobody read, so a mistyped key can not be ignored in silence. Errors are one line,
// `FILE:LINE:COLUMN: what is wrong`.
#pragma once

#include <cmath>
#include <concepts>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace slowsde {

/// What is wrong in a configuration, in one line that begins with the place.
class ConfigError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

namespace detail {
struct ConfigNode;
}

/// The scalar types of a configuration. Integers are accepted where a double is asked, not the other way
/// round.
template <class T>
concept ConfigScalar = std::same_as<T, bool> || std::same_as<T, int> || std::same_as<T, std::int64_t> ||
    std::same_as<T, std::uint64_t> || std::same_as<T, double> || std::same_as<T, std::string>;

template <class T>
concept ConfigNumber = ConfigScalar<T> && std::is_arithmetic_v<T> && !std::same_as<T, bool>;

enum class ConfigKind { absent, boolean, integer, real, text, list, table };

/// A value of any kind, as a sweep assigns it to a key.
class ConfigValue {
 public:
  static ConfigValue of(const std::string& text);
  static ConfigValue of(std::int64_t number);

  ConfigKind kind() const;
  double number() const;     ///< of a boolean (0 or 1), an integer or a real; NaN for the others
  std::string text() const;  ///< a text as it is, anything else in TOML syntax

 private:
  friend class ConfigTable;
  explicit ConfigValue(std::shared_ptr<detail::ConfigNode> node) : node_(std::move(node)) {}
  std::shared_ptr<detail::ConfigNode> node_;
};

/// A table of a configuration: a handle, copies of which share the table and its record of what was asked.
///
/// Keys are single names (`"eta"`); a table within is reached by table("name"), a list of tables by
/// tables("name"). All accessors throw ConfigError for a value of the wrong type. A double is never NaN.
class ConfigTable {
 public:
  ConfigTable();  ///< an empty table

  /// Reads `file` and, beneath it, the file that its key `parent` names (relative to itself), and so on:
  /// tables merge recursively, everything else replaces. So does `config = "FILE"` in an element of the list
  /// `parts`, and `base = "FILE"` in the table `sweep`, whose `kind` becomes `sweep.experiment`. Then `sets`,
  /// each `a.b=VALUE` with VALUE in TOML syntax or a bare word; an element of a list of tables is named by
  /// its index
  /// (`iterates.0.lr=0.1`) or by its `name` (`iterates.SGD.lr=0.1`).
  /// Throws ConfigError for a missing file, a syntax error, a cycle of parents, a set that leads nowhere.
  static ConfigTable load(const std::filesystem::path& file, const std::vector<std::string>& sets = {});

  /// As load, from text; `name` stands for the file in errors, parents are relative to the working directory.
  static ConfigTable parse(const std::string& text, const std::string& name,
                           const std::vector<std::string>& sets = {});

  /// The value of the key, or `fallback`, which then is the key's effective value (also for later calls).
  template <ConfigScalar T>
  T get(std::string_view key, const std::type_identity_t<T>& fallback);

  /// The value of a key that must be there.
  template <ConfigScalar T>
  T require(std::string_view key);

  /// The value if the key is there; no default is recorded.
  template <ConfigScalar T>
  std::optional<T> find(std::string_view key);

  /// A list of values, T a ConfigScalar or std::vector<double> (a matrix by rows).
  template <class T>
  std::vector<T> list(std::string_view key);
  template <class T>
  std::vector<T> list(std::string_view key, const std::vector<T>& fallback);

  /// The table within; created empty if absent, so that the defaults read from it are recorded.
  ConfigTable table(std::string_view key);

  /// The elements of a list of tables; empty if absent.
  std::vector<ConfigTable> tables(std::string_view key);

  /// What the key holds; does not make the key known, which reading it does.
  ConfigKind kind(std::string_view key) const;
  bool has(std::string_view key) const { return kind(key) != ConfigKind::absent; }

  /// A number > 0 (and finite); with no fallback the key must be there.
  template <ConfigNumber T>
  T positive(std::string_view key, std::optional<std::type_identity_t<T>> fallback = std::nullopt);

  /// A number >= bound (and finite).
  template <ConfigNumber T>
  T at_least(std::string_view key, std::type_identity_t<T> bound,
             std::optional<std::type_identity_t<T>> fallback = std::nullopt);

  /// One of the given words.
  std::string one_of(std::string_view key, const std::vector<std::string>& words,
                     std::optional<std::string> fallback = std::nullopt);

  /// Throws error(key, requirement) unless `holds`: `FILE:LINE:COLUMN: eta = -1 must be > 0`.
  void check(std::string_view key, bool holds, std::string_view requirement) const;

  /// Calls f; a std::invalid_argument from it, such as a parameter struct's check() throws, becomes a
  /// ConfigError at this table.
  template <class Function>
  decltype(auto) checked(Function&& f) const {
    try {
      return std::forward<Function>(f)();
    } catch (const std::invalid_argument& e) {
      throw error(e.what());
    }
  }

  /// The same for what is wrong with one key's value: the ConfigError is at that key.
  template <class Function>
  decltype(auto) checked(std::string_view key, Function&& f) const {
    try {
      return std::forward<Function>(f)();
    } catch (const std::invalid_argument& e) {
      throw error(key, std::string("is refused: ") + e.what());
    }
  }

  /// An error at the key's value: `FILE:LINE:COLUMN: key = value REQUIREMENT`.
  ConfigError error(std::string_view key, std::string_view requirement) const;
  /// An error at this table: `FILE:LINE:COLUMN: message`.
  ConfigError error(std::string_view message) const;

  /// Throws ConfigError for the first key of the files or sets that was never read, with the nearest key that
  /// was.
  void finish() const;

  /// All values with the recorded defaults, as TOML that loads to the same values: simple keys, tables, lists
  /// of tables, each in the order of the files, then of reading.
  std::string effective() const;

  /// The full name of this table, such as `iterates.0`; empty for a root.
  const std::string& path() const { return path_; }

  /// The same table as a root of its own: errors name keys relative to it, finish() and effective() are its
  /// own.
  ConfigTable as_root() const;

  // What a sweep over a configuration needs.

  /// A deep copy without recorded defaults and without the record of what was read.
  ConfigTable pristine() const;
  void erase(std::string_view key);
  /// The elements of a list, of any kind.
  std::vector<ConfigValue> values(std::string_view key);
  /// Sets the value at a path such as `iterates.0.rule.local_steps`, as a set of load does; `this` is an
  /// error's place.
  void assign(std::string_view path, const ConfigValue& value);
  /// Takes over from copies of this table what was read from each. A default is taken over if all copies that
  /// read the key agree on it.
  void absorb(const std::vector<ConfigTable>& copies);

 private:
  using NodePointer = std::shared_ptr<detail::ConfigNode>;
  ConfigTable(NodePointer node, NodePointer root, std::string path);

  NodePointer ask(std::string_view key);                    // marks as known; null if absent
  NodePointer ask_required(std::string_view key);           // throws if absent
  void record(std::string_view key, NodePointer fallback);  // a default becomes the effective value
  NodePointer peek(std::string_view key) const;
  std::string full(std::string_view key) const;
  template <class T>
  T convert(std::string_view key, const detail::ConfigNode& node) const;

  NodePointer node_, root_;
  std::string path_;
};

template <ConfigNumber T>
T ConfigTable::positive(std::string_view key, std::optional<std::type_identity_t<T>> fallback) {
  const T value = fallback ? get<T>(key, *fallback) : require<T>(key);
  check(key, value > 0 && std::isfinite(static_cast<double>(value)), "must be > 0");
  return value;
}

template <ConfigNumber T>
T ConfigTable::at_least(std::string_view key, std::type_identity_t<T> bound,
                        std::optional<std::type_identity_t<T>> fallback) {
  const T value = fallback ? get<T>(key, *fallback) : require<T>(key);
  if (!(value >= bound && std::isfinite(static_cast<double>(value)))) {
    std::string number = std::to_string(bound);
    if constexpr (std::is_floating_point_v<T>) {
      number.erase(number.find_last_not_of('0') + 1);
      if (number.back() == '.') number.pop_back();
    }
    throw error(key, "must be >= " + number);
  }
  return value;
}

}  // namespace slowsde
