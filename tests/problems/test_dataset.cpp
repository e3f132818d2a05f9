#include "slowsde/problems/dataset.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "slowsde/problems/mlp.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;

namespace {

// A file that lives as long as its test.
struct File {
  std::string name;
  File(const char* stem, const std::string& text)
      : name((std::filesystem::temp_directory_path() / (std::string("slowsde_test_dataset_") + stem))
                 .string()) {
    std::ofstream(name) << text;
  }
  ~File() { std::remove(name.c_str()); }
  std::string message(const std::string& at) const { return name + ":" + at; }
};

std::string digit(int value, int label) {
  std::string line;
  for (int j = 0; j < 64; ++j) line += std::to_string((value + j) % 17) + ",";
  return line + std::to_string(label) + "\n";
}

void refused(const char* text, const std::string& what) {
  const File file("bad.csv", text);
  try {
    read_labelled_images(file.name, 3, 10);
    FAIL("no error for: " << text);
  } catch (const std::runtime_error& error) {
    CHECK(error.what() == file.message(what));
  }
}

}  // namespace

TEST_CASE("a good table is read as it stands") {
  const File file("good.csv", "0,1.5,-2,7\r\n3, 4 ,5e-1,0\n");
  const LabelledImages images = read_labelled_images(file.name, 3, 10);
  CHECK(images.count() == 2);
  CHECK(images.values == std::vector<double>{0, 1.5, -2, 3, 4, 0.5});
  CHECK(images.labels == std::vector<int>{7, 0});
}

TEST_CASE("a bad table is refused by file and line") {
  refused("", " is empty");
  refused("0,1,2,3\n0,1,2", "2: the file ends inside this line");
  refused("0,1,2,3\n0,1,2\n", "2: 3 columns where 4 were expected");
  refused("0,1,2,3,4\n", "1: 5 columns where 4 were expected");
  refused("0,1,2,3\n\n", "2: column 1: '' is not a finite number");
  refused("0,x,2,3\n", "1: column 2: 'x' is not a finite number");
  refused("0,1 2,2,3\n", "1: column 2: '1 2' is not a finite number");
  refused("0,nan,2,3\n", "1: column 2: 'nan' is not a finite number");
  refused("0,1,2,10\n", "1: the label is not an integer from 0 to 9");
  refused("0,1,2,1.5\n", "1: the label is not an integer from 0 to 9");
  CHECK_THROWS_WITH_AS(read_labelled_images("/nowhere/digits.csv", 3, 10),
                       "/nowhere/digits.csv: cannot be opened: No such file or directory",
                       std::runtime_error);
}

TEST_CASE("digits become centred inputs and one-hot targets") {
  const File file("digits.csv", digit(0, 3) + digit(5, 9) + digit(11, 0));
  const Dataset data = digits_regression(file.name, std::vector<int>{2, 0});
  data.check();
  CHECK(data.n == 2);
  for (int j = 0; j < 64; ++j) {
    CHECK(test::near(data.x[j] + data.x[64 + j], 0, 1e-15));
    CHECK(test::near(data.x[j] - data.x[64 + j], ((11 + j) % 17 - j % 17) / 16.0, 1e-15));
  }
  for (int c = 0; c < 10; ++c) {
    CHECK(data.y[c] == (c == 0));
    CHECK(data.y[10 + c] == (c == 3));
  }
  const Dataset raw =
      digits_regression(file.name, 1, {.pixel_scale = 1, .centre = false, .on = 1, .off = -1});
  CHECK(raw.x[16] == 16);
  CHECK(raw.y[2] == -1);
  CHECK_THROWS_AS(digits_regression(file.name, 4), std::out_of_range);
  CHECK_THROWS_AS(digits_regression(file.name, 0), std::invalid_argument);
  CHECK_THROWS_WITH_AS(digits_regression(file.name, 1, {.pixel_scale = 0}),
                       "data set: pixel_scale > 0 is violated by 0", std::invalid_argument);
}

TEST_CASE("test images are centred by the mean of the training images where a recipe says so") {
  const File file("digits_test.csv", digit(0, 3) + digit(4, 0) + digit(9, 9) + digit(2, 1));
  const Dataset raw = digits_regression(file.name, {0, 1, 2}, {.centre = false});
  const Dataset data = digits_regression(file.name, std::vector<int>{2}, {.centre_on = {0, 1}});
  for (int j = 0; j < 64; ++j) {
    const double mean = (raw.x[j] + raw.x[64 + j]) / 2;
    CHECK(std::abs(data.x[j] - (raw.x[2 * 64 + j] - mean)) <= 1e-15);
  }
  CHECK(data.y[9] == 1);
  CHECK_THROWS_AS(digits_regression(file.name, std::vector<int>{2}, {.centre_on = {4}}), std::out_of_range);
}

TEST_CASE("a teacher's data are interpolated by the teacher, and a sample does not depend on n") {
  const MlpShape shape{{5, 4, 2}};
  Dataset data = gaussian_inputs(7, 5, 2, 1);
  const Dataset fewer = gaussian_inputs(3, 5, 2, 1);
  for (std::size_t k = 0; k < fewer.x.size(); ++k) CHECK(fewer.x[k] == data.x[k]);
  const Eigen::VectorXd teacher = initial_parameters(shape, 2);
  set_targets(data, MlpFit(shape, data), teacher.data());
  CHECK(MlpModel(shape, data).loss(teacher) < 1e-30);
  CHECK(MlpModel(shape, data).loss(initial_parameters(shape, 3)) > 1e-2);
}

TEST_CASE("digits in memory make the same problem as those in a file") {
  const File file("digits_memory.csv", digit(0, 3) + digit(5, 9) + digit(11, 0));
  const LabelledImages images = read_labelled_images(file.name, 64, 10);
  const Dataset from_file = digits_regression(file.name, std::vector<int>{2, 1}),
                from_memory = digits_regression(images, std::vector<int>{2, 1});
  CHECK(from_memory.x == from_file.x);
  CHECK(from_memory.y == from_file.y);
  CHECK(digits_regression(images, 2).x == digits_regression(file.name, 2).x);
  CHECK_THROWS_AS(digits_regression(images, 4), std::out_of_range);
  CHECK_THROWS_WITH_AS(digits_regression(LabelledImages{.pixels = 3, .values = {1, 2, 3}, .labels = {0}}, 1),
                       "data set: pixels = 64 is violated by 3", std::invalid_argument);
}
