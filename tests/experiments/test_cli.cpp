#include "slowsde/experiments/cli.hpp"

#include <doctest/doctest.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <regex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "slowsde/experiments/config.hpp"
#include "slowsde/experiments/result.hpp"
#include "slowsde/experiments/scaffold.hpp"
#include "tests/support/scratch.hpp"

namespace fs = std::filesystem;
using slowsde::test::read_text;
using slowsde::test::Scratch;

namespace {

struct Outcome {
  int status;
  std::string out, err;
};

// Runs a shell command in a directory.
Outcome shell(const Scratch& dir, const std::string& command) {
  const std::string line =
      "cd '" + dir.path().string() + "' && { " + command + "; } >.stdout 2>.stderr </dev/null";
  const int status = std::system(line.c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, read_text(dir / ".stdout"),
          read_text(dir / ".stderr")};
}

Outcome slowsde_program(const Scratch& dir, const std::string& arguments) {
  return shell(dir, std::string(SLOWSDE_PROGRAM) + " " + arguments);
}

Outcome program(const Scratch& dir, const std::string& arguments) {
  return shell(dir, std::string(SLOWSDE_TEST_PROGRAM) + " " + arguments);
}

// Exactly one line, which begins with "slowsde: ".
bool is_one_error(const std::string& text) {
  return text.rfind("slowsde: ", 0) == 0 && std::count(text.begin(), text.end(), '\n') == 1 &&
         text.back() == '\n';
}

const std::string line_config =
    "kind = \"line\"\ntitle = \"A line\"\nseed = 5\nslope = 2\n[run]\noutputs = 4\n";

}  // namespace

TEST_CASE("list, info and bench say what there is") {
  Scratch dir;
  Outcome list = slowsde_program(dir, "list");
  CHECK(list.status == 0);
  CHECK(list.out.find("sweep") != std::string::npos);
  CHECK(list.err.empty());
  CHECK(std::regex_search(program(dir, "list").out, std::regex("\\n  line +a straight line")));
  Outcome info = slowsde_program(dir, "info");
  CHECK(info.status == 0);
  for (const char* word : {"version", "compiler", "SIMD", "CPU features", "GPUs", "MPI", "NCCL"}) {
    CHECK(info.out.find(word) != std::string::npos);
  }
  Outcome bench = program(dir, "bench nothing --threads 2");
  CHECK(bench.status == 0);
  CHECK(std::regex_search(bench.out, std::regex("nothing +2 threads +1\\.5000 +2 counts")));
  CHECK(program(dir, "bench nothin").err == "slowsde: unknown benchmark 'nothin'; did you mean 'nothing'?\n");
  for (const char* command : {"list --json", "info --json", "bench nothing --json"}) {
    Outcome json = program(
        dir, std::string(command) + " | /usr/bin/python3 -c 'import json, sys; json.load(sys.stdin)'");
    CAPTURE(command);
    CHECK(json.status == 0);
  }
}

TEST_CASE("help shows the exit codes, and a wrong command line is one line and status 2") {
  Scratch dir;
  Outcome help = slowsde_program(dir, "--help");
  CHECK(help.status == 0);
  CHECK(help.out.find("4  every replica of a series diverged") != std::string::npos);
  CHECK(slowsde_program(dir, "run --help").status == 0);
  CHECK(slowsde_program(dir, "--version").out == "0.1.0\n");
  for (const char* arguments :
       {"", "rnu", "run", "run a.toml b.toml", "run x.toml --threads 0", "run x.toml --seed -1",
        "run x.toml --seed 9223372036854775808", "run x.toml --backend tpu", "run x.toml --sed 3", "plan",
        "new", "new problem", "plot", "report", "list extra"}) {
    CAPTURE(arguments);
    const Outcome o = slowsde_program(dir, arguments);
    CHECK(o.status == 2);
    CHECK(is_one_error(o.err));
    CHECK(o.out.empty());
  }
}

TEST_CASE("a run writes its directory, with the defaults in its configuration") {
  Scratch dir;
  dir.write("line.toml", line_config);
  const Outcome o = program(dir, "run line.toml --threads 2");
  CHECK(o.status == 0);
  CHECK(o.out == "slope 2.000000\nwrote results/line\n");
  CHECK(o.err.find("100 %") != std::string::npos);
  const fs::path run = dir / "results/line";
  const slowsde::Result result = slowsde::read_result(run / "result.nc");
  CHECK(result.variable("y").data == std::vector<double>{1, 3, 5, 7});
  CHECK(result.attributes.at("title") == "A line");
  CHECK(read_text(run / "config.toml").find("intercept = 1.0") != std::string::npos);
  CHECK(read_text(run / "run.json").find("\"exit_status\": 0") != std::string::npos);
  CHECK(read_text(run / "summary.txt") == "slope 2.000000\n");
  // and that configuration runs to the same file
  CHECK(program(dir, "run results/line/config.toml --out again --threads 1").status == 0);
  CHECK(read_text(dir / "again/result.nc") == read_text(run / "result.nc"));
  CHECK(read_text(dir / "again/config.toml") == read_text(run / "config.toml"));
}

TEST_CASE("an existing directory is refused; with --force it is kept aside") {
  Scratch dir;
  dir.write("line.toml", line_config);
  CHECK(program(dir, "run line.toml --out a --quiet").status == 0);
  const std::string before = read_text(dir / "a/run.json");
  Outcome o = program(dir, "run line.toml --out a --set slope=3");
  CHECK(o.status == 5);
  CHECK(o.err == "slowsde: a exists; --force moves it aside, --out names another\n");
  CHECK(read_text(dir / "a/run.json") == before);
  o = program(dir, "run line.toml --out a --set slope=3 --force --quiet");
  CHECK(o.status == 0);
  CHECK(o.out.empty());
  CHECK(o.err.empty());
  CHECK(slowsde::read_result(dir / "a/result.nc").variable("y").data[1] == 4.5);
  CHECK(read_text(dir / "a.~1~/run.json") == before);
  // a run that fails leaves the old one and nothing else
  o = program(dir, "run line.toml --out a --set fail=true --force --quiet");
  CHECK(o.status == 1);
  CHECK(o.err == "slowsde: the line broke\n");
  CHECK(slowsde::read_result(dir / "a/result.nc").variable("y").data[1] == 4.5);
  for (const auto& entry : fs::directory_iterator(dir.path())) {
    CHECK(entry.path().filename().string().find("partial") == std::string::npos);
  }
}

TEST_CASE("bad configurations are one line with the cause, and leave nothing behind") {
  Scratch dir;
  dir.write("line.toml", line_config);
  dir.write("typo.toml", line_config + "otuputs = 3\n");
  dir.write("cut.toml", line_config.substr(0, 20));
  dir.write("negative.toml", "kind = \"line\"\nslope = -1\n");
  dir.write("cycle.toml", "parent = \"cycle.toml\"\n");
  dir.write("kind.toml", "kind = \"lime\"\n");
  const std::pair<const char*, const char*> cases[] = {
      {"typo.toml", "slowsde: typo.toml:7:1: unknown key 'run.otuputs'; did you mean 'run.outputs'?\n"},
      {"negative.toml", "slowsde: negative.toml:2:1: slope = -1 must be > 0\n"},
      {"kind.toml", "slowsde: kind.toml:1:1: kind = \"lime\" is no experiment; did you mean 'line'?\n"},
      {"none.toml", "slowsde: none.toml: No such file or directory\n"},
      {"line.toml --set run.otputs=2",
       "slowsde: --set run.otputs=2: unknown key 'run.otputs'; did you mean 'run.outputs'?\n"},
      {"line.toml --set slope=steep", "slowsde: --set slope=steep: slope = \"steep\" must be a number\n"},
      {"line.toml --set run.outputs=0", "slowsde: --set run.outputs=0: run.outputs = 0 must be >= 1\n"},
      {"cut.toml", nullptr},
      {"cycle.toml", nullptr},
      {"line.toml --set slope", nullptr}};
  for (const auto& [arguments, expected] : cases) {
    CAPTURE(arguments);
    const Outcome o = program(dir, std::string("run ") + arguments);
    CHECK(o.status == 2);
    CHECK(is_one_error(o.err));
    CHECK(o.out.empty());
    if (expected) CHECK(o.err == expected);
  }
  CHECK(!fs::exists(dir / "results"));
}

TEST_CASE("an output directory that can not be written is refused before the run") {
  Scratch dir;
  dir.write("line.toml", line_config);
  dir.write("file", "in the way");
  const Outcome o = program(dir, "run line.toml --out file/run --set fail=true");
  CHECK(o.status == 5);
  CHECK(is_one_error(o.err));
  CHECK(o.err.find("Not a directory") != std::string::npos);
  CHECK(slowsde_program(dir, "list > /dev/full").status == 5);
}

TEST_CASE("a series all of whose replicas diverged is written, named, and status 4") {
  Scratch dir;
  dir.write("line.toml", line_config);
  const Outcome o = program(dir, "run line.toml --set slope=1000 --quiet");
  CHECK(o.status == 4);
  CHECK(o.err ==
        "slowsde: warning: line: 10 of 10 replicas diverged\n"
        "slowsde: every replica diverged of: line (the results are in results/line)\n");
  CHECK(read_text(dir / "results/line/run.json").find("\"exit_status\": 4") != std::string::npos);
}

TEST_CASE("the seed of the command line replaces that of the configuration and of every part") {
  Scratch dir;
  dir.write("line.toml", line_config);
  dir.write("suite.toml",
            "kind = \"suite\"\nparts = [{ name = \"a\", config = \"line.toml\" }, { name = \"b\", config = "
            "\"line.toml\", slope = 7 }]\n");
  CHECK(program(dir, "run line.toml --seed 9 --quiet").status == 0);
  CHECK(slowsde::read_result(dir / "results/line/result.nc").variable("seed").data[0] == 9);
  CHECK(program(dir, "run suite.toml --seed 11 --quiet").status == 0);
  for (const char* part : {"a", "b"}) {
    const slowsde::Result r = slowsde::read_result(dir / "results/suite" / part / "result.nc");
    CHECK(r.variable("seed").data[0] == 11);
    CHECK(fs::exists(dir / "results/suite" / part / "run.json"));
  }
  CHECK(slowsde::read_result(dir / "results/suite/result.nc").text_variable("part").data[1] == "b");
}

TEST_CASE("a dry run estimates and writes nothing") {
  Scratch dir;
  dir.write("line.toml", line_config);
  Outcome o = program(dir, "run line.toml --dry-run --set run.outputs=1000");
  CHECK(o.status == 0);
  CHECK(o.out.find("memory: about 8 kB") != std::string::npos);
  CHECK(!fs::exists(dir / "results"));
  o = program(dir, "run line.toml --dry-run --json");
  CHECK(o.out.find("\"work\": 4") != std::string::npos);
  CHECK(program(dir, "run line.toml --dry-run --set slpe=2").status == 2);
}

TEST_CASE("with --json the run is printed as JSON") {
  Scratch dir;
  dir.write("line.toml", line_config);
  const Outcome o = program(
      dir,
      "run line.toml --json --quiet | /usr/bin/python3 -c 'import json, sys; r = json.load(sys.stdin); "
      "assert r[\"directory\"] == \"results/line\" and r[\"run\"][\"seed\"] == 5, r'");
  CHECK(o.status == 0);
  CHECK(o.err.empty());
}

TEST_CASE("plan prints without a directory, writes one where --out names it, and refuses other kinds") {
  Scratch dir;
  dir.write(
      "plan.toml",
      "kind = \"plan\"\nworkers = 4\n[schedule]\nlr = 0.1\ntotal_steps = 1000\n[[rules]]\nname = \"ten\"\n"
      "rule = { name = \"constant\", local_steps = 10 }\n[spectrum]\nlambdas = [1]\n");
  const Outcome printed = slowsde_program(dir, "plan plan.toml");
  CHECK(printed.status == 0);
  CHECK(printed.err.empty());
  CHECK(std::regex_search(printed.out, std::regex("\\nten +100 +10\\.0 +10 ")));
  CHECK(!fs::exists(dir / "results"));
  const Outcome json =
      slowsde_program(dir,
                      "plan plan.toml --json --set rules.0.rule.local_steps=20 | /usr/bin/python3 -c "
                      "'import json, sys; print(json.load(sys.stdin)[\"rules\"][0][\"rounds\"])'");
  CHECK(json.out == "50\n");
  CHECK(slowsde_program(dir, "plan plan.toml --quiet").out.empty());
  CHECK(slowsde_program(dir, "plan plan.toml --out kept").status == 0);
  for (const char* file : {"result.nc", "config.toml", "run.json", "summary.txt"})
    CHECK(fs::exists(dir / "kept" / file));
  CHECK(slowsde_program(dir, "plan plan.toml --out kept").status == 5);
  CHECK(slowsde_program(dir, "plan plan.toml --out kept --force").status == 0);
  // the same by `run`, and from the effective configuration
  CHECK(slowsde_program(dir, "run plan.toml --quiet").status == 0);
  CHECK(read_text(dir / "results/plan/summary.txt") == read_text(dir / "kept/summary.txt"));
  CHECK(slowsde_program(dir, "plan kept/config.toml --out again --quiet").status == 0);
  CHECK(read_text(dir / "again/result.nc") == read_text(dir / "kept/result.nc"));
  const Outcome wrong = slowsde_program(dir, "plan plan.toml --set kind=ensemble");
  CHECK(wrong.status == 2);
  CHECK(is_one_error(wrong.err));
  CHECK(wrong.err.find("kind = \"ensemble\" must be \"plan\"") != std::string::npos);
  const Outcome typo = slowsde_program(dir, "plan plan.toml --set rules.0.rule.local_step=3");
  CHECK(typo.status == 2);
  CHECK(typo.err.find("did you mean 'rules.0.rule.local_steps'?") != std::string::npos);
}

TEST_CASE("a backend that is not there has its own status") {
  Scratch dir;
  dir.write("line.toml", line_config);
  const Outcome o = program(dir, "run line.toml --backend cuda");
  CHECK(o.status == 6);  // the tests' experiment has no device code, whatever the build has
  CHECK(is_one_error(o.err));
  CHECK(!fs::exists(dir / "results"));
}

TEST_CASE("an ensemble asked onto a GPU runs there or says why it can not") {
  Scratch dir;
  const std::string config = R"(kind = "ensemble"
[problem]
name = "NAME"
[run]
replicas = 20
slow_time = 0.01
outputs = 2
[[iterates]]
name = "SGD"
workers = 2
lr = { schedule = "constant", peak = 0.02 }
rule = { name = "constant", local_steps = 1 }
)";
  dir.write("valley.toml", std::regex_replace(config, std::regex("NAME"), "valley"));
  dir.write("sensing.toml", std::regex_replace(config, std::regex("NAME"), "matrix-sensing"));
  dir.write("factorization.toml", std::regex_replace(config, std::regex("NAME"), "matrix-factorization"));
  const Outcome info = slowsde_program(dir, "info --json");
  const bool has_gpu = info.out.find("\"why_no_gpu\": \"\"") != std::string::npos &&
                       info.out.find("\"cuda\": true") != std::string::npos;
  for (const std::string name : {"valley", "sensing"}) {  // a thread, and a group of them, for each worker
    CAPTURE(name);
    const Outcome o = slowsde_program(dir, "run " + name + ".toml --backend cuda --quiet --out " + name);
    CHECK(o.status == (has_gpu ? 0 : 6));
    CHECK(fs::exists(dir / name / "result.nc") == has_gpu);
    if (!has_gpu) CHECK(is_one_error(o.err));
  }
  // The outputs of this problem are neither.
  const Outcome o = slowsde_program(dir, "run factorization.toml --backend cuda --quiet --out factorization");
  CHECK(o.status == 6);
  CHECK(is_one_error(o.err));
  CHECK(!fs::exists(dir / "factorization"));
}

TEST_CASE("plot and report hand their arguments and their status through") {
  Scratch dir;
  for (const std::string name : {"plot", "report"}) {
    dir.write("plots/" + name + ".py", "import sys\nprint(sys.argv[1:])\nsys.exit(7)\n");
    const Outcome o = shell(dir, "SLOWSDE_PLOTS=plots " SLOWSDE_PROGRAM " " + name + " a 'b c' --format svg");
    CHECK(o.status == 7);
    CHECK(o.out == "['a', 'b c', '--format', 'svg']\n");
    const Outcome none = shell(dir, "SLOWSDE_PLOTS=nowhere " SLOWSDE_PROGRAM " " + name + " a");
    CHECK(none.status == 5);
    CHECK(is_one_error(none.err));
  }
}

TEST_CASE("new problem writes a header that compiles, and never overwrites") {
  Scratch dir;
  const Outcome o = slowsde_program(dir, "new problem Bowl");
  CHECK(o.status == 0);
  for (const char* file : {"Bowl.hpp", "Bowl.toml", "CMakeLists.txt", "README.md"}) {
    const std::string text = read_text(dir / "Bowl" / file);
    CHECK(text.find("Bowl") != std::string::npos);
    CHECK(text.find("NAME") == std::string::npos);
  }
  const std::string header = read_text(dir / "Bowl/Bowl.hpp");
  CHECK(std::count(header.begin(), header.end(), '\n') <= 30);
  CHECK_NOTHROW(slowsde::ConfigTable::load(dir / "Bowl/Bowl.toml"));
  dir.write("use.cpp",
            "#include \"Bowl/Bowl.hpp\"\n"
            "int main() { Bowl b; double t[2] = {0, 3}, f[1], y[1]; b.outputs(t, 0, f); b.targets(0, y); "
            "return b.samples() == 1 && f[0] == 3 && y[0] == 0 ? 0 : 1; }\n");
  const Outcome built =
      shell(dir, std::string(SLOWSDE_CXX_COMPILER) + " -std=c++20 -Wall -Wextra -Werror -I. -I" +
                     SLOWSDE_INCLUDE_FOLDER + " use.cpp -o use && ./use");
  CAPTURE(built.err);
  CHECK(built.status == 0);

  dir.write("Bowl/Bowl.hpp", "mine");
  const Outcome again = slowsde_program(dir, "new problem Bowl");
  CHECK(again.status == 5);
  CHECK(again.err == "slowsde: Bowl exists and is left as it is\n");
  CHECK(read_text(dir / "Bowl/Bowl.hpp") == "mine");
}

TEST_CASE("a name that can not be a C++ struct's is refused") {
  Scratch dir;
  for (const char* name : {"two-valleys", "3d", "class", "_x", "a__b", "'a b'", "../x", "''", "std"}) {
    CAPTURE(name);
    const Outcome o = slowsde_program(dir, std::string("new problem ") + name);
    CHECK(o.status == 2);
    CHECK(is_one_error(o.err));
  }
  CHECK_NOTHROW(slowsde::check_identifier("two_valleys2"));
}

TEST_CASE(
    "verify: the same files from any number of threads, others from another seed, nothing overwritten") {
  Scratch dir;
  const std::string claim = "verify --quiet --filter '^sparse-weights$' ";
  const Outcome one = slowsde_program(dir, claim + "--threads 1 --out one");
  CHECK(one.status == 0);
  CHECK(one.out.find("1 confirmed, 0 refuted, 0 inconclusive") != std::string::npos);
  CHECK(slowsde_program(dir, claim + "--threads 2 --out two").status == 0);
  CHECK(slowsde_program(dir, claim + "--seed 2 --out other").status == 0);
  const std::string json = read_text(dir / "one/verification.json");
  CHECK(json == read_text(dir / "two/verification.json"));
  CHECK(json != read_text(dir / "other/verification.json"));
  const slowsde::Result first = slowsde::read_result(dir / "one/result.nc"),
                        second = slowsde::read_result(dir / "two/result.nc"),
                        third = slowsde::read_result(dir / "other/result.nc");
  const std::vector<double>&measured = first.variable("measured").data,
        &seeded = third.variable("measured").data;
  CHECK(measured == second.variable("measured").data);
  REQUIRE(measured.size() == seeded.size());
  for (std::size_t i = 0; i < measured.size(); ++i) CHECK(measured[i] != seeded[i]);
  const Outcome again = slowsde_program(dir, claim + "--seed 3 --out one");
  CHECK(again.status == 5);
  CHECK(is_one_error(again.err));
  CHECK(read_text(dir / "one/verification.json") == json);
  CHECK(slowsde_program(dir, claim + "--seed 2 --out one --force").status == 0);
  CHECK(read_text(dir / "one/verification.json") == read_text(dir / "other/verification.json"));
  CHECK(slowsde_program(dir, claim + "--json").out == json);
  const Outcome none = slowsde_program(dir, "verify --filter nothing --out none");
  CHECK(none.status == 2);
  CHECK(is_one_error(none.err));
  CHECK_FALSE(fs::exists(dir / "none"));
}
