#include "slowsde/experiments/run_journal.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "slowsde/experiments/errors.hpp"

namespace slowsde {
namespace {

constexpr std::string_view magic = "slowsde pieces of a run, 1\n";

struct Header {
  std::uint64_t key, bytes, checksum;  ///< lengths, and the checksum of both together
};

/// FNV-1a of 64 bits: against what a kill or a full disk leaves, not against malice.
std::uint64_t checksum(std::string_view key, std::string_view bytes) {
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (const std::string_view part : {key, bytes})
    for (const char c : part) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return hash;
}

std::string record_of(std::string_view key, std::string_view bytes) {
  const Header header{key.size(), bytes.size(), checksum(key, bytes)};
  std::string record(reinterpret_cast<const char*>(&header), sizeof header);
  return record.append(key).append(bytes);
}

std::string content_of(int fd, const std::filesystem::path& file) {
  std::string content;
  char block[1 << 16];
  for (;;) {
    const ssize_t count = ::read(fd, block, sizeof block);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw IoError(fmt::format("{}: can not be read: {}", file.string(), std::strerror(errno)));
    if (count == 0) return content;
    content.append(block, static_cast<std::size_t>(count));
  }
}

/// Calls use(key, bytes) for the whole records at the front of `rest` and leaves what follows them.
template <class Use>
void each_record(std::string_view& rest, Use use) {
  Header header;
  while (rest.size() >= sizeof header) {
    std::memcpy(&header, rest.data(), sizeof header);
    std::string_view record = rest.substr(sizeof header);
    if (header.key > record.size() || header.bytes > record.size() - header.key) return;
    const std::string_view key = record.substr(0, header.key),
                           bytes = record.substr(header.key, header.bytes);
    if (checksum(key, bytes) != header.checksum) return;
    use(key, bytes);
    rest.remove_prefix(sizeof header + header.key + header.bytes);
  }
}

}  // namespace

RunJournal::RunJournal(const std::filesystem::path& file, std::string_view identity) : file_(file) {
  fd_ = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (fd_ < 0) throw IoError(fmt::format("{}: can not be opened: {}", file.string(), std::strerror(errno)));
  try {
    if (::flock(fd_, LOCK_EX | LOCK_NB) != 0)
      throw IoError(file.string() + ": another process is at this run");
    take_up(identity);
  } catch (...) {
    ::close(fd_);
    throw;
  }
}

RunJournal::~RunJournal() { ::close(fd_); }

void RunJournal::take_up(std::string_view identity) {
  const std::string content = content_of(fd_, file_);
  std::string_view rest = content;
  const std::string begin = std::string(magic) + record_of("identity", identity);
  if (content.size() < begin.size() && begin.starts_with(content)) {  // new, or killed at once
    if (::ftruncate(fd_, 0) != 0 || ::lseek(fd_, 0, SEEK_SET) != 0)
      throw IoError(fmt::format("{}: can not be written: {}", file_.string(), std::strerror(errno)));
    return write(begin);
  }
  if (!rest.starts_with(magic)) throw IoError(file_.string() + ": holds no pieces of a run");
  if (!rest.starts_with(begin))
    throw IoError(
        file_.string() +
        ": was begun with another configuration, seed, backend or program; delete it to begin anew");
  rest.remove_prefix(begin.size());
  each_record(rest, [&](std::string_view key, std::string_view bytes) {
    pieces_.emplace(std::string(key), std::string(bytes));
  });
  const auto whole = static_cast<off_t>(content.size() - rest.size());
  if (::ftruncate(fd_, whole) != 0 || ::lseek(fd_, whole, SEEK_SET) != whole)
    throw IoError(fmt::format("{}: can not be written: {}", file_.string(), std::strerror(errno)));
}

std::optional<std::string_view> RunJournal::find(const std::string& key) const {
  const auto piece = pieces_.find(key);
  if (piece == pieces_.end()) return std::nullopt;
  return piece->second;
}

void RunJournal::add(std::string_view key, std::string_view bytes) {
  const std::string record = record_of(key, bytes);
  const std::lock_guard lock(writing_);
  write(record);
}

void RunJournal::write(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(fd_, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0)
      throw IoError(fmt::format("{}: can not be written: {}", file_.string(), std::strerror(errno)));
    bytes.remove_prefix(static_cast<std::size_t>(count));
  }
}

void RunJournal::remove() {
  if (::unlink(file_.c_str()) != 0 && errno != ENOENT)
    throw IoError(fmt::format("{}: can not be deleted: {}", file_.string(), std::strerror(errno)));
}

}  // namespace slowsde
