// An experiment run from the text of its configuration, as the program runs one.
#pragma once

#include <doctest/doctest.h>

#include <string>

#include "slowsde/experiments/experiment.hpp"
#include "slowsde/experiments/progress.hpp"
#include "slowsde/experiments/registry.hpp"
#include "tests/support/tolerance.hpp"

namespace slowsde::test {

/// The result, whose work was estimated right and which holds together; `effective`: where every value that
/// was in force goes; `journal`: where its pieces go and are looked for.
inline Result run_config(const std::string& text, int threads = 1, std::string* effective = nullptr,
                         RunJournal* journal = nullptr) {
  const Registry registry = builtin_registry();
  ConfigTable config = ConfigTable::parse(text, "test.toml");
  Progress progress;
  RunContext context{registry, progress};
  context.threads = threads;
  context.journal = journal;
  const Estimate estimate = estimate_experiment(config, context);
  config.finish();
  progress.start(estimate.work);
  Result result = run_experiment(config, context);
  CHECK(near(progress.fraction(), 1, 1e-12));
  if (effective) *effective = config.effective();
  result.check();
  return result;
}

}  // namespace slowsde::test
