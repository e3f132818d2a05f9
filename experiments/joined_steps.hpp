// Iterates at two learning rates on one noise.
#pragma once

#include <cmath>

#include "slowsde/problems/problem.hpp"

namespace slowsde {

/// A problem P whose Gaussian noise in one step is what M steps of P have between them, Σ_m ξ_m/√M: step k
/// draws the normals of steps kM … kM + M − 1 of P. A run of it at η and one of P at η/√M, of the same seed,
/// have the same noise at the same slow times η²k.
template <GaussianNoiseProblem P, int M>
class JoinedSteps : public P {
 public:
  static_assert(M >= 1, "a step is at least one");
  static constexpr int noise_dim = M * P::noise_dim;

  explicit JoinedSteps(const P& problem) : P(problem) {}

  /// S: (d × noise_dim), M times that of P side by side, over √M.
  template <class T>
  void noise_factor(const T* theta, T* S) const {
    constexpr int m = P::noise_dim;
    T one[P::dim * m];
    P::noise_factor(theta, one);
    const T share(1 / std::sqrt(static_cast<double>(M)));
    for (int j = 0; j < P::dim; ++j)
      for (int step = 0; step < M; ++step)
        for (int c = 0; c < m; ++c) S[(j * M + step) * m + c] = share * one[j * m + c];
  }
};

}  // namespace slowsde
