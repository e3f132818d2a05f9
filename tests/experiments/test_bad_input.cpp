// Bad input to the program as a user runs it: one line that names the cause, the documented exit code, and
// what was there before left intact.
#include <doctest/doctest.h>
#include <sys/wait.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "slowsde/experiments/result.hpp"
#include "tests/support/replaced.hpp"
#include "tests/support/scratch.hpp"

namespace fs = std::filesystem;
using slowsde::test::read_text;
using slowsde::test::replaced;
using slowsde::test::Scratch;

namespace {

struct Outcome {
  int status;
  std::string out, err;
};

// `before`: shell words in front of the program's name.
Outcome program(const Scratch& dir, const std::string& arguments, const std::string& before = "") {
  const std::string line = "cd '" + dir.path().string() + "' && { " + before + " " + SLOWSDE_PROGRAM + " " +
                           arguments + "; } >.stdout 2>.stderr </dev/null";
  const int status = std::system(line.c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, read_text(dir / ".stdout"),
          read_text(dir / ".stderr")};
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// One line "slowsde: …" on standard error, nothing on standard output, nothing written.
void check_refused(const Scratch& dir, const std::string& arguments, int status, const std::string& cause) {
  CAPTURE(arguments);
  const Outcome o = program(dir, "run " + arguments + " --quiet --threads 1 --out refused");
  CAPTURE(o.err);
  CHECK(o.status == status);
  CHECK(o.out.empty());
  CHECK(o.err.rfind("slowsde: ", 0) == 0);
  CHECK(std::count(o.err.begin(), o.err.end(), '\n') == 1);
  CHECK(o.err.back() == '\n');
  CHECK(has(o.err, cause));
  CHECK(!fs::exists(dir / "refused"));
}

const std::string valley = R"(kind = "ensemble"
[problem]
name = "valley"
[start]
point = [1.5, 0.0]
[noise]
kind = "label"
sigma = 1.0
[run]
replicas = 20
slow_time = 0.2
outputs = 3
observables = ["trace", "x0"]
[[iterates]]
name = "SGD"
workers = 4
lr = 0.05
rule = { name = "constant", local_steps = 2 }
[[models]]
name = "theory"
moment = "psi"
)";

}  // namespace

TEST_CASE("a mistyped key or word is named with its file, its line and the nearest that there is") {
  const Scratch dir;
  const struct {
    const char *from, *to, *cause;
  } cases[] = {
      {"replicas =", "replica =", ":10:1: unknown key 'run.replica'; did you mean 'run.replicas'?"},
      {"slow_time", "slowtime", ":11:1: unknown key 'run.slowtime'; did you mean 'run.slow_time'?"},
      {"workers", "worker", ":16:1: unknown key 'iterates.0.worker'; did you mean 'iterates.0.workers'?"},
      {"lr =", "lrr =", ":17:1: unknown key 'iterates.0.lrr'; did you mean 'iterates.0.lr'?"},
      {"local_steps", "local_step", "did you mean 'iterates.0.rule.local_steps'?"},
      {"[noise]", "[nois]", "unknown key 'nois.kind'; did you mean 'noise.kind'?"},
      {"name = \"valley\"", "name = \"vally\"",
       ":3:1: problem.name = \"vally\" is no problem; did you mean 'valley'?"},
      {"name = \"valley\"", "name = \"valley\"\nslope = 2", ":4:1: unknown key 'problem.slope'"},
      {"\"psi\"", "\"pssi\"",
       ":21:1: models.0.moment = \"pssi\" is no second-moment model; did you mean 'psi'?"},
      {"moment = \"psi\"", "theory = \"slow-sd\"", "did you mean 'slow-sde'?"},
      {"moment = \"psi\"", "stepper = \"euler-maryama\"", "did you mean 'euler-maruyama'?"},
      {"moment = \"psi\"", "of = \"SDG\"", "models.0.of = \"SDG\" must name one of [[iterates]]"},
      {"\"constant\"", "\"constnt\"", ":18:10: iterates.0.rule.name = \"constnt\" must be one of"},
      {"lr = 0.05", "lr = { schedule = \"cosin\", peak = 0.1 }", "did you mean 'cosine'?"},
      {"\"trace\"", "\"trac\"",
       ":13:1: run.observables = [\"trac\", \"x0\"] is refused: 'trac' is no observable of this problem; did "
       "you "
       "mean 'trace'?"},
      {"\"x0\"", "\"x7\"", "'x7' does not exist, the problem has 2 components"},
      {"\"label\"", "\"labels\"",
       ":7:1: noise.kind = \"labels\" must be one of label, minibatch; did you mean 'label'?"},
      {"\"ensemble\"", "\"ensamble\"",
       ":1:1: kind = \"ensamble\" is no experiment; did you mean 'ensemble'?"}};
  for (const auto& c : cases) {
    dir.write("bad.toml", replaced(valley, c.from, c.to));
    check_refused(dir, "bad.toml", 2, c.cause);
    check_refused(dir, "bad.toml --dry-run", 2, std::string("bad.toml"));
  }
  dir.write("cut.toml", valley.substr(0, 40));
  check_refused(dir, "cut.toml", 2, "cut.toml:3:");
}

TEST_CASE("an impossible value is refused with the inequality that it violates, before anything is run") {
  const Scratch dir;
  dir.write("valley.toml", valley);
  const struct {
    const char *set, *cause;
  } cases[] = {{"iterates.0.workers=0", "iterates.0.workers = 0 must be >= 1"},
               {"iterates.0.local_batch=0", "iterates.0.local_batch = 0 must be >= 1"},
               {"iterates.0.rule.local_steps=0", "iterates.0.rule.local_steps = 0 must be >= 1"},
               {"iterates.0.lr=0", "iterates.0.lr = 0 must be > 0"},
               {"iterates.0.lr=-1", "iterates.0.lr = -1 must be > 0"},
               {"iterates.0.lr={peak=-0.1}", "iterates.0.lr.peak = -0.1 must be > 0"},
               {"iterates.0.lr=nan", "must be a number"},
               {"iterates.0.lr=inf", "must be > 0"},
               {"iterates.0.lr=1e-9", "more than 2^40 steps"},
               {"iterates.0.momentum={beta=1.0}", "iterates.0.momentum.beta = 1.0 must be < 1"},
               {"iterates.0.momentum={beta=-0.1}", "must be >= 0"},
               {"noise.sigma=-1", "noise.sigma = -1 must be >= 0"},
               {"run.replicas=1", "run.replicas = 1 must be >= 2"},
               {"run.replicas=1.5", "must be an integer"},
               {"run.outputs=1", "run.outputs = 1 must be >= 2"},
               {"run.slow_time=0", "run.slow_time = 0 must be > 0"},
               {"run.samples=21", "run.samples = 21 must be <= replicas"},
               {"models.0.dt=0", "models.0.dt = 0 must be > 0"},
               {"models.0.replicas=1", "models.0.replicas = 1 must be >= 2"},
               {"models.0.name=SGD", "models.0.name = \"SGD\" is taken by an earlier series"},
               {"models.0.geometry=gran", "must be one of"},
               {"start.point=[1.0]", "start.point = [1.0] must have 2 components"},
               {"start.point=[1.0,inf]", "must be finite"},
               {"seed=-1", "seed = -1 must be an integer >= 0"}};
  for (const auto& c : cases)
    check_refused(dir, "valley.toml --set '" + std::string(c.set) + "'", 2, c.cause);
  check_refused(dir,
                "valley.toml --set noise.kind=minibatch --set noise.replacement=false --set "
                "iterates.0.local_batch=2",
                2, "iterates.0");

  dir.write("full.toml",
            "[problem]\nname = \"curved-valley\"\ncovariance = [1.0, 2.0, 2.0, 1.0]\n[run]\nslow_time = "
            "0.1\n[[iterates]]\nname = \"SGD\"\nlr = 0.05\n[[models]]\nname = \"closed\"\n");
  check_refused(dir, "full.toml", 2, "full.toml:3:1: problem.covariance = [1.0, 2.0, 2.0, 1.0] is refused");
  check_refused(dir, "full.toml", 2, "positive semidefinite");
  check_refused(dir, "full.toml --set problem.covariance=[1.0,0.5,0.4,1.0]", 2, "Sigma = Sigma^T");
  check_refused(dir, "full.toml --set problem.covariance=[1.0]", 2, "must have 4 entries");
  const std::string definite = "full.toml --set problem.covariance=[1.0,0.0,0.0,1.0] ";
  check_refused(dir, definite + "--set models.0.theory=closed-form", 2, "needs label noise");
  check_refused(dir, definite + "--set models.0.theory=quasi-static --set models.0.alpha_squared=0", 2,
                "models.0.alpha_squared = 0 must be > 0");
  check_refused(dir, definite + "--set noise.kind=label", 2, "must be one of gaussian");
  check_refused(dir, "full.toml --set problem.name=ellipsoid --set problem.curvatures=[-1,1]", 2,
                "problem.curvatures = [-1, 1] must be > 0");
  dir.write("network.toml",
            "[problem]\nname = \"mlp-teacher\"\nsamples = 3\ninputs = 2\nhidden = [4]\n[run]\nslow_time = "
            "0.1\n[[iterates]]\nname = \"SGD\"\nlr = 0.05\n[[models]]\nname = \"theory\"\n");
  check_refused(dir, "network.toml --set problem.hidden=[0]", 2, "width >= 1 is violated by 0");
  check_refused(dir, "network.toml --set problem.init_gain=[1.0]", 2, "must have one entry per layer");
  check_refused(dir, "network.toml --set models.0.theory=conventional-sde", 2, "static dimension");
  check_refused(dir, "network.toml --set models.0.variant=no-ito", 2, "no terms to leave out");
}

TEST_CASE("slow times between averages that the steps do not divide are refused") {
  const Scratch dir;
  dir.write("alpha2.toml",
            "kind = \"qsr-error\"\n[problem]\nname = \"curved-valley\"\n[run]\nslow_time = 1.0\n"
            "alpha2 = [0.5, 0.25]\n");
  check_refused(dir, "alpha2.toml --set run.dt=0.1", 2,
                "alpha2.toml:6:1: run.alpha2 = [0.5, 0.25] is refused: coupled slow SDEs: alpha2 = 0.25 must "
                "be a multiple of dt = 0.1");
  check_refused(dir, "alpha2.toml --set run.alpha2=[0.4,0.2] --set run.dt=0.2", 2,
                "slow_time = 1 must be a multiple of alpha2 = 0.4");
  check_refused(dir, "alpha2.toml --set run.alpha2=[0.25,0.5]", 2, "must decrease");
  check_refused(dir, "alpha2.toml --set problem.curvature=inf", 2, "problem.curvature = inf is refused");
  check_refused(dir, "alpha2.toml --set problem.name=valley", 2, "ordinary differential equation");
}

TEST_CASE("a missing or truncated data file is named, with status 5; a sample beyond its end is named too") {
  const Scratch dir;
  dir.write("digits.toml",
            "[problem]\nname = \"mlp-digits\"\ndata = \"digits.csv\"\nsamples = 2\nhidden = [4]\n[run]\n"
            "slow_time = 0.1\n[[iterates]]\nname = \"SGD\"\nlr = 0.05\n");
  check_refused(dir, "digits.toml", 5, "digits.csv");
  std::string image;
  for (int j = 0; j < 64; ++j) image += std::to_string(j % 17) + ",";
  dir.write("digits.csv", image + "3\n" + image.substr(0, 50));
  check_refused(dir, "digits.toml", 5, "digits.csv:2: the file ends inside this line");
  dir.write("digits.csv", image + "3\n" + image.substr(0, 50) + "\n");
  check_refused(dir, "digits.toml", 5, "digits.csv:2: ");
  dir.write("digits.csv", image + "12\n");
  check_refused(dir, "digits.toml", 5, "digits.csv:1: ");
  dir.write("digits.csv", image + "3\n");
  check_refused(dir, "digits.toml", 2, "digits.toml:4:1: problem.samples = 2");
  dir.write("digits.csv", "");
  check_refused(dir, "digits.toml", 5, "is empty");
}

TEST_CASE("an output directory that can not be written is refused with status 5") {
  const Scratch dir;
  dir.write("valley.toml", valley);
  dir.write("file", "");
  for (const char* out : {"file/run", "/proc/run", "/dev/null"}) {
    CAPTURE(out);
    const Outcome o = program(dir, std::string("run valley.toml --quiet --out ") + out);
    CHECK(o.status == 5);
    CHECK(std::count(o.err.begin(), o.err.end(), '\n') == 1);
    const bool named =
        has(o.err, "Not a directory") || has(o.err, "/proc: can not write") || has(o.err, "/dev/null exists");
    CHECK(named);
  }
}

TEST_CASE("results already written stay as they are when a later run is refused or fails") {
  const Scratch dir;
  dir.write("valley.toml", valley);
  CHECK(program(dir, "run valley.toml --quiet --out kept").status == 0);
  const std::string before = read_text(dir / "kept/result.nc"), record = read_text(dir / "kept/run.json");
  const auto untouched = [&] {
    return read_text(dir / "kept/result.nc") == before && read_text(dir / "kept/run.json") == record;
  };
  CHECK(program(dir, "run valley.toml --quiet --out kept --seed 2").status == 5);
  CHECK(untouched());
  CHECK(program(dir, "run valley.toml --quiet --out kept --force --set iterates.0.lr=-1").status == 2);
  CHECK(untouched());
  // A run that can not write all of its results: no file may grow beyond 4 kB.
  const Outcome o = program(dir, "run valley.toml --quiet --out kept --force", "trap '' XFSZ; ulimit -f 8;");
  CAPTURE(o.err);
  CHECK(o.status == 5);
  CHECK(o.err.rfind("slowsde: ", 0) == 0);
  CHECK(std::count(o.err.begin(), o.err.end(), '\n') == 1);
  CHECK(untouched());
  for (const auto& entry : fs::directory_iterator(dir.path()))
    CHECK(!has(entry.path().filename().string(), "partial"));
  // A run that is killed leaves what was there.
  CHECK(program(dir, "run valley.toml --quiet --out kept --force --set run.slow_time=1e6",
                "timeout -s KILL 0.3")
            .status == 128 + 9);
  CHECK(untouched());
}

TEST_CASE("a replica that diverges is counted, reported and left out; a series without others has status 4") {
  const Scratch dir;
  dir.write("valley.toml", valley);
  // η·λ = 3.25·lr > 2 from the start: all diverge.
  Outcome o = program(
      dir, "run valley.toml --quiet --threads 2 --out all --set iterates.0.lr=2.0 --set run.slow_time=400");
  CHECK(o.status == 4);
  CHECK(o.out.empty());
  CHECK(has(o.err, "slowsde: warning: SGD: 20 of 20 replicas diverged and were left out\n"));
  CHECK(has(o.err, "slowsde: every replica diverged of: SGD (the results are in all)\n"));
  CHECK(has(o.err, "is beyond stability"));
  slowsde::Result result = slowsde::read_result(dir / "all/result.nc");
  CHECK(result.variable("diverged").data[2] == 20);  // (series, time)
  CHECK(result.variable("count").data[2] == 0);
  CHECK(std::isnan(result.variable("mean").data[2 * 2]));  // (series, time, observable)
  CHECK(result.variable("count").data[0] == 20);
  CHECK(has(read_text(dir / "all/run.json"), "\"exit_status\": 4"));

  // Near stability some replicas are carried away: they are left out and the others averaged.
  o = program(dir,
              "run valley.toml --quiet --out some --set run.replicas=200 --set iterates.0.lr=1.1 "
              "--set run.slow_time=40 --set 'start.point=[0.9,0.0]' --set 'models=[]'");
  CAPTURE(o.err);
  CHECK(o.status == 0);
  CHECK(has(o.err, "replicas diverged and were left out"));
  result = slowsde::read_result(dir / "some/result.nc");
  const double diverged = result.variable("diverged").data[2], count = result.variable("count").data[2];
  CHECK(diverged > 0);
  CHECK(count > 0);
  CHECK(diverged + count == 200);
  for (const double mean : result.variable("mean").data) CHECK(std::abs(mean) < 1e6);
}

TEST_CASE("a start off the manifold is warned of, and the slow models begin at the end of its flow") {
  const Scratch dir;
  dir.write("valley.toml", valley);
  CHECK(program(dir, "run valley.toml --quiet --out on").err.empty());
  const Outcome o = program(dir, "run valley.toml --quiet --out off --set 'start.point=[1.5,0.7]'");
  CHECK(o.status == 0);
  CHECK(has(o.err, "slowsde: warning: the start is not on the manifold of minimizers, |grad L| = "));
  const slowsde::Result result = slowsde::read_result(dir / "off/result.nc");
  // (series, time, observable): x0 of Φ(θ̄) and of the model agree at t = 0.
  const auto& mean = result.variable("mean").data;
  CHECK(std::abs(mean[1] - mean[3 * 2 + 1]) < 1e-9);
  CHECK(mean[1] < 1.45);
  // Two eigenvalues in the ratio of 10⁻⁵ to 6.5.
  const Outcome flat = program(
      dir,
      "run valley.toml --quiet --out flat --set problem.name=two-valleys "
      "--set problem.first_mean=1e-5 --set problem.first_amplitude=0 --set start.point=[0.5,0.0,0.0]");
  CHECK(has(flat.err, "ill-conditioned"));
}

TEST_CASE("a dry run says how long and how much, trains little and writes nothing") {
  const Scratch dir;
  dir.write("valley.toml", valley);
  const Outcome o = program(dir, "run valley.toml --dry-run --set run.replicas=100000");
  CHECK(o.status == 0);
  CHECK(has(o.out, "time:   about "));
  CHECK(has(o.out, "memory: about "));
  CHECK(o.err.empty());
  CHECK(!fs::exists(dir / "results"));
}
