// Training with several workers on a GPU: the trainer's rounds with the arithmetic of network and update
// rule, sampling and label noise on the device.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "slowsde/gpu/device_sum.hpp"
#include "slowsde/optim/network_oracle.hpp"
#include "slowsde/optim/trainer.hpp"

namespace slowsde {

/// How the local steps are taken.
enum class DevicePath {
  automatic,  ///< fused where a worker's network fits into a block's shared memory, else layered
  fused,      ///< one block of threads for each worker, its network in shared memory as far as it fits
  layered,    ///< layer by layer for all workers at once, by batched matrix products
};

/// "auto", "fused" or "layered"; throws std::invalid_argument for another name.
DevicePath device_path(std::string_view name);

struct DeviceTrainerParams {
  DevicePath path = DevicePath::automatic;
  int threads = 0;  ///< of a worker's block (fused): a multiple of 32 up to 256; 0: by the network's size
  /// Sums over the ranks, in single precision; without it they go through the communicator, in double.
  std::shared_ptr<DeviceSum> device_sum = nullptr;
  /// Whether those sums travel as bfloat16: of parameters the displacement from the average before, buffers
  /// and gradients themselves.
  bool bf16 = false;
  int gpu = 0;  ///< number of the GPU, modulo how many this process sees
  /// Where given, the seconds that rounds take on the device are added to it, without what the host does
  /// between them: measured at some cost, so not for the end-to-end time. The caller owns it.
  double* kernel_seconds = nullptr;

  /// Throws std::invalid_argument naming what is violated.
  void check() const;
};

/// Throws std::invalid_argument for what the device does not do, whatever its size: networks of more layers
/// than NetworkLayout has, update rules without a formula.
void check_device_task(const TrainerParams& params, const NetworkTask& task);

/// A trainer of the network on a GPU, for the batches that NetworkOracle has for the replica. Its
/// parameters differ from the CPU's by rounding: sums over a batch and over the workers are in another order.
/// Throws what Trainer throws; std::invalid_argument for a task that the device does not do, as
/// check_device_task; DeviceError where the GPU refuses, and in a build without CUDA.
template <class Real>
std::unique_ptr<Trainer<Real>> make_device_trainer(const TrainerParams& params,
                                                   const std::vector<double>& start, const NetworkTask& task,
                                                   std::uint64_t replica,
                                                   const DeviceTrainerParams& device = {},
                                                   std::shared_ptr<Communicator> communicator = nullptr);

extern template std::unique_ptr<Trainer<float>> make_device_trainer(const TrainerParams&,
                                                                    const std::vector<double>&,
                                                                    const NetworkTask&, std::uint64_t,
                                                                    const DeviceTrainerParams&,
                                                                    std::shared_ptr<Communicator>);
extern template std::unique_ptr<Trainer<double>> make_device_trainer(const TrainerParams&,
                                                                     const std::vector<double>&,
                                                                     const NetworkTask&, std::uint64_t,
                                                                     const DeviceTrainerParams&,
                                                                     std::shared_ptr<Communicator>);

}  // namespace slowsde
