#include "slowsde/problems/augmentation.hpp"

#include <algorithm>

#include "slowsde/problems/requirement.hpp"

namespace slowsde {

void Augmentation::check(const ImageShape& shape) const {
  using detail::require;
  require(shift >= 0, "augmentation", "shift >= 0", shift);
  if (shift > 0) {
    require(shift < shape.height, "augmentation", "shift < height", shift);
    require(shift < shape.width, "augmentation", "shift < width", shift);
  }
}

void apply(const ImageChange& change, const ImageShape& shape, const float* image, float* out) {
  const int rows = shape.height, columns = shape.width;
  // Columns first … last−1 of the result are inside the image.
  const int first = std::clamp(change.right, 0, columns),
            last = std::clamp(columns + change.right, 0, columns);
  for (int c = 0; c < shape.channels; ++c, image += rows * columns) {
    for (int i = 0; i < rows; ++i, out += columns) {
      const int source = i - change.down;
      if (source < 0 || source >= rows) {
        std::fill(out, out + columns, 0.0f);
        continue;
      }
      // Plain loops: rows of small images are too short for calls of memmove and memset.
      const float* row = image + source * columns;
      for (int j = 0; j < first; ++j) out[j] = 0;
      if (change.mirrored) {
        const float* from = row + (columns - 1 + change.right);
        for (int j = first; j < last; ++j) out[j] = from[-j];
      } else {
        const float* from = row - change.right;
        for (int j = first; j < last; ++j) out[j] = from[j];
      }
      for (int j = last; j < columns; ++j) out[j] = 0;
    }
  }
}

}  // namespace slowsde
