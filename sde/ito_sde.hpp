// What a stochastic differential equation is to the steppers: a drift, a diffusion matrix and, in its type,
// the class of its noise and the calculus it is written in.
//
//   struct OrnsteinUhlenbeck {                            // dX = −X dt + s dW
//     static constexpr NoiseClass noise = NoiseClass::additive;
//     static constexpr Calculus calculus = Calculus::ito;
//     double s = 1;
//     int dim() const { return 1; }
//     int noise_dim() const { return 1; }
//     template <class T> void drift(const T* x, double, T* out) const { out[0] = -x[0]; }
//     template <class T> void diffusion(const T*, double, T* S) const { S[0] = T(s); }
//   };
//
//   struct GradientFlow {                                 // ẋ = −x³: an ODE is an SDE without noise
//     static constexpr NoiseClass noise = NoiseClass::none;
//     static constexpr Calculus calculus = Calculus::ito;
//     int dim() const { return 1; }
//     template <class T> void drift(const T* x, double, T* out) const { out[0] = -(x[0] * x[0] * x[0]); }
//   };
//
// An SDE whose drift and diffusion share their work may add `drift_and_diffusion(x, t, out, S)`, which writes
// both.
//
// The members are templates over the scalar (double, a pack of trajectories) or take double only; an SDE that
// takes packs runs as many trajectories at once.
#pragma once

#include <concepts>
#include <cstddef>

#include "slowsde/problems/host_device.hpp"

namespace slowsde {

/// What is known of the diffusion matrix S(x, t), (d × m).
enum class NoiseClass {
  none,      ///< S = 0: an ordinary differential equation; no `noise_dim`, no `diffusion`
  additive,  ///< S depends on t only
  diagonal,  ///< m = d, S_ij = 0 for i ≠ j, and S_ii depends on x_i and t only (Kloeden & Platen, §10.3)
  general,   ///< anything; the fields need not commute
};

/// Which stochastic integral ∫ S(X) dW means.
enum class Calculus { ito, stratonovich };

/// dX = drift dt + S dW in T scalars. `drift(x, t, out)` writes (d); `diffusion(x, t, S)` writes (d × m),
/// row-major, except for diagonal noise, where it writes the d diagonal entries.
template <class S, class T = double>
concept Sde = requires(const S& sde, const T* x, double t, T* out) {
  { S::noise } -> std::convertible_to<NoiseClass>;
  { S::calculus } -> std::convertible_to<Calculus>;
  { sde.dim() } -> std::convertible_to<int>;
  sde.drift(x, t, out);
}
&&(S::noise == NoiseClass::none || requires(const S& sde, const T* x, double t, T* out) {
  { sde.noise_dim() } -> std::convertible_to<int>;
  sde.diffusion(x, t, out);
});

/// S does not depend on x, so that Itô's and Stratonovich's integrals agree.
template <class S>
inline constexpr bool has_one_calculus = S::noise == NoiseClass::none || S::noise == NoiseClass::additive;

/// m, the number of Brownian motions.
template <class S>
SLOWSDE_HD int noise_dimension(const S& sde) {
  if constexpr (S::noise == NoiseClass::none)
    return 0;
  else
    return sde.noise_dim();
}

/// Scalars that `diffusion` writes.
template <class S>
SLOWSDE_HD std::size_t diffusion_size(const S& sde) {
  const auto d = static_cast<std::size_t>(sde.dim());
  if constexpr (S::noise == NoiseClass::diagonal)
    return d;
  else
    return d * static_cast<std::size_t>(noise_dimension(sde));
}

}  // namespace slowsde
