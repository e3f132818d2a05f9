#include "slowsde/sde/thread_team.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <numeric>
#include <stdexcept>
#include <thread>
#include <vector>

using slowsde::ThreadTeam;

TEST_CASE("every member is called once in every phase, and a phase ends before the next begins") {
  for (const int size : {1, 2, 3, 5}) {
    ThreadTeam team(size);
    CHECK(team.size() == size);
    // Each member reads what its neighbour wrote in the phase before.
    std::vector<int> a(static_cast<std::size_t>(size), 0), b(a);
    const auto at = [&](std::vector<int>& v, int m) -> int& { return v[static_cast<std::size_t>(m)]; };
    for (int phase = 0; phase < 2000; ++phase) {
      team.run([&](int m) { at(b, m) = at(a, (m + 1) % size) + 1; });
      team.run([&](int m) { at(a, m) = at(b, m); });
    }
    for (const int x : a) CHECK(x == 2000);
  }
}

TEST_CASE("every index is taken once, by a member of the team") {
  for (const int size : {1, 2, 4}) {
    ThreadTeam team(size);
    for (const std::size_t count : {0, 1, 7, 100}) {
      std::vector<int> calls(count, 0), member(count, -1);
      team.for_each(count, [&](int m, std::size_t index) {
        ++calls[index];
        member[index] = m;
      });
      CHECK(calls == std::vector<int>(count, 1));
      for (const int m : member) CHECK((m >= 0 && m < size));
    }
  }
}

TEST_CASE("members that waited for long, asleep, are woken") {
  ThreadTeam team(2);
  int sum = 0;
  for (int phase = 0; phase < 3; ++phase) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    team.run([&](int m) {
      if (m == 1) std::this_thread::sleep_for(std::chrono::milliseconds(5));
      if (m == 1) ++sum;
    });
  }
  CHECK(sum == 3);
}

TEST_CASE("the exception of the lowest member is seen, after all have ended, and the team works on") {
  ThreadTeam team(3);
  for (int repetition = 0; repetition < 50; ++repetition) {
    std::vector<int> ran(3, 0);
    int seen = -1;
    try {
      team.run([&](int m) {
        ran[static_cast<std::size_t>(m)] = 1;
        if (m >= 1) throw m;
      });
    } catch (int m) {
      seen = m;
    }
    CHECK(seen == 1);
    CHECK(std::accumulate(ran.begin(), ran.end(), 0) == 3);
  }
  int calls = 0;
  team.run([&](int m) {
    if (m == 0) ++calls;
  });
  CHECK(calls == 1);
}

TEST_CASE("a team of none is refused") { CHECK_THROWS_AS(ThreadTeam(0), std::invalid_argument); }
