#include "slowsde/optim/rank_files.hpp"

#include <doctest/doctest.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "slowsde/optim/communicator.hpp"
#include "tests/support/scratch.hpp"

using slowsde::RankFiles;

TEST_CASE("all ranks get the bytes of rank 0, in whatever order they come, and leave no file") {
  const slowsde::test::Scratch scratch;
  const std::string path = (scratch.path() / "id").string();
  std::vector<std::array<std::byte, 128>> bytes(3);
  for (std::size_t i = 0; i < 128; ++i) bytes[0][i] = static_cast<std::byte>(3 * i);
  {
    std::vector<std::unique_ptr<RankFiles>> ranks;
    for (int r = 0; r < 3; ++r) ranks.push_back(std::make_unique<RankFiles>(path, r, 3));
    std::vector<std::jthread> threads;
    for (std::size_t r : {2u, 1u, 0u}) threads.emplace_back([&, r] { ranks[r]->share(bytes[r], 20); });
    threads.clear();
    CHECK(bytes[1] == bytes[0]);
    CHECK(bytes[2] == bytes[0]);
    for (auto& rank : ranks) rank->arrive(1);
    while (!ranks.empty()) ranks.pop_back();  // rank 0 last, for it waits for the others
  }
  CHECK(std::filesystem::is_empty(scratch.path()));
}

TEST_CASE("a rank that does not come to a meeting is named, those that came are not") {
  const slowsde::test::Scratch scratch;
  const std::string path = (scratch.path() / "id").string();
  RankFiles first(path, 0, 3), second(path, 1, 3), third(path, 2, 3);
  first.arrive(1);
  third.arrive(1);
  CHECK(first.absent(1) == "rank 1 of 3");  // it was never seen
  second.arrive(1);
  CHECK(first.absent(1) == "");
  first.arrive(2);
  second.arrive(2);
  const std::string absent = first.absent(2);
  CHECK(absent.find("rank 2 of 3 (") == 0);
  CHECK(absent.find("process") != std::string::npos);
  CHECK(absent.find("rank 1") == std::string::npos);
}

TEST_CASE("without rank 0 the others end with its name, and another run's file is refused and left alone") {
  const slowsde::test::Scratch scratch;
  const std::string path = (scratch.path() / "id").string();
  std::array<std::byte, 4> bytes{};
  RankFiles second(path, 1, 2);
  try {
    second.share(bytes, 0.1);
    FAIL_CHECK("rank 0 answered");
  } catch (const slowsde::LostRank& lost) {
    CHECK(std::string(lost.what()).find("rank 0 of 2") == 0);
  }
  std::ofstream(path) << "another run's";
  {
    RankFiles first(path, 0, 2);
    CHECK_THROWS_AS(first.share(bytes, 1), std::runtime_error);
  }
  CHECK(std::filesystem::exists(path));
  CHECK_THROWS_AS(RankFiles(path, 2, 2), std::invalid_argument);
}
