// The ranks come together before a call that would wait for a lost one, and find out who is lost where such a
// call fails all the same.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "slowsde/optim/communicator.hpp"
#include "slowsde/optim/rank_files.hpp"

namespace slowsde {

/// One rank's end, over either of the two that can name a rank. After a roll call there are no more meetings.
class Meetings {
 public:
  using Clock = std::chrono::steady_clock;

  /// timeout: seconds that a meeting and other_call() wait for a rank. The communicator has its own for
  /// meetings. Throws std::invalid_argument unless 0 < timeout.
  Meetings(std::shared_ptr<Communicator> communicator, double timeout);
  Meetings(std::shared_ptr<RankFiles> files, double timeout);

  /// Returns when all ranks have come. Throws LostRank naming those that did not.
  void meet();

  /// For a loop that has waited since `begin` for `call`, which a lost rank keeps from ending: throws what
  /// lost() returns once the timeout has passed, or when another rank has called the roll.
  void keep_waiting(const std::string& call, Clock::time_point begin);

  /// Calls the roll, at most 5 s long: every rank to which `call` failed comes to it, and the others do once
  /// they look. The error names those that did not come; `why` is what this rank saw.
  LostRank lost(const std::string& call, const std::string& why);

 private:
  bool roll_called();
  std::string absent_from_roll();

  std::shared_ptr<Communicator> communicator_;  // one of the two is null
  std::shared_ptr<RankFiles> files_;
  double timeout_;
  std::uint64_t meetings_ = 0;
  Clock::time_point looked_ = Clock::now();
};

}  // namespace slowsde
