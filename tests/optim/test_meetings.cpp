// Ranks that are threads over files of their own, as processes have them. check_lost_rank.py has them over
// MPI.
#include "slowsde/optim/meetings.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <functional>
#include <latch>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/scratch.hpp"

using slowsde::LostRank;
using slowsde::Meetings;
using slowsde::RankFiles;

namespace {

double seconds_since(Meetings::Clock::time_point begin) {
  return std::chrono::duration<double>(Meetings::Clock::now() - begin).count();
}

/// What the ranks' errors say, "" for a rank that had none. Each runs in a thread; one that returns without
/// an error keeps its files until all have.
std::vector<std::string> said_by(int size, double timeout, const std::function<void(int, Meetings&)>& rank) {
  const slowsde::test::Scratch scratch;
  const std::string path = (scratch.path() / "id").string();
  std::vector<std::string> said(static_cast<std::size_t>(size));
  std::latch over(size);
  std::vector<std::jthread> threads;
  for (int r = 0; r < size; ++r)
    threads.emplace_back([&, r] {
      bool waited = false;
      try {
        Meetings meetings(std::make_shared<RankFiles>(path, r, size), timeout);
        rank(r, meetings);
        over.arrive_and_wait();
        waited = true;
      } catch (const std::runtime_error& error) {
        said[static_cast<std::size_t>(r)] = error.what();
      }
      if (!waited) over.count_down();
    });
  threads.clear();
  return said;
}

/// A call of the others that never ends.
void call(Meetings& meetings) {
  const auto begin = Meetings::Clock::now();
  for (;;) meetings.keep_waiting("a sum", begin);
}

void check_names_only_rank_1(const std::string& said, const std::string& why) {
  CAPTURE(said);
  CHECK(said.starts_with("rank 1 of "));
  CHECK(said.find("process") != std::string::npos);
  CHECK(said.find(") did not answer after " + why) != std::string::npos);
  CHECK(said.find(", rank ") == std::string::npos);
}

}  // namespace

TEST_CASE("a rank that stops within a call is named by those that wait for it, and nobody else is") {
  const auto begin = Meetings::Clock::now();
  const auto said = said_by(3, 0.6, [](int r, Meetings& meetings) {
    meetings.meet();
    if (r != 1) call(meetings);
  });
  check_names_only_rank_1(said[0], "");
  check_names_only_rank_1(said[2], "");
  CHECK((said[0] + said[2]).find("it did not end for 0 s") != std::string::npos);
  CHECK(said[1] == "");
  CHECK(seconds_since(begin) < 6);  // once the timeout and once the roll, and room
}

TEST_CASE("who waits long comes to the roll of who does not, within the call and at the next meeting") {
  const auto begin = Meetings::Clock::now();
  const auto said = said_by(4, 60, [&](int r, Meetings& meetings) {
    meetings.meet();
    if (r == 0) throw meetings.lost("a sum", "a closed connection");
    if (r == 2) call(meetings);
    if (r == 3) meetings.meet();
  });
  check_names_only_rank_1(said[0], "a sum failed: a closed connection");
  check_names_only_rank_1(said[2], "a sum failed: another rank called the roll");
  check_names_only_rank_1(said[3], "a meeting failed: another rank called the roll");
  CHECK(seconds_since(begin) < 15);  // the roll takes 5 s, whatever the timeout
}

TEST_CASE("a rank that is already at the next meeting, or at its end, has not called the roll") {
  const auto said = said_by(3, 60, [](int r, Meetings& meetings) {
    meetings.meet();
    if (r == 2)
      for (const auto begin = Meetings::Clock::now(); seconds_since(begin) < 0.5;)
        meetings.keep_waiting("a sum", begin);
    meetings.meet();
  });
  for (const std::string& error : said) CHECK(error == "");

  const slowsde::test::Scratch scratch;
  const std::string path = (scratch.path() / "id").string();
  Meetings first(std::make_shared<RankFiles>(path, 0, 2), 60);
  RankFiles(path, 1, 2).arrive(1);  // it ends at once
  for (const auto begin = Meetings::Clock::now(); seconds_since(begin) < 0.3;)
    first.keep_waiting("a sum", begin);
}

TEST_CASE("where all ranks are there, the roll says so and ends at once") {
  const auto begin = Meetings::Clock::now();
  const auto said = said_by(3, 60, [](int, Meetings& meetings) {
    meetings.meet();
    throw meetings.lost("a sum", "a network that is down");
  });
  for (const std::string& error : said)
    CHECK(error == "all ranks answered after a sum failed: a network that is down");
  CHECK(seconds_since(begin) < 4);
}

TEST_CASE("a rank that an error ends does not come to the next meeting") {
  const auto said = said_by(3, 0.5, [](int r, Meetings& meetings) {
    meetings.meet();
    if (r == 1) throw std::runtime_error("its own");
    meetings.meet();
  });
  CHECK(said[1] == "its own");
  for (const std::string& error : {said[0], said[2]}) {
    CAPTURE(error);
    CHECK(error.starts_with("rank 1 of 3 ("));
    CHECK(error.find(") did not come for 0 s") != std::string::npos);
  }
}

TEST_CASE("impossible timeouts are refused") {
  CHECK_THROWS_AS(Meetings(std::shared_ptr<RankFiles>(), 0), std::invalid_argument);
}
