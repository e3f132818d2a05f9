#include "slowsde/experiments/suite.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <chrono>

#include "slowsde/experiments/progress.hpp"

namespace slowsde {

namespace {

// `config` is a copy without the part's name, which is no key of its experiment.
struct Part {
  std::string name;
  ConfigTable entry, config;
};

std::vector<Part> parts_of(ConfigTable& config) {
  std::vector<Part> parts;
  for (ConfigTable& entry : config.tables("parts")) {
    Part part{entry.require<std::string>("name"), entry, entry.pristine()};
    part.config.erase("name");
    const bool plain = std::all_of(part.name.begin(), part.name.end(), [](unsigned char c) {
      return c < 128 && (std::isalnum(c) || c == '_' || c == '-' || c == '.');
    });
    entry.check("name", plain && !part.name.empty() && part.name[0] != '.',
                "must be made of letters, digits, '_', '-' and '.', for it names a directory");
    for (const Part& other : parts) entry.check("name", other.name != part.name, "is there twice");
    parts.push_back(std::move(part));
  }
  if (parts.empty()) throw config.error("a suite needs at least one element in 'parts'");
  return parts;
}

}  // namespace

Estimate Suite::estimate(ConfigTable& config, const RunContext& context) const {
  Estimate all;
  for (Part& part : parts_of(config)) {
    RunContext own = context;
    all += estimate_experiment(part.config, own);
    part.config.finish();
    part.entry.absorb({part.config});
  }
  return all;
}

Result Suite::run(ConfigTable& config, RunContext& context) const {
  Result all;
  TextVariable names{"part", "name of the part and of its directory", {"part"}, {}};
  for (Part& part : parts_of(config)) {
    context.progress.label(part.name);
    RunContext own = context;
    own.scope += part.name + '/';
    const auto begin = std::chrono::steady_clock::now();
    Result result = run_experiment(part.config, own);
    part.entry.absorb({part.config});
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();

    all.replicas += result.replicas;
    all.diverged += result.diverged;
    for (const std::string& series : result.diverged_series)
      all.diverged_series.push_back(part.name + ": " + series);
    for (const std::string& warning : result.warnings) all.warnings.push_back(part.name + ": " + warning);
    all.summary += fmt::format("{}== {} ==\n{}", all.summary.empty() ? "" : "\n", part.name, result.summary);
    if (!result.summary.empty() && result.summary.back() != '\n') all.summary += '\n';
    names.data.push_back(part.name);
    const bool seeded = result.attributes.count("seed") > 0;
    all.parts.push_back(ResultPart{part.name, part.config.effective(),
                                   seeded ? std::optional<std::uint64_t>(own.seed) : std::nullopt, seconds,
                                   std::move(result)});
  }
  context.progress.label("");
  all.dims["part"] = names.data.size();
  all.add(std::move(names));
  return all;
}

}  // namespace slowsde
