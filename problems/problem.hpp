// What a problem is. A user writes a struct whose members are templates over the scalar type; the concepts
// below say which members are understood, and everything else (gradients, Hessian-vector products, third
// derivatives, SIMD lanes, CUDA kernels) is derived from them.
//
//   struct Saddle {                                    // a general loss with Gaussian gradient noise
//     static constexpr int dim = 2, noise_dim = 1;
//     template <class T> T loss(const T* x) const { return 0.5 * x[1] * x[1]; }
//     template <class T> void noise_factor(const T*, T* S) const { S[0] = T(0.0); S[1] = T(1.0); }
//   };
//
//   struct Fit {                                       // least squares, L = (1/2n) Σ_i Σ_c (f_ic − y_ic)²
//     static constexpr int dim = 2, outputs_count = 1;
//     int samples() const { return 1; }
//     template <class T, class I> void outputs(const T* x, const I&, T* f) const { f[0] = x[0] * x[1]; }
//     template <class I, class T> void targets(const I&, T* y) const { y[0] = T(1.0); }
//   };
//
// A problem whose dimension is known only at run time has `int dim() const` (and `int outputs_count()
// const`).
#pragma once

#include <concepts>
#include <type_traits>

#include "slowsde/problems/host_device.hpp"

namespace slowsde {

template <class P>
concept StaticDimension = requires {
  typename std::integral_constant<int, P::dim>;
};
template <class P>
concept DynamicDimension = requires(const P& p) {
  { p.dim() } -> std::convertible_to<int>;
};

/// Dimension of a problem that knows it at compile time, −1 otherwise.
template <class P>
constexpr int static_dimension() {
  if constexpr (StaticDimension<P>)
    return P::dim;
  else
    return -1;
}

template <class P>
int dimension(const P& problem) {
  if constexpr (StaticDimension<P>)
    return P::dim;
  else
    return problem.dim();
}

/// L(θ), a template over the scalar type.
template <class P>
concept GeneralLoss = requires(const P& p, const double* theta) {
  { p.loss(theta) } -> std::convertible_to<double>;
};

/// Outputs f_i(θ) ∈ R^C and targets y_i of n samples: L = (1/2n) Σ_i |f_i − y_i|².
template <class P>
concept LeastSquaresProblem = requires(const P& p, const double* theta, double* f) {
  { p.samples() } -> std::convertible_to<int>;
  p.outputs(theta, 0, f);
  p.targets(0, f);
};

template <class P>
concept Problem = (StaticDimension<P> || DynamicDimension<P>)&&(GeneralLoss<P> || LeastSquaresProblem<P>);

/// A factor S(θ) of one sample's gradient covariance Σ = S Sᵀ: (d × noise_dim), row-major.
template <class P>
concept GaussianNoiseProblem = requires(const P& p, const double* theta, double* S) {
  typename std::integral_constant<int, P::noise_dim>;
  p.noise_factor(theta, S);
};

/// The problem's own reverse pass: adds J_iᵀ(f_i − y_i − ε) to g.
template <class P>
concept HasSampleGradient = requires(const P& p, const double* theta, const double* eps, double* g) {
  p.add_sample_gradient(theta, 0, eps, g, g);
  { p.scratch_size() } -> std::convertible_to<int>;
};

/// A closed form of Φ, the end of the gradient flow.
template <class P>
concept HasClosedPhi = requires(const P& p, const double* x, double* out) {
  p.phi(x, out);
};

/// C, the outputs of one sample.
template <LeastSquaresProblem P>
int outputs_per_sample(const P& problem) {
  if constexpr (requires { typename std::integral_constant<int, P::outputs_count>; })
    return P::outputs_count;
  else
    return problem.outputs_count();
}

}  // namespace slowsde
