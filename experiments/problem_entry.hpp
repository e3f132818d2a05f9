// Puts a problem, written once as templates, before the experiments: everything that ExperimentProblem asks
// is derived here from the problem's type. `add_problem<MyProblem>(registry, "name")` is all that a user's
// program calls.
#pragma once

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "slowsde/experiments/experiment_problem.hpp"
#include "slowsde/experiments/large_problem.hpp"
#include "slowsde/experiments/registry.hpp"
#include "slowsde/experiments/small_problem.hpp"

namespace slowsde {

/// A problem as the registry knows it. make() reads the problem's own keys from its [problem] table.
struct ProblemEntry {
  std::function<std::unique_ptr<ExperimentProblem>(ConfigTable&)> make;
};

/// Adds a problem whose parameters `make` reads from the table [problem]; without `make` a
/// default-constructed P. `kernels` makes what runs its iterates on a GPU: kernels_of<P>() where a .cu file
/// compiles them, as slowsde_add_problem does.
template <Problem P>
void add_problem(Registry& registry, std::string name, std::string summary = "a problem of the user's",
                 std::function<P(ConfigTable&)> make = {}, KernelFactory<P> kernels = {}) {
  auto entry = std::make_shared<ProblemEntry>();
  entry->make = [make, kernels](ConfigTable& table) -> std::unique_ptr<ExperimentProblem> {
    const auto construct = [&]() -> P {
      if (make) return make(table);
      if constexpr (std::is_default_constructible_v<P>)
        return P{};
      else
        throw std::invalid_argument("this problem needs parameters");
    };
    P problem = construct();
    std::unique_ptr<EnsembleKernels> threads = kernels ? kernels(problem) : nullptr;
    std::unique_ptr<ExperimentProblem> result;
    if constexpr (static_dimension<P>() >= 1 && static_dimension<P>() <= 8)
      result = std::make_unique<SmallProblem<P>>(std::move(problem));
    else
      result = std::make_unique<LargeProblem<P>>(std::move(problem));
    result->set_kernels(std::move(threads));
    return result;
  };
  registry.problems.add(std::move(name), std::move(summary), std::move(entry));
}

}  // namespace slowsde
