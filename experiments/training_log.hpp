// An engineer's own training run: step, learning rate, wall time and H as a CSV file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <vector>

#include "slowsde/optim/cost_model.hpp"
#include "slowsde/optim/sync_rule.hpp"

namespace slowsde {

/// Rows in increasing order of steps. From row i on, until the next row, H is local_steps[i].
struct TrainingLog {
  std::vector<std::int64_t> step;
  std::vector<double> lr;
  std::vector<double> seconds;  ///< wall time, from any origin
  std::vector<std::int64_t> local_steps;
  std::vector<std::size_t> lines;  ///< in the file
  std::size_t skipped = 0;         ///< rows without one of the four values

  /// Learning rate of every step from 0 to `total_steps` − 1 (0: to the last row's step − 1), linear between
  /// the rows, constant before the first and after the last.
  std::vector<double> rates(std::int64_t total_steps = 0) const;
  /// The logged H.
  std::shared_ptr<const SyncRule> rule() const;
  /// Steps, rounds and seconds between neighbouring rows. Where a row is not at the end of a round, the
  /// rounds are a fraction.
  std::vector<Stretch> stretches() const;
};

/// Columns `step`, `lr`, `wall time` (seconds) and `H`, by these or other usual names, in any order and with
/// any others beside them. Throws IoError `FILE:LINE: …` as read_csv_columns, and for steps that are no
/// integers or do not increase, a negative learning rate, a wall time that runs backwards, H < 1, fewer than
/// two rows.
TrainingLog read_training_log(const std::filesystem::path& file);

}  // namespace slowsde
