#include "slowsde/optim/launch.hpp"

#include <charconv>
#include <cstdlib>
#include <stdexcept>

namespace slowsde {
namespace {

struct Variables {
  const char *launcher, *rank, *size, *local_rank;
  const char* condition;  ///< has to be set as well; may be null
};

constexpr Variables launchers[] = {
    {"mpirun", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK", nullptr},
    {"mpirun", "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", nullptr},
    {"torchrun", "RANK", "WORLD_SIZE", "LOCAL_RANK", nullptr},
    {"srun", "SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID", "SLURM_STEP_ID"},
};

int integer(const char* name, std::string_view text, int least, long long below) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < least || value >= below)
    throw std::invalid_argument(std::string(name) + " = \"" + std::string(text) +
                                "\" is no integer that is possible here");
  return value;
}

}  // namespace

Launch read_launch(const Environment& variable) {
  constexpr long long most = 1LL << 31;
  for (const Variables& names : launchers) {
    const char *rank = variable(names.rank), *size = variable(names.size);
    if (!rank || !size || (names.condition && !variable(names.condition))) continue;
    Launch launch{.launcher = names.launcher};
    launch.size = integer(names.size, size, 1, most);
    launch.rank = integer(names.rank, rank, 0, launch.size);
    const char* local = variable(names.local_rank);
    launch.local_rank = local ? integer(names.local_rank, local, 0, most) : launch.rank;
    return launch;
  }
  return {};
}

Launch read_launch() {
  return read_launch([](const char* name) -> const char* { return std::getenv(name); });
}

}  // namespace slowsde
