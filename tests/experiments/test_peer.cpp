#include "slowsde/experiments/peer.hpp"

#include <doctest/doctest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

using slowsde::Peer;
namespace fs = std::filesystem;

namespace {

/// A folder with one script, run by the shell in place of Python.
struct Script {
  fs::path folder;

  explicit Script(const std::string& text) {
    std::string name = (fs::temp_directory_path() / "slowsde-peer-XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    folder = name;
    std::ofstream(folder / "peer.py") << text;
    setenv("SLOWSDE_PYTHON", "/bin/sh", 1);
    setenv("SLOWSDE_PEERS", name.c_str(), 1);
  }
  ~Script() {
    unsetenv("SLOWSDE_PYTHON");
    unsetenv("SLOWSDE_PEERS");
    fs::remove_all(folder);
  }
};

}  // namespace

TEST_CASE("a peer says its forms, what they computed and which do not run, and answers windows with rates") {
  const Script script(
      "echo form quick 1.5 -2e-3\necho form slow 1.5\necho failed third no compiler here\necho ready Library "
      "9.8\n"
      "while read name seconds; do if [ $name = quick ]; then echo 300 0.5; else echo 10 2; fi; done\n");
  Peer peer("peer.py", "data", 2);
  CHECK(peer.absent().empty());
  CHECK(peer.version() == "Library 9.8");
  CHECK(peer.has("slow"));
  CHECK_FALSE(peer.has("third"));
  REQUIRE(peer.forms().size() == 2);
  CHECK(peer.forms()[0].name == "quick");
  CHECK(peer.forms()[0].check == std::vector<double>{1.5, -2e-3});
  CHECK(peer.forms()[1].name == "slow");
  CHECK(peer.failed().at("third") == "no compiler here");
  CHECK(peer.window("quick", 0.5) == 600);
  CHECK(peer.window("slow", 0.5) == 5);
  CHECK(peer.window("quick", 0.5) == 600);
}

TEST_CASE("a peer gets its data, threads and mode as options") {
  const Script script("echo form $(echo $* | tr ' ' _) 1\necho ready 1\nread line\n");
  Peer peer("peer.py", "some/where", 3);
  REQUIRE(peer.forms().size() == 1);
  CHECK(peer.forms()[0].name == "--data_some/where_--threads_3_--serve");
}

TEST_CASE("a peer that can not run is absent, with the reason, and no error") {
  {
    const Script script("exit 1\n");
    const Peer peer("peer.py", "data", 1);
    CHECK(peer.absent() == "no PyTorch in /bin/sh");
    CHECK(peer.forms().empty());
    CHECK(Peer("other.py", "data", 1).absent() == "other.py is not installed");
    setenv("SLOWSDE_PYTHON", "/no/such/python", 1);
    CHECK(Peer("peer.py", "data", 1).absent() == "no /no/such/python");
  }
  // One that ends before it is ready has not said all.
  const Script script("echo form quick 1\n");
  const Peer peer("peer.py", "data", 1);
  CHECK(peer.absent() == "no PyTorch in /bin/sh");
  CHECK(peer.forms().empty());
}

TEST_CASE("a peer that ends or answers nonsense while it is measured is an error") {
  {
    const Script script("echo form quick 1\necho ready 1\n");
    Peer peer("peer.py", "data", 1);
    CHECK_THROWS_WITH_AS(peer.window("quick", 0.1), "the peer that runs quick has ended", std::runtime_error);
  }
  const Script script("echo form quick 1\necho ready 1\nread line\necho 5 0\n");
  Peer peer("peer.py", "data", 1);
  CHECK_THROWS_WITH_AS(peer.window("quick", 0.1), "the peer that runs quick answered '5 0'",
                       std::runtime_error);
}
