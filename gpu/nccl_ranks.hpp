// Ranks with a GPU each, connected by NCCL.
#pragma once

#include <memory>
#include <string>

#include "slowsde/gpu/device_sum.hpp"
#include "slowsde/optim/communicator.hpp"

namespace slowsde {

bool has_nccl();

struct NcclParams {
  int rank = 0, size = 1;
  int gpu = 0;           ///< number of this rank's GPU, modulo how many this process sees
  double timeout = 300;  ///< seconds that a call waits for the other ranks
  /// Where there is MPI: over it NCCL's unique id is sent, and it names ranks that are lost. Otherwise both
  /// go over files whose names begin with `path`, a name of this run alone in a folder that all machines see.
  std::shared_ptr<Communicator> mpi;
  std::string path;

  /// Throws std::invalid_argument naming what is violated.
  void check() const;
};

/// One connection in two forms. communicator: `mpi`, or where there is none NCCL itself.
struct NcclRanks {
  std::shared_ptr<Communicator> communicator;
  std::shared_ptr<DeviceSum> device_sum;
};

/// Makes the rank's GPU the current one and connects it with those of the other ranks. A rank that does not
/// come to a call within the timeout, or is lost within one, ends it on the others with LostRank, which names
/// it; the connection is then aborted. Throws DeviceError where CUDA or NCCL refuses, and in a build without
/// NCCL.
NcclRanks make_nccl_ranks(const NcclParams& params);

}  // namespace slowsde
