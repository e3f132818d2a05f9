// The IDX format of MNIST, Fashion-MNIST and EMNIST.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "slowsde/problems/classification_data.hpp"

namespace slowsde {

/// An array of unsigned bytes as an IDX file holds it: two zero bytes, the type of the values, the number of
/// dimensions, each dimension in four bytes, all big-endian; then the values, the last dimension fastest.
struct IdxArray {
  std::vector<std::uint64_t> dimensions;
  std::vector<std::uint8_t> values;
};

/// Throws std::runtime_error "FILE: what is wrong" for a file that is not IDX, has other values than unsigned
/// bytes, another number of dimensions, or another length than its header says.
IdxArray read_idx(const std::string& file, int dimensions);

/// Images (n × rows × columns) and their labels (n); x = pixel/255. Throws as read_idx does, and for an empty
/// set, for numbers of images and labels that differ, and for a label that is not below `classes`.
ClassificationData read_idx_data(const std::string& images, const std::string& labels, int classes = 10);

}  // namespace slowsde
