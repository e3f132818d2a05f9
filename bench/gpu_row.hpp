// One measurement on a GPU as a line of CSV: the columns that slowsde_bench_gpu, slowsde_bench_gpu_training,
// slowsde_bench_gpu_hessian and their peers (bench/peers/gpu_row.py) share. What was not measured is empty.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <string>

#include "slowsde/gpu/device_info.hpp"

namespace slowsde::bench {

struct GpuRow {
  std::string program, workload, precision;
  std::uint64_t replicas = 1;  ///< W4: directions at once
  int workers = 1;
  std::int64_t local_steps = 1, steps = 1;  ///< W4: calls, one after the other
  double kernel_seconds = NAN;              ///< that the device computes
  /// End to end, from the states on the device (W4: the directions on the host) to the result on the host.
  double total_seconds = NAN;
  double mean = NAN, standard_error = NAN;  ///< of the ensemble's final x
  double loss = NAN;                        ///< of the mean parameters on all data after 100 steps
};

inline void print_gpu_columns() {
  std::printf(
      "date,gpu,multiprocessors,clock_mhz,program,workload,precision,replicas,workers,local_steps,steps,"
      "kernel_seconds,total_seconds,per_second_kernel,per_second_total,mean,standard_error,loss\n");
}

/// `items`: what the rates count. One call, one line.
inline void print_gpu_row(const Gpu& gpu, const GpuRow& row, double items) {
  char date[32];
  const std::time_t now = std::time(nullptr);
  std::strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", std::gmtime(&now));
  const auto number = [](double value, const char* format) {
    char text[40];
    std::snprintf(text, sizeof text, format, value);
    return std::isfinite(value) ? std::string(text) : std::string();
  };
  std::printf("%s,%s,%d,%d,%s,%s,%s,%llu,%d,%lld,%lld,%s,%s,%s,%s,%s,%s,%s\n", date, gpu.name.c_str(),
              gpu.multiprocessors, gpu.clock_khz / 1000, row.program.c_str(), row.workload.c_str(),
              row.precision.c_str(), static_cast<unsigned long long>(row.replicas), row.workers,
              static_cast<long long>(row.local_steps), static_cast<long long>(row.steps),
              number(row.kernel_seconds, "%.6g").c_str(), number(row.total_seconds, "%.6g").c_str(),
              number(items / row.kernel_seconds, "%.6g").c_str(),
              number(items / row.total_seconds, "%.6g").c_str(), number(row.mean, "%.9g").c_str(),
              number(row.standard_error, "%.3g").c_str(), number(row.loss, "%.9g").c_str());
  std::fflush(stdout);
}

/// Steps of workers: what the rate of W1, W2 and W3 counts; products: what that of W4 does.
inline double worker_steps(const GpuRow& row) {
  return static_cast<double>(row.replicas) * row.workers * static_cast<double>(row.steps);
}

}  // namespace slowsde::bench
