#include "slowsde/experiments/rank_route.hpp"

#include <doctest/doctest.h>

#include <string>

#include "slowsde/experiments/errors.hpp"

using namespace slowsde;

namespace {

RankRoute route(const char* launcher, bool mpi, bool gpus, bool files) {
  return rank_route({.rank = 1, .size = 4, .launcher = launcher}, mpi, gpus, files);
}

}  // namespace

TEST_CASE("GPUs meet over the files that the user names, whatever the launcher and the build") {
  for (const char* launcher : {"mpirun", "torchrun", "srun"})
    for (const bool mpi : {false, true}) {
      CAPTURE(launcher);
      CAPTURE(mpi);
      CHECK(route(launcher, mpi, true, true) == RankRoute::files);
    }
}

TEST_CASE("without such files, and on the CPU always, the launchers of MPI mean MPI") {
  for (const char* launcher : {"mpirun", "srun"}) {
    CAPTURE(launcher);
    CHECK(route(launcher, true, true, false) == RankRoute::mpi);
    CHECK(route(launcher, true, false, false) == RankRoute::mpi);
    CHECK(route(launcher, true, false, true) == RankRoute::mpi);
  }
}

TEST_CASE("where there is no way the error says what is missing") {
  const auto refused = [](const char* launcher, bool mpi, bool gpus, bool files, const char* missing) {
    CAPTURE(launcher);
    CAPTURE(mpi);
    CAPTURE(gpus);
    CAPTURE(files);
    try {
      route(launcher, mpi, gpus, files);
      FAIL_CHECK("a way");
    } catch (const BackendError& error) {
      CHECK(std::string(error.what()).find(launcher + std::string(" started 4 processes")) == 0);
      CHECK(std::string(error.what()).find(missing) != std::string::npos);
    }
  };
  for (const bool files : {false, true}) {
    refused("srun", false, false, files, "MPI in this build");
    for (const bool mpi : {false, true}) refused("torchrun", mpi, false, files, "NCCL and --backend cuda");
  }
  refused("srun", false, true, false, "SLOWSDE_RANK_FILES");
  for (const bool mpi : {false, true}) refused("torchrun", mpi, true, false, "SLOWSDE_RANK_FILES");
}
