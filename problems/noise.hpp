// The gradient noise of a run of SGD: what is random in one step, and which samples a minibatch holds.
#pragma once

#include <cstdint>

#include "slowsde/problems/normal_pack.hpp"
#include "slowsde/problems/random_address.hpp"

namespace slowsde {

/// Where the randomness of a stochastic gradient comes from. Σ(θ) is the covariance of ONE sample's gradient.
enum class NoiseKind {
  /// The exact gradient plus S(θ)ξ, ξ ~ N(0, I): Σ = S Sᵀ, the problem's `noise_factor`.
  gaussian,
  /// Least squares, all samples at every step with fresh ε ~ N(0, σ²n/B I_C) on their targets: Σ = σ²JᵀJ/n,
  /// which is
  /// σ²∇²L on Γ. Label noise without the sampling noise that appears off Γ.
  label,
  /// Least squares, B samples a step, g = J_iᵀ(r_i − ε) with fresh ε ~ N(0, σ²I_C) at each visit:
  /// Σ = Cov_i(J_iᵀr_i) + σ²JᵀJ/n, i uniform. On Γ, where r = 0, it is σ²∇²L again.
  minibatch,
};

struct GradientNoise {
  NoiseKind kind = NoiseKind::label;
  double label_sigma = 1;   ///< σ; not used by Gaussian noise
  bool replacement = true;  ///< whether a minibatch may hold a sample twice (minibatch noise)

  /// Throws std::invalid_argument unless 0 ≤ σ < ∞, B_loc ≥ 1 and, for minibatches without replacement, B_loc
  /// ≤ n.
  void check(int samples, int local_batch) const;
};

namespace detail {

/// `j` where `t` is among the first `count` of `chosen`, `t` elsewhere.
SLOWSDE_HD SLOWSDE_INLINE int unless_chosen(int t, int j, const int* chosen, int count) {
  bool taken = false;
  for (int k = 0; k < count; ++k) taken = taken || chosen[k] == t;
  return taken ? j : t;
}
template <int W>
SLOWSDE_HD SLOWSDE_INLINE IndexPack<W> unless_chosen(IndexPack<W> t, int j, const IndexPack<W>* chosen,
                                                     int count) {
  IndexPack<W> result = t;
  for (int k = 0; k < count; ++k) result = select(chosen[k] == t, IndexPack<W>(j), result);
  return result;
}

/// `batch` integers below n, draw(b, m) being number b, uniform in [0, m). Without replacement by Floyd's
/// algorithm (Bentley & Floyd, "A sample of brilliance", CACM 30, 1987): every subset is equally likely, the
/// order within it is not. It needs one draw per member and `batch`²/2 comparisons, no table of length n.
template <class Index, class Draw>
SLOWSDE_HD SLOWSDE_INLINE void draw_integers(int n, int batch, bool replacement, Draw draw, Index* out) {
  for (int b = 0; b < batch; ++b) {
    if (replacement) {
      out[b] = draw(b, n);
    } else {
      const int j = n - batch + b;
      out[b] = unless_chosen(draw(b, j + 1), j, out, b);
    }
  }
}

}  // namespace detail

/// Which of n samples are in a minibatch of B. Draw b of step k is word k·B + b of the stream, mapped to
/// integers as by `integer_at`: inclusion probabilities are exact to n/2³².
struct MinibatchSampler {
  int samples = 1, batch = 1;  ///< n, B
  bool replacement = true;

  /// Throws std::invalid_argument unless n ≥ 1, B ≥ 1 and, without replacement, B ≤ n.
  void check() const;

  /// Indices of step `step`: out has B entries. Addressed by (seed, Stream::sample, replica, worker).
  void draw(std::uint64_t seed, std::uint64_t replica, std::uint32_t worker, std::uint64_t step,
            int* out) const;

  /// The same for a pack of replicas; `random` is a RandomPack of Stream::sample, lane l its replica l.
  template <class Real, int W>
  SLOWSDE_HD SLOWSDE_INLINE void draw(const RandomPack<Real, W>& random, std::uint32_t worker,
                                      std::uint64_t step, IndexPack<W>* out) const {
    const std::uint64_t first = step * static_cast<std::uint64_t>(batch);
    detail::draw_integers(
        samples, batch, replacement,
        [&](int b, int m) {
          return random.integers(worker, first + static_cast<std::uint64_t>(b),
                                 static_cast<std::uint32_t>(m));
        },
        out);
  }

  /// Var of a minibatch's mean / variance of one sample, (1/n)Σ(z_i − z̄)²: 1/B with replacement,
  /// (n−B)/((n−1)B) without.
  double variance_factor() const;
};

}  // namespace slowsde
