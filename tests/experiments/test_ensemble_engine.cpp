// Ensembles whose iterates run elsewhere and go on from record points, with plain loops in place of a GPU.
#include "slowsde/experiments/ensemble_engine.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "slowsde/experiments/first_digits.hpp"
#include "slowsde/experiments/problem_entry.hpp"
#include "slowsde/experiments/registry.hpp"
#include "slowsde/experiments/run_journal.hpp"
#include "tests/support/mlp_fit_loops.hpp"
#include "tests/support/run_config.hpp"
#include "tests/support/scratch.hpp"

using namespace slowsde;
using test::MlpFitLoop;
using test::MlpFitLoops;
using test::Scratch;

namespace {

/// What gpu-scale.toml asks, of a network that takes no time.
const std::string config = R"(kind = "sweep"
seed = 5
[sweep]
experiment = "ensemble"
zip = true
[[sweep.over]]
key = "iterates.0.lr"
name = "lr"
values = [0.1, 0.05]
[[sweep.over]]
key = "iterates.1.lr"
name = "lr of Local SGD"
values = [0.1, 0.05]
[[sweep.over]]
key = "iterates.1.rule.local_steps"
name = "H"
values = [5, 10]
[problem]
name = "perceptron"
[noise]
kind = "minibatch"
sigma = 0.3
[run]
replicas = 19
slow_time = 0.6
outputs = 3
observables = ["trace", "x3"]
samples = 7
segment = 8
[[iterates]]
name = "SGD"
workers = 3
local_batch = 2
rule = { name = "parallel" }
[[iterates]]
name = "Local SGD"
workers = 3
local_batch = 2
rule = { name = "constant" }
[[models]]
name = "SGD: with sampling"
of = "SGD"
moment = "sampling"
tolerance = 1e-3
)";

/// Replicas of a segment: whole packs.
int segment() { return (8 + native_width<double> - 1) / native_width<double> * native_width<double>; }

/// Of the points of the sweep, the iterates, the record points and the segments of 19 replicas.
int advances() { return 2 * 2 * 3 * ((19 + segment() - 1) / segment()); }

MlpFit perceptron() {
  const MlpShape shape{.widths = {3, 6, 1}};
  Dataset data = gaussian_inputs(5, 3, 1, 1);
  const MlpFit teacher(shape, data);
  set_targets(data, teacher, initial_parameters(shape, 2).data());
  return MlpFit(shape, data);
}

/// How often the kernels advanced, and after how many times they stop.
struct Device {
  MlpFitLoop loop = {};
  int calls = 0, most = std::numeric_limits<int>::max();
};

Result run(Device& device, Backend backend, RunJournal* journal = nullptr, int threads = 2,
           const std::vector<std::string>& sets = {}) {
  Registry registry = builtin_registry();
  auto entry = std::make_shared<ProblemEntry>();
  entry->make = [&](ConfigTable&) -> std::unique_ptr<ExperimentProblem> {
    const Eigen::VectorXd initial = initial_parameters(perceptron().shape(), 1);
    auto problem = std::make_unique<LargeProblem<MlpFit>>(
        perceptron(), std::vector<double>(initial.begin(), initial.end()));
    problem->set_kernels(
        std::make_unique<MlpFitLoops>(perceptron(), device.loop, &device.calls, device.most));
    return problem;
  };
  registry.problems.add("perceptron", "with loops for kernels", entry);
  ConfigTable table = ConfigTable::parse(config, "test.toml", sets);
  Progress progress;
  RunContext context{registry, progress};
  context.threads = threads;
  context.backend = backend;
  context.journal = journal;
  const Estimate estimate = estimate_experiment(table, context);
  table.finish();
  progress.start(estimate.work);
  const Result result = run_experiment(table, context);
  CHECK(test::near(progress.fraction(), 1, 1e-12));
  result.check();
  return result;
}

std::vector<std::uint64_t> bits_of(const Result& result) {
  std::vector<std::uint64_t> bits;
  for (const Variable& v : result.variables)
    for (const double x : v.data) bits.push_back(std::bit_cast<std::uint64_t>(x));
  return bits;
}

}  // namespace

TEST_CASE("iterates that run elsewhere end with the bits of the CPU's, in segments of any size") {
  Device none, device;
  const Result on_cpu = run(none, Backend::cpu);
  CHECK(none.calls == 0);
  CHECK(bits_of(run(device, Backend::cuda)) == bits_of(on_cpu));
  CHECK(device.calls == advances());
  for (const char* segment : {"run.segment=0", "run.segment=1", "run.segment=17", "run.segment=1000"}) {
    CAPTURE(segment);
    CHECK(bits_of(run(device, Backend::cuda, nullptr, 1, {segment})) == bits_of(on_cpu));
  }
  CHECK(on_cpu.summary.find("measured/predicted change") != std::string::npos);
}

TEST_CASE("with a flow on the device Phi is the CPU's to its tolerance, in segments of any size") {
  Device none, device{{.flow = test::LoopFlow::right}};
  const std::vector<double> on_cpu = run(none, Backend::cpu).variable("mean").data;
  const Result result = run(device, Backend::cuda);
  const auto difference = [&](const Result& other) {
    const std::vector<double>& mean = other.variable("mean").data;
    REQUIRE(mean.size() == on_cpu.size());
    double worst = 0;
    for (std::size_t i = 0; i < mean.size(); ++i) worst = std::max(worst, std::abs(mean[i] - on_cpu[i]));
    return worst;
  };
  CHECK(difference(result) <= 1e-6);
  CHECK(difference(result) > 0);  // its sums have an order of their own: it was not the CPU's
  for (const double distance : result.variable("distance").data) CHECK(distance <= 1e-12);
  for (const char* segment : {"run.segment=1", "run.segment=1000"})
    CHECK(bits_of(run(device, Backend::cuda, nullptr, 1, {segment})) == bits_of(result));
  Device stays{{.flow = test::LoopFlow::stays}};
  CHECK(difference(run(stays, Backend::cuda)) > 1e-4);
  // What the device gives up on is the CPU's, to the bit.
  Device gives_up{{.flow = test::LoopFlow::gives_up}};
  CHECK(bits_of(run(gives_up, Backend::cuda)) == bits_of(run(none, Backend::cpu)));
}

TEST_CASE("quantiles are those of the values of all replicas, at any time and wherever the iterates ran") {
  Device none, device;
  const std::vector<std::string> sets = {"run.quantiles=[0.25, 0.5, 0.9]", "run.samples=19"};
  const Result result = run(none, Backend::cpu, nullptr, 1, sets);
  CHECK(bits_of(run(device, Backend::cuda, nullptr, 2, sets)) == bits_of(result));
  const std::vector<double>& samples = result.variable("final_sample").data;
  const std::vector<double>& value = result.variable("quantile_value").data;
  const std::vector<double>&lower = result.variable("quantile_lower").data,
        &upper = result.variable("quantile_upper").data, &mean = result.variable("mean").data;
  const std::size_t S = result.dims.at("series"), P = result.dims.at("time"),
                    M = result.dims.at("observable");
  const std::size_t points = value.size() / (S * P * M * 3), kept = samples.size() / (points * S * M);
  REQUIRE(result.variable("quantile").data == std::vector<double>{0.25, 0.5, 0.9});
  REQUIRE(points == 2);
  const std::vector<double>& models = result.variable("is_model").data;
  for (std::size_t c = 0; c < points * S; ++c)
    for (std::size_t m = 0; m < M; ++m) {
      CAPTURE(c);
      const std::size_t last = (c * P + P - 1) * M + m;
      if (models[c % models.size()] == 1) {  // an ODE is its own quantile
        for (std::size_t q = 0; q < 3; ++q) {
          CHECK(value[last * 3 + q] == mean[last]);
          CHECK(lower[last * 3 + q] == mean[last]);
        }
        continue;
      }
      const auto begin = samples.begin() + static_cast<std::ptrdiff_t>((c * M + m) * kept);
      const auto expected =
          quantile_estimates({begin, begin + static_cast<std::ptrdiff_t>(kept)}, {0.25, 0.5, 0.9});
      for (std::size_t q = 0; q < 3; ++q) {
        CHECK(value[last * 3 + q] == expected[q].value);
        const auto same = [](double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); };
        CHECK(same(lower[last * 3 + q], expected[q].lower));
        CHECK(same(upper[last * 3 + q], expected[q].upper));
      }
      const std::size_t first = c * P * M + m;  // all replicas begin at one point
      CHECK(value[first * 3] == value[first * 3 + 2]);
      CHECK(value[last * 3] < value[last * 3 + 2]);
    }
}

TEST_CASE("an average over all replicas and a neighbour's noise change what such a run says") {
  Device right;
  const auto trace = [](const Result& result) { return result.variable("mean").data; };
  const std::vector<double> expected = trace(run(right, Backend::cpu));
  for (const MlpFitLoop& wrong :
       {MlpFitLoop{.one_average = true}, MlpFitLoop{.replica_shift = 1}, MlpFitLoop{.worker_shift = 1}}) {
    Device device{wrong};
    const std::vector<double> found = trace(run(device, Backend::cuda));
    REQUIRE(found.size() == expected.size());
    double difference = 0;
    for (std::size_t i = 0; i < found.size(); ++i)
      if (std::isfinite(expected[i])) difference = std::max(difference, std::abs(found[i] - expected[i]));
    CHECK(difference > 1e-4);
  }
}

TEST_CASE("a run that was stopped between record points goes on from them, and does nothing again") {
  Device straight;
  const std::vector<std::uint64_t> expected = bits_of(run(straight, Backend::cuda));
  for (const int stop : {0, 2, 11, advances() - 1}) {
    CAPTURE(stop);
    const Scratch dir;
    Device device{.most = stop};
    {
      RunJournal journal(dir / "pieces", "a run");
      CHECK_THROWS_AS(run(device, Backend::cuda, &journal), DeviceError);
    }
    CHECK(device.calls == stop + 1);
    RunJournal journal(dir / "pieces", "a run");
    CHECK((journal.found() >= static_cast<std::size_t>(stop)));
    device = {};
    CHECK(bits_of(run(device, Backend::cuda, &journal, 1)) == expected);
    CHECK(device.calls == advances() - stop);
  }
}

TEST_CASE("a run that was stopped anywhere else, too, ends with the bits of one that was not") {
  Device device;
  const std::vector<std::uint64_t> expected = bits_of(run(device, Backend::cuda));
  const Scratch dir;
  {
    RunJournal journal(dir / "pieces", "a run");
    CHECK(bits_of(run(device, Backend::cuda, &journal)) == expected);
  }
  const std::string whole = test::read_text(dir / "pieces");
  for (const double part : {0.1, 0.5, 0.9, 1.0}) {
    CAPTURE(part);
    dir.write("pieces", whole.substr(0, static_cast<std::size_t>(part * static_cast<double>(whole.size()))));
    device.calls = 0;
    RunJournal journal(dir / "pieces", "a run");
    CHECK(bits_of(run(device, Backend::cuda, &journal)) == expected);
    CHECK(device.calls < advances());
    CHECK((part < 1 || device.calls == 0));
  }
}

TEST_CASE("states that are there are taken for what they say") {
  Device device;
  const Scratch dir;
  const std::vector<std::uint64_t> expected = bits_of(run(device, Backend::cuda));
  {
    RunJournal journal(dir / "pieces", "a run");
    run(device, Backend::cuda, &journal);
  }
  {
    RunJournal journal(dir / "pieces", "a run");
    const auto of_another = journal.find("0/SGD@" + std::to_string(segment()) + ".1");
    REQUIRE(of_another.has_value());
    RunJournal(dir / "wrong", "a run").add("0/SGD@0.1", *of_another);  // in the first segment's place
  }
  RunJournal wrong(dir / "wrong", "a run");
  CHECK(wrong.found() == 1);
  CHECK(bits_of(run(device, Backend::cuda, &wrong)) != expected);
}

TEST_CASE("the ratio of the changes has the interval of both ensembles") {
  const auto series = [](double first, double last, double sd, std::uint64_t n) {
    EnsembleSeries s;
    s.deterministic = n == 0;
    s.points.resize(2);
    s.cells.resize(4);  // two observables, of which the second is looked at
    const auto cell = [&](double mean, double spread) {
      Moments m;
      for (std::uint64_t i = 0; i < std::max<std::uint64_t>(n, 1); ++i)
        m.add(mean + (n == 0 ? 0 : (i % 2 == 0 ? spread : -spread)));
      return m;
    };
    s.cells[1] = cell(first, 0);
    s.cells[3] = cell(last, sd);
    return s;
  };
  const EnsembleSeries iterates = series(10, 6, 0.5, 16), ode = series(10, 5, 0, 0),
                       sde = series(10, 5, 0.25, 64);
  const double se = 0.5 / std::sqrt(15.0), se_sde = 0.25 / std::sqrt(63.0), t_15 = 2.131449545559323;
  CHECK(test::near(change_ratio(iterates, ode, 1).value, 0.8, 1e-12));
  CHECK(test::near(change_ratio(iterates, ode, 1).half_width, t_15 * se / 5, 1e-9));
  CHECK(test::near(change_ratio(iterates, sde, 1).half_width, t_15 * std::hypot(se, 0.8 * se_sde) / 5, 1e-9));
  CHECK(change_ratio(ode, ode, 1).half_width == 0);
  CHECK(std::isnan(change_ratio(iterates, series(5, 5, 0, 0), 1).value));
  CHECK(std::isnan(change_ratio(series(10, 6, 0.5, 1), ode, 1).half_width));
}

TEST_CASE("gpu-scale.toml is 256 seeds in f64 at fixed eta H, and with less of everything it runs on a CPU") {
  const Scratch dir;
  const LabelledImages images = first_digits();
  std::string csv;
  for (int i = 0; i < images.count(); ++i) {
    for (int j = 0; j < images.pixels; ++j)
      csv +=
          std::to_string(static_cast<int>(images.values[static_cast<std::size_t>(i * images.pixels + j)])) +
          ",";
    csv += std::to_string(images.labels[static_cast<std::size_t>(i)]) + "\n";
  }
  dir.write("digits.csv", csv);
  const Registry registry = builtin_registry();
  Progress progress;
  RunContext context{registry, progress};
  context.threads = 2;
  const auto load = [&](std::vector<std::string> sets) {
    sets.push_back("problem.data=" + (dir / "digits.csv").string());
    ConfigTable table = ConfigTable::load("experiments/configs/gpu-scale.toml", sets);
    const Estimate estimate = estimate_experiment(table, context);
    table.finish();
    progress.start(estimate.work);
    return table;
  };
  ConfigTable whole = load({});
  CHECK(whole.table("run").get<int>("replicas", 0) >= 256);
  CHECK(whole.get<std::string>("precision", "") == "f64");

  ConfigTable part = load({"problem.samples=8", "problem.hidden=[10]", "run.replicas=2", "run.slow_time=0.5",
                           "run.outputs=2", "sweep.over.0.values=[0.05, 0.025]",
                           "sweep.over.1.values=[0.05, 0.025]", "sweep.over.2.values=[10, 20]",
                           "sweep.over.3.values=[0.05, 0.025]", "sweep.over.4.values=[100, 200]"});
  const Result result = run_experiment(part, context);
  const auto& eta = result.variable("eta").data;
  const auto& H = result.variable("local_steps").data;
  REQUIRE(eta.size() == 18);
  for (std::size_t p = 0; p < 2; ++p) {
    CHECK(test::near(eta[9 * p + 1] * H[9 * p + 1], 0.5, 1e-12));
    CHECK(test::near(eta[9 * p + 2] * H[9 * p + 2], 5, 1e-12));
  }
  // three of the iterates, each with its slow SDE and its theory with sampling, at both learning rates
  std::size_t ratios = 0;
  for (std::size_t at = 0; (at = result.summary.find("measured/predicted change", at)) != std::string::npos;
       ++at)
    ++ratios;
  CHECK(ratios == 12);
  for (const double residual : result.variable("distance").data) CHECK(residual <= 1e-10);
}
