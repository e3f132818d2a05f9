#include "slowsde/optim/sampling_moment.hpp"

#include <stdexcept>
#include <string>

namespace slowsde {

double SamplingMoment::sampling_weight(const Round& round, int samples) const {
  if (samples < 1)
    throw std::invalid_argument("sampling: samples >= 1 is violated by " + std::to_string(samples));
  if (replacement_) return 1;
  if (round.local_batch > samples)
    throw std::invalid_argument("sampling without replacement: local_batch <= samples is violated by " +
                                std::to_string(round.local_batch) + " > " + std::to_string(samples));
  if (samples == 1) return 0;
  return static_cast<double>(samples - round.local_batch) / (samples - 1);
}

}  // namespace slowsde
