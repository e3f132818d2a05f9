#include "slowsde/problems/binary_file.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <array>
#include <string>
#include <vector>

#include "tests/support/damaged.hpp"
#include "tests/support/scratch.hpp"

using namespace slowsde;

namespace {

void open(const std::string& name) { BinaryFile file(name); }

std::string claim(const std::filesystem::path& file, const std::vector<std::uint64_t>& sizes) {
  return test::refusal(file, [&](const std::string& name) { BinaryFile(name).expect_left(sizes); });
}

}  // namespace

TEST_CASE("a file is read in order, and its length is known before") {
  const test::Scratch scratch;
  BinaryFile file(scratch.write("data", "abcdefg").string());
  CHECK(file.size() == 7);
  std::array<char, 3> text{};
  file.read(text.data(), 3, "the beginning");
  CHECK(std::string(text.data(), 3) == "abc");
  CHECK(file.left() == 4);
  file.expect_left(std::array<std::uint64_t, 2>{2, 2});
  file.read(text.data(), 3, "the middle");
  CHECK(std::string(text.data(), 3) == "def");
  CHECK(test::refusal(scratch / "data", [&](const std::string&) { file.read(text.data(), 2, "the end"); }) ==
        " ends within the end: 2 bytes needed, 1 left");
}

TEST_CASE("what is no data file is refused with its reason") {
  const test::Scratch scratch;
  CHECK(test::refusal(scratch.path(), open) == " is a directory, not a file");
  CHECK(test::refusal(scratch / "nowhere", open) == " cannot be opened: No such file or directory");
  CHECK(test::refusal(scratch.write("empty", ""), open) == " is empty");
  CHECK(test::refusal(scratch.write("a.gz", "\x1f\x8b\x08 rest"), open) ==
        " is gzip-compressed: gunzip it first");
  CHECK(test::refusal(scratch.write("a.npz", "PK\x03\x04 rest"), open) ==
        " is a zip archive: unpack it first");
  CHECK(test::refusal(scratch.write("short", "\x1f"), open) == "no error");
  // Reading a pipe would wait for somebody who writes.
  REQUIRE(mkfifo((scratch / "pipe").c_str(), 0600) == 0);
  CHECK(test::refusal(scratch / "pipe", open) == " is not a regular file");
  CHECK(test::refusal("/dev/zero", open) == " is not a regular file");
}

TEST_CASE("a claim that the file does not keep is refused, whatever its size") {
  const test::Scratch scratch;
  const auto file = scratch.write("data", "123456");
  CHECK(claim(file, {2, 3}) == "no error");
  CHECK(claim(file, {2, 4}) ==
        " its header claims 2 x 4 = 8 bytes, but 6 follow: it is truncated or its header is wrong");
  CHECK(claim(file, {5}) == " its header claims 5 = 5 bytes, but 6 follow: it is longer than it says");
  CHECK(claim(file, {std::uint64_t{1} << 60}) ==
        " its header claims 1152921504606846976 = 1152921504606846976 bytes, but 6 follow: it is truncated "
        "or its "
        "header is wrong");
  // 2³²·2³² + 6 would be 6 in 64 bits if the product were taken carelessly.
  CHECK(claim(file, {std::uint64_t{1} << 32, std::uint64_t{1} << 32}) ==
        " its header claims 4294967296 x 4294967296 bytes, which no file has");
  CHECK(claim(file, {3, 0x5555555555555557}) ==
        " its header claims 3 x 6148914691236517207 bytes, which no file has");  // 2⁶⁴ + 5
}

TEST_CASE("a product is exact or absent") {
  const auto product = [](std::vector<std::uint64_t> factors) { return checked_product(factors); };
  CHECK(product({}) == 1u);
  CHECK(product({7, 0, 3}) == 0u);
  CHECK(product({~std::uint64_t{0}, ~std::uint64_t{0}, 0}) == 0u);
  CHECK(product({0x100000001, 0xffffffff}) == ~std::uint64_t{0});
  CHECK(product({0x100000001, 0x100000000}) == std::nullopt);
}
