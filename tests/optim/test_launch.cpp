#include "slowsde/optim/launch.hpp"

#include <doctest/doctest.h>

#include <map>
#include <stdexcept>
#include <string>

using slowsde::Launch;

namespace {

Launch read(const std::map<std::string, std::string>& variables) {
  return slowsde::read_launch([&](const char* name) -> const char* {
    const auto at = variables.find(name);
    return at == variables.end() ? nullptr : at->second.c_str();
  });
}

void check(const Launch& launch, const std::string& launcher, int rank, int size, int local_rank) {
  CHECK(launch.launcher == launcher);
  CHECK(launch.rank == rank);
  CHECK(launch.size == size);
  CHECK(launch.local_rank == local_rank);
}

}  // namespace

TEST_CASE("without a launcher a process is rank 0 of 1") {
  check(read({}), "", 0, 1, 0);
  CHECK(!read({}).several());
  check(read({{"RANK", "1"}}), "", 0, 1, 0);  // a size is missing
}

TEST_CASE("rank, size and local rank are read from the variables of each launcher") {
  check(read({{"OMPI_COMM_WORLD_RANK", "5"},
              {"OMPI_COMM_WORLD_SIZE", "8"},
              {"OMPI_COMM_WORLD_LOCAL_RANK", "1"}}),
        "mpirun", 5, 8, 1);
  check(read({{"PMI_RANK", "2"}, {"PMI_SIZE", "3"}, {"MPI_LOCALRANKID", "0"}}), "mpirun", 2, 3, 0);
  check(read({{"RANK", "3"}, {"WORLD_SIZE", "4"}, {"LOCAL_RANK", "1"}}), "torchrun", 3, 4, 1);
  check(read({{"SLURM_PROCID", "6"}, {"SLURM_NTASKS", "16"}, {"SLURM_LOCALID", "2"}, {"SLURM_STEP_ID", "0"}}),
        "srun", 6, 16, 2);
  check(read({{"PMI_RANK", "2"}, {"PMI_SIZE", "3"}}), "mpirun", 2, 3, 2);  // no local rank
}

TEST_CASE("the batch script of Slurm is one process, and mpirun inside a job step counts first") {
  check(read({{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "16"}}), "", 0, 1, 0);
  check(read({{"SLURM_PROCID", "0"},
              {"SLURM_NTASKS", "1"},
              {"SLURM_STEP_ID", "0"},
              {"OMPI_COMM_WORLD_RANK", "1"},
              {"OMPI_COMM_WORLD_SIZE", "2"}}),
        "mpirun", 1, 2, 1);
}

TEST_CASE("impossible ranks are refused with the variable's name") {
  const auto refused = [](const char* rank, const char* size, const char* name) {
    CAPTURE(rank);
    CAPTURE(size);
    try {
      read({{"RANK", rank}, {"WORLD_SIZE", size}});
      FAIL_CHECK("accepted");
    } catch (const std::invalid_argument& error) {
      CHECK(std::string(error.what()).find(name) == 0);
    }
  };
  refused("4", "4", "RANK");
  refused("-1", "4", "RANK");
  refused("1x", "4", "RANK");
  refused("", "4", "RANK");
  refused("0", "0", "WORLD_SIZE");
  refused("0", "99999999999", "WORLD_SIZE");
}
