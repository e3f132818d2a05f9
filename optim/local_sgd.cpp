#include "slowsde/optim/local_sgd.hpp"

#include <sstream>

#include "slowsde/optim/round_plan.hpp"

namespace slowsde {

void LocalSgd::check() const {
  std::ostringstream message;
  if (!(workers >= 1))
    message << "workers >= 1 is violated by " << workers;
  else if (!(local_batch >= 1))
    message << "local_batch >= 1 is violated by " << local_batch;
  else if (!(total_steps >= 0))
    message << "total_steps >= 0 is violated by " << total_steps;
  else if (!(momentum >= 0 && momentum < 1))
    message << "0 <= momentum < 1 is violated by " << momentum;
  else if (!(svag >= 1))
    message << "svag >= 1 is violated by " << svag;
  else if (!rule)
    message << "a synchronization rule is required";
  else
    return;
  throw std::invalid_argument(message.str());
}

std::vector<RecordPoint> record_points(const LocalSgd& algorithm, const std::vector<double>& times,
                                       double slow_time_per_step) {
  algorithm.check();
  std::vector<RecordPoint> points;
  std::size_t next = 0;
  RecordPoint end;
  const auto take = [&](const RecordPoint& candidate) {
    // A sum of many η² may miss the time it was meant to reach by its rounding.
    while (next < times.size() && candidate.t >= times[next] * (1 - 1e-12)) {
      points.push_back(candidate);
      ++next;
    }
    end = candidate;
  };
  take(end);
  for_each_round(algorithm.lr, *algorithm.rule, algorithm.total_steps, [&](const PlannedRound& round) {
    if (next < times.size())
      take({round.first_step + round.local_steps, round.end * slow_time_per_step, round.index + 1});
  });
  while (next++ < times.size()) points.push_back(end);
  return points;
}

}  // namespace slowsde
