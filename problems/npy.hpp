// Arrays that numpy.save wrote.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "slowsde/problems/classification_data.hpp"

namespace slowsde {

enum class NpyType { f4, f8, i4, i8, u1 };

/// An array in C order (the last dimension fastest), as it stands in the file.
struct NpyArray {
  NpyType type = NpyType::f8;
  std::vector<std::uint64_t> shape;  ///< empty for a number alone
  std::vector<std::byte> bytes;      ///< little-endian

  std::uint64_t size() const;  ///< number of values
  /// Value k in the order of the file; i8 beyond 2⁵³ rounds. k < size().
  double value(std::uint64_t k) const;
  bool integer() const { return type == NpyType::i4 || type == NpyType::i8 || type == NpyType::u1; }
};

/// Reads format versions 1 to 3 with little-endian f4, f8, i4, i8 or u1 in C order. Throws std::runtime_error
/// "FILE: what is wrong" for everything else, and for a file whose length is not the one its header says.
NpyArray read_npy(const std::string& file);

/// Samples (n × m), (n × height × width) or (n × channels × height × width), times `scale`, and integer
/// labels (n). `classes` = 0 means one more than the largest label. Throws as read_npy does, and for shapes
/// that do not fit, labels that are not integers in range, and values that are not finite in single
/// precision.
ClassificationData read_npy_data(const std::string& samples, const std::string& labels, int classes = 0,
                                 double scale = 1);

}  // namespace slowsde
