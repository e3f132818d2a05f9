// The batch of (replica, worker, step) on the device: which samples, with which labels and targets. The same
// random numbers as BatchAssembler's, from the same addresses.
#pragma once

#include <cstdint>

#include "slowsde/problems/augmentation.hpp"
#include "slowsde/problems/host_device.hpp"
#include "slowsde/problems/label_flip.hpp"
#include "slowsde/problems/noise.hpp"
#include "slowsde/problems/normal_pack.hpp"

namespace slowsde {

/// Pointers are to the memory that the executing side can read.
struct BatchSource {
  const float* x = nullptr;     ///< (n × inputs)
  const int* labels = nullptr;  ///< (n)
  int inputs = 0, classes = 0;
  int samples = 0, batch = 0;  ///< n, B_loc
  bool replacement = true;     ///< without a table: whether a batch may hold a sample twice
  /// In epochs: the samples of the steps from `table_step` on, (steps × table_workers × B), of the workers
  /// from `table_worker` on. Null: drawn here.
  const int* table = nullptr;
  std::uint64_t table_step = 0;
  std::uint32_t table_worker = 0, table_workers = 1;
  LabelFlip flip;
  Augmentation augmentation;
  ImageShape shape;                         ///< of a sample's features
  double on = 1, off = 0, label_sigma = 0;  ///< targets of the squared loss
  std::uint64_t seed = 1, replica = 0;

  /// Samples and their labels, (B) each. Distinct samples are drawn one after the other, by one thread.
  SLOWSDE_HD void choose(int thread, int threads, std::uint32_t worker, std::uint64_t step, int* chosen,
                         int* label) const {
    const std::uint64_t first = step * static_cast<std::uint64_t>(batch);
    const auto flipped = [&](int b) {
      return flip.draw(labels[chosen[b]], classes, seed, replica, worker,
                       first + static_cast<std::uint64_t>(b));
    };
    const auto draw = [&](int b, int m) {
      return static_cast<int>(integer_at(seed, Stream::sample, replica, worker,
                                         first + static_cast<std::uint64_t>(b),
                                         static_cast<std::uint32_t>(m)));
    };
    if (table == nullptr && !replacement) {
      if (thread != 0) return;
      detail::draw_integers(samples, batch, false, draw, chosen);
      for (int b = 0; b < batch; ++b) label[b] = flipped(b);
      return;
    }
    const std::uint64_t row = (step - table_step) * table_workers + (worker - table_worker);
    for (int b = thread; b < batch; b += threads) {
      chosen[b] = table != nullptr
                      ? table[row * static_cast<std::uint64_t>(batch) + static_cast<std::uint64_t>(b)]
                      : draw(b, samples);
      label[b] = flipped(b);
    }
  }

  /// x feature-major: to[f·row + b].
  template <class Real>
  SLOWSDE_HD void gather(int thread, int threads, std::uint32_t worker, std::uint64_t step, const int* chosen,
                         Real* to, int row) const {
    // Neighbouring threads read neighbouring features of one sample.
    ImageChange change;
    int changed = -1;  // the sample of `change`
    for (int i = thread; i < batch * inputs; i += threads) {
      const int b = i / inputs, f = i - b * inputs;
      const float* const sample = x + static_cast<std::int64_t>(chosen[b]) * inputs;
      int entry = f;
      if (augmentation.active()) {
        if (b != changed)
          change =
              augmentation.draw(seed, replica, worker,
                                step * static_cast<std::uint64_t>(batch) + static_cast<std::uint64_t>(b));
        changed = b;
        entry = entry_before(change, shape, f);
      }
      to[f * row + b] = entry < 0 ? Real(0) : static_cast<Real>(sample[entry]);
    }
  }

  /// Targets of the squared loss: to[c·row + b].
  template <class Real>
  SLOWSDE_HD void targets(int thread, int threads, std::uint32_t worker, std::uint64_t step, const int* label,
                          Real* to, int row) const {
    const Real on_value = static_cast<Real>(on), off_value = static_cast<Real>(off),
               sigma = static_cast<Real>(label_sigma);
    const int count = batch * classes;  // number i is sample i / C, output i mod C
    const auto set = [&](int i, Real noise) {
      const int b = i / classes, c = i - b * classes;
      to[c * row + b] = (label[b] == c ? on_value : off_value) + sigma * noise;
    };
    if (!(label_sigma > 0)) {
      for (int i = thread; i < count; i += threads) set(i, Real{0});
      return;
    }
    share_normals(RandomPack<Real, 1>(seed, Stream::label, replica), worker,
                  step * static_cast<std::uint64_t>(count), static_cast<std::uint64_t>(count), thread,
                  threads, set);
  }
};

}  // namespace slowsde
