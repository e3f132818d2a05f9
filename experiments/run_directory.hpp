// A directory of results that is never half-written: everything goes to a temporary sibling, reaches the
// disk, and is renamed at the end.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "slowsde/experiments/result.hpp"

namespace slowsde {

/// What run.json says beside what the result, the build and the machine say.
struct RunRecord {
  std::vector<std::string> command;  ///< the command line
  std::string config_file;
  std::optional<std::uint64_t> seed;  ///< none for a suite, whose parts have their own
  int threads = 1;
  std::string backend = "cpu";
  std::string started, finished;  ///< UTC, ISO 8601
  double wall_seconds = 0;
  int exit_status = 0;
};

/// The present time, such as 2024-05-01T12:00:00Z.
std::string utc_now();

/// The content of run.json: schema version, program, record, result's replicas and regime report, build,
/// hardware.
std::string run_json(const RunRecord& record, const Result& result);

/// Destination DIR, written as `.DIR.partial-PID-N` beside it until commit(). A run that is killed leaves at
/// most that sibling; what was at DIR before stays whole. Several processes may aim at the same DIR.
class RunDirectory {
 public:
  /// Makes the temporary sibling (and DIR's parents). Throws IoError if DIR exists and not `force`, or if the
  /// parent can not be written.
  RunDirectory(const std::filesystem::path& destination, bool force);
  /// Removes the temporary sibling unless commit() has succeeded.
  ~RunDirectory();
  RunDirectory(const RunDirectory&) = delete;
  RunDirectory& operator=(const RunDirectory&) = delete;

  const std::filesystem::path& destination() const { return destination_; }
  const std::filesystem::path& temporary() const { return temporary_; }

  /// Writes `text` to a file named relative to the directory and waits until it is on the disk. Throws
  /// IoError.
  void write(const std::filesystem::path& relative, std::string_view text);

  /// Writes result.nc, config.toml, run.json and summary.txt, and those of the result's parts below their
  /// names.
  void write_run(const Result& result, const std::string& config, const RunRecord& record,
                 const std::filesystem::path& folder = {});

  /// Puts the directory in its place: in one atomic step where the file system can exchange two names,
  /// otherwise with an instant in which DIR is absent. Returns where the former DIR was moved (DIR.~N~, N the
  /// lowest that is free), empty if there was none. Throws IoError if, without `force`, DIR has come into
  /// being meanwhile; the run is then kept as DIR.~N~, which the error names.
  std::filesystem::path commit();

 private:
  std::filesystem::path destination_, temporary_;
  bool force_, committed_ = false;
};

}  // namespace slowsde
