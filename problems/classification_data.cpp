#include "slowsde/problems/classification_data.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>
#include <string>

#include "slowsde/problems/permutation.hpp"
#include "slowsde/problems/requirement.hpp"

namespace slowsde {
namespace {

template <class T>
void require(bool holds, const char* inequality, T value) {
  detail::require(holds, "classification data", inequality, value);
}

// Data are made with Stream::initial; network weights have the workers 0, 1, … of replica 0 there.
constexpr std::uint32_t split_address = worker_limit - 1;

}  // namespace

void ClassificationData::check() const {
  require(shape.channels >= 1, "channels >= 1", shape.channels);
  require(shape.height >= 1, "height >= 1", shape.height);
  require(shape.width >= 1, "width >= 1", shape.width);
  require(classes >= 1, "classes >= 1", classes);
  require(count() >= 1, "n >= 1", count());
  require(x.size() == labels.size() * static_cast<std::size_t>(shape.size()), "x.size() = n*inputs",
          x.size());
  for (const int label : labels) require(label >= 0 && label < classes, "0 <= label < classes", label);
  for (const float value : x) require(std::isfinite(value), "|x| < infinity", value);
}

int classes_among(const std::vector<int>& labels, const std::string& file) {
  const int largest = *std::max_element(labels.begin(), labels.end());
  constexpr std::size_t usual = 1000;
  if (static_cast<std::size_t>(largest) >= std::max(usual, labels.size()))
    throw std::runtime_error(file + ": the largest label is " + std::to_string(largest) + " among " +
                             std::to_string(labels.size()) +
                             " samples: these are no labels, or else give the number of classes");
  return 1 + largest;
}

ClassificationData subset(const ClassificationData& data, const std::vector<int>& indices) {
  ClassificationData part{.shape = data.shape, .classes = data.classes, .x = {}, .labels = {}};
  part.x.reserve(indices.size() * static_cast<std::size_t>(data.shape.size()));
  part.labels.reserve(indices.size());
  for (const int i : indices) {
    if (i < 0 || i >= data.count()) {
      throw std::out_of_range("there is no sample " + std::to_string(i) + " among " +
                              std::to_string(data.count()));
    }
    part.x.insert(part.x.end(), data.sample(i), data.sample(i) + data.shape.size());
    part.labels.push_back(data.labels[static_cast<std::size_t>(i)]);
  }
  return part;
}

TrainTest split(const ClassificationData& data, int train, std::optional<int> test,
                std::optional<std::uint64_t> shuffle_seed) {
  const int n = data.count();
  require(train >= 1, "train >= 1", train);
  require(train <= n, "train <= n", train);
  require(!test || *test >= 0, "test >= 0", test.value_or(0));
  require(!test || *test <= n - train, "test <= n - train", test.value_or(0));
  std::vector<int> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  if (shuffle_seed) shuffle(order, {*shuffle_seed, Stream::initial, 0, split_address, 0});
  const auto middle = order.begin() + train;
  const auto last = test ? middle + *test : order.end();
  return {subset(data, {order.begin(), middle}), subset(data, {middle, last})};
}

Standardisation Standardisation::of(const ClassificationData& data) {
  const int channels = data.shape.channels, area = data.shape.positions();
  const double values = static_cast<double>(data.count()) * area;
  require(values > 0, "n >= 1", data.count());
  Standardisation s;
  for (int c = 0; c < channels; ++c) {
    const auto mean_over_channel = [&](auto&& term) {
      double sum = 0;
      for (int i = 0; i < data.count(); ++i) {
        const float* x = data.sample(i) + static_cast<std::size_t>(c) * area;
        for (int p = 0; p < area; ++p) sum += term(x[p]);
      }
      return sum / values;
    };
    // Relative to one of the values, so that a constant channel has a mean without rounding and deviation 0.
    const double origin = data.x[static_cast<std::size_t>(c) * area];
    const double mean = mean_over_channel([origin](double x) { return x - origin; });
    const double square =
        mean_over_channel([origin, mean](double x) { return (x - origin - mean) * (x - origin - mean); });
    const float deviation = static_cast<float>(std::sqrt(square));
    s.mean.push_back(static_cast<float>(origin + mean));
    s.scale.push_back(deviation > 0 ? deviation : 1.0f);
  }
  return s;
}

void Standardisation::apply(ClassificationData& data) const {
  const std::size_t channels = static_cast<std::size_t>(data.shape.channels);
  require(mean.size() == channels, "channels = those measured", channels);
  const std::size_t area = static_cast<std::size_t>(data.shape.positions());
  for (std::size_t k = 0; k < data.x.size(); ++k) {
    const std::size_t c = k / area % channels;
    data.x[k] = (data.x[k] - mean[c]) / scale[c];
  }
}

void standardise(TrainTest& parts) {
  const Standardisation s = Standardisation::of(parts.train);
  s.apply(parts.train);
  s.apply(parts.test);
}

Dataset regression(const ClassificationData& data, double on, double off) {
  Dataset result{.n = data.count(),
                 .inputs = data.shape.size(),
                 .outputs = data.classes,
                 .x = std::vector<double>(data.x.begin(), data.x.end()),
                 .y = std::vector<double>(static_cast<std::size_t>(data.count()) * data.classes, off)};
  for (int i = 0; i < data.count(); ++i) {
    result.y[static_cast<std::size_t>(i) * data.classes + data.labels[static_cast<std::size_t>(i)]] = on;
  }
  return result;
}

}  // namespace slowsde
