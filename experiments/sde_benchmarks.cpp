#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "slowsde/experiments/benchmark_window.hpp"
#include "slowsde/experiments/benchmarks.hpp"
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
std::vector<BenchmarkRow> rows_of(const std::string& precision, int threads, Moments& moments) {
  double seconds = 0, normals = 0;
  const double items = static_cast<double>(paths) * steps;
  for (int k = 0; k < rounds; ++k) {
    const auto begin = std::chrono::steady_clock::now();
    moments = simulate<T>(threads);
    const double spent = seconds_since(begin);
    if (k == 0 || spent < seconds) seconds = spent;
    normals = std::max(
        normals, normals_alone(sizeof(typename T::Scalar) == 4, static_cast<std::uint64_t>(items), threads));
  }
  return {{"W2 slowsde", precision, "path-steps", items, seconds,
           fmt::format("{:.0f} % of the normals alone", 100 * items / seconds / normals)},
          {"normals alone", precision, "normals", items, items / normals, ""}};
}

std::vector<BenchmarkRow> w2(int threads) {
  Moments f64, f32;
  std::vector<BenchmarkRow> rows = rows_of<Pack<double>>("f64", threads, f64);
  for (BenchmarkRow& row : rows_of<Pack<float>>("f32", threads, f32)) rows.push_back(std::move(row));
  rows[2].note += fmt::format("; means differ by {:.1f} SE",
                              (f32.mean - f64.mean) / std::hypot(f32.standard_error(), f64.standard_error()));
  return rows;
}

}  // namespace

void add_sde_benchmarks(Registry& registry) {
  registry.benchmarks.add("w2", "Euler-Maruyama on a slow SDE of Local SGD, beside its normal draws", w2);
}

}  // namespace slowsde
