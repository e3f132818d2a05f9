#include "slowsde/experiments/npy_writer.hpp"

#include <doctest/doctest.h>

#include <cstring>
#include <iterator>

#include "tests/support/scratch.hpp"

namespace slowsde {
namespace {

template <class T>
void check_layout(const std::string& type) {
  const test::Scratch folder;
  const std::vector<T> values{1, 2, 3, 4, 5, 6};
  write_npy(folder.path() / "a.npy", values, {2, 3});
  std::ifstream file(folder.path() / "a.npy", std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  REQUIRE(bytes.size() > 10);
  CHECK(bytes.substr(0, 8) == std::string("\x93NUMPY\x01\x00", 8));
  const std::size_t length =
      static_cast<unsigned char>(bytes[8]) + 256u * static_cast<unsigned char>(bytes[9]);
  CHECK((10 + length) % 64 == 0);
  REQUIRE(bytes.size() == 10 + length + values.size() * sizeof(T));
  const std::string header = bytes.substr(10, length);
  CHECK(header.find("{'descr': '<" + type + "', 'fortran_order': False, 'shape': (2, 3, ), }") == 0);
  CHECK(header.back() == '\n');
  CHECK(std::memcmp(bytes.data() + 10 + length, values.data(), values.size() * sizeof(T)) == 0);
}

TEST_CASE("an array is a header of 64-byte multiples and its numbers") {
  check_layout<float>("f4");
  check_layout<double>("f8");
  check_layout<std::int32_t>("i4");
  check_layout<std::int64_t>("i8");
}

TEST_CASE("a file that can not be written is an error that names it") {
  const test::Scratch folder;
  const auto path = folder.path() / "none" / "a.npy";
  CHECK_THROWS_WITH_AS(write_npy(path, std::vector<float>{1}, {1}),
                       ("can not write " + path.string()).c_str(), IoError);
}

}  // namespace
}  // namespace slowsde
