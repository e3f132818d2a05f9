// A block of threads that is a loop: what a machine without a GPU can test.
#pragma once

#include "slowsde/problems/host_device.hpp"

namespace slowsde {

/// Phases of a block by a plain loop over its threads, in either order.
struct LoopBlock {
  int threads = 1;
  bool backwards = false;

  template <class Phase>
  SLOWSDE_HD void run(Phase&& phase) const {
    for (int i = 0; i < threads; ++i) phase(backwards ? threads - 1 - i : i, threads);
  }
};

}  // namespace slowsde
