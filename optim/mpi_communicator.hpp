// The communicator over MPI, where slowsde was built with it.
#pragma once

#include <memory>

#include "slowsde/optim/communicator.hpp"

namespace slowsde {

bool has_mpi();

/// All processes of mpirun. MPI is initialised unless it is already, and finalised with the object if this
/// one initialised it. `timeout`: seconds that a call waits before it asks which ranks still answer; LostRank
/// names those that do not. (A rank answers while it is in a call, so the time is to be longer than a round
/// of the slowest rank is behind the fastest.) Throws std::runtime_error in a build without MPI and
/// std::invalid_argument unless timeout > 0.
std::unique_ptr<Communicator> make_mpi_communicator(double timeout);

/// Ends all processes of mpirun with this exit code, without a word. For the handler of LostRank: a rank that
/// just returned would wait in MPI's finalisation for the one that is lost.
[[noreturn]] void end_all_ranks(int code);

}  // namespace slowsde
