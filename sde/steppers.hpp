// Schemes for stochastic differential equations. A scheme is a small value without state: it says which SDEs
// it accepts, how many scalars of workspace a step needs, and what one step does. `Stepper` binds a scheme to
// an SDE, owns the workspace and keeps the time grid.
//
// Order of convergence (Kloeden & Platen, "Numerical Solution of Stochastic Differential Equations", 1992):
//   | scheme           | accepts              | strong | weak |
//   | EulerMaruyama    | Itô                  | 1/2    | 1    |  (strong 1 for additive noise)
//   | Heun             | Stratonovich         | 1/2    | 1    |  (strong 1 for commutative noise)
//   | Milstein         | Itô, diagonal noise  | 1      | 1    |
//   | PlatenWeak2      | Itô                  | 1/2    | 2    |
// Additive noise and no noise have one calculus and are accepted by all.
#pragma once

#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "slowsde/sde/brownian.hpp"
#include "slowsde/sde/ito_sde.hpp"

namespace slowsde {

/// Step k goes from time t to t + dt.
struct TimeStep {
  std::uint64_t k = 0;
  double t = 0, dt = 0;
};

namespace detail {

/// x += S·dW for the diffusion as it is stored: (d) when diagonal, (d × m) otherwise.
template <class S, class T>
SLOWSDE_HD SLOWSDE_INLINE void add_diffusion(const S& sde, const T* B, const T* dW, T* x) {
  const int d = sde.dim();
  if constexpr (S::noise == NoiseClass::diagonal) {
    for (int i = 0; i < d; ++i) x[i] = x[i] + B[i] * dW[i];
  } else if constexpr (S::noise != NoiseClass::none) {
    const int m = sde.noise_dim();
    for (int i = 0; i < d; ++i)
      for (int j = 0; j < m; ++j) x[i] = x[i] + B[i * m + j] * dW[j];
  }
}

/// S(x, t), nothing where there is no noise.
template <class S, class T>
SLOWSDE_HD SLOWSDE_INLINE void diffusion(const S& sde, const T* x, double t, T* B) {
  if constexpr (S::noise != NoiseClass::none) sde.diffusion(x, t, B);
}

/// a(x, t) and S(x, t), from one evaluation where the SDE has one for both.
template <class S, class T>
SLOWSDE_HD SLOWSDE_INLINE void drift_and_diffusion(const S& sde, const T* x, double t, T* a, T* B) {
  if constexpr (S::noise != NoiseClass::none && requires { sde.drift_and_diffusion(x, t, a, B); }) {
    sde.drift_and_diffusion(x, t, a, B);
  } else {
    sde.drift(x, t, a);
    diffusion(sde, x, t, B);
  }
}

template <class S, class T, class Noise>
SLOWSDE_HD SLOWSDE_INLINE void increments(const S&, Noise& noise, const TimeStep& step, T* dW) {
  if constexpr (S::noise != NoiseClass::none) noise.increments(step.k, step.dt, dW);
}

}  // namespace detail

/// x' = x + a dt + S ΔW, a and S at (x, t).
struct EulerMaruyama {
  template <class S>
  static constexpr bool accepts = S::calculus == Calculus::ito || has_one_calculus<S>;

  template <class S>
  std::size_t workspace_size(const S& sde) const {  // a (d), S, ΔW (m)
    return static_cast<std::size_t>(sde.dim() + noise_dimension(sde)) + diffusion_size(sde);
  }

  template <class S, class T, class Noise>
  SLOWSDE_HD SLOWSDE_INLINE void do_step(const S& sde, T* x, const TimeStep& step, Noise& noise,
                                         T* workspace) const {
    const int d = sde.dim();
    T* a = workspace;
    T* B = a + d;
    T* dW = B + diffusion_size(sde);
    detail::drift_and_diffusion(sde, x, step.t, a, B);
    detail::increments(sde, noise, step, dW);
    const T dt(step.dt);
    for (int i = 0; i < d; ++i) x[i] = x[i] + a[i] * dt;
    detail::add_diffusion(sde, B, dW, x);
  }
};

/// x̃ = x + a dt + S ΔW,  x' = x + ½(a + ã)dt + ½(S + S̃)ΔW with ã, S̃ at (x̃, t + dt).
struct Heun {
  template <class S>
  static constexpr bool accepts = S::calculus == Calculus::stratonovich || has_one_calculus<S>;

  template <class S>
  std::size_t workspace_size(const S& sde) const {  // a, ã, x̃ (d), S, S̃, ΔW (m)
    return static_cast<std::size_t>(3 * sde.dim() + noise_dimension(sde)) + 2 * diffusion_size(sde);
  }

  template <class S, class T, class Noise>
  SLOWSDE_HD SLOWSDE_INLINE void do_step(const S& sde, T* x, const TimeStep& step, Noise& noise,
                                         T* workspace) const {
    const int d = sde.dim();
    const std::size_t size = diffusion_size(sde);
    T* a = workspace;
    T* a_end = a + d;
    T* predicted = a_end + d;
    T* B = predicted + d;
    T* B_end = B + size;
    T* dW = B_end + size;
    detail::drift_and_diffusion(sde, x, step.t, a, B);
    detail::increments(sde, noise, step, dW);
    const T dt(step.dt), half(0.5);
    for (int i = 0; i < d; ++i) predicted[i] = x[i] + a[i] * dt;
    detail::add_diffusion(sde, B, dW, predicted);
    const double t_end = step.t + step.dt;
    sde.drift(predicted, t_end, a_end);
    detail::diffusion(sde, predicted, t_end, B_end);
    for (int i = 0; i < d; ++i) x[i] = x[i] + half * (a[i] + a_end[i]) * dt;
    for (std::size_t i = 0; i < size; ++i) B[i] = half * (B[i] + B_end[i]);
    detail::add_diffusion(sde, B, dW, x);
  }
};

/// Platen's derivative-free Milstein scheme (Kloeden & Platen 11.1.3) for diagonal noise, by components
///   x' = x + a dt + b ΔW + (b(Υ) − b)(ΔW² − dt)/(2√dt),  Υ = x + a dt + b√dt.
struct Milstein {
  template <class S>
  static constexpr bool accepts = has_one_calculus<S> ||
                                  (S::calculus == Calculus::ito && S::noise == NoiseClass::diagonal);

  template <class S>
  std::size_t workspace_size(const S& sde) const {  // a, Υ (d), b, b(Υ), ΔW (m)
    return static_cast<std::size_t>(2 * sde.dim() + noise_dimension(sde)) + 2 * diffusion_size(sde);
  }

  template <class S, class T, class Noise>
  SLOWSDE_HD SLOWSDE_INLINE void do_step(const S& sde, T* x, const TimeStep& step, Noise& noise,
                                         T* workspace) const {
    if constexpr (has_one_calculus<S>) {  // b does not depend on x: the correction vanishes
      EulerMaruyama{}.do_step(sde, x, step, noise, workspace);
    } else {
      const int d = sde.dim();
      T* a = workspace;
      T* upsilon = a + d;
      T* b = upsilon + d;
      T* b_upsilon = b + d;
      T* dW = b_upsilon + d;
      sde.drift(x, step.t, a);
      sde.diffusion(x, step.t, b);
      noise.increments(step.k, step.dt, dW);
      const double root = std::sqrt(step.dt);
      const T dt(step.dt), root_dt(root), half_inverse(0.5 / root);
      for (int i = 0; i < d; ++i) upsilon[i] = x[i] + a[i] * dt + b[i] * root_dt;
      sde.diffusion(upsilon, step.t, b_upsilon);
      for (int i = 0; i < d; ++i)
        x[i] = x[i] + a[i] * dt + b[i] * dW[i] + (b_upsilon[i] - b[i]) * (dW[i] * dW[i] - dt) * half_inverse;
    }
  }
};

/// Platen's explicit scheme of weak order 2.0 for general noise (Kloeden & Platen 15.1.3), b^j the columns of
/// S:
///   x' = x + ½(a(Ῡ) + a)dt
///      + ¼ Σ_j [ (b^j(R^j₊) + b^j(R^j₋) + 2b^j) + Σ_{r≠j} (b^j(U^r₊) + b^j(U^r₋) − 2b^j) ] ΔW^j
///      + ¼ Σ_j [ (b^j(R^j₊) − b^j(R^j₋))((ΔW^j)² − dt)
///                + Σ_{r≠j} (b^j(U^r₊) − b^j(U^r₋))(ΔW^jΔW^r + V_rj) ] /√dt
///   Ῡ = x + a dt + S ΔW,  R^j_± = x + a dt ± b^j√dt,  U^r_± = x ± b^r√dt,
/// V_rj = −V_jr = ±dt with equal probability. The increments stay Gaussian (any variables with their moments
/// up to the fifth order would do), so that levels can be coupled. Time is a component without noise, hence Ῡ
/// and R are at t + dt and U at t.
struct PlatenWeak2 {
  template <class S>
  static constexpr bool accepts = S::calculus == Calculus::ito || has_one_calculus<S>;

  template <class S>
  std::size_t workspace_size(const S& sde) const {
    const auto d = static_cast<std::size_t>(sde.dim()), m = static_cast<std::size_t>(noise_dimension(sde));
    // a, a(Ῡ), the stage, x' (d each), S and two stages' S, ΔW (m), V (m(m−1)/2)
    return 4 * d + 3 * diffusion_size(sde) + m + m * m;
  }

  template <class S, class T, class Noise>
  SLOWSDE_HD SLOWSDE_INLINE void do_step(const S& sde, T* x, const TimeStep& step, Noise& noise,
                                         T* workspace) const {
    const int d = sde.dim(), m = noise_dimension(sde);
    const std::size_t size = diffusion_size(sde);
    T* a = workspace;
    T* a_end = a + d;
    T* stage = a_end + d;
    T* next = stage + d;
    T* B = next + d;
    T* B_plus = B + size;
    T* B_minus = B_plus + size;
    T* dW = B_minus + size;
    T* V = dW + m;
    const double root = std::sqrt(step.dt), t_end = step.t + step.dt;
    const T dt(step.dt), half(0.5), quarter(0.25), root_dt(root), quarter_inverse(0.25 / root), two(2.0);

    detail::drift_and_diffusion(sde, x, step.t, a, B);
    detail::increments(sde, noise, step, dW);
    for (int i = 0; i < d; ++i) stage[i] = x[i] + a[i] * dt;  // Ῡ
    detail::add_diffusion(sde, B, dW, stage);
    sde.drift(stage, t_end, a_end);
    for (int i = 0; i < d; ++i) next[i] = x[i] + half * (a_end[i] + a[i]) * dt;

    if constexpr (S::noise == NoiseClass::additive) {  // b^j(R) = S(t + dt), b^j(U) = S(t)
      sde.diffusion(x, t_end, B_plus);
      for (std::size_t i = 0; i < size; ++i) B[i] = half * (B[i] + B_plus[i]);
      detail::add_diffusion(sde, B, dW, next);
    } else if constexpr (S::noise == NoiseClass::diagonal) {  // b^j(U^r) = b^j for r ≠ j: all j at once
      for (int i = 0; i < d; ++i) stage[i] = x[i] + a[i] * dt + B[i] * root_dt;
      sde.diffusion(stage, t_end, B_plus);
      for (int i = 0; i < d; ++i) stage[i] = x[i] + a[i] * dt - B[i] * root_dt;
      sde.diffusion(stage, t_end, B_minus);
      for (int i = 0; i < d; ++i)
        next[i] = next[i] + quarter * (B_plus[i] + B_minus[i] + two * B[i]) * dW[i] +
                  quarter_inverse * (B_plus[i] - B_minus[i]) * (dW[i] * dW[i] - dt);
    } else if constexpr (S::noise == NoiseClass::general) {
      noise.signs(step.k, m * (m - 1) / 2, V);
      for (int j = 0; j < m; ++j) {  // R^j enters column j only
        for (int i = 0; i < d; ++i) stage[i] = x[i] + a[i] * dt + B[i * m + j] * root_dt;
        sde.diffusion(stage, t_end, B_plus);
        for (int i = 0; i < d; ++i) stage[i] = x[i] + a[i] * dt - B[i * m + j] * root_dt;
        sde.diffusion(stage, t_end, B_minus);
        const T even = quarter * dW[j], odd = quarter_inverse * (dW[j] * dW[j] - dt);
        for (int i = 0; i < d; ++i) {
          const int ij = i * m + j;
          next[i] =
              next[i] + (B_plus[ij] + B_minus[ij] + two * B[ij]) * even + (B_plus[ij] - B_minus[ij]) * odd;
        }
      }
      if (m > 1)
        for (int r = 0; r < m; ++r) {  // U^r enters the columns j ≠ r
          for (int i = 0; i < d; ++i) stage[i] = x[i] + B[i * m + r] * root_dt;
          sde.diffusion(stage, step.t, B_plus);
          for (int i = 0; i < d; ++i) stage[i] = x[i] - B[i * m + r] * root_dt;
          sde.diffusion(stage, step.t, B_minus);
          for (int j = 0; j < m; ++j) {
            if (j == r) continue;
            // V_rj for r < j is sign number j(j−1)/2 + r, V_rj for r > j minus the mirrored one
            const T sign = r < j ? V[j * (j - 1) / 2 + r] : -V[r * (r - 1) / 2 + j];
            const T even = quarter * dW[j], odd = quarter_inverse * (dW[j] * dW[r] + sign * dt);
            for (int i = 0; i < d; ++i) {
              const int ij = i * m + j;
              next[i] = next[i] + (B_plus[ij] + B_minus[ij] - two * B[ij]) * even +
                        (B_plus[ij] - B_minus[ij]) * odd;
            }
          }
        }
    }
    for (int i = 0; i < d; ++i) x[i] = next[i];
  }
};

/// A scheme followed by `retract(x)` after each step: a projection onto a manifold, a reflection, Φ.
template <class Scheme, class Retraction>
struct Retracted {
  Scheme scheme;
  Retraction retract;

  template <class S>
  static constexpr bool accepts = Scheme::template accepts<S>;
  template <class S>
  std::size_t workspace_size(const S& sde) const {
    return scheme.workspace_size(sde);
  }
  template <class S, class T, class Noise>
  SLOWSDE_HD SLOWSDE_INLINE void do_step(const S& sde, T* x, const TimeStep& step, Noise& noise,
                                         T* workspace) const {
    scheme.do_step(sde, x, step, noise, workspace);
    retract(x);
  }
};
template <class Scheme, class Retraction>
Retracted(Scheme, Retraction) -> Retracted<Scheme, Retraction>;

/// The scheme converges to the solution of this SDE: wrong pairs are refused where they are written.
template <class Scheme, class S, class T = double>
concept Steppable = Sde<S, T> && Scheme::template accepts<S>;

/// A scheme bound to an SDE with its workspace. Step k starts at t0 + (k − k0)·dt, computed from the integer,
/// never accumulated; k also is the address of the step's noise.
template <class Scheme, class S, class T = double>
requires Steppable<Scheme, S, T>
class Stepper {
 public:
  Stepper(Scheme scheme, const S& sde, double t0 = 0, std::uint64_t k0 = 0)
      : scheme_(std::move(scheme)), workspace_(scheme_.workspace_size(sde)), t0_(t0), k0_(k0) {}

  /// Begins a new time grid: step k0 starts at t0.
  void restart(double t0, std::uint64_t k0) {
    t0_ = t0;
    k0_ = k0;
  }

  double time(std::uint64_t k, double dt) const { return t0_ + static_cast<double>(k - k0_) * dt; }

  /// Advances x, (d), by step k of length dt. Allocates nothing.
  template <BrownianNoise<T> Noise>
  SLOWSDE_HD SLOWSDE_INLINE void do_step(const S& sde, T* x, std::uint64_t k, double dt, Noise& noise) {
    scheme_.do_step(sde, x, TimeStep{k, time(k, dt), dt}, noise, workspace_.data());
  }

 private:
  Scheme scheme_;
  std::vector<T> workspace_;
  double t0_;
  std::uint64_t k0_;
};

template <class Scheme, class S>
Stepper(Scheme, const S&) -> Stepper<Scheme, S>;
template <class Scheme, class S>
Stepper(Scheme, const S&, double, std::uint64_t) -> Stepper<Scheme, S>;

}  // namespace slowsde
