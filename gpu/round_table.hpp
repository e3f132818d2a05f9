// The rounds of a run as arrays: the schedule and the rule are expanded on the host, a kernel only reads.
#pragma once

#include <cstdint>
#include <vector>

#include "slowsde/optim/local_sgd.hpp"

namespace slowsde {

/// Steps first_step … first_step + local_steps − 1; rates: where their learning rates begin.
struct TableRound {
  std::int64_t first_step = 0, local_steps = 0, rates = 0;
};

/// What a kernel sees of the table: pointers to the arrays wherever they are.
struct RoundView {
  const TableRound* rounds;
  const double* rates;
  std::int64_t rate_stride;

  SLOWSDE_HD detail::RoundRates rates_of(const TableRound& round) const {
    return {rates + round.rates, rate_stride};
  }
};

struct RoundTable {
  std::vector<TableRound> rounds;
  std::vector<double> rates;           ///< of every step, or the one learning rate of all
  std::int64_t rate_stride = 0;        ///< 0: there is one for all
  std::vector<std::size_t> rounds_at;  ///< (points): rounds that are over when the point is recorded

  RoundView view() const { return {rounds.data(), rates.data(), rate_stride}; }
  std::size_t bytes() const { return rounds.size() * sizeof(TableRound) + rates.size() * sizeof(double); }
};

/// The rounds up to the last record point.
RoundTable round_table(const LocalSgd& algorithm, const std::vector<RecordPoint>& points);

}  // namespace slowsde
