#include "slowsde/problems/csv.hpp"

#include <doctest/doctest.h>

#include <stdexcept>
#include <string>

#include "tests/support/damaged.hpp"
#include "tests/support/scratch.hpp"

using namespace slowsde;

TEST_CASE("a table is read as it stands, with or without a header") {
  const test::Scratch scratch;
  const CsvTable plain = read_csv(scratch.write("plain.csv", "0, 1.5 ,-2\r\n3,4,5e-1\n").string());
  CHECK(plain.rows() == 2);
  CHECK(plain.columns == 3);
  CHECK(plain.names.empty());
  CHECK(plain.values == std::vector<double>{0, 1.5, -2, 3, 4, 0.5});
  const auto file = scratch.write("named.csv", "\xef\xbb\xbfx; \"the label\" ;y\n1;2;3\n");
  const CsvTable named = read_csv(file.string(), {.header = true, .separator = ';'});
  CHECK(named.names == std::vector<std::string>{"x", "the label", "y"});
  CHECK(named.at(0, 2) == 3);
}

TEST_CASE("a bad table is refused by file and line") {
  const test::Scratch scratch;
  const auto says = [&](const std::string& text, const CsvFormat& format = {}) {
    return test::refusal(scratch.write("bad.csv", text),
                         [&](const std::string& file) { read_csv(file, format); });
  };
  CHECK(test::refuses_what_is_no_data_file(scratch.path(), [](const std::string& file) { read_csv(file); }));
  CHECK(says("") == " is empty");
  CHECK(says("\x1f\x8b\x08 text") == " is gzip-compressed: gunzip it first");
  CHECK(says("a,b\n", {.header = true}) == " has no line of numbers");
  CHECK(says("1,2\n3,4") == "2: the file ends inside this line");
  CHECK(says("1,2\n3\n") == "2: 1 columns where 2 were expected");
  CHECK(says("1,2\n3,4,5\n") == "2: 3 columns where 2 were expected");
  CHECK(says("a,b\n3,4,5\n", {.header = true}) == "2: 3 columns where 2 were expected");
  CHECK(says("1,2\n", {.columns = 3}) == "1: 2 columns where 3 were expected");
  CHECK(says("1,2\n\n3,4\n") == "2: column 1: '' is not a finite number");
  CHECK(says("a,b\n1,2\n") == "1: column 1: 'a' is not a finite number");
  CHECK(says("1,nan\n") == "1: column 2: 'nan' is not a finite number");
  CHECK(says("1,inf\n") == "1: column 2: 'inf' is not a finite number");
  CHECK(says("1,1e999\n") == "1: column 2: '1e999' is not a finite number");
  CHECK(says("1,0x10\n") == "1: column 2: '0x10' is not a finite number");
  CHECK(says("1;2\n") == "1: column 1: '1;2' is not a finite number");
  // A binary file does not write control characters or its whole length into the message.
  CHECK(says(std::string("\x01\x02", 2) + std::string(5000, 'z') + "\n") ==
        "1: column 1: '??" + std::string(38, 'z') + "...' is not a finite number");
}

TEST_CASE("the label column is found by its number or its name, the others keep their order") {
  const test::Scratch scratch;
  const auto file = scratch.write("data.csv", "a,class,b\n1,2,3\n4,0,6\n").string();
  for (const CsvColumn& label : {CsvColumn(1), CsvColumn(-2), CsvColumn("class")}) {
    const ClassificationData data = read_csv_data(file, {.header = true, .label = label, .scale = 0.5});
    data.check();
    CHECK(data.labels == std::vector<int>{2, 0});
    CHECK(data.x == std::vector<float>{0.5, 1.5, 2, 3});
    CHECK(data.shape == ImageShape{2, 1, 1});
    CHECK(data.classes == 3);
  }
  const auto images = scratch.write("images.csv", "1,2,3,4,0\n").string();
  const ClassificationData image = read_csv_data(images, {.classes = 2, .shape = ImageShape{1, 2, 2}});
  CHECK(image.shape == ImageShape{1, 2, 2});
  CHECK(image.classes == 2);
}

TEST_CASE("a table that makes no data set is refused") {
  const test::Scratch scratch;
  const auto says = [&](const std::string& text, const CsvDataRecipe& recipe) {
    return test::refusal(scratch.write("bad.csv", text),
                         [&](const std::string& file) { read_csv_data(file, recipe); });
  };
  CHECK(says("1,2\n", {}) == "no error");
  CHECK(says("1,2\n", {.label = 2}) == " there is no column 2 among 2");
  CHECK(says("1,2\n", {.label = -3}) == " there is no column -3 among 2");
  CHECK(says("1,2\n", {.label = "class"}) == " has no header in which a column 'class' could be found");
  CHECK(says("a,b\n1,2\n", {.header = true, .label = "class"}) == " there is no column 'class'");
  CHECK(says("1\n", {}) == " has no column beside the label");
  CHECK(says("1,2,0\n", {.shape = ImageShape{1, 2, 2}}) ==
        " has 2 columns beside the label where 4 were expected");
  CHECK(says("a,b\n1,2\n1,2.5\n", {.header = true}) == "3: the label is not an integer from 0 to 999999");
  CHECK(says("1,2\n1,-1\n", {}) == "2: the label is not an integer from 0 to 999999");
  CHECK(
      says("1,2\n1,1000\n", {}) ==
      " the largest label is 1000 among 2 samples: these are no labels, or else give the number of classes");
  CHECK(says("1,2\n1,999\n", {}) == "no error");
  CHECK(says("1,2\n1,1000\n", {.classes = 1001}) == "no error");
  CHECK(says("1,2\n1,3\n", {.classes = 3}) == "2: the label is not an integer from 0 to 2");
  CHECK(says("1e300,2\n", {}) == "1: column 1 is beyond single precision");
  CHECK_THROWS_WITH_AS(read_csv_data("bad.csv", {.classes = -1}), "CSV data: classes >= 0 is violated by -1",
                       std::invalid_argument);
  CHECK_THROWS_WITH_AS(read_csv_data("bad.csv", {.scale = 0}),
                       "CSV data: 0 < |scale| < infinity is violated by 0", std::invalid_argument);
}
