#include "slowsde/problems/cifar.hpp"

#include <doctest/doctest.h>

#include <stdexcept>
#include <string>

#include "tests/support/damaged.hpp"
#include "tests/support/scratch.hpp"

using namespace slowsde;

namespace {

// A record whose byte k is (k + offset) mod 256.
std::string record(int label, int offset) {
  std::string text(1, static_cast<char>(label));
  for (int k = 0; k < 3072; ++k) text += static_cast<char>((k + offset) % 256);
  return text;
}

}  // namespace

TEST_CASE("records of several files follow one another, red before green before blue") {
  const test::Scratch scratch;
  const auto first = scratch.write("data_batch_1.bin", record(3, 0) + record(9, 1));
  const auto second = scratch.write("data_batch_2.bin", record(0, 2));
  const ClassificationData data = read_cifar10({first.string(), second.string()});
  data.check();
  CHECK(data.shape == ImageShape{3, 32, 32});
  CHECK(data.classes == 10);
  CHECK(data.labels == std::vector<int>{3, 9, 0});
  for (int i = 0; i < 3; ++i)
    for (int k = 0; k < 3072; ++k) REQUIRE(data.sample(i)[k] == static_cast<float>((k + i) % 256) / 255);
}

TEST_CASE("damaged CIFAR-10 files are refused in one line") {
  const test::Scratch scratch;
  const auto read = [](const std::string& file) { read_cifar10({file}); };
  const auto says = [&](const std::string& text) {
    return test::refusal(scratch.write("bad.bin", text), read);
  };
  CHECK(test::refuses_what_is_no_data_file(scratch.path(), read));
  CHECK(says("") == " is empty");
  CHECK(says(record(1, 0)) == "no error");
  CHECK(says(record(1, 0).substr(1)) ==
        " its length of 3072 bytes is not a multiple of 3073, a record of CIFAR-10");
  CHECK(says(record(1, 0) + "x") ==
        " its length of 3074 bytes is not a multiple of 3073, a record of CIFAR-10; it looks like CIFAR-100, "
        "whose "
        "records have 3074");
  CHECK(says(record(1, 0) + record(10, 0)) ==
        " label 10 of record 1 is not below 10: is this the binary version?");
  CHECK(says("\x1f\x8b" + record(1, 0)) == " is gzip-compressed: gunzip it first");
  CHECK_THROWS_WITH_AS(read_cifar10({}), "CIFAR-10: files >= 1 is violated by 0", std::invalid_argument);
}
