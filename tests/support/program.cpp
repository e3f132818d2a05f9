// slowsde with the tests' experiment in it, added as a user would add theirs.
#include "slowsde/experiments/cli.hpp"
#include "slowsde/experiments/registry.hpp"
#include "tests/support/line_experiment.hpp"

int main(int argc, char** argv) {
  return slowsde::main(argc, argv, [](slowsde::Registry& registry) {
    registry.add(std::make_shared<slowsde::test::LineExperiment>());
    registry.benchmarks.add("nothing", "counts to three", [](int threads) {
      return std::vector<slowsde::BenchmarkRow>{
          {"nothing", std::to_string(threads) + " threads", "counts", 3, 1.5, ""}};
    });
  });
}
