// Labelled samples of a classification problem, and what is done to them before training.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "slowsde/problems/dataset.hpp"
#include "slowsde/problems/image_shape.hpp"

namespace slowsde {

/// n samples with a class each: x[i·shape.size() + j], labels[i] in 0 … classes−1.
struct ClassificationData {
  ImageShape shape;
  int classes = 0;
  std::vector<float> x;     ///< (n × shape.size()), sample by sample, channel by channel within one
  std::vector<int> labels;  ///< (n)

  int count() const { return static_cast<int>(labels.size()); }
  const float* sample(int i) const { return x.data() + static_cast<std::size_t>(i) * shape.size(); }

  /// Throws std::invalid_argument: n ≥ 1, classes ≥ 1, sizes that match, labels in range, finite values.
  void check() const;
};

/// One more than the largest label, for data whose number of classes nobody gave. Throws std::runtime_error
/// naming the file where that is more than 1000 and more than there are samples: then it is no label, and a
/// network would have as many outputs.
int classes_among(const std::vector<int>& labels, const std::string& file);

/// The samples `indices`, in that order; one may stand there repeatedly. Throws std::out_of_range for an
/// index beyond the data.
ClassificationData subset(const ClassificationData& data, const std::vector<int>& indices);

struct TrainTest {
  ClassificationData train, test;
};

/// The first `train` samples and the `test` after them, without `test` all the others. With a shuffle seed
/// the order is a random permutation, addressed by that seed alone; otherwise that of the data. Throws
/// std::invalid_argument: 1 ≤ train, 0 ≤ test, train + test ≤ n.
TrainTest split(const ClassificationData& data, int train, std::optional<int> test = std::nullopt,
                std::optional<std::uint64_t> shuffle_seed = std::nullopt);

/// Per channel x ← (x − mean)/scale, with the mean and the standard deviation (the root of the mean square
/// deviation, in double precision) over the samples and pixels of the data it was measured on. A constant
/// channel has scale 1. In data of shape (m, 1, 1) every feature is a channel.
struct Standardisation {
  std::vector<float> mean, scale;  ///< (channels)

  static Standardisation of(const ClassificationData& data);
  /// Throws std::invalid_argument when the data have another number of channels.
  void apply(ClassificationData& data) const;
};

/// Standardises both parts by the training part, so that nothing of the test part enters the training.
void standardise(TrainTest& parts);

/// The targets of the squared loss: `on` for the output that belongs to the label, `off` for the others.
Dataset regression(const ClassificationData& data, double on = 1, double off = 0);

}  // namespace slowsde
