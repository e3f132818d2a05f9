// The shape of one input of a network.
#pragma once

namespace slowsde {

/// Entries are stored channel by channel, row by row: entry (c, i, j) at (c·height + i)·width + j. A plain
/// vector of m features is (m, 1, 1).
struct ImageShape {
  int channels = 1;
  int height = 1;
  int width = 1;

  int positions() const { return height * width; }
  int size() const { return channels * positions(); }
  bool operator==(const ImageShape&) const = default;
};

}  // namespace slowsde
