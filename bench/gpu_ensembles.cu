// Measures the CUDA ensembles: W1, Local SGD on the valley with label noise, and W2, Euler–Maruyama on its
// slow SDE, over replicas, workers and steps; Local SGD with label noise on diagonal networks over their
// dimension, a block of threads for each worker; and the device's own limits. One CSV line a measurement;
// `bench/gpu.sh` adds peers and floors.
//   slowsde_bench_gpu list                                  names of the pieces, each of some minutes
//   slowsde_bench_gpu PIECE [most replicas, default 1e8]
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bench/gpu_row.hpp"
#include "slowsde/gpu/device_array.hpp"
#include "slowsde/gpu/device_info.hpp"
#include "slowsde/gpu/device_timer.cuh"
#include "slowsde/gpu/ensemble_kernels.hpp"
#include "slowsde/gpu/sde_kernels.cuh"
#include "slowsde/problems/diagonal_network.hpp"
#include "slowsde/problems/valley.hpp"
#include "slowsde/sde/valley_slow_sde.hpp"

namespace {

using slowsde::bench::GpuRow;
using slowsde::bench::print_gpu_row;
using slowsde::bench::worker_steps;

/// Measures the rows of a sweep one after the other, from small to large: the median of three by total time,
/// fewer where three would take more than a minute. The first row is run once more before, to load the
/// kernels. A row that would take longer than `patience`, by what the last one took, is said and left out.
class Sweep {
 public:
  explicit Sweep(const slowsde::Gpu& gpu) : gpu_(gpu) {}

  /// `cost`: what the time is expected to be proportional to.
  void measure(GpuRow row, double cost, const std::function<slowsde::ReducedEnsemble()>& run) {
    const double expected = rate_ > 0 ? cost / rate_ : 0;
    if (expected > patience) {
      std::fprintf(stderr, "%s %s, %llu replicas, %d workers, %lld steps: not measured: about %.0f s\n",
                   row.workload.c_str(), row.precision.c_str(), static_cast<unsigned long long>(row.replicas),
                   row.workers, static_cast<long long>(row.steps), expected);
      return;
    }
    if (rate_ == 0) run();
    std::vector<GpuRow> all;
    double spent = 0;
    while (all.size() < 3 && (all.empty() || spent < 60)) {
      const auto begin = std::chrono::steady_clock::now();
      const slowsde::ReducedEnsemble reduced = run();
      row.total_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
      row.kernel_seconds = reduced.kernel_seconds;
      row.mean = reduced.cells.back().mean;
      row.standard_error = reduced.cells.back().standard_error();
      all.push_back(row);
      spent += row.total_seconds;
    }
    std::sort(all.begin(), all.end(),
              [](const GpuRow& a, const GpuRow& b) { return a.total_seconds < b.total_seconds; });
    const GpuRow& median = all[all.size() / 2];
    rate_ = cost / median.total_seconds;
    print_gpu_row(gpu_, median, worker_steps(median));
  }

  const slowsde::Gpu& gpu() const { return gpu_; }

 private:
  static constexpr double patience = 240;  // seconds
  slowsde::Gpu gpu_;
  double rate_ = 0;
};

GpuRow row_of(const std::string& workload, const std::string& precision, std::uint64_t replicas, int workers,
              std::int64_t local_steps, std::int64_t steps) {
  GpuRow row;
  row.program = "slowsde";
  row.workload = workload;
  row.precision = precision;
  row.replicas = replicas;
  row.workers = workers;
  row.local_steps = local_steps;
  row.steps = steps;
  return row;
}

void w1(Sweep& sweep, const std::string& precision, std::uint64_t replicas, int workers, std::int64_t steps) {
  const GpuRow row = row_of("W1", precision, replicas, workers, 100, steps);
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
  sweep.measure(row, worker_steps(row),
                [&] { return kernels->reduce(ensemble, row.replicas, reduction, {}); });
}

/// Euler–Maruyama from x = 1.5 to t = 1.
template <class Sde>
void trajectories(Sweep& sweep, const char* workload, const std::string& precision, std::uint64_t paths,
                  std::int64_t steps) {
  const GpuRow row = row_of(workload, precision, paths, 1, 1, steps);
  slowsde::EnsembleOptions options;
  options.trajectories = row.replicas;
  options.output_times = {1.0};
  options.max_step = 1.0 / static_cast<double>(row.steps);
  const auto run = [&]<class Real>(Real) {
    return slowsde::sde_moments_on_device<slowsde::EulerMaruyama, Sde, Real, 1, 1>(slowsde::EulerMaruyama{},
                                                                                   Sde{}, options, {1.5});
  };
  sweep.measure(row, worker_steps(row), [&] { return row.precision == "f32" ? run(0.0f) : run(0.0); });
}

/// Samples of the diagonal networks; bench/gpu_csv.py knows the number, too.
constexpr int network_samples = 40;

void diagonal_network(Sweep& sweep, int d, const std::string& precision) {
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
  const GpuRow row = row_of("diagonal-network-" + std::to_string(d), precision, 256, 8, 10, 200);
  sweep.measure(row, worker_steps(row) * d,
                [&] { return kernels->reduce(ensemble, row.replicas, reduction, {}); });
}

/// dx = dW: what is left of W2 without its drift, so the rate of the normal draws alone.
struct NoiseAlone {
  static constexpr slowsde::NoiseClass noise = slowsde::NoiseClass::additive;
  static constexpr slowsde::Calculus calculus = slowsde::Calculus::ito;
  SLOWSDE_HD int dim() const { return 1; }
  SLOWSDE_HD int noise_dim() const { return 1; }
  template <class T>
  SLOWSDE_HD void drift(const T*, double, T* out) const {
    out[0] = T(0.0);
  }
  template <class T>
  SLOWSDE_HD void diffusion(const T*, double, T* S) const {
    S[0] = T(1.0);
  }
};

constexpr int chains = 8, chain_steps = 4096, chain_block = 256;

/// Chains of dependent multiply-adds, enough in each thread to hide their latency.
template <class Real>
__global__ void __launch_bounds__(chain_block) multiply_adds(Real factor, Real term, Real* out) {
  Real x[chains];
#pragma unroll
  for (int c = 0; c < chains; ++c) x[c] = static_cast<Real>(threadIdx.x + c);
  for (int k = 0; k < chain_steps; ++k) {
#pragma unroll
    for (int c = 0; c < chains; ++c) x[c] = fma(x[c], factor, term);
  }
  Real sum = 0;
#pragma unroll
  for (int c = 0; c < chains; ++c) sum += x[c];
  out[static_cast<std::size_t>(blockIdx.x) * chain_block + threadIdx.x] = sum;
}

/// The best of ten launches, in seconds.
template <class Launch>
double best_of_ten(Launch launch) {
  double best = std::numeric_limits<double>::infinity();
  for (int k = 0; k < 10; ++k) {
    slowsde::DeviceTimer timer;
    timer.start();
    launch();
    timer.stop();
    best = std::min(best, timer.seconds());
  }
  return best;
}

template <class Real>
void multiply_add_roof(const slowsde::Gpu& gpu, const char* precision) {
  const int blocks = 64 * gpu.multiprocessors;
  slowsde::DeviceArray<Real> out(static_cast<std::size_t>(blocks) * chain_block);
  GpuRow row = row_of("multiply-adds", precision, 1, 1, 1, 1);
  row.program = "roof";
  row.kernel_seconds = best_of_ten([&] {
    multiply_adds<Real>
        <<<blocks, chain_block>>>(static_cast<Real>(0.999), static_cast<Real>(1e-3), out.data());
    slowsde::check_launch("multiply-adds alone");
  });
  print_gpu_row(gpu, row, 2.0 * chains * chain_steps * chain_block * blocks);
}

/// What nothing on this device exceeds: operations (two for a multiply-add) and bytes (read and written) a
/// second, and normals a second by the generator that all simulations share.
void roofs(Sweep& sweep) {
  multiply_add_roof<float>(sweep.gpu(), "f32");
  multiply_add_roof<double>(sweep.gpu(), "f64");
  const std::size_t bytes = std::size_t{1} << 30;
  slowsde::DeviceArray<char> from(bytes), to(bytes);
  GpuRow row = row_of("copy", "bytes", 1, 1, 1, 1);
  row.program = "roof";
  row.kernel_seconds = best_of_ten([&] {
    slowsde::check_cuda(cudaMemcpyAsync(to.data(), from.data(), bytes, cudaMemcpyDeviceToDevice),
                        "copying on the device");
  });
  print_gpu_row(sweep.gpu(), row, 2.0 * static_cast<double>(bytes));
  for (const char* precision : {"f32", "f64"})
    trajectories<NoiseAlone>(sweep, "normals", precision, 4000000, 1000);
}

/// Numbers of steps of a sweep over them: multiples of W1's hundred local steps.
constexpr std::int64_t sweep_steps[] = {100, 300, 1000, 3000, 10000, 30000, 100000};

using Piece = std::pair<std::string, std::function<void(Sweep&, std::uint64_t)>>;

std::vector<Piece> pieces() {
  std::vector<Piece> all{{"roofs", [](Sweep& sweep, std::uint64_t) { roofs(sweep); }}};
  for (const std::string precision : {"f32", "f64"}) {
    all.push_back({"W1-" + precision + "-replicas", [precision](Sweep& sweep, std::uint64_t most) {
                     for (std::uint64_t replicas = 100; replicas <= most; replicas *= 10)
                       w1(sweep, precision, replicas, 8, 2000);
                   }});
    all.push_back({"W1-" + precision + "-workers", [precision](Sweep& sweep, std::uint64_t most) {
                     for (int workers = 8; workers <= 4096; workers *= 2)
                       w1(sweep, precision, std::min<std::uint64_t>(most, 10000), workers, 2000);
                   }});
    all.push_back({"W1-" + precision + "-steps", [precision](Sweep& sweep, std::uint64_t most) {
                     for (const std::int64_t steps : sweep_steps)
                       w1(sweep, precision, std::min<std::uint64_t>(most, 100000), 8, steps);
                   }});
    all.push_back({"W2-" + precision + "-replicas", [precision](Sweep& sweep, std::uint64_t most) {
                     for (std::uint64_t paths = 100; paths <= most; paths *= 10)
                       trajectories<slowsde::ValleySlowSde>(sweep, "W2", precision, paths, 1000);
                   }});
    all.push_back({"W2-" + precision + "-steps", [precision](Sweep& sweep, std::uint64_t most) {
                     for (const std::int64_t steps : sweep_steps)
                       trajectories<slowsde::ValleySlowSde>(sweep, "W2", precision,
                                                            std::min<std::uint64_t>(most, 1000000), steps);
                   }});
    all.push_back({"diagonal-network-" + precision, [precision](Sweep& sweep, std::uint64_t) {
                     for (const int d : {100, 300, 1000, 3000, 10000, 30000, 100000})
                       diagonal_network(sweep, d, precision);
                   }});
  }
  return all;
}

int usage() {
  std::fprintf(stderr, "usage: slowsde_bench_gpu list | PIECE [most replicas, from 100 to 1e10]\n");
  return 2;
}

int run(int argc, char** argv) {
  const double most = argc > 2 ? std::atof(argv[2]) : 1e8;
  if (argc < 2 || argc > 3 || !(most >= 100 && most <= 1e10)) return usage();
  const std::vector<Piece> all = pieces();
  if (argv[1] == std::string("list")) {
    for (const Piece& piece : all) std::printf("%s\n", piece.first.c_str());
    return 0;
  }
  const auto piece = std::find_if(all.begin(), all.end(), [&](const Piece& p) { return p.first == argv[1]; });
  if (piece == all.end()) return usage();
  const slowsde::GpuReport report = slowsde::find_gpus();
  if (report.gpus.empty()) {
    std::fprintf(stderr, "no GPU to measure: %s\n", report.why_none.c_str());
    return 77;
  }
  slowsde::bench::print_gpu_columns();
  Sweep sweep(report.gpus.front());
  piece->second(sweep, static_cast<std::uint64_t>(most));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "slowsde_bench_gpu: %s\n", e.what());
    return 1;
  }
}
