#include "slowsde/problems/npy.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <string_view>

#include "slowsde/problems/binary_file.hpp"
#include "slowsde/problems/requirement.hpp"

namespace slowsde {
namespace {

static_assert(std::endian::native == std::endian::little, "values are taken from the file as they are");

struct Header {
  std::string descr;
  bool fortran_order = false;
  std::vector<std::uint64_t> shape;
};

/// Reads the header, a Python dictionary literal {'descr': '<f8', 'fortran_order': False, 'shape': (3, 4), }
/// with these three keys in any order.
class HeaderReader {
 public:
  HeaderReader(std::string_view text, const BinaryFile& file) : rest_(text), file_(file) {}

  Header read() {
    Header header;
    bool has_descr = false, has_order = false, has_shape = false;
    expect('{');
    while (!take('}')) {
      const std::string key = quoted();
      expect(':');
      if (key == "descr" && !has_descr) {
        has_descr = true;
        if (next() == '[') file_.fail("holds records of several fields; save one plain array");
        header.descr = quoted();
      } else if (key == "fortran_order" && !has_order) {
        has_order = true;
        header.fortran_order = boolean();
      } else if (key == "shape" && !has_shape) {
        has_shape = true;
        header.shape = tuple();
      } else {
        fail();
      }
      if (!take(',') && next() != '}') fail();
    }
    if (!has_descr || !has_order || !has_shape || next() != '\0') fail();
    return header;
  }

 private:
  [[noreturn]] void fail() const { file_.fail("its NPY header cannot be understood"); }

  char next() {
    const auto first = rest_.find_first_not_of(" \n\t");
    rest_.remove_prefix(std::min(first, rest_.size()));
    return rest_.empty() ? '\0' : rest_.front();
  }
  bool take(char c) {
    if (rest_.empty() || next() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  void expect(char c) {
    if (!take(c)) fail();
  }
  std::string quoted() {
    const char quote = next();
    if (quote != '\'' && quote != '"') fail();
    const auto end = rest_.find(quote, 1);
    if (end == std::string_view::npos) fail();
    const std::string text(rest_.substr(1, end - 1));
    rest_.remove_prefix(end + 1);
    return text;
  }
  bool boolean() {
    next();
    for (const bool value : {true, false}) {
      const std::string_view word = value ? "True" : "False";
      if (rest_.starts_with(word)) {
        rest_.remove_prefix(word.size());
        return value;
      }
    }
    fail();
  }
  std::vector<std::uint64_t> tuple() {
    std::vector<std::uint64_t> values;
    expect('(');
    while (!take(')')) {
      next();
      std::uint64_t value = 0;
      const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), value);
      if (error != std::errc()) fail();
      rest_.remove_prefix(static_cast<std::size_t>(end - rest_.data()));
      values.push_back(value);
      if (!take(',') && next() != ')') fail();
    }
    return values;
  }

  std::string_view rest_;
  const BinaryFile& file_;
};

std::uint64_t width_of(NpyType type) {
  switch (type) {
    case NpyType::f4:
    case NpyType::i4:
      return 4;
    case NpyType::f8:
    case NpyType::i8:
      return 8;
    case NpyType::u1:
      return 1;
  }
  return 0;
}

NpyType type_of(const std::string& descr, const BinaryFile& file) {
  constexpr std::array<std::pair<std::string_view, NpyType>, 6> known{{{"<f4", NpyType::f4},
                                                                       {"<f8", NpyType::f8},
                                                                       {"<i4", NpyType::i4},
                                                                       {"<i8", NpyType::i8},
                                                                       {"|u1", NpyType::u1},
                                                                       {"<u1", NpyType::u1}}};
  for (const auto& [name, type] : known) {
    if (descr == name) return type;
  }
  if (descr.starts_with(">")) file.fail("holds big-endian values '" + descr + "'; save little-endian ones");
  file.fail("holds values of type '" + descr + "'; f4, f8, i4, i8 and u1 are read");
}

template <class T>
double value_at(const std::byte* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof value);
  return static_cast<double>(value);
}

[[noreturn]] void fail(const std::string& file, const std::string& what) {
  throw std::runtime_error(file + ": " + what);
}

std::string shown(const std::vector<std::uint64_t>& shape) {
  std::string text;
  for (const std::uint64_t length : shape) text += (text.empty() ? "" : ", ") + std::to_string(length);
  return "(" + text + (shape.size() == 1 ? ",)" : ")");
}

}  // namespace

std::uint64_t NpyArray::size() const { return bytes.size() / width_of(type); }

double NpyArray::value(std::uint64_t k) const {
  const std::byte* at = bytes.data() + k * width_of(type);
  switch (type) {
    case NpyType::f4:
      return value_at<float>(at);
    case NpyType::f8:
      return value_at<double>(at);
    case NpyType::i4:
      return value_at<std::int32_t>(at);
    case NpyType::i8:
      return value_at<std::int64_t>(at);
    case NpyType::u1:
      return value_at<std::uint8_t>(at);
  }
  return std::numeric_limits<double>::quiet_NaN();
}

NpyArray read_npy(const std::string& file) {
  BinaryFile in(file);
  std::array<char, 6> magic{};
  in.read(magic.data(), magic.size(), "the NPY header");
  if (std::string_view(magic.data(), magic.size()) != "\x93NUMPY") {
    in.fail("is not an NPY file: it does not begin with \\x93NUMPY");
  }
  std::array<std::uint8_t, 2> version{};
  in.read(version.data(), version.size(), "the NPY header");
  if (version[0] < 1 || version[0] > 3 || version[1] != 0) {
    in.fail("has NPY format version " + std::to_string(version[0]) + "." + std::to_string(version[1]) +
            "; 1.0 to 3.0 are read");
  }
  std::uint32_t length = 0;
  in.read(&length, version[0] == 1 ? 2 : 4, "the NPY header");
  if (length > in.left()) in.fail("ends within the NPY header");
  std::string text(length, ' ');
  in.read(text.data(), length, "the NPY header");
  Header header = HeaderReader(text, in).read();
  NpyArray array;
  array.type = type_of(header.descr, in);
  if (header.fortran_order && header.shape.size() > 1) {
    in.fail("is in Fortran order; save numpy.ascontiguousarray of it");
  }
  std::vector<std::uint64_t> sizes = header.shape;
  sizes.push_back(width_of(array.type));
  in.expect_left(sizes);
  array.shape = std::move(header.shape);
  array.bytes.resize(in.left());
  in.read(array.bytes.data(), in.left(), "the values");
  return array;
}

ClassificationData read_npy_data(const std::string& samples, const std::string& labels, int classes,
                                 double scale) {
  detail::require(classes >= 0, "NPY data", "classes >= 0", classes);
  const NpyArray x = read_npy(samples), y = read_npy(labels);
  if (x.shape.size() < 2 || x.shape.size() > 4) {
    fail(samples, "has shape " + shown(x.shape) +
                      "; (n, m), (n, height, width) or (n, channels, height, width) are read");
  }
  constexpr std::uint64_t most = std::numeric_limits<int>::max();
  const std::uint64_t n = x.shape[0];
  if (x.size() == 0) fail(samples, "holds no values");
  if (n > most || x.size() / n > most) fail(samples, "has a dimension beyond 2^31 - 1");
  if (y.shape != std::vector<std::uint64_t>{n}) {
    fail(labels, "has shape " + shown(y.shape) + " where the samples of " + samples + " need (" +
                     std::to_string(n) + ",)");
  }
  if (!y.integer()) fail(labels, "holds labels that are not of an integer type");
  const auto length = [&](std::size_t d) { return static_cast<int>(x.shape[d]); };
  ClassificationData data;
  if (x.shape.size() == 2) data.shape = {length(1), 1, 1};
  if (x.shape.size() == 3) data.shape = {1, length(1), length(2)};
  if (x.shape.size() == 4) data.shape = {length(1), length(2), length(3)};
  data.x.resize(x.size());
  for (std::uint64_t k = 0; k < x.size(); ++k) {
    data.x[k] = static_cast<float>(scale * x.value(k));
    if (!std::isfinite(data.x[k])) {
      const std::uint64_t m = x.size() / n;
      fail(samples, "value " + std::to_string(k % m) + " of sample " + std::to_string(k / m) +
                        " is not a finite number in single precision");
    }
  }
  data.labels.resize(n);
  for (std::uint64_t i = 0; i < n; ++i) {
    const double label = y.value(i), bound = classes > 0 ? classes : 1e6;
    if (!(label >= 0 && label < bound)) {
      fail(labels, "the label of sample " + std::to_string(i) + " is not an integer from 0 to " +
                       std::to_string(static_cast<int>(bound) - 1));
    }
    data.labels[i] = static_cast<int>(label);
  }
  data.classes = classes > 0 ? classes : classes_among(data.labels, labels);
  return data;
}

}  // namespace slowsde
