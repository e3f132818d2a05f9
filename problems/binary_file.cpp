#include "slowsde/problems/binary_file.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <string_view>
#include <utility>

namespace slowsde {

BinaryFile::BinaryFile(std::string name) : name_(std::move(name)) {
  std::error_code error;
  const auto status = std::filesystem::status(name_, error);
  if (!std::filesystem::exists(status)) fail("cannot be opened: " + error.message());
  if (std::filesystem::is_directory(status)) fail("is a directory, not a file");
  if (!std::filesystem::is_regular_file(status)) fail("is not a regular file");
  errno = 0;
  stream_.open(name_, std::ios::binary);
  if (!stream_) fail(std::string("cannot be opened: ") + std::strerror(errno));
  size_ = std::filesystem::file_size(name_, error);
  if (error) fail("cannot be read: " + error.message());
  if (size_ == 0) fail("is empty");

  // Data sets come compressed; the formats read here begin otherwise.
  std::array<char, 4> first{};
  stream_.read(first.data(), first.size());
  const std::string_view magic(first.data(), static_cast<std::size_t>(stream_.gcount()));
  stream_.clear();
  stream_.seekg(0);
  if (magic.starts_with("\x1f\x8b")) fail("is gzip-compressed: gunzip it first");
  if (magic.starts_with("PK\x03\x04")) fail("is a zip archive: unpack it first");
}

void BinaryFile::read(void* to, std::uint64_t bytes, const char* what) {
  if (bytes > left()) {
    fail(std::string("ends within ") + what + ": " + std::to_string(bytes) + " bytes needed, " +
         std::to_string(left()) + " left");
  }
  stream_.read(static_cast<char*>(to), static_cast<std::streamsize>(bytes));
  if (static_cast<std::uint64_t>(stream_.gcount()) != bytes) fail(std::string("cannot be read in ") + what);
  position_ += bytes;
}

void BinaryFile::expect_left(std::span<const std::uint64_t> sizes) const {
  const auto needed = checked_product(sizes);
  if (needed && *needed == left()) return;
  std::string product;
  for (const std::uint64_t size : sizes) product += (product.empty() ? "" : " x ") + std::to_string(size);
  if (!needed) fail("its header claims " + product + " bytes, which no file has");
  fail("its header claims " + product + " = " + std::to_string(*needed) + " bytes, but " +
       std::to_string(left()) + " follow: it is " +
       (*needed > left() ? "truncated or its header is wrong" : "longer than it says"));
}

void BinaryFile::fail(const std::string& what) const { throw std::runtime_error(name_ + ": " + what); }

std::optional<std::uint64_t> checked_product(std::span<const std::uint64_t> factors) {
  // A zero makes the product zero whatever the others are.
  if (std::find(factors.begin(), factors.end(), 0) != factors.end()) return 0;
  std::uint64_t product = 1;
  for (const std::uint64_t factor : factors) {
    if (__builtin_mul_overflow(product, factor, &product)) return std::nullopt;
  }
  return product;
}

}  // namespace slowsde
