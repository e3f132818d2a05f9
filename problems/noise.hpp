// The noise of a stochastic gradient: which kind, how large, and which samples a minibatch draws.
#pragma once

#include <cmath>
#include <cstdint>
#include <sstream>
#include <stdexcept>
#include <vector>

#include "slowsde/problems/normal_pack.hpp"

namespace slowsde {

enum class NoiseKind {
  gaussian,   ///< g = ∇L + S ξ/√B, Σ = S Sᵀ from the problem's noise_factor
  label,      ///< every sample at every step, fresh label noise: Σ = σ²JᵀJ/n, which is σ²∇²L on Γ
  minibatch,  ///< B samples a step and fresh label noise: the above, plus the sampling noise off Γ
};

/// The gradient noise of a run.
struct GradientNoise {
  NoiseKind kind = NoiseKind::label;
  double label_sigma = 1;   ///< σ of the label noise, per output
  bool replacement = true;  ///< minibatches are drawn with replacement

  /// Throws std::invalid_argument unless σ ≥ 0 and, without replacement, B ≤ n.
  void check(int samples, int batch) const {
    std::ostringstream message;
    if (!(label_sigma >= 0 && std::isfinite(label_sigma)))
      message << "noise: sigma >= 0 is violated by " << label_sigma;
    else if (kind == NoiseKind::minibatch && !replacement && batch > samples)
      message << "noise: without replacement local_batch <= samples is violated by " << batch << " > "
              << samples;
    else
      return;
    throw std::invalid_argument(message.str());
  }
};

/// Draws the samples of one minibatch for a pack of replicas, lane by lane: uniform on {0, …, n−1} from one
/// 32-bit word each (bias below n/2³²); without replacement by Floyd's algorithm, which makes every subset
/// equally likely.
template <int W>
class BatchSampler {
 public:
  BatchSampler(int samples, int batch, bool replacement)
      : samples_(samples), batch_(batch), replacement_(replacement) {}

  /// Sample number b = 0, 1, …, batch − 1 of minibatch `draw` of a worker.
  template <class Real>
  requires(native_width<Real> == W) IndexPack<W> next(const RandomPack<Real>& random, std::uint32_t worker,
                                                      std::uint64_t draw) {
    const std::uint64_t index =
        draw * static_cast<std::uint64_t>(batch_) + static_cast<std::uint64_t>(drawn_);
    if (replacement_) {
      ++drawn_;
      return random.integers(worker, index, static_cast<std::uint32_t>(samples_));
    }
    // Floyd: draw from {0, …, m}; what was drawn before is replaced by m, which cannot have been.
    const int m = samples_ - batch_ + drawn_;
    IndexPack<W> choice = random.integers(worker, index, static_cast<std::uint32_t>(m + 1));
    for (const IndexPack<W>& earlier : chosen_)
      for (int l = 0; l < W; ++l)
        if (earlier[l] == choice[l]) {
          choice.set(l, m);
        }
    chosen_.push_back(choice);
    ++drawn_;
    return choice;
  }

  /// Begins the next minibatch.
  void restart() {
    drawn_ = 0;
    chosen_.clear();
  }

 private:
  int samples_, batch_;
  bool replacement_;
  int drawn_ = 0;
  std::vector<IndexPack<W>> chosen_;
};

}  // namespace slowsde
