#include "slowsde/problems/idx.hpp"

#include <doctest/doctest.h>

#include <stdexcept>
#include <string>

#include "tests/support/damaged.hpp"
#include "tests/support/scratch.hpp"

using namespace slowsde;

namespace {

using test::big_endian;

std::string header(const std::vector<unsigned long long>& dimensions, int type = 0x08) {
  std::string text = big_endian(static_cast<unsigned long long>(type), 3) + big_endian(dimensions.size(), 1);
  for (const auto length : dimensions) text += big_endian(length, 4);
  return text;
}

const std::string pixels("\x00\xff\x01\x02\x03\x04 qwert", 12);

}  // namespace

TEST_CASE("images and labels are read as they stand, bytes beyond 127 included") {
  const test::Scratch scratch;
  const auto images = scratch.write("images", header({2, 2, 3}) + pixels);
  const auto labels = scratch.write("labels", header({2}) + std::string("\x09\x00", 2));
  const ClassificationData data = read_idx_data(images.string(), labels.string());
  data.check();
  CHECK(data.shape == ImageShape{1, 2, 3});
  CHECK(data.classes == 10);
  CHECK(data.labels == std::vector<int>{9, 0});
  CHECK(data.x[0] == 0);
  CHECK(data.x[1] == 1);
  CHECK(data.x[5] == 4.0f / 255);
  CHECK(data.x[6] == 32.0f / 255);
}

TEST_CASE("damaged IDX files are refused in one line before anything is allocated") {
  const test::Scratch scratch;
  const auto says = [&](const std::string& text, int dimensions) {
    return test::refusal(scratch.write("bad", text),
                         [&](const std::string& file) { read_idx(file, dimensions); });
  };
  CHECK(says(header({2, 2, 3}) + pixels, 3) == "no error");
  CHECK(
      test::refuses_what_is_no_data_file(scratch.path(), [](const std::string& file) { read_idx(file, 3); }));
  CHECK(says("", 3) == " is empty");
  CHECK(says("\x1f\x8b\x08 images", 3) == " is gzip-compressed: gunzip it first");
  CHECK(says(std::string("\x00\x00\x08", 3), 3) == " ends within the IDX header: 4 bytes needed, 3 left");
  CHECK(says("0,1,2,3\n", 3) == " is not an IDX file: it does not begin with two zero bytes");
  CHECK(says(header({2, 2, 3}, 0x01) + pixels, 3) == " is not an IDX file: there is no type of values 1");
  CHECK(says(header({2, 2, 3}, 0x0D) + pixels, 3) ==
        " holds single-precision numbers; only unsigned bytes are read");
  CHECK(says(header({2, 2, 3}, 0x09) + pixels, 3) == " holds signed bytes; only unsigned bytes are read");
  CHECK(says(header({12}) + pixels, 3) ==
        " has 1 dimensions where 3 were expected (labels in the place of images?)");
  CHECK(says(header({2, 2, 3}) + pixels, 1) ==
        " has 3 dimensions where 1 were expected (images in the place of labels?)");
  CHECK(says(header({2, 2, 3}).substr(0, 14), 3) == " ends within the IDX header: 4 bytes needed, 2 left");
  CHECK(says(header({2, 2, 3}) + pixels.substr(1), 3) ==
        " its header claims 2 x 2 x 3 = 12 bytes, but 11 follow: it is truncated or its header is wrong");
  CHECK(says(header({2, 2, 3}) + pixels + "!", 3) ==
        " its header claims 2 x 2 x 3 = 12 bytes, but 13 follow: it is longer than it says");
  // Lies: 2⁶⁰ bytes, and a product that is 12 modulo 2⁶⁴.
  CHECK(says(header({1 << 20, 1 << 20, 1 << 20}) + pixels, 3) ==
        " its header claims 1048576 x 1048576 x 1048576 = 1152921504606846976 bytes, but 12 follow: it is "
        "truncated or "
        "its header is wrong");
  CHECK(says(header({4294967295, 4294967295, 4294967295}) + pixels, 3) ==
        " its header claims 4294967295 x 4294967295 x 4294967295 bytes, which no file has");
  // Little-endian lengths, as a careless writer leaves them.
  CHECK(says(header({2ull << 24, 2ull << 24, 3ull << 24}) + pixels, 3).find("which no file has") !=
        std::string::npos);
}

TEST_CASE("images and labels that do not fit each other are refused") {
  const test::Scratch scratch;
  const auto images = scratch.write("images", header({2, 2, 3}) + pixels);
  const auto says = [&](const std::string& text, int classes) {
    return test::refusal(scratch.write("labels", text),
                         [&](const std::string& file) { read_idx_data(images.string(), file, classes); });
  };
  CHECK(says(header({2}) + "\x01\x02", 10) == "no error");
  CHECK(says(header({3}) + "\x01\x02\x03", 10) == " holds 3 labels for the 2 images of " + images.string());
  CHECK(says(header({2}) + "\x01\x0a", 10) == " label 10 of sample 1 is not below 10");
  CHECK(says(header({2}) + "\x01\x0a", 11) == "no error");
  CHECK(says(header({2}) + std::string("\x01\xff", 2), 10) == " label 255 of sample 1 is not below 10");
  CHECK_THROWS_WITH_AS(read_idx_data(images.string(), "labels", 0), "IDX data: classes >= 1 is violated by 0",
                       std::invalid_argument);
  const auto labels = scratch.write("labels", header({0}));
  CHECK(test::refusal(scratch.write("none", header({0, 4294967295, 4294967295})),
                      [&](const std::string& file) { read_idx_data(file, labels.string()); }) ==
        " holds no pixels");
}
