#include "slowsde/experiments/ranks.hpp"

#include <cstdlib>
#include <string>

#include "slowsde/experiments/errors.hpp"
#include "slowsde/gpu/nccl_ranks.hpp"
#include "slowsde/optim/mpi_communicator.hpp"

namespace slowsde {

Ranks connect_ranks(const Launch& launch, Backend backend, double timeout) {
  Ranks ranks{.launch = launch, .communicator = nullptr, .device_sum = nullptr};
  if (!launch.several()) return ranks;
  const std::string whole = launch.launcher + " started " + std::to_string(launch.size) + " processes";
  const bool gpus = backend == Backend::cuda && has_nccl();
  NcclParams nccl{.rank = launch.rank,
                  .size = launch.size,
                  .gpu = launch.local_rank,
                  .timeout = timeout,
                  .mpi = nullptr,
                  .path = {}};
  if (launch.launcher != "torchrun" && has_mpi()) {
    ranks.communicator = make_mpi_communicator(timeout);
    if (ranks.communicator->size() != launch.size)
      throw BackendError(whole + ", but MPI sees " + std::to_string(ranks.communicator->size()) +
                         " (with srun, --mpi=pmix may be missing)");
    nccl.mpi = ranks.communicator;
  } else if (!gpus) {
    throw BackendError(whole + ", which need MPI in this build, or NCCL and --backend cuda");
  } else if (const char* path = std::getenv("SLOWSDE_RANK_FILES")) {
    nccl.path = path;
  } else {
    throw BackendError(whole +
                       " without MPI: the variable SLOWSDE_RANK_FILES has to name the files over which they "
                       "meet, new for every run");
  }
  if (gpus) {
    const NcclRanks connected = make_nccl_ranks(nccl);
    ranks.communicator = connected.communicator;
    ranks.device_sum = connected.device_sum;
  }
  return ranks;
}

}  // namespace slowsde
