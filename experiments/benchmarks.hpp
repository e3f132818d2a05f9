// The loops that `slowsde bench` measures, and the plain loops beside them.
#pragma once

#include <cstdint>
#include <vector>

#include "slowsde/experiments/registry.hpp"
#include "slowsde/problems/classification_data.hpp"

namespace slowsde {

/// W1: Local SGD on the valley with label noise, K = 8, H = 100, η = 0.01, 2000 steps from x = 1.5.
struct W1Measurement {
  double seconds = 0;
  double mean = 0, se = 0;  ///< of the final x over the replicas
};

/// W1 as one would write it first: workers innermost, std::mt19937_64 with std::normal_distribution
/// (bench/w1_plain.cpp). Built with the library's flags.
W1Measurement w1_plain(bool single_precision, int replicas, int threads);

/// W1 by LocalSgdPack.
W1Measurement w1_packs(bool single_precision, int replicas, int threads);

/// Normals per second that are drawn and summed: what no simulation with as much noise can exceed.
double normals_alone(bool single_precision, std::uint64_t count, int threads);

/// W3: Local SGD of an MLP (tanh, cross-entropy) on labelled samples, plain SGD, every worker's local batches
/// drawn with replacement, the mean of the workers every `local_steps` steps.
struct W3Workload {
  std::vector<int> widths{64, 64, 64, 10};
  int workers = 16, batch = 16, steps = 100, local_steps = 10;
  double lr = 0.1;
  std::vector<float> start;  ///< (d)
  ClassificationData data;
  std::vector<int> samples;  ///< (steps × workers × batch)
};

/// W3 as one would write it first, with Eigen's matrices (bench/w3_plain.cpp): the mean after all steps.
std::vector<float> w3_plain(const W3Workload& workload, int threads);

void add_sde_benchmarks(Registry& registry);      ///< w2
void add_network_benchmarks(Registry& registry);  ///< w3, w4
void add_benchmarks(Registry& registry);          ///< all

}  // namespace slowsde
