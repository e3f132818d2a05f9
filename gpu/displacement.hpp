// What travels between ranks where the payload is coarser than the numbers: not an average but how far it is
// from a point that all ranks have. An average in b bits would lose every round's displacement below 2^-b of
// it; the displacement in b bits loses 2^-b of itself.
#pragma once

#include "slowsde/problems/host_device.hpp"

namespace slowsde {

/// One rank's part of (1/K) Σ_w (x_w − start), from the sum over its own workers among all K. The parts' sum
/// over the ranks is the displacement of the mean.
template <class Real>
SLOWSDE_HD float part_of_displacement(double own_sum, int own_workers, int workers, Real start) {
  return static_cast<float>((own_sum - own_workers * static_cast<double>(start)) / workers);
}

template <class Real>
SLOWSDE_HD Real displaced(Real start, float displacement) {
  return static_cast<Real>(static_cast<double>(start) + static_cast<double>(displacement));
}

}  // namespace slowsde
