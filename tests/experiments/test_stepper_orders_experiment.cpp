#include <doctest/doctest.h>

#include <cmath>
#include <map>
#include <string>

#include "slowsde/experiments/config.hpp"
#include "slowsde/experiments/progress.hpp"
#include "slowsde/experiments/registry.hpp"
#include "slowsde/experiments/stepper_orders.hpp"

using namespace slowsde;

TEST_CASE("the table of steppers: every pair with its orders, or why there is none") {
  const Registry registry = builtin_registry();
  Progress progress;
  RunContext context{registry, progress};
  context.threads = 2;
  ConfigTable config = ConfigTable::load("experiments/configs/stepper-orders.toml",
                                         {"run.weak_trajectories=4096", "run.strong_trajectories=4096"});
  const Estimate estimate = estimate_experiment(config, context);
  config.finish();
  progress.start(estimate.work);
  const Result result = run_experiment(config, context);
  result.check();
  const auto& scheme = result.text_variable("scheme").data;
  const auto& noise = result.text_variable("noise").data;
  const auto& verdict = result.text_variable("verdict").data;
  REQUIRE(scheme.size() == 30);
  std::map<std::string, int> pairs;
  int apply = 0;
  const std::size_t levels = result.dims.at("level");
  for (std::size_t i = 0; i < scheme.size(); ++i) {
    CAPTURE(scheme[i]);
    CAPTURE(noise[i]);
    ++pairs[scheme[i] + noise[i]];
    const double weak = result.variable("weak_expected").data[i],
                 exact = result.variable("weak_exact").data[i];
    if (verdict[i].starts_with("does not apply: ")) {
      CHECK(std::isnan(weak));
      continue;
    }
    ++apply;
    CHECK((verdict[i] == "confirmed" || verdict[i] == "inconclusive"));
    if (!std::isnan(exact)) CHECK(std::abs(exact - weak) <= 0.05);
    CHECK(std::abs(result.variable("weak_order").data[i] - weak) <=
          1.5 * result.variable("weak_half_width").data[i] + 0.1);
    for (const char* kind : {"weak", "strong"})
      for (std::size_t l = 1; l < levels; ++l) {
        const auto& h = result.variable(std::string(kind) + "_step").data;
        CHECK(h[i * levels + l] == h[i * levels + l - 1] / 2);
        CHECK(result.variable(std::string(kind) + "_se").data[i * levels + l] > 0);
      }
  }
  CHECK(pairs.size() == 30);
  CHECK(apply == 23);
  CHECK(result.summary.find("Platen weak 2") != std::string::npos);
}
