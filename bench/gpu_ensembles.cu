// Measures the CUDA ensembles: W1, Local SGD on the valley with label noise, and W2, Euler–Maruyama on its
// slow SDE, over replicas and workers; then Local SGD with label noise on diagonal networks over their
// dimension, a block of threads for each worker. One CSV line a measurement; `bench/gpu.sh` adds peers and
// floors.
//   slowsde_bench_gpu [most replicas, default 1e8]
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <exception>
#include <memory>
#include <string>
#include <vector>

#include "slowsde/gpu/device_info.hpp"
#include "slowsde/gpu/ensemble_kernels.hpp"
#include "slowsde/gpu/sde_kernels.cuh"
#include "slowsde/problems/diagonal_network.hpp"
#include "slowsde/problems/valley.hpp"
#include "slowsde/sde/valley_slow_sde.hpp"

namespace {

struct Measurement {
  double kernel_seconds, total_seconds, mean, standard_error;
};

struct Row {
  std::string workload, precision;
  std::uint64_t replicas;
  int workers;
  std::int64_t local_steps, steps;
};

/// The median of three by total time; a first run, not counted, loads the kernels.
template <class Run>
Measurement median(Run run) {
  run();
  std::vector<Measurement> all;
  double spent = 0;
  while (all.size() < 3 && (all.empty() || spent < 60)) {
    const auto begin = std::chrono::steady_clock::now();
    const slowsde::ReducedEnsemble reduced = run();
    const double total = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    const slowsde::Moments& x = reduced.cells.back();
    all.push_back({reduced.kernel_seconds, total, x.mean, x.standard_error()});
    spent += total;
  }
  std::sort(all.begin(), all.end(),
            [](const Measurement& a, const Measurement& b) { return a.total_seconds < b.total_seconds; });
  return all[all.size() / 2];
}

void print(const Row& row, const Measurement& m) {
  char date[32];
  const std::time_t now = std::time(nullptr);
  std::strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", std::gmtime(&now));
  const slowsde::Gpu gpu = slowsde::find_gpus().gpus.front();
  const double items = static_cast<double>(row.replicas) * row.workers * static_cast<double>(row.steps);
  std::printf("%s,%s,%d,%d,slowsde,%s,%s,%llu,%d,%lld,%lld,%.6g,%.6g,%.6g,%.6g,%.9g,%.3g\n", date,
              gpu.name.c_str(), gpu.multiprocessors, gpu.clock_khz / 1000, row.workload.c_str(),
              row.precision.c_str(), static_cast<unsigned long long>(row.replicas), row.workers,
              static_cast<long long>(row.local_steps), static_cast<long long>(row.steps), m.kernel_seconds,
              m.total_seconds, items / m.kernel_seconds, items / m.total_seconds, m.mean, m.standard_error);
  std::fflush(stdout);
}

void w1(const Row& row) {
  slowsde::IterateEnsemble ensemble;
  ensemble.algorithm.workers = row.workers;
  ensemble.algorithm.lr = slowsde::LearningRate::constant(0.01);
  ensemble.algorithm.rule = std::make_shared<slowsde::ConstantRule>(row.local_steps);
  ensemble.algorithm.total_steps = row.steps;
  ensemble.points = {{row.steps, 0}};
  ensemble.start = {1.5, 0.0};
  ensemble.single_precision = row.precision == "f32";
  slowsde::IterateReduction reduction;
  reduction.observables = {{slowsde::LaneObservable::Kind::component, 0}};
  reduction.bound = 1e6;
  const auto kernels = slowsde::make_ensemble_kernels(slowsde::Valley{});
  print(row, median([&] { return kernels->reduce(ensemble, row.replicas, reduction, {}); }));
}

void w2(const Row& row) {
  slowsde::EnsembleOptions options;
  options.trajectories = row.replicas;
  options.output_times = {1.0};
  options.max_step = 1.0 / static_cast<double>(row.steps);
  const auto run = [&]<class Real>(Real) {
    return slowsde::sde_moments_on_device<slowsde::EulerMaruyama, slowsde::ValleySlowSde, Real, 1, 1>(
        slowsde::EulerMaruyama{}, slowsde::ValleySlowSde{}, options, {1.5});
  };
  print(row, median([&] { return row.precision == "f32" ? run(0.0f) : run(0.0); }));
}

/// Samples of the diagonal networks; bench/gpu.sh knows the number, too.
constexpr int network_samples = 40;

void diagonal_network(int d, const std::string& precision) {
  const slowsde::DiagonalNetwork problem(slowsde::SparseRegression{network_samples, d / 2, 5, 1}.generate());
  slowsde::IterateEnsemble ensemble;
  ensemble.algorithm.workers = 8;
  ensemble.algorithm.lr = slowsde::LearningRate::constant(0.1 / d);
  ensemble.algorithm.rule = std::make_shared<slowsde::ConstantRule>(10);
  ensemble.algorithm.total_steps = 200;
  ensemble.points = {{200, 0}};
  ensemble.start.assign(static_cast<std::size_t>(d), 0.1);
  ensemble.single_precision = precision == "f32";
  slowsde::IterateReduction reduction;
  reduction.observables = {{slowsde::LaneObservable::Kind::norm, 0}};
  reduction.bound = 1e6;
  const auto kernels = slowsde::make_ensemble_kernels(problem);
  const Row row{"diagonal-network-" + std::to_string(d), precision, 256, 8, 10, 200};
  print(row, median([&] { return kernels->reduce(ensemble, row.replicas, reduction, {}); }));
}

int measure(std::uint64_t most) {
  const slowsde::GpuReport report = slowsde::find_gpus();
  if (report.gpus.empty()) {
    std::fprintf(stderr, "no GPU to measure: %s\n", report.why_none.c_str());
    return 77;
  }
  std::printf(
      "date,gpu,multiprocessors,clock_mhz,program,workload,precision,replicas,workers,local_steps,steps,"
      "kernel_seconds,total_seconds,per_second_kernel,per_second_total,mean,standard_error\n");
  for (const char* precision : {"f32", "f64"}) {
    for (std::uint64_t replicas = 100; replicas <= most; replicas *= 10)
      w1({"W1", precision, replicas, 8, 100, 2000});
    for (int workers = 16; workers <= 4096; workers *= 2)
      w1({"W1", precision,
          std::max<std::uint64_t>(
              1, std::min<std::uint64_t>(most, 8000000) / static_cast<std::uint64_t>(workers)),
          workers, 100, 2000});
    for (std::uint64_t replicas = 100; replicas <= most; replicas *= 10)
      w2({"W2", precision, replicas, 1, 1, 1000});
    for (const int d : {100, 300, 1000, 3000, 10000, 30000, 100000}) diagonal_network(d, precision);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const double most = argc > 1 ? std::atof(argv[1]) : 1e8;
    if (!(most >= 100 && most <= 1e10)) {
      std::fprintf(stderr, "usage: slowsde_bench_gpu [most replicas, from 100 to 1e10]\n");
      return 2;
    }
    return measure(static_cast<std::uint64_t>(most));
  } catch (const std::exception& e) {
    std::fprintf(stderr, "slowsde_bench_gpu: %s\n", e.what());
    return 1;
  }
}
