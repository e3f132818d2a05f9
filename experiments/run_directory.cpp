#include "slowsde/experiments/run_directory.hpp"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>

#include "slowsde/experiments/build_info.hpp"
#include "slowsde/experiments/errors.hpp"
#include "slowsde/experiments/json.hpp"

namespace slowsde {

namespace fs = std::filesystem;

namespace {

constexpr int run_schema = 1;

[[noreturn]] void fail(const fs::path& path, std::string_view doing, int error) {
  throw IoError(fmt::format("{}: can not {}: {}", path.string(), doing, std::strerror(error)));
}

class Descriptor {
 public:
  Descriptor(const fs::path& path, int flags)
      : path_(path), fd_(::open(path.c_str(), flags | O_CLOEXEC, 0666)) {
    if (fd_ < 0) fail(path, "open", errno);
  }
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  void write(std::string_view text) {
    while (!text.empty()) {
      const ssize_t count = ::write(fd_, text.data(), text.size());
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) fail(path_, "write", errno);
      text.remove_prefix(static_cast<std::size_t>(count));
    }
  }
  // Some file systems can not sync a directory and say EINVAL; there is nothing more to be done there.
  void sync() {
    if (::fsync(fd_) != 0 && errno != EINVAL) fail(path_, "sync", errno);
  }
  void close() {
    const int fd = fd_;
    fd_ = -1;
    if (::close(fd) != 0) fail(path_, "close", errno);
  }

 private:
  fs::path path_;
  int fd_;
};

void sync_directory(const fs::path& path) { Descriptor(path, O_RDONLY | O_DIRECTORY).sync(); }

bool present(const fs::path& path) {
  struct stat ignored;
  return ::lstat(path.c_str(), &ignored) == 0;
}

// 0, or errno. Where the file system knows no flags, a plain rename: it never replaces a directory that is
// not empty, and a run directory is not.
int rename_exclusively(const fs::path& from, const fs::path& to) {
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return 0;
  if (errno != EINVAL && errno != ENOSYS) return errno;
  if (present(to)) return EEXIST;
  return ::rename(from.c_str(), to.c_str()) == 0 ? 0 : (errno == ENOTEMPTY ? EEXIST : errno);
}

// Renames to destination.~N~ with the lowest free N.
fs::path move_aside(const fs::path& from, const fs::path& destination) {
  for (int n = 1;; ++n) {
    const fs::path aside = fmt::format("{}.~{}~", destination.string(), n);
    const int error = rename_exclusively(from, aside);
    if (error == 0) return aside;
    if (error != EEXIST) fail(from, "move aside", error);
  }
}

}  // namespace

std::string utc_now() { return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr))); }

std::string run_json(const RunRecord& record, const Result& result) {
  const BuildInfo build = build_info();
  const Hardware machine = hardware();
  JsonWriter json;
  json.begin_object();
  json.member("schema_version", run_schema).member("program", "slowsde").member("version", build.version);
  json.member("git_hash", build.git_hash)
      .member("command", record.command)
      .member("config_file", record.config_file);
  json.key("seed");
  record.seed ? json.value(*record.seed) : json.null();
  json.member("threads", record.threads).member("backend", record.backend);
  json.member("started", record.started).member("finished", record.finished);
  json.member("wall_seconds", record.wall_seconds).member("exit_status", record.exit_status);
  json.member("replicas", result.replicas).member("diverged", result.diverged);
  json.member("diverged_series", result.diverged_series).member("warnings", result.warnings);
  json.key("regime");
  result.regime.empty() ? json.null() : json.raw(result.regime);
  if (!result.parts.empty()) {
    json.key("parts").begin_array();
    for (const ResultPart& part : result.parts) json.value(part.name);
    json.end_array();
  }
  json.key("build").begin_object();
  json.member("compiler", build.compiler).member("build_type", build.build_type).member("flags", build.flags);
  json.member("instruction_set", build.instruction_set);
  json.member("cuda", build.cuda).member("mpi", build.mpi).member("nccl", build.nccl).end_object();
  json.key("hardware").begin_object();
  json.member("cpu", machine.cpu).member("cores", machine.cores).member("memory_bytes", machine.memory_bytes);
  json.member("features", machine.features).member("gpus", machine.gpus).end_object();
  return json.end_object().text();
}

RunDirectory::RunDirectory(const fs::path& destination, bool force) : force_(force) {
  std::error_code code;
  destination_ = fs::absolute(destination, code).lexically_normal();
  if (!destination_.has_filename()) destination_ = destination_.parent_path();  // a slash at the end
  if (code || destination.empty() || destination_ == destination_.root_path()) {
    throw IoError(fmt::format("'{}' is no name for a run directory", destination.string()));
  }
  if (present(destination_) && !force_) {
    throw IoError(destination.string() + " exists; --force moves it aside, --out names another");
  }
  const fs::path parent = destination_.parent_path();
  fs::create_directories(parent, code);
  if (code) throw IoError(fmt::format("{}: can not be made: {}", parent.string(), code.message()));
  for (int n = 0;; ++n) {
    temporary_ = parent / fmt::format(".{}.partial-{}-{}", destination_.filename().string(), ::getpid(), n);
    if (::mkdir(temporary_.c_str(), 0777) == 0) break;
    if (errno != EEXIST) fail(parent, "write a directory", errno);
  }
}

RunDirectory::~RunDirectory() {
  std::error_code ignored;
  if (!committed_) fs::remove_all(temporary_, ignored);
}

void RunDirectory::write(const fs::path& relative, std::string_view text) {
  const fs::path path = temporary_ / relative;
  std::error_code code;
  fs::create_directories(path.parent_path(), code);
  if (code)
    throw IoError(fmt::format("{}: can not be made: {}", path.parent_path().string(), code.message()));
  Descriptor file(path, O_WRONLY | O_CREAT | O_EXCL);
  file.write(text);
  file.sync();
  file.close();
}

void RunDirectory::write_run(const Result& result, const std::string& config, const RunRecord& record,
                             const fs::path& folder) {
  write(folder / "config.toml", config);
  write(folder / "summary.txt", result.summary);
  write_netcdf(result, temporary_ / folder / "result.nc");
  Descriptor(temporary_ / folder / "result.nc", O_RDONLY).sync();
  for (const ResultPart& part : result.parts) {
    RunRecord own = record;
    own.seed = part.seed;
    own.wall_seconds = part.wall_seconds;
    own.exit_status =
        static_cast<int>(part.result.diverged_series.empty() ? ExitCode::ok : ExitCode::diverged);
    write_run(part.result, part.config, own, folder / part.name);
  }
  write(folder / "run.json", run_json(record, result));
}

fs::path RunDirectory::commit() {
  std::error_code code;
  for (fs::recursive_directory_iterator at(temporary_, code), end; !code && at != end; at.increment(code)) {
    if (at->is_directory()) sync_directory(at->path());
  }
  if (code) throw IoError(fmt::format("{}: can not be read: {}", temporary_.string(), code.message()));
  sync_directory(temporary_);

  fs::path aside;
  for (;;) {
    const int error = rename_exclusively(temporary_, destination_);
    if (error == 0) break;
    if (error != EEXIST) fail(destination_, "put the run in its place", error);
    if (!force_) {
      const fs::path kept = move_aside(temporary_, destination_);
      committed_ = true;
      throw IoError(fmt::format("{} was made by another run meanwhile; this run is in {}",
                                destination_.string(), kept.string()));
    }
    if (::renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, destination_.c_str(), RENAME_EXCHANGE) == 0) {
      committed_ = true;  // the temporary name now holds the former run
      aside = move_aside(temporary_, destination_);
      break;
    }
    if (errno != EINVAL && errno != ENOSYS && errno != EXDEV && errno != ENOENT) {
      fail(destination_, "exchange", errno);
    }
    if (present(destination_)) aside = move_aside(destination_, destination_);
  }
  committed_ = true;
  sync_directory(destination_.parent_path());
  return aside;
}

}  // namespace slowsde
