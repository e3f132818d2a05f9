#include "slowsde/gpu/round_table.hpp"

namespace slowsde {

RoundTable round_table(const LocalSgd& algorithm, const std::vector<RecordPoint>& points) {
  algorithm.check();
  RoundTable table;
  const LearningRateParams& shape = algorithm.lr.params();
  const bool constant = shape.shape == LearningRateShape::constant && shape.warmup_steps == 0;
  if (constant) table.rates.push_back(algorithm.lr(0));
  table.rate_stride = constant ? 0 : 1;
  std::size_t next = 0;
  const auto record_due = [&](std::int64_t steps) {
    for (; next < points.size() && points[next].steps <= steps; ++next)
      table.rounds_at.push_back(table.rounds.size());
  };
  record_due(0);
  for (std::int64_t k = 0; k < algorithm.total_steps && next < points.size();) {
    const std::int64_t H = algorithm.rule->local_steps(k, algorithm.lr(k), algorithm.total_steps - k);
    table.rounds.push_back({k, H, constant ? 0 : static_cast<std::int64_t>(table.rates.size())});
    if (!constant)
      for (std::int64_t h = 0; h < H; ++h) table.rates.push_back(algorithm.lr(k + h));
    k += H;
    record_due(k);
  }
  return table;
}

}  // namespace slowsde
