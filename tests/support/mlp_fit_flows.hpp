// Φ on the device's functions with plain loops in place of the device.
#pragma once

#include <cstddef>
#include <limits>
#include <stdexcept>
#include <vector>

#include "slowsde/gpu/loop_block.hpp"
#include "slowsde/gpu/mlp_fit_flow.hpp"
#include "slowsde/problems/mlp.hpp"

namespace slowsde::test {

/// θ ← Φ(θ), (d). What lies before and behind a group's memory is left alone, and what was in it does not
/// matter.
inline MlpFitFlowEnd loop_flow(const MlpFit& fit, const FlowOptions& options, double* theta,
                               const LoopBlock& block = {.threads = 32}) {
  MlpFitFlowSetup setup = make_mlp_fit_flow(fit, options);
  const std::vector<double> x(fit.data().x.begin(), fit.data().x.end()),
      y(fit.data().y.begin(), fit.data().y.end());
  setup.x = x.data();
  setup.y = y.data();
  constexpr std::size_t margin = 64;
  constexpr double guard = 12345;
  const auto make = [&](std::size_t numbers) {
    std::vector<double> memory(numbers + 2 * margin, guard);
    for (std::size_t i = 0; i < numbers; ++i) memory[margin + i] = std::numeric_limits<double>::quiet_NaN();
    return memory;
  };
  auto memory = make(static_cast<std::size_t>(setup.numbers)), workspace = make(setup.workspace());
  MlpFitFlow<LoopBlock> flow(block, setup, memory.data() + margin, workspace.data() + margin);
  const MlpFitFlowEnd end = flow.run(theta);
  for (const auto* beside : {&memory, &workspace})
    for (std::size_t i = 0; i < margin; ++i)
      if ((*beside)[i] != guard || (*beside)[beside->size() - 1 - i] != guard)
        throw std::logic_error("a group wrote beside its memory");
  return end;
}

}  // namespace slowsde::test
