// Which of how many processes this one is, by the variables that launchers set.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace slowsde {

/// One process alone is rank 0 of 1.
struct Launch {
  int rank = 0;
  int size = 1;
  int local_rank = 0;    ///< among the processes of this machine: which GPU to take
  std::string launcher;  ///< "mpirun", "srun", "torchrun"; empty without one

  bool several() const { return size > 1; }
};

/// The value of an environment variable, or null.
using Environment = std::function<const char*(const char* name)>;

/// Reads, in this order, the variables of
///   mpirun    OMPI_COMM_WORLD_RANK, _SIZE, _LOCAL_RANK (Open MPI); PMI_RANK, PMI_SIZE, MPI_LOCALRANKID
///   (MPICH) torchrun  RANK, WORLD_SIZE, LOCAL_RANK srun      SLURM_PROCID, SLURM_NTASKS, SLURM_LOCALID,
///   inside a job step (SLURM_STEP_ID) only: sbatch sets
///             some of them for a script that is one process
/// A launcher counts when its rank and its size are set; without a local rank the rank is taken. Throws
/// std::invalid_argument naming the variable unless the values are integers with 0 ≤ rank < size and
/// 0 ≤ local rank.
Launch read_launch(const Environment& variable);
/// The same from this process's environment.
Launch read_launch();

}  // namespace slowsde
