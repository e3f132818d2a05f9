#include "slowsde/experiments/training_log.hpp"

#include <fmt/format.h>

#include <cmath>

#include "slowsde/experiments/csv_columns.hpp"
#include "slowsde/experiments/errors.hpp"

namespace slowsde {
namespace {

// More steps than any run has, and as many as a table of rates may hold.
constexpr double most_steps = 1e8;

}  // namespace

std::vector<double> TrainingLog::rates(std::int64_t total_steps) const {
  const std::int64_t N = total_steps > 0 ? total_steps : step.back();
  std::vector<double> out(static_cast<std::size_t>(N));
  std::size_t row = 0;
  for (std::int64_t k = 0; k < N; ++k) {
    while (row + 1 < step.size() && step[row + 1] <= k) ++row;
    double rate = lr[row];
    if (row + 1 < step.size() && k > step[row])
      rate += (lr[row + 1] - lr[row]) * static_cast<double>(k - step[row]) /
              static_cast<double>(step[row + 1] - step[row]);
    out[static_cast<std::size_t>(k)] = rate;
  }
  return out;
}

std::shared_ptr<const SyncRule> TrainingLog::rule() const {
  TableRule::Table table;
  for (std::size_t i = 0; i < step.size(); ++i) {
    if (!table.empty() && table.back().second == local_steps[i]) continue;
    table.emplace_back(table.empty() ? 0 : step[i], local_steps[i]);
  }
  return std::make_shared<TableRule>(std::move(table));
}

std::vector<Stretch> TrainingLog::stretches() const {
  std::vector<Stretch> out;
  for (std::size_t i = 0; i + 1 < step.size(); ++i) {
    const double steps = static_cast<double>(step[i + 1] - step[i]);
    out.push_back({steps, steps / static_cast<double>(local_steps[i]), seconds[i + 1] - seconds[i]});
  }
  return out;
}

TrainingLog read_training_log(const std::filesystem::path& file) {
  const SelectedColumns table = read_csv_columns(
      file, {{"step", {"step", "steps", "iteration", "iter", "global_step"}},
             {"lr", {"lr", "learning_rate", "rate", "eta"}},
             {"wall time", {"wall time", "walltime", "time", "seconds", "wall_seconds", "elapsed", "wall"}},
             {"H", {"H", "local_steps", "sync_period", "period", "k_steps"}}});
  TrainingLog log;
  log.skipped = table.skipped;
  log.lines = table.lines;
  for (std::size_t i = 0; i < table.lines.size(); ++i) {
    const double step = table.columns[0][i], lr = table.columns[1][i], seconds = table.columns[2][i],
                 H = table.columns[3][i];
    const auto require = [&](bool holds, const std::string& message) {
      if (!holds) throw IoError(fmt::format("{}:{}: {}", file.string(), table.lines[i], message));
    };
    require(step >= 0 && step <= most_steps && step == std::floor(step),
            fmt::format("step = {} must be an integer from 0 to {:.0f}", step, most_steps));
    require(lr >= 0, fmt::format("lr = {} must be >= 0", lr));
    require(H >= 1 && H <= most_steps && H == std::floor(H),
            fmt::format("H = {} must be an integer >= 1", H));
    if (i > 0) {
      require(step > static_cast<double>(log.step.back()),
              fmt::format("step = {} does not follow {}", step, log.step.back()));
      require(seconds >= log.seconds.back(),
              fmt::format("wall time = {} is before {}, that of the row above", seconds, log.seconds.back()));
    }
    log.step.push_back(static_cast<std::int64_t>(step));
    log.lr.push_back(lr);
    log.seconds.push_back(seconds);
    log.local_steps.push_back(static_cast<std::int64_t>(H));
  }
  if (log.step.size() < 2) throw IoError(file.string() + ": has one row; a wall time needs two");
  return log;
}

}  // namespace slowsde
