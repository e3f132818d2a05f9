// The slow SDE of Local SGD on the valley, written out: what the loops over trajectories are measured with.
#pragma once

#include "slowsde/sde/ito_sde.hpp"
#include "slowsde/sde/psi.hpp"

namespace slowsde {

/// dx = −½x(1 + 7ψ(2(1 + x²)))dt + 0.3 dW: Local SGD with K = 8, σ² = B and ηH = 1 on L = ½(1 + x²)y² [G23],
/// with constant noise.
struct ValleySlowSde {
  static constexpr NoiseClass noise = NoiseClass::additive;
  static constexpr Calculus calculus = Calculus::ito;
  SLOWSDE_HD int dim() const { return 1; }
  SLOWSDE_HD int noise_dim() const { return 1; }
  template <class T>
  SLOWSDE_HD void drift(const T* x, double, T* out) const {
    out[0] = -0.5 * x[0] * (1.0 + 7.0 * psi(2.0 * (1.0 + x[0] * x[0])));
  }
  template <class T>
  SLOWSDE_HD void diffusion(const T*, double, T* S) const {
    S[0] = T(0.3);
  }
};

}  // namespace slowsde
