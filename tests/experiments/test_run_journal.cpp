#include "slowsde/experiments/run_journal.hpp"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bit>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "slowsde/experiments/errors.hpp"
#include "tests/support/replaced.hpp"
#include "tests/support/run_config.hpp"
#include "tests/support/scratch.hpp"

using namespace slowsde;
using test::Scratch;
namespace fs = std::filesystem;

namespace {

const std::string ensemble = R"(seed = 3
[problem]
name = "valley"
[start]
point = [1.5, 0.0]
[run]
replicas = 70
slow_time = 0.4
outputs = 3
samples = 37
observables = ["x0", "loss"]
[[iterates]]
name = "SGD"
workers = 4
lr = 0.1
[[iterates]]
name = "Local SGD"
workers = 4
lr = 0.1
rule = { name = "constant", local_steps = 8 }
[[models]]
name = "conventional"
of = "SGD"
theory = "conventional-sde"
)";

const std::string sweep = "kind = \"sweep\"\n" + ensemble + R"([sweep]
experiment = "ensemble"
[[sweep.over]]
key = "iterates.0.lr"
name = "lr"
values = [0.1, 0.05]
)";

const std::string training = R"(kind = "train"
data = { name = "gaussian-mixture", classes = 3, dim = 6, separation = 4.0, train = 120, test = 60 }
network = { hidden = [7], activation = "silu" }
train = { steps = 50, replicas = 3 }
measure = { records = 5, gap_samples = 60, trace_products = 12, sharpness_samples = 60 }
[[runs]]
name = "local"
workers = 4
local_batch = 5
lr = 0.1
rule = { name = "constant", local_steps = 7 }
)";

std::vector<std::uint64_t> bits_of(const Result& result) {
  std::vector<std::uint64_t> bits;
  for (const Variable& v : result.variables)
    for (const double x : v.data) bits.push_back(std::bit_cast<std::uint64_t>(x));
  return bits;
}

std::string message_of(const fs::path& file, std::string_view identity) {
  try {
    RunJournal journal(file, identity);
  } catch (const IoError& e) {
    return e.what();
  }
  return "";
}

}  // namespace

TEST_CASE("a run that was stopped anywhere ends with the bits of one that was not") {
  for (const std::string& config : {ensemble, sweep, training}) {
    const std::vector<std::uint64_t> straight = bits_of(test::run_config(config, 2));
    const Scratch dir;
    {
      RunJournal journal(dir / "pieces", "a run");
      CHECK(journal.found() == 0);
      CHECK(bits_of(test::run_config(config, 2, nullptr, &journal)) == straight);
    }
    const std::string whole = test::read_text(dir / "pieces");
    std::size_t all = 0;
    {
      RunJournal journal(dir / "pieces", "a run");
      all = journal.found();
      CHECK(all >= 3);
      CHECK(bits_of(test::run_config(config, 1, nullptr, &journal)) == straight);
    }
    CHECK(test::read_text(dir / "pieces") == whole);  // nothing was done again
    std::size_t last = 0;
    for (const double part : {0.0, 0.001, 0.3, 0.7, 0.9999}) {
      CAPTURE(part);
      dir.write("pieces", whole.substr(0, static_cast<std::size_t>(part * whole.size())));
      {
        RunJournal journal(dir / "pieces", "a run");
        CHECK(journal.found() >= last);
        CHECK(journal.found() < all);
        last = journal.found();
        CHECK(bits_of(test::run_config(config, 2, nullptr, &journal)) == straight);
      }
      CHECK(RunJournal(dir / "pieces", "a run").found() == all);
    }
    CHECK(last == all - 1);
  }
}

TEST_CASE("a piece that is there is taken for what it says") {
  const Scratch dir;
  const auto x0 = [](const Result& result) { return result.variable("mean").data; };
  const std::vector<double> straight = x0(test::run_config(ensemble));
  {
    RunJournal journal(dir / "pieces", "a run");
    test::run_config(ensemble, 1, nullptr, &journal);
  }
  std::string of_another;
  {
    RunJournal journal(dir / "pieces", "a run");
    of_another = *journal.find("SGD#1");
    CHECK(!journal.find("SGD#1000"));
    CHECK(!journal.find("sgd#1"));
  }
  {
    RunJournal journal(dir / "wrong", "a run");
    journal.add("SGD#0", of_another);  // the second batch in the first one's place
  }
  RunJournal wrong(dir / "wrong", "a run");
  CHECK(wrong.found() == 1);
  CHECK(x0(test::run_config(ensemble, 1, nullptr, &wrong)) != straight);
}

TEST_CASE("a run that is killed goes on where it was") {
  const std::string config = test::replaced(ensemble, "replicas = 70", "replicas = 40000");
  const Scratch dir;
  const pid_t child = fork();
  if (child == 0) {
    RunJournal journal(dir / "pieces", "a run");
    test::run_config(config, 1, nullptr, &journal);
    _exit(0);
  }
  std::error_code absent;
  for (int wait = 0; wait < 20000 && !(fs::file_size(dir / "pieces", absent) > 20000 && !absent); ++wait)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  kill(child, SIGKILL);
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE(WIFSIGNALED(status));
  RunJournal journal(dir / "pieces", "a run");
  CHECK(journal.found() > 0);
  CHECK(bits_of(test::run_config(config, 2, nullptr, &journal)) == bits_of(test::run_config(config, 2)));
  journal.remove();
  CHECK(!fs::exists(dir / "pieces"));
  journal.remove();  // as often as one likes
}

TEST_CASE("pieces of another run, of another process and of no run are refused and left as they are") {
  const Scratch dir;
  {
    RunJournal journal(dir / "pieces", "a run");
    journal.add("key", "bytes");
    CHECK(message_of(dir / "pieces", "a run").find("another process is at this run") != std::string::npos);
  }
  const std::string content = test::read_text(dir / "pieces");
  for (const std::string identity : {"another run", "a ru", "a run "}) {
    CAPTURE(identity);
    CHECK(message_of(dir / "pieces", identity).find("was begun with another configuration") !=
          std::string::npos);
    CHECK(test::read_text(dir / "pieces") == content);
  }
  dir.write("notes", "my notes, long enough not to be the beginning of anything that is ours");
  CHECK(message_of(dir / "notes", "a run").find("holds no pieces") != std::string::npos);
  CHECK(test::read_text(dir / "notes").starts_with("my notes"));
  dir.write("short", "my");
  CHECK(message_of(dir / "short", "a run").find("holds no pieces") != std::string::npos);
  CHECK(message_of(dir / "absent/pieces", "a run").find("can not be opened") != std::string::npos);
}

TEST_CASE("a damaged piece and all after it count as not there") {
  const Scratch dir;
  const std::vector<std::string> keys = {"a", "b", "c"};
  {
    RunJournal journal(dir / "pieces", "a run");
    for (const std::string& key : keys) journal.add(key, "the bytes of " + key);
  }
  const std::string whole = test::read_text(dir / "pieces");
  const std::size_t at = whole.find("the bytes of b");
  for (const std::size_t damaged : {at, at - 2, at - 10, at - 24}) {  // bytes, checksum and lengths
    CAPTURE(damaged);
    std::string text = whole;
    text[damaged] = static_cast<char>(text[damaged] ^ 0x40);
    dir.write("pieces", text);
    RunJournal journal(dir / "pieces", "a run");
    CHECK(journal.found() == 1);
    CHECK(*journal.find("a") == "the bytes of a");
    CHECK(!journal.find("b"));
  }
  RunJournal journal(dir / "pieces", "a run");
  CHECK(journal.found() == 1);  // what followed has been cut off
}

TEST_CASE("what is put into a piece is taken out of it, and no more") {
  std::string bytes;
  put(bytes, std::vector<double>{1.5, -0.0});
  put(bytes, std::vector<double>{});
  put(bytes, std::vector<std::uint64_t>{7});
  std::string_view rest = bytes;
  std::vector<double> x, none{1};
  std::vector<std::uint64_t> n;
  take(rest, x);
  take(rest, none);
  take(rest, n);
  CHECK(x == std::vector<double>{1.5, -0.0});
  CHECK(none.empty());
  CHECK(n == std::vector<std::uint64_t>{7});
  CHECK(rest.empty());
  CHECK_THROWS_AS(take(rest, x), std::logic_error);
  rest = std::string_view(bytes).substr(0, 12);
  CHECK_THROWS_AS(take(rest, x), std::logic_error);
}
