#include "slowsde/problems/classification_data.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <stdexcept>
#include <string>

#include "tests/support/tolerance.hpp"

using namespace slowsde;

namespace {

// Sample i is filled with 100·i + channel, so that it can be recognised.
ClassificationData numbered(const ImageShape& shape, int n, int classes) {
  ClassificationData data{.shape = shape, .classes = classes, .x = {}, .labels = {}};
  for (int i = 0; i < n; ++i) {
    data.labels.push_back(i % classes);
    for (int j = 0; j < shape.size(); ++j)
      data.x.push_back(static_cast<float>(100 * i + j / (shape.height * shape.width)));
  }
  return data;
}

std::vector<int> samples_of(const ClassificationData& data) {
  std::vector<int> ids;
  for (int i = 0; i < data.count(); ++i) ids.push_back(static_cast<int>(data.sample(i)[0]) / 100);
  return ids;
}

std::string violation(ClassificationData data) {
  try {
    data.check();
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("a subset holds the samples asked for with their labels") {
  const ClassificationData data = numbered({2, 1, 3}, 6, 4);
  const ClassificationData part = subset(data, {5, 0, 5});
  part.check();
  CHECK(samples_of(part) == std::vector<int>{5, 0, 5});
  CHECK(part.labels == std::vector<int>{1, 0, 1});
  CHECK(part.shape == data.shape);
  CHECK(part.sample(1)[5] == 1);
  CHECK_THROWS_WITH_AS(subset(data, {0, 6}), "there is no sample 6 among 6", std::out_of_range);
  CHECK_THROWS_AS(subset(data, {-1}), std::out_of_range);
}

TEST_CASE("a split takes the first samples, or a random choice, and no sample twice") {
  const ClassificationData data = numbered({1, 2, 2}, 30, 3);
  const TrainTest plain = split(data, 4, 2);
  CHECK(samples_of(plain.train) == std::vector<int>{0, 1, 2, 3});
  CHECK(samples_of(plain.test) == std::vector<int>{4, 5});
  CHECK(split(data, 4).test.count() == 26);
  CHECK(split(data, 30).test.count() == 0);
  const TrainTest shuffled = split(data, 20, 10, 7);
  std::set<int> all;
  for (const auto& part : {shuffled.train, shuffled.test}) {
    for (int i = 0; i < part.count(); ++i) {
      const int id = samples_of(part)[static_cast<std::size_t>(i)];
      CHECK(part.labels[static_cast<std::size_t>(i)] == id % 3);
      all.insert(id);
    }
  }
  CHECK(all.size() == 30);
  CHECK(samples_of(shuffled.train) != samples_of(split(data, 20).train));
  CHECK(samples_of(shuffled.train) == samples_of(split(data, 20, 10, 7).train));
  CHECK(samples_of(shuffled.train) != samples_of(split(data, 20, 10, 8).train));
  // The training part of a seed does not depend on how many are taken for the test.
  CHECK(samples_of(split(data, 20, 1, 7).train) == samples_of(shuffled.train));
  CHECK_THROWS_WITH_AS(split(data, 0), "classification data: train >= 1 is violated by 0",
                       std::invalid_argument);
  CHECK_THROWS_WITH_AS(split(data, 31), "classification data: train <= n is violated by 31",
                       std::invalid_argument);
  CHECK_THROWS_WITH_AS(split(data, 20, 11), "classification data: test <= n - train is violated by 11",
                       std::invalid_argument);
  CHECK_THROWS_WITH_AS(split(data, 20, -1), "classification data: test >= 0 is violated by -1",
                       std::invalid_argument);
}

TEST_CASE("standardised training data have mean 0 and variance 1 per channel, and the test the same map") {
  ClassificationData data{.shape = {3, 2, 2}, .classes = 2, .x = {}, .labels = {}};
  for (int i = 0; i < 40; ++i) {
    data.labels.push_back(i % 2);
    for (int c = 0; c < 3; ++c)
      for (int p = 0; p < 4; ++p) {
        // The last channel is constant, with a value that is not a float's sum without rounding.
        data.x.push_back(c == 2 ? 0.1f : static_cast<float>(50 * c + (i * i + 3 * p * i) % 17) * 0.3f);
      }
  }
  TrainTest parts = split(data, 25);
  const TrainTest before = parts;
  standardise(parts);
  const Standardisation s = Standardisation::of(before.train);
  for (int c = 0; c < 3; ++c) {
    double sum = 0, square = 0;
    for (int i = 0; i < 25; ++i)
      for (int p = 0; p < 4; ++p) {
        const double x = parts.train.sample(i)[4 * c + p];
        sum += x / 100;
        square += x * x / 100;
      }
    CHECK(test::near(sum, 0, 1e-6));
    CHECK(test::near(square, c < 2 ? 1 : 0, 1e-6));
    for (int i = 0; i < 15; ++i) {
      const float expected = (before.test.sample(i)[4 * c] - s.mean[static_cast<std::size_t>(c)]) /
                             s.scale[static_cast<std::size_t>(c)];
      CHECK(parts.test.sample(i)[4 * c] == expected);
    }
  }
  CHECK(s.scale[2] == 1);
  CHECK(parts.train.sample(0)[8] == 0);
  ClassificationData other = numbered({2, 2, 2}, 3, 2);
  CHECK_THROWS_AS(s.apply(other), std::invalid_argument);
}

TEST_CASE("as regression data the label's output is on and the others off") {
  const Dataset data = regression(numbered({1, 1, 2}, 4, 3), 0.9, -0.1);
  data.check();
  CHECK(data.n == 4);
  CHECK(data.inputs == 2);
  CHECK(data.outputs == 3);
  CHECK(data.x[3] == 100);
  for (int i = 0; i < 4; ++i)
    for (int c = 0; c < 3; ++c)
      CHECK(data.y[static_cast<std::size_t>(3 * i + c)] == (i % 3 == c ? 0.9 : -0.1));
}

TEST_CASE("impossible data are refused by the violated inequality") {
  const ClassificationData data = numbered({1, 2, 2}, 3, 3);
  CHECK(violation(data) == "");
  ClassificationData bad = data;
  bad.labels[1] = 3;
  CHECK(violation(bad) == "classification data: 0 <= label < classes is violated by 3");
  bad.labels[1] = -1;
  CHECK(violation(bad) == "classification data: 0 <= label < classes is violated by -1");
  bad = data;
  bad.x.pop_back();
  CHECK(violation(bad) == "classification data: x.size() = n*inputs is violated by 11");
  bad = data;
  bad.x[5] = std::numeric_limits<float>::quiet_NaN();
  CHECK(violation(bad) == "classification data: |x| < infinity is violated by nan");
  bad.x[5] = -std::numeric_limits<float>::infinity();
  CHECK(violation(bad) == "classification data: |x| < infinity is violated by -inf");
  bad = data;
  bad.shape.width = 0;
  CHECK(violation(bad) == "classification data: width >= 1 is violated by 0");
  bad = data;
  bad.classes = 0;
  CHECK(violation(bad) == "classification data: classes >= 1 is violated by 0");
  bad = data;
  bad.labels.clear();
  CHECK(violation(bad) == "classification data: n >= 1 is violated by 0");
}
