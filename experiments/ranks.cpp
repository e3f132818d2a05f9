#include "slowsde/experiments/ranks.hpp"

#include <cstdlib>
#include <string>

#include "slowsde/experiments/errors.hpp"
#include "slowsde/experiments/rank_route.hpp"
#include "slowsde/gpu/nccl_ranks.hpp"
#include "slowsde/optim/mpi_communicator.hpp"

namespace slowsde {

Ranks connect_ranks(const Launch& launch, Backend backend, double timeout) {
  Ranks ranks{.launch = launch, .communicator = nullptr, .device_sum = nullptr};
  if (!launch.several()) return ranks;
  const bool gpus = backend == Backend::cuda && has_nccl();
  const char* const named = std::getenv("SLOWSDE_RANK_FILES");
  const std::string files = named ? named : "";
  NcclParams nccl{.rank = launch.rank,
                  .size = launch.size,
                  .gpu = launch.local_rank,
                  .timeout = timeout,
                  .mpi = nullptr,
                  .path = {}};
  if (rank_route(launch, has_mpi(), gpus, !files.empty()) == RankRoute::files) {
    nccl.path = files;
  } else {
    ranks.communicator = make_mpi_communicator(timeout);
    if (ranks.communicator->size() != launch.size)
      throw BackendError(launch.launcher + " started " + std::to_string(launch.size) +
                         " processes, but MPI sees " + std::to_string(ranks.communicator->size()) +
                         " (with srun, --mpi=pmix may be missing)");
    nccl.mpi = ranks.communicator;
  }
  if (gpus) {
    const NcclRanks connected = make_nccl_ranks(nccl);
    ranks.communicator = connected.communicator;
    ranks.device_sum = connected.device_sum;
  }
  return ranks;
}

}  // namespace slowsde
