// Random shifts and mirror images of training samples, drawn anew at every visit.
#pragma once

#include <cstdint>

#include "slowsde/problems/host_device.hpp"
#include "slowsde/problems/image_shape.hpp"
#include "slowsde/problems/random_address.hpp"

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

  SLOWSDE_HD bool active() const { return shift > 0 || flip; }
  /// Throws std::invalid_argument unless 0 ≤ shift, and shift < height and width where it is not 0.
  void check(const ImageShape& shape) const;

  /// The change of visit number `visit` = step·B_loc + place in the batch: block `visit` of
  /// (seed, Stream::augmentation, replica, worker).
  SLOWSDE_HD ImageChange draw(std::uint64_t seed, std::uint64_t replica, std::uint32_t worker,
                              std::uint64_t visit) const {
    const auto words = random_words(seed, Stream::augmentation, replica, worker, visit);
    const auto choices = 2 * static_cast<std::uint64_t>(shift) + 1;
    return {.down = static_cast<int>((words[0] * choices) >> 32) - shift,
            .right = static_cast<int>((words[1] * choices) >> 32) - shift,
            .mirrored = flip && (words[2] >> 31) != 0};
  }
};

/// The entry of the image that is seen at `entry` after a change; −1 where that is outside, which is seen as
/// zero.
SLOWSDE_HD inline int entry_before(const ImageChange& change, const ImageShape& shape, int entry) {
  const int row = entry / shape.width, j = entry - row * shape.width, c = row / shape.height;
  const int i = row - c * shape.height - change.down, moved = j - change.right;
  if (i < 0 || i >= shape.height || moved < 0 || moved >= shape.width) return -1;
  return (c * shape.height + i) * shape.width + (change.mirrored ? shape.width - 1 - moved : moved);
}

/// out(c, i, j) = image(c, i − down, j' ) with j' = j − right, or width − 1 − (j − right) when mirrored; zero
/// where that is outside the image. After standardisation zero is the mean of the channel. `out` must not
/// overlap `image`; both: (shape.size()).
void apply(const ImageChange& change, const ImageShape& shape, const float* image, float* out);

}  // namespace slowsde
