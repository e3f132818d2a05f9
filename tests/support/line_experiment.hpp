// An experiment small enough to know every number of: y(time) = intercept + slope·t, with noise that is the
// seed.
#pragma once

#include <atomic>
#include <limits>
#include <memory>
#include <string>

#include "slowsde/experiments/experiment.hpp"
#include "slowsde/experiments/progress.hpp"
#include "slowsde/experiments/registry.hpp"
#include "slowsde/sde/parallel.hpp"

namespace slowsde::test {

class LineExperiment : public Experiment {
 public:
  std::string_view name() const override { return "line"; }
  std::string_view summary() const override { return "a straight line"; }

  Estimate estimate(ConfigTable& config, const RunContext&) const override {
    const Parameters p = read(config);
    return {
        static_cast<double>(p.outputs), 0.5, 8.0 * static_cast<double>(p.outputs), {"a line costs nothing"}};
  }

  Result run(ConfigTable& config, RunContext& context) const override {
    const Parameters p = read(config);
    if (p.fail) throw std::runtime_error("the line\nbroke");
    const std::size_t n = static_cast<std::size_t>(p.outputs);
    Result result;
    result.dims = {{"time", n}, {"series", 1}};
    std::vector<double> t(n), y(n);
    parallel_for(context.threads, n, [&](std::size_t i) {
      t[i] = static_cast<double>(i);
      y[i] = p.intercept + p.slope * t[i];
      context.progress.add(1);
    });
    result.add(Variable{"t", "1", "time", {"time"}, t});
    result.add(Variable{"y", "1", "height", {"series", "time"}, y});
    result.add(Variable{"seed", "1", "the seed", {}, {static_cast<double>(context.seed)}});
    result.add(TextVariable{"series", "name of the series", {"series"}, {p.label}});
    result.summary = "slope " + std::to_string(p.slope) + "\n";
    result.regime = "{\"slope_times_time\": " + std::to_string(p.slope * (p.outputs - 1)) + "}";
    result.replicas = 10;
    if (p.slope > 100) {
      result.diverged = 10;
      result.diverged_series = {p.label};
      result.warnings = {p.label + ": 10 of 10 replicas diverged"};
    }
    return result;
  }

 private:
  struct Parameters {
    double slope = 1, intercept = 0;
    int outputs = 3;
    std::string label;
    bool fail = false;
  };

  static Parameters read(ConfigTable& config) {
    Parameters p;
    if (config.kind("slope") == ConfigKind::table) {
      p.slope = config.table("slope").positive<double>("value");
    } else {
      p.slope = config.positive<double>("slope", 1);
    }
    // a default that depends on another value, as a step size may
    p.intercept = config.get<double>("intercept", p.slope / 2);
    ConfigTable run = config.table("run");
    p.outputs = run.at_least<int>("outputs", 1, 3);
    p.label = run.get<std::string>("label", "line");
    p.fail = config.get<bool>("fail", false);
    return p;
  }
};

}  // namespace slowsde::test
