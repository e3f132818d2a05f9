#include "slowsde/problems/idx.hpp"

#include <array>
#include <limits>

#include "slowsde/problems/binary_file.hpp"
#include "slowsde/problems/requirement.hpp"

namespace slowsde {
namespace {

const char* type_name(std::uint8_t type) {
  switch (type) {
    case 0x09:
      return "signed bytes";
    case 0x0B:
      return "16-bit integers";
    case 0x0C:
      return "32-bit integers";
    case 0x0D:
      return "single-precision numbers";
    case 0x0E:
      return "double-precision numbers";
    default:
      return nullptr;
  }
}

}  // namespace

IdxArray read_idx(const std::string& file, int dimensions) {
  BinaryFile in(file);
  std::array<std::uint8_t, 4> magic{};
  in.read(magic.data(), magic.size(), "the IDX header");
  if (magic[0] != 0 || magic[1] != 0) in.fail("is not an IDX file: it does not begin with two zero bytes");
  if (magic[2] != 0x08) {
    const char* name = type_name(magic[2]);
    if (name) in.fail(std::string("holds ") + name + "; only unsigned bytes are read");
    in.fail("is not an IDX file: there is no type of values " + std::to_string(magic[2]));
  }
  if (magic[3] != dimensions) {
    in.fail("has " + std::to_string(magic[3]) + " dimensions where " + std::to_string(dimensions) +
            " were expected" + (magic[3] == 1 && dimensions == 3 ? " (labels in the place of images?)" : "") +
            (magic[3] == 3 && dimensions == 1 ? " (images in the place of labels?)" : ""));
  }
  IdxArray array;
  for (int d = 0; d < dimensions; ++d) {
    std::array<std::uint8_t, 4> bytes{};
    in.read(bytes.data(), bytes.size(), "the IDX header");
    std::uint64_t length = 0;
    for (const std::uint8_t byte : bytes) length = length << 8 | byte;
    array.dimensions.push_back(length);
  }
  in.expect_left(array.dimensions);
  array.values.resize(in.left());
  in.read(array.values.data(), in.left(), "the values");
  return array;
}

ClassificationData read_idx_data(const std::string& images, const std::string& labels, int classes) {
  detail::require(classes >= 1, "IDX data", "classes >= 1", classes);
  const auto fail = [](const std::string& file, const std::string& what) {
    throw std::runtime_error(file + ": " + what);
  };
  const IdxArray x = read_idx(images, 3), y = read_idx(labels, 1);
  const std::uint64_t n = x.dimensions[0];
  constexpr std::uint64_t most = std::numeric_limits<int>::max();
  if (x.values.empty()) fail(images, "holds no pixels");
  if (n > most || x.dimensions[1] * x.dimensions[2] > most) fail(images, "has a dimension beyond 2^31 - 1");
  if (y.values.size() != n) {
    fail(labels, "holds " + std::to_string(y.values.size()) + " labels for the " + std::to_string(n) +
                     " images of " + images);
  }
  ClassificationData data{.shape = {1, static_cast<int>(x.dimensions[1]), static_cast<int>(x.dimensions[2])},
                          .classes = classes,
                          .x = std::vector<float>(x.values.size()),
                          .labels = std::vector<int>(y.values.begin(), y.values.end())};
  for (std::size_t k = 0; k < x.values.size(); ++k) data.x[k] = static_cast<float>(x.values[k]) / 255;
  for (std::size_t i = 0; i < n; ++i) {
    if (data.labels[i] >= classes) {
      fail(labels, "label " + std::to_string(data.labels[i]) + " of sample " + std::to_string(i) +
                       " is not below " + std::to_string(classes));
    }
  }
  return data;
}

}  // namespace slowsde
