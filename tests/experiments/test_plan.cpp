#include "slowsde/experiments/plan.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "slowsde/experiments/errors.hpp"
#include "slowsde/experiments/progress.hpp"
#include "slowsde/experiments/registry.hpp"
#include "slowsde/sde/psi.hpp"
#include "tests/support/scratch.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;
using test::near_relative;

namespace {

Result planned(ConfigTable config) {
  const Registry registry = builtin_registry();
  Progress progress;
  RunContext context{registry, progress};
  estimate_experiment(config, context);
  config.finish();
  return run_experiment(config, context);
}

Result planned_file(const std::string& name, const std::vector<std::string>& sets = {}) {
  return planned(ConfigTable::load("experiments/configs/" + name, sets));
}

double of(const Result& result, const std::string& rule, const std::string& variable,
          std::size_t column = 0) {
  const auto& names = result.text_variable("rule").data;
  const Variable& v = result.variable(variable);
  const std::size_t width = v.data.size() / names.size();
  for (std::size_t i = 0; i < names.size(); ++i)
    if (names[i].rfind(rule, 0) == 0) return v.data[i * width + column];
  FAIL("no rule " << rule);
  return 0;
}

std::string refusal(const std::string& text) {
  try {
    planned(ConfigTable::parse(text, "c.toml"));
  } catch (const std::exception& e) {
    return e.what();
  }
  return "no error";
}

bool warned(const Result& result, const std::string& part) {
  for (const std::string& warning : result.warnings)
    if (warning.find(part) != std::string::npos) return true;
  return false;
}

const std::string small = R"(kind = "plan"
workers = 8
[schedule]
lr = 0.1
total_steps = 1000
[[rules]]
name = "parallel"
[[rules]]
name = "ten"
rule = { name = "constant", local_steps = 10 }
)";

}  // namespace

TEST_CASE("the shipped plans have the published communication, rounds for rounds") {
  const Result resnet = planned_file("plan-resnet152.toml"), vit = planned_file("plan-vit-b.toml");
  CHECK(of(resnet, "QSR, H_base 2", "rounds") == 24792);
  CHECK(of(resnet, "QSR, H_base 4", "rounds") == 12539);
  CHECK(of(resnet, "parallel", "rounds") == 62400);
  CHECK(of(vit, "QSR, H_base 4", "rounds") == 9711);
  CHECK(of(vit, "QSR, H_base 8", "rounds") == 6461);
  CHECK(of(vit, "parallel", "rounds") == 93600);
  CHECK(std::round(1000 * of(resnet, "QSR, H_base 2", "communication")) == 397);
  CHECK(std::round(1000 * of(resnet, "QSR, H_base 4", "communication")) == 201);
  CHECK(std::round(1000 * of(vit, "QSR, H_base 4", "communication")) == 104);
  CHECK(std::round(1000 * of(vit, "QSR, H_base 8", "communication")) == 69);
}

TEST_CASE("the shipped plans have the published hours at 25 Gbps and say what 10, 100 and 400 give") {
  const struct {
    const char* file;
    double parallel, qsr;
  } settings[] = {{"plan-vit-b.toml", 26.7, 20.2}, {"plan-vit-b-64.toml", 8.6, 5.5}};
  for (const auto& s : settings)
    for (const char* base : {"QSR, H_base 4", "QSR, H_base 8"}) {
      const Result plan =
          planned_file(s.file, {std::string("model.calibration.rules=['parallel', '") + base + "']"});
      CHECK(plan.variable("bandwidth").data == std::vector<double>{10, 25, 100, 400});
      CHECK(near_relative(of(plan, "parallel", "hours", 1), s.parallel, 1e-12));
      CHECK(near_relative(of(plan, base, "hours", 1), s.qsr, 1e-12));
      CHECK(near_relative(of(plan, base, "hours_error", 1), 0.05, 1e-9));  // a time given to 0.1 h
      for (std::size_t b = 0; b < 3; ++b) {
        CHECK(of(plan, "parallel", "hours", b) > of(plan, "parallel", "hours", b + 1));
        CHECK(of(plan, "parallel", "hours", b) - of(plan, base, "hours", b) >
              of(plan, "parallel", "hours", b + 1) - of(plan, base, "hours", b + 1));
      }
    }
}

TEST_CASE("the range of hours that the rounding of two times leaves is that of the corners") {
  const std::string rounding = "model.calibration.rounding=0.1";
  const Result middle = planned_file("plan-vit-b.toml", {rounding});
  double low = 1e9, high = 0;
  for (const char* hours : {"[26.65, 20.15]", "[26.65, 20.25]", "[26.75, 20.15]", "[26.75, 20.25]"}) {
    const Result corner = planned_file("plan-vit-b.toml", {std::string("model.calibration.hours=") + hours});
    low = std::min(low, of(corner, "constant 4", "hours", 2));
    high = std::max(high, of(corner, "constant 4", "hours", 2));
  }
  CHECK(near_relative(of(middle, "constant 4", "hours_error", 2), (high - low) / 2, 1e-9));
  CHECK(near_relative(of(middle, "constant 4", "hours", 2), (high + low) / 2, 1e-12));
}

TEST_CASE("a plan without a network and without eigenvalues counts; with them it predicts") {
  const Result counts = planned(ConfigTable::parse(small, "c.toml"));
  CHECK(of(counts, "ten", "rounds") == 100);
  CHECK(!counts.has("hours"));
  CHECK(!counts.has("multiplier"));
  const Result full = planned(ConfigTable::parse(
      small + "[[rules]]\nname = \"as ten\"\nas_much_as = \"ten\"\n"
              "[model]\nbytes = 1e9\nbandwidth_gbps = 10\nbandwidths_gbps = [10, 20]\nstep_seconds = 3.6\n"
              "[spectrum]\nlambdas = [0.5, 0.25]\n[target]\nextra_drift = 0.3\ncommunication = 0.5\n",
      "c.toml"));
  // 2·7/8 GB at 10 Gbit/s: 1.4 s
  CHECK(near_relative(of(full, "parallel", "hours", 0), 1 + 1000 * 1.4 / 3600, 1e-12));
  CHECK(near_relative(of(full, "ten", "hours", 1), 1 + 100 * 0.7 / 3600, 1e-12));
  CHECK(of(full, "ten", "hours_error", 1) == 0);
  CHECK(of(full, "as ten", "rounds") == 100);
  CHECK(full.text_variable("rule").data[2] == "as ten (H = 10)");
  const double m =
      (0.5 * (1 + 7 * psi(2 * 0.1 * 10 * 0.5)) + 0.25 * (1 + 7 * psi(2 * 0.1 * 10 * 0.25))) / 0.75;
  CHECK(near_relative(of(full, "ten", "multiplier", 7), m, 1e-12));
  CHECK(near_relative(of(full, "ten", "regularization"), 10 * m, 1e-12));
  CHECK(near_relative(of(full, "ten", "extra_drift"), (m - 1) / 7, 1e-12));
  CHECK(of(full, "parallel", "regularization") == full.variable("sgd_regularization").data[0]);
  CHECK(full.variable("answer_feasible").data[0] == 1);
  CHECK(full.variable("answer_extra_drift").data[0] >= 0.3);
  CHECK(full.summary.find("answer: qsr with alpha = ") != std::string::npos);
  CHECK(plan_json(full).find("\"answer_alpha\"") != std::string::npos);
}

TEST_CASE("targets that can not be met are said to be, with the nearest") {
  const Result plan = planned(ConfigTable::parse(
      small +
          "[spectrum]\nlambdas = [0.5]\n[target]\nextra_drift = 0.99\ncommunication = 0.01\nmax_steps = 20\n",
      "c.toml"));
  CHECK(plan.variable("answer_feasible").data[0] == 0);
  CHECK(plan.summary.find("answer: none up to alpha = ") != std::string::npos);
}

TEST_CASE("where the theory is out of range, the plan warns") {
  const std::string spectrum = "[spectrum]\nlambdas = [";
  CHECK(warned(planned(ConfigTable::parse(small + spectrum + "25]\n", "c.toml")), "is unstable"));
  CHECK(warned(planned(ConfigTable::parse(small + spectrum + "15]\n", "c.toml")), "near the limit"));
  CHECK(planned(ConfigTable::parse(small + spectrum + "5]\n", "c.toml")).warnings.empty());
  CHECK(
      !warned(planned(ConfigTable::parse(small + "[momentum]\nbeta = 0.9\n" + spectrum + "25]\n", "c.toml")),
              "is unstable"));
  const std::string swap = "[[rules]]\nname = \"one\"\nrule = { name = \"swap\", switch_step = 0 }\n";
  CHECK(warned(planned(ConfigTable::parse(small + swap + spectrum + "5]\n", "c.toml")),
               "'one': one round takes 100 %"));
  CHECK(warned(planned(ConfigTable::parse(small + swap + spectrum + "5]\n", "c.toml",
                                          {"schedule.lr={schedule='linear', peak=0.1, end=0.001}"})),
               "the learning rate changes by more than a fifth"));
  CHECK(refusal(small + spectrum + "25]\nmoment = \"finite-step\"\n").find("eta*lambda < 2") !=
        std::string::npos);
  const Result finite =
      planned(ConfigTable::parse(small + spectrum + "5]\nmoment = \"finite-step\"\n", "c.toml"));
  CHECK(near_relative(of(finite, "ten", "multiplier"), 1 + 7 * psi_finite(0.25, 10), 1e-12));
}

TEST_CASE("an engineer's log: its schedule, its times and a prediction for another rule") {
  const test::Scratch dir;
  std::string text = "step,lr,time,H\n";
  double seconds = 50;
  std::int64_t step = 0;
  char line[100];
  for (int i = 0; i <= 200; ++i) {
    const std::int64_t H = 2 + i / 10;
    std::snprintf(line, sizeof line, "%lld,%.6f,%.6f,%lld\n", static_cast<long long>(step),
                  0.1 * (1 - i / 250.0), seconds, static_cast<long long>(H));
    text += line;
    step += 5 * H;
    seconds += 5 * (static_cast<double>(H) * 0.3 + 0.8);
  }
  const std::string file = dir.write("run.csv", text).string();
  const std::string config = "kind = \"plan\"\nworkers = 4\n[log]\nfile = \"" + file + "\"\n" +
                             "[[rules]]\nname = \"parallel\"\n" +
                             "[model]\nbytes = 1e9\nbandwidth_gbps = 40\nbandwidths_gbps = [40, 80]\n";
  const Result plan = planned(ConfigTable::parse(config, "c.toml"));
  CHECK(near_relative(plan.variable("step_seconds").data[0], 0.3, 1e-6));
  CHECK(near_relative(plan.variable("average_seconds").data[0], 0.8, 1e-6));
  const double N = plan.variable("total_steps").data[0];
  CHECK(near_relative(of(plan, "parallel", "hours", 0), N * 1.1 / 3600, 1e-6));
  CHECK(near_relative(of(plan, "parallel", "hours", 1), N * 0.7 / 3600, 1e-6));
  CHECK(near_relative(of(plan, "as logged", "hours", 0), (seconds - 50 - 5 * (22 * 0.3 + 0.8)) / 3600, 1e-5));

  // H that never changes tells nothing apart; a time of the user's does
  std::string same = "step,lr,time,H\n0,0.1,0,4\n400,0.1,130,4\n800,0.1,261,4\n1200,0.1,390,4\n";
  dir.write("run.csv", same);
  const std::string message = refusal(config);
  CHECK(message.find("the log's H is always 4") != std::string::npos);
  CHECK(message.find("give step_seconds or average_seconds") != std::string::npos);
  const Result given = planned(ConfigTable::parse(config + "step_seconds = 0.3\n", "c.toml"));
  CHECK(near_relative(given.variable("average_seconds").data[0], 30.0 / 300, 1e-9));
  const Result average = planned(ConfigTable::parse(config + "average_seconds = 0.1\n", "c.toml"));
  CHECK(near_relative(average.variable("step_seconds").data[0], 0.3, 1e-9));
  CHECK(refusal(config + "step_seconds = 0.4\n").find("takes longer than the log's 390 s") !=
        std::string::npos);
  CHECK(refusal(config + "step_seconds = 0.3\naverage_seconds = 0.1\n").find("one too many") !=
        std::string::npos);
  dir.write("run.csv", "step,lr,time,H\n0,0.1,0,4\n4,0.1,x,4\n");
  CHECK(refusal(config).find("run.csv:3: wall time = 'x' is no finite number") != std::string::npos);
}

TEST_CASE(
    "a spectrum's file: its weights, what is not positive left out with a warning, errors with their line") {
  const test::Scratch dir;
  const std::string file = dir.write("s.csv", "weight,eigenvalue\n2,1\n3,0.1\n1,-0.2\n").string();
  const std::string config = small + "[spectrum]\nfile = \"" + file + "\"\n";
  const Result plan = planned(ConfigTable::parse(config, "c.toml"));
  CHECK(plan.variable("eigenvalue").data == std::vector<double>{1, 0.1});
  CHECK(plan.variable("weight").data == std::vector<double>{2, 3});
  CHECK(warned(plan, "1 of 3 eigenvalues are not positive (down to -0.2)"));
  dir.write("s.csv", "eigenvalue\n1\n0.5\n");
  CHECK(planned(ConfigTable::parse(config, "c.toml")).variable("weight").data == std::vector<double>{1, 0.5});
  dir.write("s.csv", "eigenvalue,weight\n1,-2\n");
  CHECK(refusal(config).find("s.csv:2: weight = -2 must be >= 0") != std::string::npos);
  dir.write("s.csv", "eigenvalue\n-1\n");
  CHECK(refusal(config).find("s.csv: has no eigenvalue > 0") != std::string::npos);
  dir.write("s.csv", "1\n2\n");
  CHECK(refusal(config).find("s.csv:1: no column is named eigenvalue") != std::string::npos);
}

TEST_CASE("a spectrum as numpy saves it: (n) eigenvalues or (n, 2) with their weights") {
  const test::Scratch dir;
  const auto write = [&](const std::string& shape, const std::vector<double>& values) {
    std::string header = "{'descr': '<f8', 'fortran_order': False, 'shape': " + shape + ", }";
    header += std::string(118 - 1 - header.size(), ' ') + "\n";
    std::string text = std::string("\x93NUMPY\x01\0\x76\0", 10) + header;
    for (const double v : values) text.append(reinterpret_cast<const char*>(&v), sizeof v);
    return dir.write("s.npy", text).string();
  };
  const std::string config = small + "[spectrum]\nfile = \"" + write("(2,)", {1, 0.5}) + "\"\n";
  CHECK(planned(ConfigTable::parse(config, "c.toml")).variable("weight").data == std::vector<double>{1, 0.5});
  write("(3, 2)", {1, 7, 0.5, 3, -0.1, 1});
  const Result plan = planned(ConfigTable::parse(config, "c.toml"));
  CHECK(plan.variable("eigenvalue").data == std::vector<double>{1, 0.5});
  CHECK(plan.variable("weight").data == std::vector<double>{7, 3});
  CHECK(warned(plan, "1 of 3 eigenvalues are not positive"));
  write("(1, 3)", {1, 2, 3});
  CHECK(refusal(config).find("s.npy: must have the shape (n)") != std::string::npos);
  write("(2, 2)", {1, 2, 3, -1});
  CHECK(refusal(config).find("s.npy: row 1: weight = -1 must be >= 0") != std::string::npos);
  write("(2,)", {1, std::nan("")});
  CHECK(refusal(config).find("s.npy: row 1 is not finite") != std::string::npos);
  write("(5,)", {1, 2});
  CHECK(refusal(config).find("s.npy") != std::string::npos);
}

TEST_CASE("a spectrum that a training took: of one run, at one time, all seeds together") {
  const test::Scratch dir;
  const double nan = std::nan("");
  Result run;
  run.dims = {{"series", 2}, {"sample", 2}, {"spectrum", 2}, {"node", 2}};
  run.add(TextVariable{"series", "", {"series"}, {"a", "b"}});
  run.add(Variable{"spectrum_at", "1", "", {"spectrum"}, {0, 1}});
  const std::vector<std::string> dims = {"series", "sample", "spectrum", "node"};
  run.add(Variable{"ritz_value", "1", "", dims, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 2, 0.5, 11, 12, 4, nan}});
  run.add(Variable{"ritz_weight", "1", "", dims, {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 3, 5, 1, 1, 2, nan}});
  const auto file = dir.path() / "result.nc";
  write_netcdf(run, file);
  const std::string config = small + "[spectrum]\nfile = \"" + file.string() + "\"\n";
  const Result plan = planned(ConfigTable::parse(config + "series = \"b\"\n", "c.toml"));
  CHECK(plan.variable("eigenvalue").data == std::vector<double>{2, 0.5, 4});
  CHECK(plan.variable("weight").data == std::vector<double>{6, 2.5, 8});
  CHECK(planned(ConfigTable::parse(config + "series = \"a\"\nat = 0.0\n", "c.toml"))
            .variable("eigenvalue")
            .data == std::vector<double>{1, 2, 5, 6});
  CHECK(refusal(config).find("series is required") != std::string::npos);
  CHECK(refusal(config + "series = \"c\"\n").find("'c' is none of") != std::string::npos);
  CHECK(refusal(config + "series = \"b\"\nat = 0.3\n").find("0.3 is none of the spectrum_at") !=
        std::string::npos);
  Result sweep = run;
  sweep.dims["point"] = 1;
  for (Variable& v : sweep.variables) v.dims.insert(v.dims.begin(), "point");
  std::filesystem::remove(file);
  write_netcdf(sweep, file);
  CHECK(refusal(config + "series = \"b\"\n").find("is a sweep") != std::string::npos);
  Result none;
  none.dims = {{"series", 1}};
  none.add(TextVariable{"series", "", {"series"}, {"a"}});
  std::filesystem::remove(file);
  write_netcdf(none, file);
  CHECK(refusal(config).find("holds no spectra") != std::string::npos);
}

TEST_CASE("a model without times is a volume, and no clock") {
  const Result plan = planned(ConfigTable::parse(small + "[model]\nparameters = 1000\n", "c.toml"));
  CHECK(of(plan, "parallel", "bytes_sent") == 2 * 7.0 / 8 * 4000 * 1000);
  CHECK_FALSE(plan.has("hours"));
  CHECK(plan.summary.find("sent") != std::string::npos);
  CHECK(refusal(small + "[model]\nparameters = 1000\nstep_seconds = 0.1\n").find("bandwidth_gbps") !=
        std::string::npos);
}

TEST_CASE("H(t), the learning rate and the multiplier stand in the summary and in the JSON") {
  const Result plan =
      planned(ConfigTable::parse(small + "[[rules]]\nname = \"late\"\nrule = { name = \"post-local\", "
                                         "local_steps = 20, switch_step = 500 }\n"
                                         "[spectrum]\nlambdas = [0.5]\n",
                                 "c.toml"));
  CHECK(plan.summary.find("H in the round of step") != std::string::npos);
  const std::string json = plan_json(plan);
  for (const char* name : {"step", "lr", "local_steps", "multiplier", "mean_multiplier", "late_multiplier"})
    CHECK(json.find("\"" + std::string(name) + "\"") != std::string::npos);
  CHECK(of(plan, "late", "mean_multiplier") > 1);
  CHECK(near_relative(of(plan, "late", "mean_multiplier") * plan.variable("sgd_regularization").data[0],
                      of(plan, "late", "regularization"), 1e-12));
  const std::size_t begin = plan.summary.find("\nlate"), row = plan.summary.find("\nlate", begin + 1);
  REQUIRE(row != std::string::npos);
  std::istringstream cells(plan.summary.substr(row + 5, plan.summary.find('\n', row + 1) - row - 5));
  const std::vector<int> H{std::istream_iterator<int>(cells), {}};
  CHECK(H == std::vector<int>{1, 1, 20, 20, 20, 20});
}

TEST_CASE("a wrong plan is refused with the place and the cause") {
  const struct {
    std::string text, cause;
  } cases[] = {
      {"kind = \"plan\"\nworkers = 1\n", "c.toml:2:1: workers = 1 must be >= 2"},
      {"kind = \"plan\"\nworkers = 2\n[schedule]\nlr = 0.1\n", "the key 'schedule.epochs' is missing"},
      {"kind = \"plan\"\nworkers = 2\n[schedule]\nlr = 0.1\ntotal_steps = 10\n",
       "a plan needs at least one [[rules]]"},
      {small + "[[rules]]\nname = \"ten\"\n", "rules.2.name = \"ten\" is taken by an earlier rule"},
      {small + "[[rules]]\nname = \"x\"\nas_much_as = \"y\"\n", "must name an earlier one of [[rules]]"},
      {small + "[model]\nbytes = 1e9\nbandwidth_gbps = 10\n", "the key 'model.step_seconds' is missing"},
      {small + "[model]\nbytes = 1e9\nbandwidth_gbps = 10\ncalibration = { hours = [2, 1], rules = "
               "[\"parallel\", "
               "\"twenty\"] }\n",
       "names 'twenty', which is none of [[rules]]"},
      {small + "[model]\nbytes = 1e9\nbandwidth_gbps = 10\ncalibration = { hours = [1, 2], rules = "
               "[\"parallel\", "
               "\"ten\"] }\n",
       "the measured times contradict it"},
      {small + "[model]\nbytes = 1e9\nbandwidth_gbps = 10\ncalibration = { hours = [1], rules = "
               "[\"parallel\"] }\n",
       "must have two entries"},
      {small +
           "[model]\nbytes = 1e9\nbandwidth_gbps = 10\nlatency = 1\ncalibration = { hours = [2, 1], rules = "
           "[\"parallel\", \"ten\"] }\n",
       "messages of the given latency take longer than an average"},
      {small + "[spectrum]\nlambdas = [1, -1]\n", "0 < eigenvalue < infinity is violated by -1"},
      {small + "[spectrum]\nlambdas = [1]\n[target]\nextra_drift = 1\n",
       "0 < extra_drift < 1 is violated by 1"},
      {small + "[spectrum]\nlambdas = [1]\nmoment = \"pssi\"\n", "did you mean 'psi'?"},
      {small + "[spectrum]\nlambda = [1]\n", "did you mean 'spectrum.lambdas'?"}};
  for (const auto& c : cases) {
    CAPTURE(c.text);
    const std::string message = refusal(c.text);
    CAPTURE(message);
    CHECK(message.find(c.cause) != std::string::npos);
  }
}
