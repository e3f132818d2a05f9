// Random shifts and mirror images of training samples, drawn anew at every visit.
#pragma once

#include <cstdint>

#include "slowsde/problems/image_shape.hpp"

namespace slowsde {

/// One visit's change of an image: mirrored (left and right exchanged) first, then moved.
struct ImageChange {
  int down = 0;   ///< rows by which the image moves down
  int right = 0;  ///< columns by which it moves to the right
  bool mirrored = false;

  bool operator==(const ImageChange&) const = default;
};

/// Both shifts uniform in −shift … shift, mirrored with probability ½ if `flip`; all three independent.
struct Augmentation {
  int shift = 0;  ///< pixels
  bool flip = false;

  bool active() const { return shift > 0 || flip; }
  /// Throws std::invalid_argument unless 0 ≤ shift, and shift < height and width where it is not 0.
  void check(const ImageShape& shape) const;

  /// The change of visit number `visit` = step·B_loc + place in the batch: block `visit` of
  /// (seed, Stream::augmentation, replica, worker).
  ImageChange draw(std::uint64_t seed, std::uint64_t replica, std::uint32_t worker,
                   std::uint64_t visit) const;
};

/// out(c, i, j) = image(c, i − down, j' ) with j' = j − right, or width − 1 − (j − right) when mirrored; zero
/// where that is outside the image. After standardisation zero is the mean of the channel. `out` must not
/// overlap `image`; both: (shape.size()).
void apply(const ImageChange& change, const ImageShape& shape, const float* image, float* out);

}  // namespace slowsde
