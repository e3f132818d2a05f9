#include "slowsde/sde/second_moment.hpp"

#include <sstream>
#include <stdexcept>

namespace slowsde {
namespace {

template <class T>
void require(bool holds, const char* inequality, T value) {
  if (holds) return;
  std::ostringstream message;
  message << "round: " << inequality << " is violated by " << value;
  throw std::invalid_argument(message.str());
}

}  // namespace

void Round::check() const {
  require(eta > 0, "eta > 0", eta);
  require(local_steps >= 1, "local_steps >= 1", local_steps);
  require(workers >= 1, "workers >= 1", workers);
  require(local_batch >= 1, "local_batch >= 1", local_batch);
  require(momentum >= 0 && momentum < 1, "0 <= momentum < 1", momentum);
}

}  // namespace slowsde
