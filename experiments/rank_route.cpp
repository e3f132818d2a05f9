#include "slowsde/experiments/rank_route.hpp"

#include <string>

#include "slowsde/experiments/errors.hpp"

namespace slowsde {

RankRoute rank_route(const Launch& launch, bool mpi, bool gpus, bool files) {
  if (gpus && files) return RankRoute::files;
  if (mpi && launch.launcher != "torchrun") return RankRoute::mpi;
  const std::string whole = launch.launcher + " started " + std::to_string(launch.size) + " processes";
  if (!gpus) throw BackendError(whole + ", which need MPI in this build, or NCCL and --backend cuda");
  throw BackendError(whole +
                     " without MPI: the variable SLOWSDE_RANK_FILES has to name the files over which they "
                     "meet, new for every run");
}

}  // namespace slowsde
