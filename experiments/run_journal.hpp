// The finished pieces of a run that may be stopped: what was done before a kill is not done again.
#pragma once

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace slowsde {

/// A file of pieces, each with a key of its own, that grows until its run is over. A piece is written at once
/// and carries a checksum: one that a kill cut off, and all after it, are as if they had never been there.
class RunJournal {
 public:
  /// Takes up the file, or begins it. `identity` is all that the pieces depend on. Throws IoError for a file
  /// of another identity, one that another process has open, and where it can not be read or written.
  RunJournal(const std::filesystem::path& file, std::string_view identity);
  ~RunJournal();
  RunJournal(const RunJournal&) = delete;
  RunJournal& operator=(const RunJournal&) = delete;

  /// Pieces that were there when the file was taken up.
  std::size_t found() const { return pieces_.size(); }
  /// The piece of a key, if it was there.
  std::optional<std::string_view> find(const std::string& key) const;
  /// Appends a piece; may be called from several threads. Throws IoError.
  void add(std::string_view key, std::string_view bytes);
  /// Deletes the file: the run is over.
  void remove();

 private:
  void take_up(std::string_view identity);
  void write(std::string_view bytes);

  std::filesystem::path file_;
  int fd_ = -1;
  std::map<std::string, std::string, std::less<>> pieces_;
  std::mutex writing_;
};

/// Appends numbers to the bytes of a piece, in this machine's representation.
template <class T>
requires std::is_trivially_copyable_v<T>
void put(std::string& bytes, const std::vector<T>& values) {
  const std::uint64_t count = values.size();
  bytes.append(reinterpret_cast<const char*>(&count), sizeof count);
  bytes.append(reinterpret_cast<const char*>(values.data()), count * sizeof(T));
}

/// Takes from the front of a piece what put() has appended.
template <class T>
requires std::is_trivially_copyable_v<T>
void take(std::string_view& bytes, std::vector<T>& values) {
  std::uint64_t count = 0;
  const auto left = [&] { return bytes.size() / sizeof(T); };
  if (bytes.size() < sizeof count) throw std::logic_error("a piece of a run ends early");
  std::memcpy(&count, bytes.data(), sizeof count);
  bytes.remove_prefix(sizeof count);
  if (count > left()) throw std::logic_error("a piece of a run ends early");
  values.resize(count);
  if (count > 0) std::memcpy(values.data(), bytes.data(), count * sizeof(T));
  bytes.remove_prefix(count * sizeof(T));
}

}  // namespace slowsde
