#include "slowsde/sde/second_moment.hpp"

#include <stdexcept>

#include "slowsde/problems/requirement.hpp"

namespace slowsde {
namespace {

template <class T>
void require(bool holds, const char* inequality, T value) {
  detail::require(holds, "round", inequality, value);
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
