// ψ: by how much Local SGD's drift toward flat minima exceeds SGD's; its finite-step form ψ_H, its integral
// F.
#pragma once

#include <cmath>
#include <cstdint>

#include "slowsde/problems/host_device.hpp"
#include "slowsde/problems/pack_math.hpp"

namespace slowsde {

/// ψ(x) = (e^{−x} − 1 + x)/x, ψ(0) = 0, for x ≥ 0 (Gu et al. 2023, Theorem 3.2). It increases from x/2 to 1.
/// Relative error below 1e-15 for every x ≥ 0; ψ(∞) = 1.
SLOWSDE_HD inline double psi(double x) {
  if (!(x < 1)) return 1 + std::expm1(-x) / x;
  // (x/2)(1 − (x/3)(1 − (x/4)(1 − …))): below 1 the closed form cancels
  double s = 1;
  for (int k = 20; k >= 3; --k) s = 1 - (x / k) * s;
  return 0.5 * x * s;
}

/// ψ of a pack, x ≥ 0 in every lane. Relative error below 4 ulp from x = 1 on and 3 ulp below.
template <class Real, int W>
SLOWSDE_HD SLOWSDE_INLINE Pack<Real, W> psi(Pack<Real, W> x) {
  using P = Pack<Real, W>;
  constexpr int last = sizeof(Real) == 8 ? 20 : 12;
  const P closed = P(1.0) + (exp(-x) - P(1.0)) / x;
  const auto small = x < P(1.0);
  if (!any(small)) return closed;
  P s(1.0);
  for (int k = last; k >= 3; --k) s = fma(x * P(-1.0 / k), s, P(1.0));
  return select(small, P(0.5) * x * s, closed);
}

/// ψ_H(ρ) = 1 − (1 − ρ^H)/(H(1 − ρ)) = mean over h < H of 1 − ρ^h, given the gap δ = 1 − ρ, which a caller
/// can form without cancellation. H ≥ 1; ψ_1 = 0 exactly. Meant for |ρ| ≤ 1; relative error below 3e-15 for H
/// up to 2^62.
///
/// With S_h = Σ_{k<h} (1 − ρ^k), u_h = 1 − ρ^h and w_h = 1 + ρ^h, doubling reads S_2h = w_h S_h + h u_h, u_2h
/// = u_h w_h: sums and products of nonnegative numbers, so nothing cancels, for either sign of ρ. T is double
/// or a pack.
template <class T>
SLOWSDE_HD T psi_finite_of_gap(const T& delta, std::int64_t H) {
  const T two(2.0), rho = T(1.0) - delta;
  const auto positive = rho >= T(0.0);
  T S(0.0), u = delta, w = two - delta;  // at h = 1
  int bit = 0;
  while (bit < 62 && (H >> (bit + 1)) != 0) ++bit;
  std::int64_t h = 1;
  for (--bit; bit >= 0; --bit) {
    S = w * S + T(static_cast<double>(h)) * u;
    u = u * w;
    w = two - u;
    h *= 2;
    if (((H >> bit) & 1) == 0) continue;
    S = S + u;
    // ρ ≥ 0: 1 − ρ^{h+1} = δ + ρ(1 − ρ^h). ρ < 0, h even: 1 + ρ^{h+1} = (1 + ρ) + |ρ|(1 − ρ^h)
    const T same_sign = delta + rho * u, other_sign = (two - delta) - rho * u;
    u = select(positive, same_sign, two - other_sign);
    w = select(positive, two - same_sign, other_sign);
    ++h;
  }
  return S / T(static_cast<double>(H));
}

/// ψ_H(ρ); see psi_finite_of_gap. ρ may be negative.
SLOWSDE_HD inline double psi_finite(double rho, std::int64_t H) { return psi_finite_of_gap(1 - rho, H); }

/// F(x) = ∫_0^x ψ = x − ln x − γ − E₁(x) for finite x ≥ 0: tr F(2ηH𝓗)/(2ηH) is what Local SGD with label
/// noise minimizes besides tr 𝓗. Relative error below 2e-15.
SLOWSDE_HD inline double psi_integral(double x) {
  if (x < 3) {
    // Σ_{k≥2} (−1)^k x^k/(k·k!)
    double power = x, sum = 0;  // (−1)^{k+1} x^k/k!
    for (int k = 2; k <= 36; ++k) {
      power *= -x / k;
      sum -= power / k;
    }
    return sum;
  }
  const double euler_gamma = 0.57721566490153286061;
  // E₁(x) = e^{−x}/(x+1 − 1/(x+3 − 4/(x+5 − …)))
  double fraction = x + 121;
  for (int k = 60; k >= 1; --k) fraction = x + (2 * k - 1) - k * static_cast<double>(k) / fraction;
  return x - (std::log(x) + euler_gamma + std::exp(-x) / fraction);
}

}  // namespace slowsde
