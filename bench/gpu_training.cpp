// Measures W3 on a GPU: Local SGD of an MLP 64-64-64-10 (tanh, cross-entropy), local batch 16, plain SGD,
// f32, the mean of the workers every 10 steps, over K workers and over steps, on both paths. One CSV line a
// measurement; the mean parameters after 100 steps are held against the CPU's trainer first.
//   slowsde_bench_gpu_training list                        names of the pieces, each of some minutes
//   slowsde_bench_gpu_training data DIR [most workers]     what the peers need, and the CPU's losses; no GPU
//   slowsde_bench_gpu_training PIECE [most workers, default 4096]
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "bench/gpu_row.hpp"
#include "slowsde/experiments/benchmarks.hpp"
#include "slowsde/gpu/device_info.hpp"
#include "slowsde/gpu/device_trainer.hpp"
#include "slowsde/optim/network_trainer.hpp"
#include "slowsde/sde/parallel.hpp"

namespace {

using namespace slowsde;

constexpr int checked_steps = 100;

std::vector<double> start_of(const W3Workload& w) { return {w.start.begin(), w.start.end()}; }

/// The mean parameters that the CPU's trainer ends in.
std::vector<float> train_on_cpu(const W3Workload& w) {
  const Network network = mlp_network(w.widths);
  NetworkTrainer<float> trainer(w.training(), start_of(w), NetworkOracle<float>::factory(w.task(network), 0),
                                available_threads());
  while (!trainer.finished()) trainer.round();
  return trainer.parameters();
}

double seconds_of(Trainer<float>& trainer, const TrainerState<float>& begin) {
  trainer.restore(begin);
  const auto start = std::chrono::steady_clock::now();
  while (!trainer.finished()) trainer.round();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Throws unless the parameters after 100 steps are the CPU's, but for rounding; returns their loss.
double checked_loss(const W3Workload& w, const std::string& path, const std::vector<float>& device) {
  const std::vector<float> cpu = train_on_cpu(w);
  double worst = 0;
  for (std::size_t j = 0; j < cpu.size(); ++j) {
    const double e = std::abs(static_cast<double>(device[j]) - static_cast<double>(cpu[j]));
    if (!(e <= worst)) worst = std::isnan(e) ? INFINITY : e;
  }
  if (!(worst <= 1e-4))
    throw std::runtime_error("W3 " + path + ", " + std::to_string(w.workers) +
                             " workers: parameters differ from the CPU's by " + std::to_string(worst));
  return w3_loss(w, device);
}

void measure(const Gpu& gpu, const std::string& path, int workers, int steps) {
  W3Workload w = made_up_w3(workers);
  w.steps = steps;
  const Network network = mlp_network(w.widths);
  const auto make = [&](double* kernel_seconds) {
    DeviceTrainerParams device;
    device.path = device_path(path);
    device.kernel_seconds = kernel_seconds;
    return make_device_trainer<float>(w.training(), start_of(w), w.task(network), 0, device);
  };
  bench::GpuRow row;
  row.program = "slowsde-" + path;
  row.workload = "W3";
  row.precision = "f32";
  row.workers = workers;
  row.local_steps = w.local_steps;
  row.steps = steps;

  const auto trainer = make(nullptr);
  const TrainerState<float> begin = trainer->state();
  double spent = seconds_of(*trainer, begin);  // loads the kernels, captures the graph
  if (steps == checked_steps) row.loss = checked_loss(w, path, trainer->parameters());
  std::vector<double> seconds;
  for (spent = 0; seconds.size() < 5 && (seconds.empty() || spent < 30); spent += seconds.back())
    seconds.push_back(seconds_of(*trainer, begin));
  std::sort(seconds.begin(), seconds.end());
  row.total_seconds = seconds[seconds.size() / 2];

  double kernel_seconds = 0;
  const auto timed = make(&kernel_seconds);
  seconds_of(*timed, begin);
  kernel_seconds = 0;
  seconds_of(*timed, begin);
  row.kernel_seconds = kernel_seconds;
  print_gpu_row(gpu, row, worker_steps(row));
}

void write_data(const std::filesystem::path& folder, int most) {
  std::filesystem::create_directories(folder);
  write_w3(made_up_w3(most), folder);
  std::ofstream losses(folder / "losses.csv");
  losses << "workers,loss\n";
  losses.precision(9);
  for (int workers = 8; workers <= most; workers *= 2) {
    const W3Workload w = made_up_w3(workers);
    losses << workers << ',' << w3_loss(w, train_on_cpu(w)) << '\n';
  }
  if (!losses.flush()) throw std::runtime_error("can not write " + (folder / "losses.csv").string());
}

int usage() {
  std::fprintf(
      stderr,
      "usage: slowsde_bench_gpu_training list | data DIR [most workers] | PIECE [most workers], from 8\n");
  return 2;
}

int run(int argc, char** argv) {
  const std::string command = argc > 1 ? argv[1] : "";
  const int number = command == "data" ? 3 : 2, most = argc > number ? std::atoi(argv[number]) : 4096;
  if (command.empty() || argc > number + 1 || argc < number || most < 8) return usage();
  if (command == "list") {
    for (const char* path : {"fused", "layered"}) std::printf("W3-%s-workers\nW3-%s-steps\n", path, path);
    return 0;
  }
  if (command == "data") {
    write_data(argv[2], most);
    return 0;
  }
  for (const std::string path : {"fused", "layered"}) {
    const bool over_workers = command == "W3-" + path + "-workers";
    if (!over_workers && command != "W3-" + path + "-steps") continue;
    const GpuReport report = find_gpus();
    if (report.gpus.empty()) {
      std::fprintf(stderr, "no GPU to measure: %s\n", report.why_none.c_str());
      return 77;
    }
    bench::print_gpu_columns();
    if (over_workers) {
      for (int workers = 8; workers <= most; workers *= 2)
        measure(report.gpus.front(), path, workers, checked_steps);
    } else {
      for (const int steps : {100, 300, 1000, 3000, 10000, 30000})
        measure(report.gpus.front(), path, std::min(most, 1024), steps);
    }
    return 0;
  }
  return usage();
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "slowsde_bench_gpu_training: %s\n", error.what());
    return 1;
  }
}
