// Measures W3 on a GPU: Local SGD of an MLP 64-64-64-10 (tanh, cross-entropy), local batch 16, plain SGD,
// f32, the mean of the workers every 10 steps, over K workers and both paths. One CSV line a measurement;
// each is checked against the CPU's trainer first.
//   slowsde_bench_gpu_training [most workers, default 4096]
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "slowsde/gpu/device_info.hpp"
#include "slowsde/gpu/device_trainer.hpp"
#include "slowsde/problems/random_address.hpp"
#include "slowsde/sde/parallel.hpp"

namespace {

using namespace slowsde;

const std::vector<int> widths{64, 64, 64, 10};
constexpr int batch = 16, samples = 2048, local_steps = 10;
constexpr std::int64_t steps = 100;

ClassificationData made_up_data() {
  ClassificationData data;
  data.shape = {widths.front(), 1, 1};
  data.classes = widths.back();
  for (int i = 0; i < samples; ++i) {
    data.labels.push_back(static_cast<int>(integer_at(1, Stream::initial, 0, 1, static_cast<std::uint64_t>(i),
                                                      static_cast<std::uint32_t>(data.classes))));
    for (int j = 0; j < widths.front(); ++j)
      data.x.push_back(static_cast<float>(normal_at(
          1, Stream::initial, 0, 2, static_cast<std::uint64_t>(i) * 64 + static_cast<std::uint64_t>(j))));
  }
  return data;
}

/// Floating-point operations of one step of one worker: the products of the passes, two for each term.
double operations() {
  double terms = 0;
  for (std::size_t l = 0; l + 1 < widths.size(); ++l)
    terms += (l == 0 ? 2.0 : 3.0) * widths[l] * widths[l + 1];
  return 2 * terms * batch;
}

TrainerParams params_of(int workers) {
  TrainerParams params;
  params.workers = workers;
  params.lr = LearningRate::constant(0.1);
  params.rule = std::make_shared<ConstantRule>(local_steps);
  params.total_steps = steps;
  params.update = make_update_rule("sgd", [](std::string_view, double fallback) { return fallback; });
  return params;
}

double seconds_of(Trainer<float>& trainer, const TrainerState<float>& begin) {
  trainer.restore(begin);
  const auto start = std::chrono::steady_clock::now();
  while (!trainer.finished()) trainer.round();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void measure(int workers, const char* path, const ClassificationData& data, const Network& network,
             const Gpu& gpu) {
  const NetworkTask task{.network = &network,
                         .data = &data,
                         .sampling = {.sampling = Sampling::with_replacement,
                                      .samples = samples,
                                      .workers = workers,
                                      .local_batch = batch},
                         .recipe = {}};
  const Eigen::VectorXd theta = network.initial_parameters(1);
  const std::vector<double> start(theta.begin(), theta.end());
  const TrainerParams params = params_of(workers);
  const auto trainer = make_device_trainer<float>(params, start, task, 0, {.path = device_path(path)});
  const TrainerState<float> begin = trainer->state();
  seconds_of(*trainer, begin);  // loads the kernels, captures the graph
  if (workers <= 128) {
    NetworkTrainer<float> cpu(params, start, NetworkOracle<float>::factory(task, 0), available_threads());
    while (!cpu.finished()) cpu.round();
    double worst = 0;
    for (std::size_t j = 0; j < start.size(); ++j) {
      const double e =
          std::abs(static_cast<double>(trainer->parameters()[j]) - static_cast<double>(cpu.parameters()[j]));
      if (!(e <= worst)) worst = std::isnan(e) ? INFINITY : e;
    }
    if (!(worst <= 1e-4))
      throw std::runtime_error(std::string(path) + " differs from the CPU by " + std::to_string(worst));
  }
  std::vector<double> seconds;
  for (int k = 0; k < 5; ++k) seconds.push_back(seconds_of(*trainer, begin));
  std::sort(seconds.begin(), seconds.end());
  const double rate = static_cast<double>(steps) * workers / seconds[seconds.size() / 2];
  // one multiply-add a clock in each of 128 lanes of a multiprocessor
  const double peak = 2.0 * 128 * gpu.multiprocessors * 1e3 * gpu.clock_khz;
  char date[32];
  const std::time_t now = std::time(nullptr);
  std::strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", std::gmtime(&now));
  std::printf("W3,%s,f32,%d,%d,%lld,%.6g,%.6g,%.4g,\"%s\",%s\n", path, workers, local_steps,
              static_cast<long long>(steps), seconds[seconds.size() / 2], rate, rate * operations() / peak,
              gpu.name.c_str(), date);
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const GpuReport report = find_gpus();
    if (report.gpus.empty()) {
      std::printf("skipped: %s\n", report.why_none.c_str());
      return 77;
    }
    const int most = argc > 1 ? std::atoi(argv[1]) : 4096;
    const ClassificationData data = made_up_data();
    const Network network = mlp_network(widths);
    std::printf(
        "workload,path,precision,workers,local_steps,steps,seconds,worker_steps_per_second,share_of_f32_peak,"
        "gpu,date\n");
    for (int workers = 8; workers <= most; workers *= 2)
      for (const char* path : {"fused", "layered"})
        measure(workers, path, data, network, report.gpus.front());
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "slowsde_bench_gpu_training: %s\n", error.what());
    return 1;
  }
}
