#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "slowsde/experiments/benchmark_window.hpp"
#include "slowsde/experiments/benchmarks.hpp"
#include "slowsde/experiments/config.hpp"
#include "slowsde/experiments/peer.hpp"
#include "slowsde/experiments/problem_entry.hpp"
#include "slowsde/experiments/registry.hpp"
#include "slowsde/optim/second_moment_catalogue.hpp"
#include "slowsde/sde/sde_ensemble.hpp"
#include "slowsde/sde/valley_slow_sde.hpp"

namespace slowsde {
namespace {

constexpr int paths = 100000, steps = 1000, rounds = 3;

template <class T>
Moments simulate(int threads) {
  EnsembleOptions options;
  options.trajectories = paths;
  options.output_times = {1.0};
  options.max_step = 1.0 / steps;
  options.threads = threads;
  return ensemble_moments<T>(
             EulerMaruyama{}, ValleySlowSde{}, options, [](std::size_t, double* x) { x[0] = 1.5; }, 1,
             [](const double* x, double* value) { value[0] = x[0]; })
      .at(0);
}

template <class T>
std::vector<BenchmarkRow> rows_of(const std::string& precision, int threads, Peer& numpy, Moments& moments) {
  double seconds = 0, normals = 0, numpy_rate = 0;
  const double items = static_cast<double>(paths) * steps;
  for (int k = 0; k < rounds; ++k) {
    const auto begin = std::chrono::steady_clock::now();
    moments = simulate<T>(threads);
    const double spent = seconds_since(begin);
    if (k == 0 || spent < seconds) seconds = spent;
    normals = std::max(
        normals, normals_alone(sizeof(typename T::Scalar) == 4, static_cast<std::uint64_t>(items), threads));
    if (numpy.has("numpy_" + precision))
      numpy_rate = std::max(numpy_rate, numpy.window("numpy_" + precision, 0.3));
  }
  std::vector<BenchmarkRow> rows{
      {"W2 slowsde", precision, "path-steps", items, seconds,
       fmt::format("{:.0f} % of the normals alone", 100 * items / seconds / normals)}};
  add_numpy(rows, numpy, numpy_rate, moments.mean, moments.standard_error());
  rows.push_back({"normals alone", precision, "normals", items, items / normals, ""});
  return rows;
}

std::vector<BenchmarkRow> w2(int threads) {
  Peer numpy("w2_numpy.py", "", threads, "NumPy");
  Moments f64, f32;
  std::vector<BenchmarkRow> rows = rows_of<Pack<double>>("f64", threads, numpy, f64);
  const std::size_t single = rows.size();
  for (BenchmarkRow& row : rows_of<Pack<float>>("f32", threads, numpy, f32)) rows.push_back(std::move(row));
  rows[single].note +=
      fmt::format("; means differ by {:.1f} SE",
                  (f32.mean - f64.mean) / std::hypot(f32.standard_error(), f64.standard_error()));
  return rows;
}

/// Steps of the slow SDE of a built-in problem, by packs or one trajectory after the other.
class SlowSteps {
 public:
  SlowSteps(const Registry& registry, const std::string& name) {
    ConfigTable table = ConfigTable::parse("", name);
    problem_ = (*registry.problems.find(name))->make(table);
    run_.moment = make_second_moment("psi");
    run_.round = [](double) { return Round{.eta = 0.05, .local_steps = 20, .workers = 4, .local_batch = 2}; };
    run_.noise = {.kind = NoiseKind::gaussian, .label_sigma = 0};
    run_.start = problem_->start();
    run_.times = {1.0};
    run_.dt = 0.01;
  }

  double rate(bool packs) const {
    const int trajectories = problem_->slow_width(run_);
    const RecordStates nothing = [](int, int, const double*) {};
    return window_rate(0.2, 100.0 * trajectories, [&] {
      if (packs)
        problem_->slow_trajectories(run_, 0, nothing);
      else
        for (int r = 0; r < trajectories; ++r)
          problem_->slow_trajectory(run_, static_cast<std::uint64_t>(r), nothing);
    });
  }

 private:
  std::unique_ptr<ExperimentProblem> problem_;
  SlowRun run_;
};

std::vector<BenchmarkRow> w5(int) {
  const Registry registry = builtin_registry();
  std::vector<BenchmarkRow> rows;
  for (const std::string name : {"curved-valley", "sphere"}) {
    const SlowSteps slow(registry, name);
    double packs = 0, single = 0;
    for (int k = 0; k < rounds; ++k) {
      packs = std::max(packs, slow.rate(true));
      single = std::max(single, slow.rate(false));
    }
    rows.push_back({"W5 packs, " + name, "f64", "slow steps", packs, 1,
                    fmt::format("{:.1f} times one by one", packs / single)});
    rows.push_back({"one by one, " + name, "f64", "slow steps", single, 1, ""});
  }
  return rows;
}

}  // namespace

void add_sde_benchmarks(Registry& registry) {
  registry.benchmarks.add("w2",
                          "Euler-Maruyama on a slow SDE of Local SGD, beside NumPy and its normal draws", w2);
  registry.benchmarks.add(
      "w5", "slow SDEs of small problems on one thread, packs beside one trajectory at a time", w5);
}

}  // namespace slowsde
