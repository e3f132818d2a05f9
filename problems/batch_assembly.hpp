// Batches for the gradient of a network: samples are chosen, changed and laid out feature-major.
#pragma once

#include <cstdint>
#include <vector>

#include "slowsde/problems/augmentation.hpp"
#include "slowsde/problems/batch.hpp"
#include "slowsde/problems/classification_data.hpp"
#include "slowsde/problems/epoch_sampler.hpp"
#include "slowsde/problems/label_flip.hpp"

namespace slowsde {

/// Targets of the squared loss: `on` for the label's output and `off` for the others, plus fresh noise
/// σ·N(0, 1), independent for each visit and output.
struct TargetRecipe {
  double on = 1, off = 0;
  double label_sigma = 0;  ///< σ

  /// Throws std::invalid_argument unless on > off and 0 ≤ σ < ∞.
  void check() const;
};

/// Room for one batch of up to a given size.
template <class Real>
class BatchBuffer {
 public:
  /// `classes`: outputs that have targets, 0 for a loss without. Throws std::invalid_argument for sizes < 1.
  BatchBuffer(int inputs, int max_batch, int classes = 0);

  /// Makes the batch of the `size` samples whose features begin at rows[b]: (inputs) floats each. All of x is
  /// written, columns b ≥ size with zeros. Throws std::invalid_argument for a size beyond the room.
  void set_samples(const float* const* rows, int size);
  /// Labels of the current batch: (size).
  int* labels() { return labels_.data(); }
  /// Targets of the current batch by its labels; eps: (size × classes) normals, may be null when σ = 0.
  void set_targets(const TargetRecipe& recipe, const Real* eps);

  /// The batch. It is valid as long as this buffer and shows what is set next.
  Batch<Real> batch() const;

 private:
  int inputs_, max_batch_, classes_, size_ = 0;
  std::vector<Pack<Real>> x_, samples_, y_;  // packs for their alignment
  std::vector<int> labels_;
  std::vector<float> zeros_;  // the sample of a column beyond the batch: (inputs)
};

extern template class BatchBuffer<float>;
extern template class BatchBuffer<double>;

/// The samples first … first + size − 1 as they stand in the data, for evaluation.
template <class Real>
Batch<Real> consecutive_samples(const ClassificationData& data, int first, int size,
                                BatchBuffer<Real>& buffer);

/// What is done to the chosen samples.
struct BatchRecipe {
  Augmentation augmentation = {};
  LabelFlip flip = {};
  bool targets = false;      ///< whether the loss needs y (squared loss)
  TargetRecipe target = {};  ///< used with `targets`

  /// Throws std::invalid_argument as its parts do.
  void check(const ClassificationData& data) const;
};

/// The batch of (replica, worker, step), a pure function of them, the seed, the data and the parameters.
/// Visit step·B_loc + b of a worker draws its augmentation and its label from the streams of these; the
/// normals of its targets are numbers (step·B_loc + b)·C + c of Stream::label, those of a minibatch least
/// squares gradient. Not to be shared by threads.
template <class Real>
class BatchAssembler {
 public:
  /// Keeps a reference to `data`. Throws std::invalid_argument when the data, the plan or the recipe is
  /// impossible or plan.samples is not the number of samples.
  BatchAssembler(const ClassificationData& data, const SamplingPlan& plan, const BatchRecipe& recipe,
                 std::uint64_t seed);

  std::int64_t steps_per_epoch() const { return sampler_.steps_per_epoch(); }

  /// Valid until the next call.
  Batch<Real> assemble(std::uint64_t replica, std::uint32_t worker, std::uint64_t step);

 private:
  const ClassificationData& data_;
  BatchRecipe recipe_;
  std::uint64_t seed_;
  EpochSampler sampler_;
  BatchBuffer<Real> buffer_;
  std::vector<const float*> rows_;  // (B_loc)
  std::vector<float> changed_;      // augmented samples: (B_loc × inputs)
  std::vector<Real> normals_;       // (B_loc × classes)
};

extern template class BatchAssembler<float>;
extern template class BatchAssembler<double>;

}  // namespace slowsde
