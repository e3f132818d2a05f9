// What a slowsde program knows by name: experiments, problems, models and their parts. A plain object, filled
// by function calls in main; a user's own entries are added the same way.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "slowsde/experiments/claim.hpp"
#include "slowsde/experiments/config.hpp"
#include "slowsde/experiments/experiment.hpp"
#include "slowsde/experiments/nearest.hpp"

namespace slowsde {

/// Entries by name, each with a line about it, in the order in which they were added.
template <class Entry>
class Catalogue {
 public:
  struct Item {
    std::string name, summary;
    Entry entry;
  };

  /// `noun` is what an entry is called in messages, `plural` in `slowsde list`.
  Catalogue(std::string noun, std::string plural) : noun_(std::move(noun)), plural_(std::move(plural)) {}

  /// Throws std::invalid_argument if the name is taken or empty.
  void add(std::string name, std::string summary, Entry entry) {
    if (name.empty()) throw std::invalid_argument("a " + noun_ + " needs a name");
    if (find(name)) throw std::invalid_argument("there are two " + plural_ + " named '" + name + "'");
    items_.push_back({std::move(name), std::move(summary), std::move(entry)});
  }

  const Entry* find(std::string_view name) const {
    for (const Item& item : items_) {
      if (item.name == name) return &item.entry;
    }
    return nullptr;
  }

  /// Throws std::invalid_argument with the nearest name if there is no such entry.
  const Entry& at(std::string_view name) const {
    if (const Entry* entry = find(name)) return *entry;
    throw std::invalid_argument("unknown " + noun_ + " '" + std::string(name) + "'" + hint(name));
  }

  /// "; did you mean 'NEAREST'?"; where nothing is near, the names there are.
  std::string hint(std::string_view name) const {
    std::vector<std::string> names;
    std::string all;
    for (const Item& item : items_) {
      names.push_back(item.name);
      all += (all.empty() ? "" : ", ") + item.name;
    }
    const std::string near = suggestion(name, names);
    if (!near.empty()) return near;
    return all.empty() ? "; there is none" : "; there are: " + all;
  }

  const std::vector<Item>& items() const { return items_; }
  const std::string& noun() const { return noun_; }
  const std::string& plural() const { return plural_; }

 private:
  std::string noun_, plural_;
  std::vector<Item> items_;
};

/// The entry that a key of a configuration names. Throws ConfigError at the key's place if there is no such
/// entry.
template <class Entry>
const Entry& choose(ConfigTable& config, std::string_view key, const Catalogue<Entry>& catalogue,
                    std::optional<std::string> fallback = std::nullopt) {
  const std::string name =
      fallback ? config.get<std::string>(key, *fallback) : config.require<std::string>(key);
  if (const Entry* entry = catalogue.find(name)) return *entry;
  throw config.error(key, "is no " + catalogue.noun() + catalogue.hint(name));
}

struct ProblemEntry;
struct ModelEntry;
struct MomentEntry;
struct RuleDescription;
struct ScheduleEntry;
struct UpdateEntry;
struct StepperEntry;
struct ObservableEntry;

/// One line of `slowsde bench`: `items` of the loop's unit (steps, draws, ...) in `seconds`, at best.
struct BenchmarkRow {
  std::string loop, setting, unit;
  double items = 0, seconds = 0;
  std::string note;
};

using Benchmark = std::function<std::vector<BenchmarkRow>(int threads)>;

template <class Entry>
using EntryCatalogue = Catalogue<std::shared_ptr<const Entry>>;

struct Registry {
  EntryCatalogue<Experiment> experiments{"experiment", "experiments"};
  EntryCatalogue<ProblemEntry> problems{"problem", "problems"};
  EntryCatalogue<ModelEntry> models{"theory", "models (theories)"};
  EntryCatalogue<MomentEntry> moments{"second-moment model", "second-moment models"};
  EntryCatalogue<RuleDescription> rules{"sync rule", "sync rules"};
  EntryCatalogue<ScheduleEntry> schedules{"lr schedule", "lr schedules"};
  EntryCatalogue<UpdateEntry> updates{"update rule", "update rules (optimizers)"};
  EntryCatalogue<StepperEntry> steppers{"stepper", "steppers"};
  EntryCatalogue<ObservableEntry> observables{"observable", "observables"};
  Catalogue<Benchmark> benchmarks{"benchmark", "benchmarks"};
  Catalogue<Claim> claims{"claim", "claims of the theory (slowsde verify)"};

  /// Adds an experiment under its own name.
  void add(std::shared_ptr<const Experiment> experiment);
  /// Adds a synchronization rule under its own name.
  void add(RuleDescription rule);
  /// Adds a claim; its statement is its line.
  void add_claim(std::string name, Claim claim);

  /// fn(catalogue) for each of them, in the order of `slowsde list`.
  template <class Function>
  void for_each_catalogue(Function&& fn) const {
    fn(experiments);
    fn(problems);
    fn(models);
    fn(moments);
    fn(rules);
    fn(schedules);
    fn(updates);
    fn(steppers);
    fn(observables);
    fn(benchmarks);
    fn(claims);
  }
};

/// All that slowsde brings along.
Registry builtin_registry();

}  // namespace slowsde
