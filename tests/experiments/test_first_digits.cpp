#include "slowsde/experiments/first_digits.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <string>

using namespace slowsde;

TEST_CASE("forty images of 64 pixels from 0 to 16, of all ten classes") {
  const LabelledImages images = first_digits();
  CHECK(images.count() == 40);
  REQUIRE(images.values.size() == 40 * 64);
  CHECK(std::all_of(images.values.begin(), images.values.end(),
                    [](double value) { return value >= 0 && value <= 16; }));
  for (int label = 0; label < 10; ++label)
    CHECK(std::count(images.labels.begin(), images.labels.end(), label) >= 2);
  // The first is a zero: its ring is dark, and its middle is not.
  CHECK(images.labels[0] == 0);
  const std::array<double, 8> fourth_row{0, 4, 12, 0, 0, 8, 8, 0};
  CHECK(std::equal(fourth_row.begin(), fourth_row.end(), images.values.begin() + 3 * 8));
}

TEST_CASE("the images are those that scripts/export_digits.py writes first") {
  const std::string file = "results/data/digits.csv";
  if (!std::ifstream(file)) {
    MESSAGE(file << " is not there: nothing to compare with");
    return;
  }
  const LabelledImages images = first_digits(), exported = read_labelled_images(file, 64, 10);
  REQUIRE(exported.count() >= 40);
  CHECK(std::equal(images.values.begin(), images.values.end(), exported.values.begin()));
  CHECK(std::equal(images.labels.begin(), images.labels.end(), exported.labels.begin()));
}
