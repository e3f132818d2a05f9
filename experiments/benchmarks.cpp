#include "slowsde/experiments/benchmarks.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "slowsde/experiments/benchmark_window.hpp"
#include "slowsde/experiments/peer.hpp"
#include "slowsde/optim/local_sgd.hpp"
#include "slowsde/problems/valley.hpp"
#include "slowsde/sde/parallel.hpp"
#include "slowsde/sde/statistics.hpp"

namespace slowsde {
namespace {

constexpr int workers = 8, local_steps = 100, steps = 2000;

template <class Real>
W1Measurement simulate(int replicas, int threads) {
  LocalSgd algorithm;
  algorithm.workers = workers;
  algorithm.lr = LearningRate::constant(0.01);
  algorithm.rule = std::make_shared<ConstantRule>(local_steps);
  algorithm.total_steps = steps;
  const Valley problem;
  const double start[2] = {1.5, 0};
  constexpr int W = native_width<Real>;
  const auto begin = std::chrono::steady_clock::now();
  std::vector<Moments> parts(static_cast<std::size_t>((replicas + W - 1) / W));
  parallel_for(threads, parts.size(), [&](std::size_t p) {
    LocalSgdPack<Valley, Real, NoiseKind::label> pack(problem, algorithm, {},
                                                      p * static_cast<std::uint64_t>(W));
    pack.run(start, {{steps, 0.2}}, [&](int, const Pack<Real>* x) {
      for (int l = 0; l < std::min(W, replicas - static_cast<int>(p) * W); ++l)
        parts[p].add(static_cast<double>(x[0][l]));
    });
  });
  const Moments all = merge_in_order(parts);
  return {seconds_since(begin), all.mean, all.standard_error()};
}

template <class Real>
double generate_normals(std::uint64_t count, int threads) {
  constexpr int W = native_width<Real>, chains = sizeof(Real) == 8 ? 4 : 2,
                per_block = normals_per_block<Real>;
  const auto begin = std::chrono::steady_clock::now();
  constexpr std::size_t tasks = 64;
  const std::uint64_t blocks = count / (tasks * W * chains * per_block) + 1;
  std::vector<double> sums(tasks);
  parallel_for(threads, tasks, [&](std::size_t task) {
    const RandomPack<Real> random(1, Stream::label, task * static_cast<std::uint64_t>(W));
    Pack<Real> sum(0.0), out[chains][per_block];
    for (std::uint64_t block = 0; block < blocks; ++block) {
      random.template normals<chains>(0, block, out);
      for (const auto& chain : out)
        for (const auto& normal : chain) sum = sum + normal;
    }
    sums[task] = static_cast<double>(sum[0]);
  });
  const double seconds = seconds_since(begin);
  // Using the sums keeps the loop from being removed; they are finite.
  for (const double s : sums)
    if (!std::isfinite(s)) return 0;
  return static_cast<double>(count) / seconds;
}

std::string text(const char* format, double a, double b) {
  char buffer[160];
  std::snprintf(buffer, sizeof buffer, format, a, b);
  return buffer;
}

/// All loops in turn, five times, the least time of each: the machine's noise hits all alike.
std::vector<BenchmarkRow> w1(int threads) {
  constexpr int replicas = 10000, plain_replicas = 2000, rounds = 5;
  const double work = static_cast<double>(workers) * steps;
  Peer numpy("w1_numpy.py", "", threads, "NumPy");
  std::vector<BenchmarkRow> rows;
  for (const bool single : {false, true}) {
    W1Measurement packs, plain;
    double normals = 0, numpy_rate = 0;
    const std::string precision = single ? "f32" : "f64", form = "numpy_" + precision;
    for (int k = 0; k < rounds; ++k) {
      const W1Measurement a = w1_packs(single, replicas, threads),
                          b = w1_plain(single, plain_replicas, threads);
      if (k == 0 || a.seconds < packs.seconds) packs = a;
      if (k == 0 || b.seconds < plain.seconds) plain = b;
      const auto count = static_cast<std::uint64_t>(work * replicas);
      normals = std::max(normals, normals_alone(single, count, threads));
      if (numpy.has(form)) numpy_rate = std::max(numpy_rate, numpy.window(form, 0.3));
    }
    const double rate = work * replicas / packs.seconds, plain_rate = work * plain_replicas / plain.seconds;
    const double z = (packs.mean - plain.mean) / std::hypot(packs.se, plain.se);
    rows.push_back({"W1 slowsde", precision, "worker-steps", work * replicas, packs.seconds,
                    text("%.1f times the plain loop; moments differ by %.1f SE", rate / plain_rate, z)});
    add_numpy(rows, numpy, numpy_rate, packs.mean, packs.se);
    rows.push_back(
        {"W1 plain", precision, "worker-steps", work * plain_replicas, plain.seconds, "mt19937_64"});
    rows.push_back(
        {"normals alone", precision, "normals", work * replicas, work * replicas / normals,
         text("W1 reaches %.0f %% of this floor (%.3g normals/s)", 100 * rate / normals, normals)});
  }
  return rows;
}

}  // namespace

void add_numpy(std::vector<BenchmarkRow>& rows, const Peer& numpy, double numpy_rate, double mean,
               double se) {
  BenchmarkRow& own = rows.back();
  const std::string form = "numpy_" + own.setting;
  if (!numpy.has(form)) {
    own.note += "; " + (numpy.absent().empty() ? "NumPy: " + numpy.failed().at(form) : numpy.absent());
    return;
  }
  const auto found = std::find_if(numpy.forms().begin(), numpy.forms().end(),
                                  [&](const Peer::Form& f) { return f.name == form; });
  const double z =
      found->check.size() == 2 ? (found->check[0] - mean) / std::hypot(found->check[1], se) : NAN;
  if (!(std::abs(z) <= 5))
    throw std::runtime_error(own.loop + " " + own.setting + ": NumPy's mean differs by " + std::to_string(z) +
                             " standard errors");
  own.note +=
      text("; %.1f times NumPy, whose mean differs by %.1f SE", own.items / own.seconds / numpy_rate, z);
  rows.push_back({own.loop.substr(0, 2) + " numpy", own.setting, own.unit, numpy_rate, 1, numpy.version()});
}

double normals_alone(bool single_precision, std::uint64_t count, int threads) {
  return single_precision ? generate_normals<float>(count, threads)
                          : generate_normals<double>(count, threads);
}

W1Measurement w1_packs(bool single_precision, int replicas, int threads) {
  return single_precision ? simulate<float>(replicas, threads) : simulate<double>(replicas, threads);
}

void add_benchmarks(Registry& registry) {
  registry.benchmarks.add("w1", "Local SGD on the valley with label noise, beside a plain loop and NumPy",
                          w1);
  add_sde_benchmarks(registry);
  add_network_benchmarks(registry);
}

}  // namespace slowsde
