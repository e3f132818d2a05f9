// Over what the processes of a run find each other.
#pragma once

#include "slowsde/optim/launch.hpp"

namespace slowsde {

enum class RankRoute {
  mpi,
  files,  ///< and NCCL from there on
};

/// mpi: whether this build has it. gpus: whether the ranks' GPUs are connected by NCCL. files: whether the
/// user has named files to meet over; where NCCL can take over from them they are what is meant, whatever the
/// launcher. Throws BackendError where there is no way.
RankRoute rank_route(const Launch& launch, bool mpi, bool gpus, bool files);

}  // namespace slowsde
