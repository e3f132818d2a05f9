#include "slowsde/optim/meetings.hpp"

#include <algorithm>
#include <thread>
#include <utility>

#include "slowsde/problems/requirement.hpp"

namespace slowsde {
namespace {

double seconds_since(Meetings::Clock::time_point begin) {
  return std::chrono::duration<double>(Meetings::Clock::now() - begin).count();
}

std::string for_seconds(double seconds) { return " for " + std::to_string(static_cast<int>(seconds)) + " s"; }

constexpr const char* given_up = "another rank called the roll";

}  // namespace

Meetings::Meetings(std::shared_ptr<Communicator> communicator, double timeout)
    : communicator_(std::move(communicator)), timeout_(timeout) {
  detail::require(timeout > 0, "ranks", "timeout > 0", timeout);
}

Meetings::Meetings(std::shared_ptr<RankFiles> files, double timeout)
    : files_(std::move(files)), timeout_(timeout) {
  detail::require(timeout > 0, "ranks", "timeout > 0", timeout);
}

void Meetings::meet() {
  if (communicator_) {
    communicator_->barrier();
    return;
  }
  files_->arrive(++meetings_);
  const Clock::time_point begin = Clock::now();
  for (std::string absent; !(absent = files_->absent(meetings_)).empty();) {
    if (seconds_since(begin) > timeout_) throw LostRank(absent + " did not come" + for_seconds(timeout_));
    if (roll_called()) throw lost("a meeting", given_up);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

void Meetings::keep_waiting(const std::string& call, Clock::time_point begin) {
  if (seconds_since(begin) > timeout_) throw lost(call, "it did not end" + for_seconds(timeout_));
  if (roll_called()) throw lost(call, given_up);
}

LostRank Meetings::lost(const std::string& call, const std::string& why) {
  const std::string absent = absent_from_roll();
  const std::string seen = " after " + call + " failed: " + why;
  return LostRank((absent.empty() ? "all ranks answered" : absent + " did not answer") + seen);
}

/// Looks ten times a second: the loops that ask turn without a pause, and a look reads every rank's file.
bool Meetings::roll_called() {
  if (seconds_since(looked_) < 0.1) return false;
  looked_ = Clock::now();
  return communicator_ ? communicator_->roll_called() : files_->reached_by_another(RankFiles::roll_call);
}

std::string Meetings::absent_from_roll() {
  const double patience = std::clamp(timeout_, 0.5, 5.0);
  if (communicator_) return communicator_->absent_from_roll(patience);
  files_->arrive(RankFiles::roll_call);
  const Clock::time_point begin = Clock::now();
  std::string absent;
  while (!(absent = files_->absent(RankFiles::roll_call)).empty() && seconds_since(begin) < patience)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  return absent;
}

}  // namespace slowsde
