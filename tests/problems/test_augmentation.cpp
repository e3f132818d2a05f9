#include "slowsde/problems/augmentation.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <map>
#include <numeric>
#include <stdexcept>
#include <vector>

#include "tests/support/tolerance.hpp"

using namespace slowsde;

namespace {

std::vector<float> numbered(const ImageShape& shape) {
  std::vector<float> image(static_cast<std::size_t>(shape.size()));
  std::iota(image.begin(), image.end(), 1.0f);
  return image;
}

std::vector<float> changed(const ImageChange& change, const ImageShape& shape,
                           const std::vector<float>& image) {
  std::vector<float> out(image.size(), -1);
  apply(change, shape, image.data(), out.data());
  return out;
}

}  // namespace

TEST_CASE("no shift is the identity, and so are two mirrorings and a shift within zeros there and back") {
  for (const ImageShape& shape : {ImageShape{1, 8, 8}, ImageShape{3, 5, 4}, ImageShape{2, 3, 1}}) {
    const std::vector<float> image = numbered(shape);
    CHECK(changed({}, shape, image) == image);
    const auto mirrored = changed({.mirrored = true}, shape, image);
    CHECK((mirrored == image) == (shape.width == 1));
    CHECK(changed({.mirrored = true}, shape, mirrored) == image);
  }
  const ImageShape shape{2, 6, 6};
  std::vector<float> image(static_cast<std::size_t>(shape.size()));
  for (int c = 0; c < 2; ++c)
    for (int i = 2; i < 4; ++i)
      for (int j = 2; j < 4; ++j)
        image[static_cast<std::size_t>((c * 6 + i) * 6 + j)] = static_cast<float>(c + i + 7 * j);
  for (int down = -2; down <= 2; ++down)
    for (int right = -2; right <= 2; ++right) {
      const auto there = changed({down, right}, shape, image);
      CHECK((there == image) == (down == 0 && right == 0));
      CHECK(changed({-down, -right}, shape, there) == image);
    }
}

TEST_CASE("every pixel comes from where the definition says, in every channel") {
  const ImageShape shape{2, 3, 4};
  const std::vector<float> image = numbered(shape);
  for (const bool mirrored : {false, true})
    for (int down = -3; down <= 3; ++down)
      for (int right = -4; right <= 4; ++right) {
        const auto out = changed({down, right, mirrored}, shape, image);
        for (int c = 0; c < 2; ++c)
          for (int i = 0; i < 3; ++i)
            for (int j = 0; j < 4; ++j) {
              const int row = i - down, shifted = j - right;
              const bool inside = row >= 0 && row < 3 && shifted >= 0 && shifted < 4;
              const int column = mirrored ? 3 - shifted : shifted;
              const float expected = inside ? image[static_cast<std::size_t>((c * 3 + row) * 4 + column)] : 0;
              REQUIRE(out[static_cast<std::size_t>((c * 3 + i) * 4 + j)] == expected);
            }
      }
}

TEST_CASE("shifts are uniform over −s … s in both directions, mirroring is fair, and the three independent") {
  // Frequencies of the 5·5·2 changes, largest |z| of 50 below 4.5 fails by chance once in 3000.
  constexpr int draws = 50000;
  const Augmentation augmentation{.shift = 2, .flip = true};
  const auto largest_z = [&](auto draw) {
    std::map<std::vector<int>, int> count;
    for (int k = 0; k < draws; ++k) {
      const ImageChange change = draw(static_cast<std::uint64_t>(k));
      ++count[{change.down, change.right, change.mirrored}];
    }
    double largest = 0;
    const double p = 1.0 / 50;
    for (int down = -2; down <= 2; ++down)
      for (int right = -2; right <= 2; ++right)
        for (const int mirrored : {0, 1}) {
          const double z =
              test::zscore(count[{down, right, mirrored}], draws * p, std::sqrt(draws * p * (1 - p)));
          largest = std::max(largest, z);
        }
    return largest;
  };
  const auto draw = [&](std::uint64_t k) {
    return augmentation.draw(5, k % 7, static_cast<std::uint32_t>(k % 3), k);
  };
  CHECK(largest_z(draw) <= 4.5);
  // Mutants: one end of the range is missing, both shifts are one draw, never mirrored.
  CHECK(largest_z([&](std::uint64_t k) {
          auto change = draw(k);
          if (change.down == 2) change.down = -2;
          return change;
        }) >= 5);
  CHECK(largest_z([&](std::uint64_t k) {
          auto change = draw(k);
          change.right = change.down;
          return change;
        }) >= 5);
  CHECK(largest_z([&](std::uint64_t k) { return Augmentation{.shift = 2}.draw(5, 0, 0, k); }) >= 5);
}

TEST_CASE("a visit's change depends on its whole address, and nothing is drawn where nothing is asked") {
  const Augmentation augmentation{.shift = 1000, .flip = true};
  const ImageChange change = augmentation.draw(1, 2, 3, 4);
  CHECK(augmentation.draw(1, 2, 3, 4) == change);
  CHECK(augmentation.draw(2, 2, 3, 4) != change);
  CHECK(augmentation.draw(1, 3, 3, 4) != change);
  CHECK(augmentation.draw(1, 2, 4, 4) != change);
  CHECK(augmentation.draw(1, 2, 3, 5) != change);
  CHECK_FALSE(Augmentation{}.active());
  CHECK(Augmentation{.flip = true}.active());
  CHECK(Augmentation{.shift = 1}.active());
  for (std::uint64_t k = 0; k < 100; ++k) CHECK(Augmentation{}.draw(1, 0, 0, k) == ImageChange{});
}

TEST_CASE("a shift out of the image is refused") {
  CHECK_NOTHROW(Augmentation{.shift = 3}.check({1, 4, 5}));
  CHECK_NOTHROW(Augmentation{.flip = true}.check({64, 1, 1}));
  CHECK_THROWS_WITH_AS(Augmentation{.shift = -1}.check({1, 4, 5}),
                       "augmentation: shift >= 0 is violated by -1", std::invalid_argument);
  CHECK_THROWS_WITH_AS(Augmentation{.shift = 4}.check({1, 4, 5}),
                       "augmentation: shift < height is violated by 4", std::invalid_argument);
  CHECK_THROWS_WITH_AS(Augmentation{.shift = 4}.check({1, 5, 4}),
                       "augmentation: shift < width is violated by 4", std::invalid_argument);
}

TEST_CASE("each entry of a changed image is the entry that it was before, or outside") {
  const ImageShape shape{.channels = 2, .height = 4, .width = 5};
  std::vector<float> image(static_cast<std::size_t>(shape.size())), changed(image.size());
  for (std::size_t i = 0; i < image.size(); ++i) image[i] = static_cast<float>(i + 1);
  int outside = 0;
  for (int down = -3; down <= 3; ++down)
    for (int right = -4; right <= 4; ++right)
      for (const bool mirrored : {false, true}) {
        const ImageChange change{.down = down, .right = right, .mirrored = mirrored};
        apply(change, shape, image.data(), changed.data());
        for (int e = 0; e < shape.size(); ++e) {
          const int before = entry_before(change, shape, e);
          CHECK(changed[static_cast<std::size_t>(e)] ==
                (before < 0 ? 0.0f : image[static_cast<std::size_t>(before)]));
          outside += before < 0;
        }
      }
  CHECK(outside > 0);
}
