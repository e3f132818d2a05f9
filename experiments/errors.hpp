// How the program ends: its exit codes and the exceptions that lead to them. A ConfigError (config.hpp) and a
// std::invalid_argument end in usage, a std::system_error and an IoError in io, any other exception in
// failure.
#pragma once

#include <stdexcept>

namespace slowsde {

enum class ExitCode : int {
  ok = 0,
  failure = 1,       ///< failed while running; of `verify`: a prediction was refuted
  usage = 2,         ///< the command line or the configuration is wrong
  inconclusive = 3,  ///< of `verify`: neither confirmed nor refuted
  diverged = 4,      ///< every replica of a series diverged (the results are written nevertheless)
  io = 5,            ///< a file or directory can not be read or written
  backend = 6,       ///< the backend asked for is not in this build or on this machine
};

/// A file or directory can not be read or written.
class IoError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The backend asked for is not in this build or on this machine.
class BackendError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace slowsde
