// Brownian increments by address: a pure function of (seed, trajectory, worker, step, component). Nothing is
// drawn in sequence, so steps may be taken in any order, by any thread, and again.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "slowsde/problems/normal_pack.hpp"

namespace slowsde {

/// Where the noise of an SDE comes from. `increments(k, dt, dW)` writes the m increments of step k, each
/// N(0, dt); `signs(k, count, out)` writes `count` independent ±1 of step k that are independent of them.
template <class N, class T = double>
concept BrownianNoise = requires(N& noise, std::uint64_t k, double dt, int count, T* out) {
  noise.increments(k, dt, out);
  noise.signs(k, count, out);
};

/// A row of normals of one worker (one copy of the SDE), remembered in aligned runs because consecutive
/// numbers share a counter block and independent blocks are generated faster side by side. The memory is
/// invisible: number(index) is a function of the address alone, and equal bit for bit for double and for each
/// lane of Pack<double>. T is double or a pack; lane l of a pack is trajectory first + l.
template <class T>
class NormalRow {
  using Real = typename T::Scalar;
  static constexpr int blocks = 4;

 public:
  /// Numbers generated at once.
  static constexpr int run = blocks * normals_per_block<Real>;

  NormalRow(std::uint64_t seed, Stream stream, std::uint64_t first, std::uint32_t worker)
      : random_(seed, stream, first), worker_(worker) {}

  const T& number(std::uint64_t index) {
    if (index / run != held_) fill(index / run);
    return numbers_[index % run];
  }

 private:
  void fill(std::uint64_t which) {
    held_ = which;
    T out[blocks][normals_per_block<Real>];
    random_.template consecutive_normals<blocks>(worker_, which * blocks, out);
    for (int g = 0; g < blocks; ++g)
      for (int j = 0; j < normals_per_block<Real>; ++j) numbers_[g * normals_per_block<Real> + j] = out[g][j];
  }

  RandomPack<Real> random_;
  std::uint32_t worker_;
  std::uint64_t held_ = ~std::uint64_t{0};
  T numbers_[run];
};

#if SLOWSDE_VECTORS

template <>
class NormalRow<double> {
 public:
  static constexpr int run = 16;

  NormalRow(std::uint64_t seed, Stream stream, std::uint64_t trajectory, std::uint32_t worker)
      : seed_(seed), trajectory_(trajectory), worker_(worker), stream_(stream) {}

  double number(std::uint64_t index) {
    if (index / run != held_) fill(index / run);
    return numbers_[index % run];
  }

 private:
  /// The lanes of one Box–Muller transform are eight blocks of this trajectory.
  void fill(std::uint64_t which) {
    held_ = which;
    detail::WordLanes a[1], b[1];
    for (std::size_t l = 0; l < 8; ++l) {
      const auto w = random_words(seed_, stream_, trajectory_, worker_, which * 8 + l);
      a[0][l] = (static_cast<std::uint64_t>(w[0]) << 32) | w[1];
      b[0][l] = (static_cast<std::uint64_t>(w[2]) << 32) | w[3];
    }
    Pack<double> even[1], odd[1];
    detail::box_muller(a, b, even, odd);
    for (int l = 0; l < 8; ++l) {
      numbers_[2 * l] = even[0][l];
      numbers_[2 * l + 1] = odd[0][l];
    }
  }

  std::uint64_t seed_, trajectory_;
  std::uint32_t worker_;
  Stream stream_;
  std::uint64_t held_ = ~std::uint64_t{0};
  double numbers_[run];
};

#endif

/// The Brownian motion W ∈ R^m of one trajectory (T = double) or of a pack of them, for each of `workers`
/// copies of the SDE, seen on a grid of steps. With `refinement` r an increment is the sum of the r finer
/// ones that a run with r times as many steps and refinement 1 sees: levels of one path, for coupled
/// comparisons.
///   ΔW_c(k) = √(dt/r) Σ_{j<r} N[(k·r + j)·m + c],   N standard normals of Stream::brownian.
template <class T>
class BrownianPath {
 public:
  BrownianPath(std::uint64_t seed, std::uint64_t first_trajectory, int noise_dim, int workers = 1,
               std::uint64_t refinement = 1)
      : seed_(seed), first_(first_trajectory), m_(static_cast<std::uint64_t>(noise_dim)), r_(refinement) {
    rows_.reserve(static_cast<std::size_t>(workers));
    for (int w = 0; w < workers; ++w)
      rows_.emplace_back(seed, Stream::brownian, first_trajectory, static_cast<std::uint32_t>(w));
  }

  int workers() const { return static_cast<int>(rows_.size()); }
  std::uint64_t components() const { return m_; }

  /// ΔW of step k of length dt: (m).
  void increments(std::uint64_t k, double dt, T* dW) { increments_of(0, k, dt, dW); }
  /// ±1 with probability ½ each, from Stream::auxiliary: (count). Step k owns numbers k·count … .
  void signs(std::uint64_t k, int count, T* out) { signs_of(0, k, count, out); }

  void increments_of(int worker, std::uint64_t k, double dt, T* dW) {
    if (dt != dt_) {
      dt_ = dt;
      root_ = std::sqrt(dt / static_cast<double>(r_));
    }
    auto& row = rows_[static_cast<std::size_t>(worker)];
    const T root(root_);
    std::uint64_t index = k * r_ * m_;
    for (std::uint64_t c = 0; c < m_; ++c) dW[c] = root * row.number(index++);
    for (std::uint64_t j = 1; j < r_; ++j)
      for (std::uint64_t c = 0; c < m_; ++c) dW[c] = dW[c] + root * row.number(index++);
  }

  void signs_of(int worker, std::uint64_t k, int count, T* out) const {
    for (int i = 0; i < count; ++i) {
      const std::uint64_t index = k * static_cast<std::uint64_t>(count) + static_cast<std::uint64_t>(i);
      const auto w = static_cast<std::uint32_t>(worker);
      if constexpr (std::is_same_v<T, double>) {
        out[i] = 1.0 - 2.0 * integer_at(seed_, Stream::auxiliary, first_, w, index, 2);
      } else {
        const RandomPack<typename T::Scalar> random(seed_, Stream::auxiliary, first_);
        const T bit(__builtin_convertvector(random.integers(w, index, 2).v, typename T::Vector));
        out[i] = T(1.0) - T(2.0) * bit;
      }
    }
  }

 private:
  std::uint64_t seed_, first_, m_, r_;
  double dt_ = -1, root_ = 0;
  std::vector<NormalRow<T>> rows_;
};

/// The noise of one of a path's workers.
template <class Path>
struct WorkerNoise {
  Path& path;
  int worker;

  template <class T>
  void increments(std::uint64_t k, double dt, T* dW) {
    path.increments_of(worker, k, dt, dW);
  }
  template <class T>
  void signs(std::uint64_t k, int count, T* out) {
    path.signs_of(worker, k, count, out);
  }
};

/// The noises of all K workers of a path as one Brownian motion, K^{-1/2} Σ_w W_w = √K times their mean; of
/// one worker its own noise, bit for bit. An SDE with the global batch on it is coupled to K copies with the
/// local batch on the path itself: the copies' noises, averaged, are the SDE's.
template <class T>
class MeanNoise {
 public:
  /// The path must outlive the noise.
  explicit MeanNoise(BrownianPath<T>& path)
      : path_(path), scale_(1 / std::sqrt(static_cast<double>(path.workers()))), one_(path.components()) {}

  /// ΔW of step k of length dt: (m).
  void increments(std::uint64_t k, double dt, T* dW) {
    const T scale(scale_);
    for (int w = 0; w < path_.workers(); ++w) {
      path_.increments_of(w, k, dt, one_.data());
      for (std::size_t c = 0; c < one_.size(); ++c)
        dW[c] = w == 0 ? scale * one_[c] : dW[c] + scale * one_[c];
    }
  }
  /// ±1 of step k: (count), those of the first worker.
  void signs(std::uint64_t k, int count, T* out) { path_.signs_of(0, k, count, out); }

 private:
  BrownianPath<T>& path_;
  double scale_;
  std::vector<T> one_;  // (m)
};

}  // namespace slowsde
