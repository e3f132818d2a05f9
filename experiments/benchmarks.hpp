// The loops that `slowsde bench` measures, and the plain loops beside them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "slowsde/experiments/registry.hpp"
#include "slowsde/optim/network_oracle.hpp"
#include "slowsde/optim/trainer.hpp"
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

class Peer;

/// After the row of our loop, that of NumPy's: form "numpy_<precision>" of the peer, whose check is a mean
/// and its standard error. Says in our row how they compare, or why there is none. Throws std::runtime_error
/// if the means differ by more than five standard errors.
void add_numpy(std::vector<BenchmarkRow>& rows, const Peer& numpy, double numpy_rate, double mean, double se);

/// Normals per second that are drawn and summed: what no simulation with as much noise can exceed.
double normals_alone(bool single_precision, std::uint64_t count, int threads);

/// W3: Local SGD of an MLP (tanh, cross-entropy) on labelled samples, plain SGD, every worker's local batches
/// drawn with replacement, the mean of the workers every `local_steps` steps.
struct W3Workload {
  std::vector<int> widths{64, 64, 64, 10};
  int workers = 16, batch = 16, steps = 100, local_steps = 10, data_samples = 2048;
  double lr = 0.1;
  std::vector<float> start;  ///< (d)
  ClassificationData data;
  std::vector<int> samples;  ///< (steps × workers × batch)

  /// The batches in `samples`, worker by worker: a worker's do not depend on how many there are.
  SamplingPlan sampling() const;
  TrainerParams training() const;
  NetworkTask task(const Network& network) const;  ///< of mlp_network(widths), which outlives it
  /// Floating-point operations of a step of a worker: the products of the passes, two for each term (forward,
  /// gradient, and the adjoints of all layers but the first).
  double operations() const;
};

/// Normal inputs with the labels of a random linear teacher.
W3Workload made_up_w3(int workers);

/// The mean loss of θ on all data.
double w3_loss(const W3Workload& workload, const std::vector<float>& theta);

/// theta.npy, x.npy, labels.npy and samples.npy, as the peers read them. Throws IoError.
void write_w3(const W3Workload& workload, const std::filesystem::path& folder);

/// W3 as one would write it first, with Eigen's matrices (bench/w3_plain.cpp): the mean after all steps.
std::vector<float> w3_plain(const W3Workload& workload, int threads);

/// W4: Hessian-vector products of the mean cross-entropy of W3's MLP over all samples.
struct W4Workload {
  std::vector<int> widths{64, 64, 64, 10};
  int samples = 2048, directions = 1;
  std::vector<float> theta;  ///< (d)
  ClassificationData data;
  std::vector<float> v;  ///< (directions × d)

  /// Floating-point operations of a product, two for each term. With the passes at the point kept these are
  /// six matrix products a layer: W and V times activations and their derivatives (V alone in the first
  /// layer), the same transposed for the adjoints (none in the first layer), and two for the gradient (one in
  /// the first).
  double operations() const;
};

/// W3's start and samples; normal directions, of which each is the same however many there are.
W4Workload made_up_w4(int directions);

/// theta.npy, x.npy, labels.npy and v.npy, as the peers read them. Throws IoError.
void write_w4(const W4Workload& workload, const std::filesystem::path& folder);

void add_sde_benchmarks(Registry& registry);      ///< w2
void add_network_benchmarks(Registry& registry);  ///< w3, w4
void add_benchmarks(Registry& registry);          ///< all

}  // namespace slowsde
