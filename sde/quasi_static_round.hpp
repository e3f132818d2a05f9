// One round of the quasi-static process, for the CPU and the GPU.
#pragma once

#include <cmath>
#include <cstdint>

#include "slowsde/problems/host_device.hpp"

namespace slowsde {

/// A round from t on: its length, its equal steps and where it ends.
struct QuasiStaticRound {
  double length, end;
  std::uint64_t steps;

  /// Of length min(α², until − t), with steps of dt at most. A remainder that is a rounding error of α²
  /// belongs to the round.
  SLOWSDE_HD QuasiStaticRound(double t, double until, double round_time, double dt) {
    const bool last = until - t < round_time * (1 + 1e-9);
    length = last ? until - t : round_time;
    end = last ? until : t + length;
    const auto wanted = static_cast<std::uint64_t>(std::ceil(length / dt * (1 - 1e-12)));
    steps = wanted < 1 ? 1 : wanted;
  }
  SLOWSDE_HD double step_length() const { return length / static_cast<double>(steps); }
};

}  // namespace slowsde
