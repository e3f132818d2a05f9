// Label noise of a classification problem: wrong labels, drawn anew at every visit.
#pragma once

#include <cstdint>

#include "slowsde/problems/random_address.hpp"

namespace slowsde {

/// With probability p a visit's label is one of the C − 1 other classes, each equally likely.
///
/// So sample i has the label distribution q_i: 1 − p at its own label and p/(C−1) at the others, and the loss
/// in the mean over flips is the cross-entropy (1/n) Σ_i −Σ_c q_ic log π_ic, whose minimum in π_i is q_i. At
/// a θ with π_i = q_i for every sample, a visit's gradient J_iᵀ(π_i − e_label) has mean zero, and
///   Σ = (1/n) Σ_i J_iᵀ(diag q_i − q_i q_iᵀ)J_i = ∇²L,
/// since the other part of ∇²L, (1/n) Σ_i Σ_c (π_ic − q_ic) ∇²f_ic, vanishes there. This is what label noise
/// of variance σ² is to the squared loss (Σ = σ²∇²L). Where π_i ≠ q_i neither holds.
struct LabelFlip {
  double probability = 0;  ///< p

  /// Throws std::invalid_argument unless 0 ≤ p ≤ 1, and C ≥ 2 where p > 0.
  void check(int classes) const;

  /// The label that visit number `visit` = step·B_loc + place in the batch sees: block `visit` of
  /// (seed, Stream::label_flip, replica, worker). It is a stream of its own because the squared loss may have
  /// Gaussian label noise on top, whose indices are counted otherwise.
  SLOWSDE_HD int draw(int label, int classes, std::uint64_t seed, std::uint64_t replica, std::uint32_t worker,
                      std::uint64_t visit) const {
    if (!(probability > 0)) return label;
    const auto words = random_words(seed, Stream::label_flip, replica, worker, visit);
    const std::uint64_t joined = (static_cast<std::uint64_t>(words[0]) << 32) | words[1];
    const double u = static_cast<double>(joined >> 12) * 0x1p-52;  // in [0, 1): p = 1 flips always
    if (!(u < probability)) return label;
    const std::uint64_t others = static_cast<std::uint64_t>(classes) - 1;
    const int other = static_cast<int>((words[2] * others) >> 32);
    return other < label ? other : other + 1;
  }
};

}  // namespace slowsde
