// The binary version of CIFAR-10.
#pragma once

#include <string>
#include <vector>

#include "slowsde/problems/classification_data.hpp"

namespace slowsde {

/// The samples of the files, one file after the other (data_batch_1.bin … data_batch_5.bin, test_batch.bin).
/// A record is 3073 bytes: the label 0 … 9, then 32 × 32 red, green and blue values; x = value/255. Throws
/// std::runtime_error "FILE: what is wrong" for a file that cannot be read, whose length is not a multiple of
/// a record's, or that has a label above 9; std::invalid_argument for no files.
ClassificationData read_cifar10(const std::vector<std::string>& files);

}  // namespace slowsde
