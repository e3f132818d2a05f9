// The processes that one run is split over.
#pragma once

#include <memory>

#include "slowsde/gpu/device_sum.hpp"
#include "slowsde/optim/communicator.hpp"
#include "slowsde/optim/launch.hpp"

namespace slowsde {

enum class Backend { cpu, cuda };

/// One process alone has neither a communicator nor a sum over GPUs.
struct Ranks {
  Launch launch;
  std::shared_ptr<Communicator> communicator;
  std::shared_ptr<DeviceSum> device_sum;  ///< null: averages go through the hosts

  bool first() const { return launch.rank == 0; }
};

/// Connects this process with the others that a launcher started: over MPI, and between GPUs over NCCL where
/// it is there. Where the environment variable SLOWSDE_RANK_FILES names files, GPUs are connected over those
/// without MPI, as under torchrun, which is no launcher of it. `timeout`: seconds to wait for a rank. Throws
/// BackendError where there is no way, and LostRank.
Ranks connect_ranks(const Launch& launch, Backend backend, double timeout);

}  // namespace slowsde
