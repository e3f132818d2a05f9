// Measures W4 on a GPU: Hessian-vector products of the mean cross-entropy of an MLP 64-64-64-10 (tanh) on
// 2048 samples, over the directions that are multiplied at once. A line of CSV is a measurement of 100 calls
// one after the other at one point, as a Lanczos iteration makes them: from the directions on the host to the
// products on the host. The products are held against the CPU's in double precision first.
//   slowsde_bench_gpu_hessian list          names of the pieces
//   slowsde_bench_gpu_hessian data DIR      what the peers need, and the CPU's v.Hv and |Hv|; no GPU
//   slowsde_bench_gpu_hessian PIECE
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

#include "bench/gpu_row.hpp"
#include "slowsde/experiments/benchmarks.hpp"
#include "slowsde/gpu/device_hessian.hpp"
#include "slowsde/gpu/device_info.hpp"
#include "slowsde/problems/batch_assembly.hpp"
#include "slowsde/problems/network_derivatives.hpp"
#include "slowsde/sde/parallel.hpp"

namespace {

using namespace slowsde;

constexpr int directions_at_once[] = {1, 8, 64}, calls = 100;

template <class To>
std::vector<To> converted(const std::vector<float>& x) {
  return {x.begin(), x.end()};
}

/// The CPU's products: (directions × d).
std::vector<double> products_on_cpu(const W4Workload& w) {
  const Network network = mlp_network(w.widths);
  BatchBuffer<double> buffer(network.inputs(), w.samples);
  NetworkDerivatives<double> derivatives(network, LossKind::cross_entropy,
                                         consecutive_samples(w.data, 0, w.samples, buffer),
                                         [](std::size_t count, const std::function<void(std::size_t)>& body) {
                                           parallel_for(available_threads(), count, body);
                                         });
  derivatives.set_point(converted<double>(w.theta).data());
  const std::vector<double> v = converted<double>(w.v);
  std::vector<double> products(v.size());
  for (std::size_t at = 0; at < v.size(); at += w.theta.size())
    derivatives.hessian_vector_product(v.data() + at, products.data() + at);
  return products;
}

/// Throws unless the products are the CPU's, but for rounding.
template <class Real>
void require_agreement(const W4Workload& w, const std::vector<Real>& products) {
  const std::vector<double> expected = products_on_cpu(w);
  const double tolerance = sizeof(Real) == 4 ? 1e-4 : 1e-10;
  const std::size_t d = w.theta.size();
  for (std::size_t at = 0; at < products.size(); at += d) {
    double distance = 0, norm = 0;
    for (std::size_t j = at; j < at + d; ++j) {
      const double e = static_cast<double>(products[j]) - expected[j];
      distance += e * e;
      norm += expected[j] * expected[j];
    }
    if (!(std::sqrt(distance) <= tolerance * std::sqrt(norm)))
      throw std::runtime_error("W4, " + std::to_string(w.directions) + " directions: product " +
                               std::to_string(at / d) + " differs from the CPU's by " +
                               std::to_string(std::sqrt(distance / norm)) + " of its norm");
  }
}

template <class Real>
void measure(const Gpu& gpu, const char* precision) {
  for (const int directions : directions_at_once) {
    const W4Workload w = made_up_w4(directions);
    const Network network = mlp_network(w.widths);
    BatchBuffer<Real> buffer(network.inputs(), w.samples);
    const Batch<Real> samples = consecutive_samples(w.data, 0, w.samples, buffer);
    const std::vector<Real> theta = converted<Real>(w.theta), v = converted<Real>(w.v);
    std::vector<Real> products(v.size());
    const auto make = [&](double* kernel_seconds) {
      auto hessian = make_device_hessian<Real>(network, LossKind::cross_entropy, samples,
                                               {.directions = directions, .kernel_seconds = kernel_seconds});
      hessian->set_point(theta.data());
      return hessian;
    };
    const auto seconds_of = [&](DeviceHessian<Real>& hessian) {
      const auto start = std::chrono::steady_clock::now();
      for (int k = 0; k < calls; ++k) hessian.products(directions, v.data(), products.data());
      return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    };
    bench::GpuRow row;
    row.program = "slowsde";
    row.workload = "W4";
    row.precision = precision;
    row.replicas = static_cast<std::uint64_t>(directions);
    row.steps = calls;

    const auto hessian = make(nullptr);
    seconds_of(*hessian);  // loads the kernels, captures the graph
    require_agreement(w, products);
    std::vector<double> seconds;
    while (seconds.size() < 5) seconds.push_back(seconds_of(*hessian));
    std::sort(seconds.begin(), seconds.end());
    row.total_seconds = seconds[seconds.size() / 2];

    double kernel_seconds = 0;
    const auto timed = make(&kernel_seconds);
    seconds_of(*timed);
    kernel_seconds = 0;
    seconds_of(*timed);
    row.kernel_seconds = kernel_seconds;
    print_gpu_row(gpu, row, worker_steps(row));
  }
}

void write_data(const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  const W4Workload w =
      made_up_w4(*std::max_element(std::begin(directions_at_once), std::end(directions_at_once)));
  write_w4(w, folder);
  const std::vector<double> products = products_on_cpu(w);
  std::ofstream file(folder / "products.csv");
  file << "v_Hv,norm\n";
  file.precision(15);
  for (std::size_t at = 0; at < products.size(); at += w.theta.size()) {
    double dot = 0, norm = 0;
    for (std::size_t j = at; j < at + w.theta.size(); ++j) {
      dot += static_cast<double>(w.v[j]) * products[j];
      norm += products[j] * products[j];
    }
    file << dot << ',' << std::sqrt(norm) << '\n';
  }
  if (!file.flush()) throw std::runtime_error("can not write " + (folder / "products.csv").string());
}

int run(int argc, char** argv) {
  const std::string command = argc > 1 ? argv[1] : "";
  if (command == "list" && argc == 2) {
    std::printf("W4-f32-directions\nW4-f64-directions\n");
    return 0;
  }
  if (command == "data" && argc == 3) {
    write_data(argv[2]);
    return 0;
  }
  const bool single = command == "W4-f32-directions";
  if (argc != 2 || (!single && command != "W4-f64-directions")) {
    std::fprintf(stderr, "usage: slowsde_bench_gpu_hessian list | data DIR | PIECE\n");
    return 2;
  }
  const GpuReport report = find_gpus();
  if (report.gpus.empty()) {
    std::fprintf(stderr, "no GPU to measure: %s\n", report.why_none.c_str());
    return 77;
  }
  bench::print_gpu_columns();
  if (single)
    measure<float>(report.gpus.front(), "f32");
  else
    measure<double>(report.gpus.front(), "f64");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "slowsde_bench_gpu_hessian: %s\n", error.what());
    return 1;
  }
}
