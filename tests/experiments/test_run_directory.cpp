#include "slowsde/experiments/run_directory.hpp"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <set>

#include "slowsde/experiments/errors.hpp"
#include "tests/support/scratch.hpp"

namespace fs = std::filesystem;
using slowsde::IoError;
using slowsde::Result;
using slowsde::ResultPart;
using slowsde::RunDirectory;
using slowsde::RunRecord;
using slowsde::test::read_text;
using slowsde::test::Scratch;

namespace {

std::string message_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const IoError& e) {
    return e.what();
  }
  return "no error";
}

std::set<std::string> names_in(const fs::path& directory) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(directory)) names.insert(entry.path().filename().string());
  return names;
}

void run_once(const fs::path& out, const std::string& text, bool force = false) {
  RunDirectory run(out, force);
  run.write("summary.txt", text);
  run.commit();
}

// Runs f in a child process that then kills itself with SIGKILL, so no destructor runs.
void kill_after(const std::function<void()>& f) {
  const pid_t child = fork();
  if (child == 0) {
    f();
    kill(getpid(), SIGKILL);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE(WIFSIGNALED(status));
}

}  // namespace

TEST_CASE("a run appears whole under its name, with nothing beside it") {
  Scratch dir;
  RunDirectory run(dir / "a/b/run", false);
  run.write("sub/x.txt", "text");
  CHECK(!fs::exists(dir / "a/b/run"));
  CHECK(run.commit().empty());
  CHECK(read_text(dir / "a/b/run/sub/x.txt") == "text");
  CHECK(names_in(dir / "a/b") == std::set<std::string>{"run"});
}

TEST_CASE("an existing directory is refused and stays as it is") {
  Scratch dir;
  run_once(dir / "run", "old");
  CHECK(message_of([&] { run_once(dir / "run", "new"); }) ==
        (dir / "run").string() + " exists; --force moves it aside, --out names another");
  CHECK(message_of([&] { run_once((dir / "run").string() + "/", "new"); }) != "no error");
  CHECK(read_text(dir / "run/summary.txt") == "old");
  CHECK(names_in(dir.path()) == std::set<std::string>{"run"});
  dir.write("file", "a file");
  CHECK(message_of([&] { run_once(dir / "file", "new"); }) != "no error");
}

TEST_CASE("force keeps every former run aside") {
  Scratch dir;
  run_once(dir / "run", "first");
  run_once(dir / "run", "second", true);
  RunDirectory third(dir / "run", true);
  third.write("summary.txt", "third");
  CHECK(third.commit() == dir / "run.~2~");
  CHECK(read_text(dir / "run/summary.txt") == "third");
  CHECK(read_text(dir / "run.~1~/summary.txt") == "first");
  CHECK(read_text(dir / "run.~2~/summary.txt") == "second");
  CHECK(names_in(dir.path()) == std::set<std::string>{"run", "run.~1~", "run.~2~"});
}

TEST_CASE("force where there is nothing is a plain run") {
  Scratch dir;
  run_once(dir / "run", "first", true);
  CHECK(names_in(dir.path()) == std::set<std::string>{"run"});
}

TEST_CASE("a run that fails leaves neither directory nor temporary files") {
  Scratch dir;
  run_once(dir / "run", "old");
  {
    RunDirectory run(dir / "run", true);
    run.write("summary.txt", "half");
  }
  CHECK(names_in(dir.path()) == std::set<std::string>{"run"});
  CHECK(read_text(dir / "run/summary.txt") == "old");
}

TEST_CASE("a kill between the temporary files and the rename leaves the former run as it was") {
  Scratch dir;
  run_once(dir / "run", "old");
  kill_after([&] {
    RunDirectory run(dir / "run", true);
    run.write("summary.txt", "half");
  });
  CHECK(read_text(dir / "run/summary.txt") == "old");
  kill_after([&] {
    RunDirectory run(dir / "other", false);
    run.write("summary.txt", "half");
  });
  CHECK(!fs::exists(dir / "other"));
  // and the remains are no obstacle
  run_once(dir / "run", "new", true);
  run_once(dir / "other", "new");
  CHECK(read_text(dir / "run.~1~/summary.txt") == "old");
  CHECK(read_text(dir / "other/summary.txt") == "new");
}

TEST_CASE("of two runs into one directory the later is kept aside, and both are whole") {
  Scratch dir;
  RunDirectory a(dir / "run", false), b(dir / "run", false);
  a.write("summary.txt", "a");
  b.write("summary.txt", "b");
  a.commit();
  CHECK(message_of([&] { b.commit(); }) == (dir / "run").string() +
                                               " was made by another run meanwhile; this run is in " +
                                               (dir / "run.~1~").string());
  CHECK(read_text(dir / "run/summary.txt") == "a");
  CHECK(read_text(dir / "run.~1~/summary.txt") == "b");
}

TEST_CASE("eight processes that force the same directory leave eight whole runs") {
  Scratch dir;
  std::vector<pid_t> children;
  for (int i = 0; i < 8; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      try {
        run_once(dir / "run", std::to_string(i), true);
      } catch (...) {
        _exit(1);
      }
      _exit(0);
    }
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
  }
  std::set<std::string> texts;
  for (const std::string& name : names_in(dir.path())) texts.insert(read_text(dir / name / "summary.txt"));
  CHECK(names_in(dir.path()).size() == 8);
  CHECK(texts.size() == 8);
}

TEST_CASE("a parent that can not be written is refused before anything is computed") {
  Scratch dir;
  dir.write("file", "in the way");
  CHECK(message_of([&] { RunDirectory(dir / "file/run", false); }) ==
        (dir / "file").string() + ": can not be made: Not a directory");
  CHECK(message_of([&] {
          RunDirectory("/proc/run", false);
        }).rfind("/proc: can not write a directory: ", 0) == 0);
  CHECK(message_of([&] { RunDirectory("/", true); }) == "'/' is no name for a run directory");
  CHECK(message_of([&] { RunDirectory("", true); }) == "'' is no name for a run directory");
}

TEST_CASE("a run directory holds its four files, and its parts' beneath") {
  Scratch dir;
  Result result;
  result.summary = "two parts\n";
  result.replicas = 10;
  result.diverged = 1;
  result.warnings = {"one \"replica\" diverged"};
  Result inner;
  inner.regime = "{\"eta_lambda\": 0.5}";
  inner.dims = {{"time", 2}};
  inner.add(slowsde::Variable{"t", "1", "slow time", {"time"}, {0, 1}});
  inner.diverged_series = {"SGD"};
  result.parts.push_back(ResultPart{"digits", "seed = 5\n", 5, 1.5, inner});
  RunRecord record;
  record.command = {"slowsde", "run", "x.toml"};
  record.started = slowsde::utc_now();
  record.exit_status = 4;

  RunDirectory run(dir / "run", false);
  run.write_run(result, "kind = \"suite\"\n", record);
  run.commit();
  const std::set<std::string> four{"config.toml", "result.nc", "run.json", "summary.txt"};
  CHECK(names_in(dir / "run/digits") == four);
  for (const std::string& name : four) CHECK(fs::exists(dir / "run" / name));
  CHECK(read_text(dir / "run/digits/config.toml") == "seed = 5\n");
  CHECK(slowsde::read_result(dir / "run/digits/result.nc").variable("t").data == std::vector<double>{0, 1});

  const std::string check =
      "import json, sys; r = json.load(open(sys.argv[1] + '/run.json')); "
      "p = json.load(open(sys.argv[1] + '/digits/run.json')); "
      "assert r['parts'] == ['digits'] and r['seed'] is None and r['diverged'] == 1, r; "
      "assert r['warnings'] == ['one \"replica\" diverged']; assert r['exit_status'] == 4; "
      "assert p['seed'] == 5 and p['regime']['eta_lambda'] == 0.5 and p['exit_status'] == 4, p; "
      "assert r['build']['compiler'] and r['hardware']['cores'] >= 1 and r['git_hash'], r; "
      "assert r['schema_version'] == 1 and r['command'] == ['slowsde', 'run', 'x.toml']";
  const auto script = dir.write("check.py", check);
  CHECK(std::system(("/usr/bin/python3 " + script.string() + " " + (dir / "run").string()).c_str()) == 0);
}

TEST_CASE("the time is written in UTC as ISO 8601") {
  const std::string now = slowsde::utc_now();
  REQUIRE(now.size() == 20);
  CHECK(now[4] == '-');
  CHECK(now[10] == 'T');
  CHECK(now.back() == 'Z');
}
