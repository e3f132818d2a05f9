// The loops that `slowsde bench` measures, and the plain loops beside them.
#pragma once

#include "slowsde/experiments/registry.hpp"

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

void add_benchmarks(Registry& registry);

}  // namespace slowsde
