#include "slowsde/experiments/registry.hpp"

#include "slowsde/experiments/suite.hpp"
#include "slowsde/experiments/sweep.hpp"

namespace slowsde {

void Registry::add(std::shared_ptr<const Experiment> experiment) {
  std::string name(experiment->name()), summary(experiment->summary());
  experiments.add(std::move(name), std::move(summary), std::move(experiment));
}

Registry builtin_registry() {
  Registry registry;
  registry.add(std::make_shared<Sweep>());
  registry.add(std::make_shared<Suite>());
  return registry;
}

}  // namespace slowsde
