// What travels between ranks where the payload is coarser than the numbers: not an average but how far it is
// from a point that all ranks have. An average in b bits would lose every round's displacement below 2^-b of
// it; the displacement in b bits loses 2^-b of itself.
#pragma once

#include <cmath>
#include <cstddef>

#include "slowsde/problems/host_device.hpp"

namespace slowsde {

/// One rank's part of (1/K) Σ_w (x_w − start), from the sum over its own workers among all K. The parts' sum
/// over the ranks is the displacement of the mean.
template <class Real>
SLOWSDE_HD float part_of_displacement(double own_sum, int own_workers, int workers, Real start) {
  return static_cast<float>((own_sum - own_workers * static_cast<double>(start)) / workers);
}

/// A loss in a message of floats: its double in two of them, which are summed each by itself.
struct LossHalves {
  static constexpr std::size_t count = 2;
  float values[count];

  explicit LossHalves(double loss)
      : values{static_cast<float>(loss),
               std::isfinite(loss) ? static_cast<float>(loss - static_cast<double>(static_cast<float>(loss)))
                                   : 0.0f} {}
  double sum() const { return static_cast<double>(values[0]) + static_cast<double>(values[1]); }
};

template <class Real>
SLOWSDE_HD Real displaced(Real start, float displacement) {
  return static_cast<Real>(static_cast<double>(start) + static_cast<double>(displacement));
}

}  // namespace slowsde
