// Problems whose outputs are linear in features of θ, f_i(θ) = ⟨a_i, b(θ)⟩ with b(θ) ∈ R^m: what a group of
// threads that shares one worker needs to know of them. Outputs are then sums over features, and
// Σ_i r_i ∂f_i/∂θ_j = Σ_c w_c ∂b_c/∂θ_j with w = Σ_i r_i a_i, so that no sample needs a gradient of its own.
#pragma once

#include <concepts>
#include <type_traits>
#include <utility>
#include <vector>

#include "slowsde/problems/problem.hpp"

namespace slowsde {

/// b and the transpose of its derivative, component by component; handed to kernels by value.
///  - dim() = d, features() = m;
///  - feature(θ, c) = b_c(θ), c < m;
///  - pullback(θ, w, j) = Σ_c w_c ∂b_c/∂θ_j(θ), j < d;
///  - componentwise: whether pullback j reads no component of θ but θ_j, which then may change at once.
template <class F>
concept FeatureMap = std::is_trivially_copyable_v<F> && requires(const F& map, const double* theta) {
  typename std::bool_constant<F::componentwise>;
  { map.dim() } -> std::same_as<int>;
  { map.features() } -> std::same_as<int>;
  { map.feature(theta, 0) } -> std::same_as<double>;
  { map.pullback(theta, theta, 0) } -> std::same_as<double>;
};

/// One output per sample, linear in the features. measurements(): a_i, (n × m) row-major; target_values():
/// (n).
template <class P>
concept FeatureProblem = LeastSquaresProblem<P> && P::outputs_count == 1 && requires(const P& problem) {
  { problem.feature_map() } -> FeatureMap;
  { problem.measurements() } -> std::same_as<const std::vector<double>&>;
  { problem.target_values() } -> std::same_as<const std::vector<double>&>;
};

template <FeatureProblem P>
using FeatureMapOf = decltype(std::declval<const P&>().feature_map());

}  // namespace slowsde
