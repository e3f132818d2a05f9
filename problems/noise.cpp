#include "slowsde/problems/noise.hpp"

#include <cmath>

#include "slowsde/problems/requirement.hpp"

namespace slowsde {

void GradientNoise::check(int samples, int local_batch) const {
  using detail::require;
  require(label_sigma >= 0 && std::isfinite(label_sigma), "noise", "0 <= sigma < infinity", label_sigma);
  require(local_batch >= 1, "noise", "local_batch >= 1", local_batch);
  if (kind == NoiseKind::minibatch) MinibatchSampler{samples, local_batch, replacement}.check();
}

void MinibatchSampler::check() const {
  using detail::require;
  require(samples >= 1, "minibatch", "samples >= 1", samples);
  require(batch >= 1, "minibatch", "batch >= 1", batch);
  if (!replacement) require(batch <= samples, "minibatch without replacement", "batch <= samples", batch);
}

void MinibatchSampler::draw(std::uint64_t seed, std::uint64_t replica, std::uint32_t worker,
                            std::uint64_t step, int* out) const {
  const std::uint64_t first = step * static_cast<std::uint64_t>(batch);
  detail::draw_integers(
      samples, batch, replacement,
      [&](int b, int m) {
        return static_cast<int>(integer_at(seed, Stream::sample, replica, worker,
                                           first + static_cast<std::uint64_t>(b),
                                           static_cast<std::uint32_t>(m)));
      },
      out);
}

double MinibatchSampler::variance_factor() const {
  if (replacement) return 1.0 / batch;
  return samples == batch ? 0.0 : (samples - batch) / ((samples - 1.0) * batch);
}

}  // namespace slowsde
