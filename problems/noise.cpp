#include "slowsde/problems/noise.hpp"

#include <array>
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
  // Four successive draws share a block of words.
  std::array<std::uint32_t, 4> words;
  detail::draw_integers(
      samples, batch, replacement,
      [&](int b, int m) {
        const std::uint64_t index = first + static_cast<std::uint64_t>(b);
        if (b == 0 || index % 4 == 0) words = random_words(seed, Stream::sample, replica, worker, index / 4);
        return static_cast<int>(integer_from(words[index % 4], static_cast<std::uint32_t>(m)));
      },
      out);
}

double MinibatchSampler::variance_factor() const {
  if (replacement) return 1.0 / batch;
  return samples == batch ? 0.0 : (samples - batch) / ((samples - 1.0) * batch);
}

}  // namespace slowsde
