#include "slowsde/experiments/config.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "tests/support/scratch.hpp"

using slowsde::ConfigError;
using slowsde::ConfigKind;
using slowsde::ConfigTable;
using slowsde::test::Scratch;

namespace {

std::string message_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const ConfigError& e) {
    return e.what();
  }
  return "no error";
}

ConfigTable parse(const std::string& text, const std::vector<std::string>& sets = {}) {
  return ConfigTable::parse(text, "c.toml", sets);
}

const char* const ensemble = R"(kind = "ensemble"
seed = 7

[problem]
name = "valley"
a = 2

[[iterates]]
name = "SGD"
lr = { schedule = "constant", peak = 0.05 }

[[iterates]]
name = "Local SGD"
lr = 0.1
)";

// Reads what an experiment of this form would read.
void read_ensemble(ConfigTable& c) {
  c.get<std::string>("kind", "ensemble");
  c.get<std::uint64_t>("seed", 1);
  ConfigTable problem = c.table("problem");
  problem.require<std::string>("name");
  problem.get<double>("a", 1);
  problem.get<double>("b", 0.1);
  for (ConfigTable& iterates : c.tables("iterates")) {
    iterates.require<std::string>("name");
    if (iterates.kind("lr") == ConfigKind::table) {
      ConfigTable lr = iterates.table("lr");
      lr.get<std::string>("schedule", "constant");
      lr.positive<double>("peak");
    } else {
      iterates.positive<double>("lr");
    }
    iterates.at_least<int>("workers", 1, 1);
  }
}

}  // namespace

TEST_CASE("values are read with their types, integers as doubles where a double is asked") {
  ConfigTable c = parse(
      "b = true\ni = 3\nx = 2.5\nt = \"text\"\nl = [1, 2.5]\nm = [[1, 2], [3, 4.5]]\nw = [\"a\", \"b\"]\n");
  CHECK(c.get<bool>("b", false) == true);
  CHECK(c.get<int>("i", 0) == 3);
  CHECK(c.get<std::int64_t>("i", 0) == 3);
  CHECK(c.get<std::uint64_t>("i", 0) == 3);
  CHECK(c.get<double>("i", 0) == 3.0);
  CHECK(c.require<double>("x") == 2.5);
  CHECK(c.require<std::string>("t") == "text");
  CHECK(c.list<double>("l") == std::vector<double>{1, 2.5});
  CHECK(c.list<std::vector<double>>("m") == std::vector<std::vector<double>>{{1, 2}, {3, 4.5}});
  CHECK(c.list<std::string>("w") == std::vector<std::string>{"a", "b"});
  CHECK(c.list<int>("none", {4, 5}) == std::vector<int>{4, 5});
  CHECK(c.find<double>("absent") == std::nullopt);
  CHECK(c.find<double>("x") == 2.5);
  CHECK(c.kind("l") == ConfigKind::list);
  CHECK(c.kind("nothing") == ConfigKind::absent);
  CHECK_NOTHROW(c.finish());
}

TEST_CASE("a value of the wrong type is refused with file, line and column") {
  ConfigTable c =
      parse("x = 2.5\n[run]\nreplicas = \"many\"\nn = 3000000000\nlist = [1, \"a\"]\nneg = -1\nbad = nan\n");
  CHECK(message_of([&] { c.get<int>("x", 1); }) == "c.toml:1:1: x = 2.5 must be an integer");
  ConfigTable run = c.table("run");
  CHECK(message_of([&] { run.get<int>("replicas", 1); }) ==
        "c.toml:3:1: run.replicas = \"many\" must be an integer");
  CHECK(message_of([&] { run.get<double>("replicas", 1); }) ==
        "c.toml:3:1: run.replicas = \"many\" must be a number");
  CHECK(message_of([&] { run.get<bool>("replicas", true); }) ==
        "c.toml:3:1: run.replicas = \"many\" must be true or false");
  CHECK(message_of([&] { run.get<std::string>("n", ""); }) ==
        "c.toml:4:1: run.n = 3000000000 must be a text, in quotes");
  CHECK(message_of([&] { run.get<int>("n", 1); }) ==
        "c.toml:4:1: run.n = 3000000000 must be an integer <= 2147483647");
  CHECK(message_of([&] { run.get<std::uint64_t>("neg", 1); }) ==
        "c.toml:6:1: run.neg = -1 must be an integer >= 0");
  CHECK(message_of([&] { run.get<double>("bad", 1); }) == "c.toml:7:1: run.bad = nan must be a number");
  CHECK(message_of([&] { run.list<double>("list"); }) == "c.toml:5:12: run.list.1 = \"a\" must be a number");
  CHECK(message_of([&] { run.list<double>("n"); }) == "c.toml:4:1: run.n = 3000000000 must be a list");
  CHECK(message_of([&] { run.table("n"); }) == "c.toml:4:1: run.n = 3000000000 must be a table");
  CHECK(message_of([&] { run.tables("n"); }) ==
        "c.toml:4:1: run.n = 3000000000 must be a list of tables ([[run.n]])");
  CHECK(message_of([&] { run.tables("list"); }) == "c.toml:5:9: run.list.0 = 1 must be a table");
}

TEST_CASE("impossible values are refused with the violated inequality and the value") {
  ConfigTable c = parse("eta = -1\nK = 0\nzero = 0.0\ngood = 0.5\nbig = inf\nrule = \"qsr2\"\n");
  CHECK(message_of([&] { c.positive<double>("eta"); }) == "c.toml:1:1: eta = -1 must be > 0");
  CHECK(message_of([&] { c.at_least<int>("K", 1); }) == "c.toml:2:1: K = 0 must be >= 1");
  CHECK(message_of([&] { c.at_least<double>("eta", 0.25); }) == "c.toml:1:1: eta = -1 must be >= 0.25");
  CHECK(message_of([&] { c.positive<double>("zero"); }) == "c.toml:3:1: zero = 0.0 must be > 0");
  CHECK(message_of([&] { c.positive<double>("big"); }) == "c.toml:5:1: big = inf must be > 0");
  CHECK(c.positive<double>("good") == 0.5);
  CHECK(c.positive<double>("absent", 2) == 2);
  CHECK(message_of([&] {
          c.one_of("rule", {"constant", "qsr"});
        }) == "c.toml:6:1: rule = \"qsr2\" must be one of constant, qsr; did you mean 'qsr'?");
  CHECK(c.one_of("schedule", {"constant", "cosine"}, "cosine") == "cosine");
  CHECK(message_of([&] { c.check("good", false, "must be < eta"); }) ==
        "c.toml:4:1: good = 0.5 must be < eta");
  CHECK(message_of([&] {
          c.checked([]() -> int { throw std::invalid_argument("beta = 1\nmust be < 1"); });
        }) == "c.toml: beta = 1 must be < 1");
  CHECK(c.checked([] { return 3; }) == 3);
}

TEST_CASE("a key that nobody read is refused with its place and the nearest key that was read") {
  const auto finish = [](const std::string& text, const std::vector<std::string>& sets = {}) {
    return message_of([&] {
      ConfigTable c = parse(text, sets);
      read_ensemble(c);
      c.finish();
    });
  };
  const std::string good = ensemble;
  CHECK(finish(good) == "no error");
  CHECK(finish(good + "wrokers = 3\n") ==
        "c.toml:15:1: unknown key 'iterates.1.wrokers'; did you mean 'iterates.1.workers'?");
  CHECK(finish("sed = 1\n" + good) == "c.toml:1:1: unknown key 'sed'; did you mean 'seed'?");
  CHECK(finish(good + "[something_else]\nentirely = 3\n") ==
        "c.toml:16:1: unknown key 'something_else.entirely'");
  CHECK(finish(good + "[empty_table]\n") == "c.toml:15:2: unknown key 'empty_table'");
  CHECK(finish(good + "[[iterate]]\nzzzzzzzz = 2\n") ==
        "c.toml:16:1: unknown key 'iterate'; did you mean 'iterates'?");
  // one place deeper, in an inline table of a list's element
  std::string inline_typo = good;
  inline_typo.replace(inline_typo.find("schedule"), 8, "shedule");
  CHECK(finish(inline_typo) ==
        "c.toml:10:8: unknown key 'iterates.0.lr.shedule'; did you mean 'iterates.0.lr.schedule'?");
  // by --set: the same error, the set in the place of the file
  CHECK(finish(good, {"problem.nmae=3"}) ==
        "--set problem.nmae=3: unknown key 'problem.nmae'; did you mean 'problem.name'?");
}

TEST_CASE("a required key that is there under a mistyped name is reported as the mistyped one") {
  ConfigTable c = parse("[problm]\nname = \"valley\"\n");
  CHECK(message_of([&] { c.table("problem").require<std::string>("name"); }) ==
        "c.toml:2:1: unknown key 'problm.name'; did you mean 'problem.name'?");
  ConfigTable d = parse("[problem]\nnam = \"valley\"\nx = 3\n");
  CHECK(message_of([&] { d.table("problem").require<std::string>("name"); }) ==
        "c.toml:2:1: unknown key 'problem.nam'; did you mean 'problem.name'?");
  ConfigTable e = parse("[problem]\nx = 3\n[[iterates]]\nx = 1\n[[iterates]]\nlr = 1\n");
  CHECK(message_of([&] { e.table("problem").require<std::string>("name"); }) ==
        "c.toml:1:2: the key 'problem.name' is missing");
  // the same key of the next element is no misspelling
  CHECK(message_of([&] { e.tables("iterates")[0].require<double>("lr"); }) ==
        "c.toml:3:1: the key 'iterates.0.lr' is missing");
}

TEST_CASE("sets take TOML values, bare words, indices and names of elements") {
  ConfigTable c = parse(
      ensemble, {"seed=9", "problem.name=two-valleys", "problem.\"a\" = 0.5", "iterates.1.lr=0.2",
                 "iterates.SGD.lr.peak=1e-3", "iterates.0.workers=4", "new.list=[1, 2]", "title=\"a=b\""});
  CHECK(c.get<std::uint64_t>("seed", 0) == 9);
  CHECK(c.table("problem").require<std::string>("name") == "two-valleys");
  CHECK(c.table("problem").require<double>("a") == 0.5);
  CHECK(c.tables("iterates")[1].require<double>("lr") == 0.2);
  CHECK(c.tables("iterates")[0].table("lr").require<double>("peak") == 1e-3);
  CHECK(c.tables("iterates")[0].table("lr").require<std::string>("schedule") == "constant");
  CHECK(c.tables("iterates")[0].require<int>("workers") == 4);
  CHECK(c.table("new").list<int>("list") == std::vector<int>{1, 2});
  CHECK(c.require<std::string>("title") == "a=b");

  CHECK(parse(ensemble, {"iterates.0.lr=0.1"}).tables("iterates")[0].require<double>("lr") == 0.1);
  CHECK(parse(ensemble, {"iterates.\"Local SGD\".lr=0.3"}).tables("iterates")[1].require<double>("lr") ==
        0.3);
}

TEST_CASE("a set that leads nowhere is refused") {
  const auto set = [](const std::string& text) { return message_of([&] { parse(ensemble, {text}); }); };
  CHECK(set("seed") == "--set seed: must be KEY=VALUE");
  CHECK(set("=3") == "--set =3: '' is not the name of a key");
  CHECK(set("a..b=3") == "--set a..b=3: 'a..b' is not the name of a key");
  CHECK(set("seed=") == "--set seed=: the value is missing (an empty text is \"\")");
  CHECK(set("seed.x=1") == "--set seed.x=1: 'seed' is not a table");
  CHECK(set("iterates.2.lr=1") ==
        "--set iterates.2.lr=1: 'iterates' has no element 2: it has 2, counted from 0");
  CHECK(set("iterates.99999999999.lr=1") ==
        "--set iterates.99999999999.lr=1: 'iterates' has no element 99999999999: it has 2, counted from 0");
  CHECK(set("iterates.SDG.lr=1") ==
        "--set iterates.SDG.lr=1: 'iterates' has no element named 'SDG'; did you mean 'SGD'?");
  CHECK(set("seed=[1, 2").substr(0, 19) == "--set seed=[1, 2: E");
  CHECK(set("seed=1\nproblem.a=3").substr(0, 28) == "--set seed=1 problem.a=3: th");
  CHECK(set("seed=2020-01-01") ==
        "--set seed=2020-01-01: dates and times have no use here; write a text in quotes");
}

TEST_CASE("a parent lies beneath: tables merge, everything else replaces") {
  Scratch dir;
  dir.write(
      "base/base.toml",
      "parent = \"deeper.toml\"\nseed = 2\n[run]\nreplicas = 10\nlist = [1, 2]\n[[iterates]]\nlr = 1\n");
  dir.write("base/deeper.toml", "title = \"deep\"\nseed = 1\n[run]\noutputs = 5\nreplicas = 1\n");
  const auto file = dir.write("child.toml",
                              "parent = \"base/base.toml\"\n[run]\nlist = [3]\nwrong = 1\n[[iterates]]\nlr = "
                              "2\n[[iterates]]\nlr = 3\n");
  ConfigTable c = ConfigTable::load(file, {"run.replicas=11"});
  CHECK(c.require<std::string>("title") == "deep");
  CHECK(c.require<int>("seed") == 2);
  CHECK(c.table("run").require<int>("replicas") == 11);
  CHECK(c.table("run").require<int>("outputs") == 5);
  CHECK(c.table("run").list<int>("list") == std::vector<int>{3});
  REQUIRE(c.tables("iterates").size() == 2);
  CHECK(c.tables("iterates")[1].require<int>("lr") == 3);
  CHECK(c.tables("iterates")[0].require<int>("lr") == 2);
  // an error names the file that holds the key, not the child
  CHECK(message_of([&] { c.table("run").get<std::string>("outputs", ""); }) ==
        (dir / "base/deeper.toml").string() + ":4:1: run.outputs = 5 must be a text, in quotes");
  CHECK(message_of([&] { c.finish(); }) == file.string() + ":4:1: unknown key 'run.wrong'");
}

TEST_CASE("a cycle of parents, a missing file and a directory are refused") {
  Scratch dir;
  const auto a = dir.write("a.toml", "parent = \"b.toml\"\n");
  dir.write("b.toml", "\nparent = \"./a.toml\"\n");
  CHECK(message_of([&] { ConfigTable::load(a); }) ==
        (dir / "b.toml").string() + ":2:1: '" + a.string() +
            "': is a parent of itself (the files inherit in a cycle)");
  const auto self = dir.write("self.toml", "parent = \"self.toml\"\n");
  CHECK(message_of([&] { ConfigTable::load(self); }).find("cycle") != std::string::npos);
  const auto orphan = dir.write("orphan.toml", "parent = \"none.toml\"\n");
  CHECK(message_of([&] { ConfigTable::load(orphan); }) ==
        orphan.string() + ":1:1: '" + (dir / "none.toml").string() + "': No such file or directory");
  CHECK(message_of([&] { ConfigTable::load(dir / "none.toml"); }) ==
        (dir / "none.toml").string() + ": No such file or directory");
  CHECK(message_of([&] { ConfigTable::load(dir.path()); }) ==
        dir.path().string() + ": is a directory, not a configuration");
  const auto number = dir.write("number.toml", "parent = 3\n");
  CHECK(message_of([&] { ConfigTable::load(number); }) ==
        number.string() + ":1:1: 'parent' must be the name of a file, in quotes");
}

TEST_CASE("a truncated or malformed file is refused in one line with its place") {
  Scratch dir;
  const std::string whole = ensemble;
  // cut in the middle of a text, of an inline table, of a section's name
  for (const std::size_t length :
       {whole.find("valley") + 3, whole.find("peak"), whole.find("iterates") + 4}) {
    const auto file = dir.write("cut.toml", whole.substr(0, length));
    const std::string message = message_of([&] { ConfigTable::load(file); });
    CHECK(message.substr(0, file.string().size() + 1) == file.string() + ":");
    CHECK(message != "no error");
    CHECK(message.find('\n') == std::string::npos);
  }
  CHECK(message_of([&] { parse("a = 1\na = 2\n"); }).substr(0, 9) == "c.toml:2:");
}

TEST_CASE("the effective configuration holds the defaults and loads to the same values") {
  ConfigTable c =
      parse(std::string(ensemble) +
            "\"odd key\" = \"quote \\\" slash \\\\ tab\\t bell\\u0007 é\"\nnumbers = [0.05, 1e-300, 0.1, "
            "-0.0, inf, 3]\nnested = [[1, 2], [3.5]]\nmixed = [1, \"a\", { x = 1 }]\n");
  read_ensemble(c);
  const std::string text = c.effective();
  ConfigTable again = ConfigTable::parse(text, "effective.toml");
  CHECK(again.table("problem").require<double>("b") == 0.1);  // the default is written
  CHECK(again.tables("iterates")[1].require<int>("workers") == 1);
  CHECK(text.find("0.05") != std::string::npos);
  CHECK(text.find("0.05000") == std::string::npos);
  ConfigTable second = again.tables("iterates")[1];
  CHECK(second.require<std::string>("odd key") == "quote \" slash \\ tab\t bell\a é");
  const auto numbers = second.list<double>("numbers");
  CHECK(numbers == std::vector<double>{0.05, 1e-300, 0.1, 0.0, std::numeric_limits<double>::infinity(), 3});
  CHECK(std::signbit(numbers[3]));
  CHECK(second.list<std::vector<double>>("nested") == std::vector<std::vector<double>>{{1, 2}, {3.5}});
  CHECK(again.effective() == text);  // a fixed point: nothing is lost or reordered
  ConfigTable reread = ConfigTable::parse(text, "effective.toml");
  read_ensemble(reread);
  CHECK(reread.effective() == text);
}

TEST_CASE("a default once read is the key's value") {
  ConfigTable c;
  CHECK(c.get<double>("dt", 0.5) == 0.5);
  CHECK(c.get<double>("dt", 0.25) == 0.5);
  CHECK(c.effective() == "dt = 0.5\n");
  CHECK(c.pristine().effective() == "");
}

TEST_CASE("a sweep's base and a suite's parts are read in place") {
  Scratch dir;
  dir.write(
      "base.toml",
      "kind = \"ensemble\"\ntitle = \"base\"\n[run]\nreplicas = 5\n[[iterates]]\nname = \"SGD\"\nlr = 1\n");
  const auto sweep =
      dir.write("sweep.toml", "kind = \"sweep\"\ntitle = \"mine\"\n[sweep]\nbase = \"base.toml\"\n");
  ConfigTable s = ConfigTable::load(sweep, {"iterates.SGD.lr=2"});
  CHECK(s.require<std::string>("kind") == "sweep");
  CHECK(s.table("sweep").require<std::string>("experiment") == "ensemble");
  CHECK(s.require<std::string>("title") == "mine");
  CHECK(s.tables("iterates")[0].require<int>("lr") == 2);
  CHECK(!s.table("sweep").has("base"));

  const auto suite = dir.write("suite.toml",
                               "kind = \"suite\"\nparts = [{ name = \"one\", config = \"base.toml\", seed = "
                               "3 }, { name = \"two\", config = \"sweep.toml\" }]\n");
  ConfigTable u = ConfigTable::load(suite, {"parts.one.run.replicas=6"});
  auto parts = u.tables("parts");
  REQUIRE(parts.size() == 2);
  CHECK(parts[0].require<std::string>("name") == "one");
  CHECK(parts[0].require<int>("seed") == 3);
  CHECK(parts[0].table("run").require<int>("replicas") == 6);
  CHECK(parts[1].table("run").require<int>("replicas") == 5);
  CHECK(parts[1].require<std::string>("kind") == "sweep");
  CHECK(ConfigTable::parse(u.effective(), "e").effective() == u.effective());
}

TEST_CASE("as a root, a table names its keys relative to itself") {
  ConfigTable c = parse("[[parts]]\nname = \"one\"\nsed = 1\n");
  ConfigTable part = c.tables("parts")[0].as_root();
  part.get<std::string>("name", "");
  part.get<int>("seed", 1);
  CHECK(message_of([&] { part.finish(); }) == "c.toml:3:1: unknown key 'sed'; did you mean 'seed'?");
  CHECK(part.effective() == "name = \"one\"\nsed = 1\nseed = 1\n");
}

TEST_CASE("copies with swept values share what was read, and only the defaults that they agree on") {
  ConfigTable c = parse("values = [0.5, { name = \"qsr\", alpha = 2 }]\n[rule]\nlocal = 3\nalpha = 1\n");
  const auto values = c.values("values");
  CHECK(values[0].number() == 0.5);
  CHECK(std::isnan(values[1].number()));
  CHECK(values[1].text() == "{ name = \"qsr\", alpha = 2 }");
  std::vector<ConfigTable> copies{c.pristine(), c.pristine()};
  copies[0].assign("lr", values[0]);
  copies[1].assign("lr", values[1]);
  copies[0].table("rule").get<int>("local", 0);
  copies[1].table("rule").get<int>("alpha", 0);
  for (ConfigTable& copy : copies) copy.table("rule").get<double>("same", 4);
  copies[0].table("rule").get<double>("dt", 0.1);
  copies[1].table("rule").get<double>("dt", 0.2);
  copies[1].table("fresh").get<int>("n", 1);
  c.absorb(copies);
  CHECK_NOTHROW(c.finish());
  CHECK(c.effective() ==
        "values = [0.5, { name = \"qsr\", alpha = 2 }]\n\n[rule]\nlocal = 3\nalpha = 1\nsame = "
        "4.0\n\n[fresh]\nn = 1\n");
}
