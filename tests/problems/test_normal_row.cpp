#include "slowsde/problems/normal_row.hpp"

#include <doctest/doctest.h>

#include <vector>

#include "tests/support/tolerance.hpp"

using namespace slowsde;

TEST_CASE("a row of normals has the bits of the normals one by one, wherever it begins and ends") {
  // Ranges that begin within a block, end within one, cross 2³² blocks, and replicas beyond 32 bits.
  for (const std::uint64_t first : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{61},
                                    (std::uint64_t{1} << 33) - 21, (std::uint64_t{1} << 34) - 5}) {
    for (const int count : {0, 1, 2, 15, 16, 17, 64, 130}) {
      const std::uint64_t replica = (std::uint64_t{1} << 33) + 7;
      std::vector<double> row(static_cast<std::size_t>(count) + 1, -7);
      normal_row(3, Stream::label, replica, 5, first, count, row.data());
      std::vector<float> narrow(static_cast<std::size_t>(count) + 1, -7);
      normal_row(3, Stream::label, replica, 5, first, count, narrow.data());
      const RandomPack<float> random(3, Stream::label, replica);
      for (std::size_t k = 0; k < static_cast<std::size_t>(count); ++k) {
        REQUIRE(test::exact(row[k], normal_at(3, Stream::label, replica, 5, first + k)));
        REQUIRE(test::exact(narrow[k], random.normal(5, first + k)[0]));
      }
      CHECK(row.back() == -7);
      CHECK(narrow.back() == -7);
    }
  }
}
