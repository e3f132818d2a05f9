// A file of known length, for readers of binary formats.
#pragma once

#include <cstdint>
#include <fstream>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>

namespace slowsde {

/// Opens a regular file and knows its length, so that what a header claims can be compared with what is there
/// before anything is allocated. Everything that is wrong is a std::runtime_error "FILE: what is wrong".
class BinaryFile {
 public:
  /// Throws for a file that is missing, is not a regular file, cannot be read, is empty, or is a compressed
  /// file or archive by its first bytes.
  explicit BinaryFile(std::string name);

  const std::string& name() const { return name_; }
  std::uint64_t size() const { return size_; }
  std::uint64_t left() const { return size_ - position_; }

  /// The next bytes. Throws when the file ends before, naming `what` they are.
  void read(void* to, std::uint64_t bytes, const char* what);

  /// Throws unless exactly `sizes[0]·sizes[1]·…` bytes are left; the product may exceed 64 bits.
  void expect_left(std::span<const std::uint64_t> sizes) const;

  [[noreturn]] void fail(const std::string& what) const;

 private:
  std::string name_;
  std::ifstream stream_;
  std::uint64_t size_ = 0, position_ = 0;
};

/// The product, or nothing where it exceeds 64 bits.
std::optional<std::uint64_t> checked_product(std::span<const std::uint64_t> factors);

}  // namespace slowsde
