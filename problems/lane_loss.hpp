// Loss and gradient of a small problem without memory of its own: for packs of lanes and the threads of a
// GPU. gradient.hpp has them for problems of every size.
#pragma once

#include "slowsde/problems/jet.hpp"
#include "slowsde/problems/problem.hpp"

namespace slowsde {

/// L(θ); `samples` is n, which a thread cannot ask the problem for.
template <Problem P, class T>
SLOWSDE_HD T lane_loss(const P& problem, int samples, const T* theta) {
  if constexpr (GeneralLoss<P>) {
    return problem.loss(theta);
  } else {
    constexpr int C = P::outputs_count;
    T f[C], y[C], sum(0.0);
    for (int i = 0; i < samples; ++i) {
      problem.outputs(theta, i, f);
      problem.targets(i, y);
      for (int c = 0; c < C; ++c) sum = sum + (f[c] - y[c]) * (f[c] - y[c]);
    }
    return sum * T(0.5 / samples);
  }
}

/// g = ∇L(θ): (d), by duals over the loss. T is a number, a pack or a jet of them.
template <Problem P, class T>
SLOWSDE_HD void lane_gradient(const P& problem, int samples, const T* theta, T* g) {
  constexpr int d = static_dimension<P>();
  using D = Dual<T, d>;
  D x[d];
  for (int j = 0; j < d; ++j) x[j] = D::variable(theta[j], j);
  const D value = lane_loss(problem, samples, static_cast<const D*>(x));
  for (int j = 0; j < d; ++j) g[j] = value.d[static_cast<std::size_t>(j)];
}

}  // namespace slowsde
