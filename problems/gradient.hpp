// Loss and gradient of a problem that was written once: by duals over the loss, or the problem's own gradient
// where it has one.
#pragma once

#include <algorithm>
#include <array>
#include <type_traits>
#include <vector>

#include "slowsde/problems/jet.hpp"
#include "slowsde/problems/problem.hpp"

namespace slowsde {
namespace detail {

/// Partial derivatives taken at once by forward differentiation of a problem of run-time dimension.
inline constexpr int dual_block = 8;

/// Calls visit(dual θ, first, count) for blocks of variables, each carried as duals.
template <class P, class T, class Visit>
void forward_blocks(const P& problem, const T* theta, Visit visit) {
  constexpr int block = StaticDimension<P> ? static_dimension<P>() : dual_block;
  using D = Dual<T, block>;
  const int d = dimension(problem);
  // A static dimension stays on the stack: this lies in the inner loop of Φ and of the slow drift.
  std::conditional_t<StaticDimension<P>, std::array<D, static_cast<std::size_t>(block)>, std::vector<D>> x;
  if constexpr (!StaticDimension<P>) x.resize(static_cast<std::size_t>(d));
  std::copy(theta, theta + d, x.begin());
  for (int first = 0; first < d; first += block) {
    const int count = std::min(block, d - first);
    for (int i = 0; i < count; ++i)
      x[static_cast<std::size_t>(first + i)].d[static_cast<std::size_t>(i)] = T(1.0);
    visit(x.data(), first, count);
    for (int i = 0; i < count; ++i)
      x[static_cast<std::size_t>(first + i)].d[static_cast<std::size_t>(i)] = T(0.0);
  }
}

}  // namespace detail

/// L(θ) for any scalar type.
template <Problem P, class T>
T loss(const P& problem, const T* theta) {
  if constexpr (GeneralLoss<P>) {
    return problem.loss(theta);
  } else {
    const int C = outputs_per_sample(problem), n = problem.samples();
    std::vector<T> f(static_cast<std::size_t>(C)), y(static_cast<std::size_t>(C));
    T sum(0.0);
    for (int i = 0; i < n; ++i) {
      problem.outputs(theta, i, f.data());
      problem.targets(i, y.data());
      for (std::size_t c = 0; c < f.size(); ++c) sum = sum + (f[c] - y[c]) * (f[c] - y[c]);
    }
    return sum * T(0.5 / n);
  }
}

/// g = ∇L(θ): (d). T is double, a jet or a pack.
template <Problem P, class T>
void gradient(const P& problem, const T* theta, T* g) {
  const int d = dimension(problem);
  if constexpr (LeastSquaresProblem<P> && HasSampleGradient<P>) {
    const int n = problem.samples();
    const std::vector<T> eps(static_cast<std::size_t>(outputs_per_sample(problem)), T(0.0));
    std::vector<T> scratch(static_cast<std::size_t>(problem.scratch_size()));
    for (int j = 0; j < d; ++j) g[j] = T(0.0);
    for (int i = 0; i < n; ++i) problem.add_sample_gradient(theta, i, eps.data(), g, scratch.data());
    for (int j = 0; j < d; ++j) g[j] = g[j] * T(1.0 / n);
  } else {
    detail::forward_blocks(problem, theta, [&](const auto* x, int first, int count) {
      const auto value = loss(problem, x);
      for (int i = 0; i < count; ++i) g[first + i] = value.d[static_cast<std::size_t>(i)];
    });
  }
}

}  // namespace slowsde
