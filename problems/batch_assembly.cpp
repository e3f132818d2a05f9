#include "slowsde/problems/batch_assembly.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "slowsde/problems/normal_row.hpp"
#include "slowsde/problems/requirement.hpp"

namespace slowsde {
namespace {

using detail::require;

template <class Real>
using Vector = typename Pack<Real>::Vector;

/// W floats from memory as a pack.
template <class Real>
SLOWSDE_INLINE Vector<Real> load(const float* from) {
  typedef float Floats __attribute__((vector_size(native_width<Real> * sizeof(float))));
  Floats values;
  std::memcpy(&values, from, sizeof values);
  return __builtin_convertvector(values, Vector<Real>);
}

template <class Real, int... J>
SLOWSDE_INLINE void interleave(Vector<Real> a, Vector<Real> b, Vector<Real>& low, Vector<Real>& high,
                               std::integer_sequence<int, J...>) {
  constexpr int W = native_width<Real>;
  low = __builtin_shufflevector(a, b, (J / 2 + J % 2 * W)...);
  high = __builtin_shufflevector(a, b, (W / 2 + J / 2 + J % 2 * W)...);
}

/// Transposes a W × W block by log₂ W perfect shuffles: interleaving row i with row i + W/2 rotates the bits
/// of the position (row, column) by one place, and log₂ W rotations exchange row and column.
template <class Real>
SLOWSDE_INLINE void transpose(Vector<Real> (&block)[native_width<Real>]) {
  constexpr int W = native_width<Real>;
#pragma GCC unroll 4
  for (int rotation = 1; rotation < W; rotation *= 2) {
    Vector<Real> next[W];
#pragma GCC unroll 8
    for (int i = 0; i < W / 2; ++i) {
      interleave<Real>(block[i], block[i + W / 2], next[2 * i], next[2 * i + 1],
                       std::make_integer_sequence<int, W>());
    }
#pragma GCC unroll 16
    for (int i = 0; i < W; ++i) block[i] = next[i];
  }
}

/// Features of W samples as columns: column b of out, one pack per feature with `packs` packs to a row, is
/// rows[b]. Features that do not fill a block share it with those before them. Row b of `samples`, `width`
/// long, gets them as they are.
template <class Real>
void set_columns(const float* const* rows, int inputs, Pack<Real>* out, int packs, Real* samples, int width) {
  constexpr int W = native_width<Real>;
  for (int first = 0; first < inputs; first += W) {
    Vector<Real> block[W];
    int start = first, count = std::min(W, inputs);
    if (inputs >= W) {
      start = std::min(first, inputs - W);
#pragma GCC unroll 16
      for (int b = 0; b < W; ++b) block[b] = load<Real>(rows[b] + start);
    } else {
      for (int b = 0; b < W; ++b) {
        float padded[W] = {};
        std::copy(rows[b], rows[b] + inputs, padded);
        block[b] = load<Real>(padded);
      }
    }
#pragma GCC unroll 16
    for (int b = 0; b < W; ++b)
      std::memcpy(samples + static_cast<std::size_t>(b) * width + start, &block[b], sizeof block[b]);
    transpose<Real>(block);
    Pack<Real>* to = out + static_cast<std::size_t>(start) * packs;
    for (int j = 0; j < count; ++j) to[static_cast<std::size_t>(j) * packs] = Pack<Real>(block[j]);
  }
}

/// `value` in the first `count` lanes, 0 in the others.
template <class Real>
Pack<Real> filled(int count, double value) {
  Pack<Real> pack(0);
  for (int l = 0; l < count; ++l) pack.set(l, static_cast<Real>(value));
  return pack;
}

}  // namespace

void TargetRecipe::check() const {
  require(on > off, "targets", "on > off", on);
  require(label_sigma >= 0 && std::isfinite(label_sigma), "targets", "0 <= sigma < infinity", label_sigma);
}

template <class Real>
BatchBuffer<Real>::BatchBuffer(int inputs, int max_batch, int classes)
    : inputs_(inputs), max_batch_(max_batch), classes_(classes) {
  require(inputs >= 1, "batch", "inputs >= 1", inputs);
  require(max_batch >= 1, "batch", "size >= 1", max_batch);
  require(classes >= 0, "batch", "classes >= 0", classes);
  const std::size_t packs = static_cast<std::size_t>(batch_stride<Real>(max_batch) / native_width<Real>);
  x_.resize(packs * static_cast<std::size_t>(inputs), Pack<Real>(0));
  samples_.resize(packs * static_cast<std::size_t>(batch_stride<Real>(inputs)), Pack<Real>(0));
  y_.resize(packs * static_cast<std::size_t>(classes), Pack<Real>(0));
  labels_.resize(static_cast<std::size_t>(max_batch));
  zeros_.resize(static_cast<std::size_t>(inputs));
}

template <class Real>
void BatchBuffer<Real>::set_samples(const float* const* rows, int size) {
  constexpr int W = native_width<Real>;
  require(size >= 1, "batch", "size >= 1", size);
  require(size <= max_batch_, "batch", "size <= max_batch", size);
  size_ = size;
  const int packs = batch_stride<Real>(size) / W, width = batch_stride<Real>(inputs_);
  for (int p = 0; p < packs; ++p) {
    const float* columns[W];
    for (int b = 0; b < W; ++b) columns[b] = p * W + b < size ? rows[p * W + b] : zeros_.data();
    set_columns(columns, inputs_, x_.data() + p, packs,
                reinterpret_cast<Real*>(samples_.data()) + static_cast<std::size_t>(p) * W * width, width);
  }
}

template <class Real>
void BatchBuffer<Real>::set_targets(const TargetRecipe& recipe, const Real* eps) {
  constexpr int W = native_width<Real>;
  const int packs = batch_stride<Real>(size_) / W;
  const Real sigma = static_cast<Real>(recipe.label_sigma);
  for (int p = 0; p < packs; ++p) {
    const int count = std::min(W, size_ - p * W);
    const Pack<Real> on = filled<Real>(count, recipe.on), off = filled<Real>(count, recipe.off);
    Pack<Real> label(-1);
    for (int l = 0; l < count; ++l)
      label.set(l, static_cast<Real>(labels_[static_cast<std::size_t>(p * W + l)]));
    for (int c = 0; c < classes_; ++c) {
      Pack<Real> target = select(label == Pack<Real>(c), on, off);
      if (sigma > 0) {
        Pack<Real> noise(0);
        for (int l = 0; l < count; ++l) noise.set(l, eps[(p * W + l) * classes_ + c]);
        target = target + Pack<Real>(sigma) * noise;
      }
      y_[static_cast<std::size_t>(c * packs + p)] = target;
    }
  }
}

template <class Real>
Batch<Real> BatchBuffer<Real>::batch() const {
  return {.size = size_,
          .stride = batch_stride<Real>(size_),
          .x = reinterpret_cast<const Real*>(x_.data()),
          .samples = reinterpret_cast<const Real*>(samples_.data()),
          .labels = labels_.data(),
          .y = classes_ > 0 ? reinterpret_cast<const Real*>(y_.data()) : nullptr};
}

template <class Real>
Batch<Real> consecutive_samples(const ClassificationData& data, int first, int size,
                                BatchBuffer<Real>& buffer) {
  require(first >= 0, "batch", "first >= 0", first);
  require(first + size <= data.count(), "batch", "first + size <= n", first + size);
  std::vector<const float*> rows;
  for (int b = 0; b < size; ++b) rows.push_back(data.sample(first + b));
  buffer.set_samples(rows.data(), size);
  std::copy(data.labels.begin() + first, data.labels.begin() + first + size, buffer.labels());
  return buffer.batch();
}

template Batch<float> consecutive_samples(const ClassificationData&, int, int, BatchBuffer<float>&);
template Batch<double> consecutive_samples(const ClassificationData&, int, int, BatchBuffer<double>&);

void BatchRecipe::check(const ClassificationData& data) const {
  augmentation.check(data.shape);
  flip.check(data.classes);
  if (targets) target.check();
}

template <class Real>
BatchAssembler<Real>::BatchAssembler(const ClassificationData& data, const SamplingPlan& plan,
                                     const BatchRecipe& recipe, std::uint64_t seed)
    : data_(data),
      recipe_(recipe),
      seed_(seed),
      sampler_(plan, seed),
      buffer_(data.shape.size(), plan.local_batch, recipe.targets ? data.classes : 0),
      rows_(static_cast<std::size_t>(plan.local_batch)) {
  data.check();
  recipe.check(data);
  require(plan.samples == data.count(), "batches", "samples of the plan = n", plan.samples);
  if (recipe.augmentation.active())
    changed_.resize(rows_.size() * static_cast<std::size_t>(data.shape.size()));
  if (recipe.targets && recipe.target.label_sigma > 0) {
    normals_.resize(rows_.size() * static_cast<std::size_t>(data.classes));
  }
}

template <class Real>
Batch<Real> BatchAssembler<Real>::assemble(std::uint64_t replica, std::uint32_t worker, std::uint64_t step) {
  const int* samples = sampler_.draw(replica, worker, step);
  for (std::size_t b = 0; b < rows_.size(); ++b) __builtin_prefetch(data_.sample(samples[b]));
  const std::uint64_t first_visit = step * rows_.size();
  for (std::size_t b = 0; b < rows_.size(); ++b) {
    const float* sample = data_.sample(samples[b]);
    if (recipe_.augmentation.active()) {
      float* changed = changed_.data() + b * static_cast<std::size_t>(data_.shape.size());
      apply(recipe_.augmentation.draw(seed_, replica, worker, first_visit + b), data_.shape, sample, changed);
      sample = changed;
    }
    rows_[b] = sample;
    buffer_.labels()[b] = recipe_.flip.draw(data_.labels[static_cast<std::size_t>(samples[b])], data_.classes,
                                            seed_, replica, worker, first_visit + b);
  }
  const int size = static_cast<int>(rows_.size());
  buffer_.set_samples(rows_.data(), size);
  if (recipe_.targets) {
    if (!normals_.empty()) {
      normal_row(seed_, Stream::label, replica, worker,
                 first_visit * static_cast<std::uint64_t>(data_.classes), static_cast<int>(normals_.size()),
                 normals_.data());
    }
    buffer_.set_targets(recipe_.target, normals_.data());
  }
  return buffer_.batch();
}

template class BatchBuffer<float>;
template class BatchBuffer<double>;
template class BatchAssembler<float>;
template class BatchAssembler<double>;

}  // namespace slowsde
