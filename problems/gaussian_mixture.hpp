// Classes that are Gaussian clouds.
#pragma once

#include <cstdint>

#include "slowsde/problems/classification_data.hpp"

namespace slowsde {

/// x = μ_label + N(0, I_m), labels uniform; |μ_c| = separation/√2 in independent uniform directions, so that
/// means at right angles to each other are `separation` standard deviations apart.
/// Two classes are told apart best by the nearer mean, which errs with probability Φ(−|μ_0 − μ_1|/2).
struct GaussianMixture {
  int classes = 10;
  int dim = 64;  ///< m
  double separation = 4;
  std::uint64_t seed = 1;

  /// Throws std::invalid_argument: classes ≥ 1, dim ≥ 1, 0 ≤ separation < ∞.
  void check() const;

  /// The means: (classes × dim), row-major.
  std::vector<double> means() const;
  /// Samples first … first + n − 1 of an endless sequence: sample i depends on i and the parameters alone.
  /// Shape (m, 1, 1). Throws as check does, and for n < 1 or first < 0.
  ClassificationData samples(int n, int first = 0) const;
};

}  // namespace slowsde
