// A fit whose outputs are linear in θ, with more parameters than samples: the iterates are a linear recursion
// with multiplicative noise of sampling, and their second moments close.
#pragma once

#include "slowsde/problems/pack.hpp"

namespace slowsde {

/// f_i = ⟨x_i, θ⟩ with targets 0, four samples of six inputs: Γ is the null space of the matrix of the x_i.
struct LinearFit {
  static constexpr int dim = 6, outputs_count = 1, count = 4;
  static constexpr double x[count * dim] = {1.0, 0.3, -0.5, 0.8, 0.1, -0.4, 0.2, -1.1,
                                            0.6, 0.4, -0.7, 0.5, 0.9, 0.7,  0.2, -0.6,
                                            0.3, 0.8, -0.3, 0.5, 1.2, 0.2,  0.9, -0.2};

  int samples() const { return count; }
  template <class T, class I>
  void outputs(const T* theta, const I& i, T* f) const {
    f[0] = input<T>(i, 0) * theta[0];
    for (int j = 1; j < dim; ++j) f[0] = f[0] + input<T>(i, j) * theta[j];
  }
  template <class I, class T>
  void targets(const I&, T* y) const {
    y[0] = T(0.0);
  }
  template <class T, class I>
  void add_sample_gradient(const T* theta, const I& i, const T* eps, T* g, T*) const {
    T r;
    outputs(theta, i, &r);
    r = r - eps[0];
    for (int j = 0; j < dim; ++j) g[j] = g[j] + r * input<T>(i, j);
  }
  int scratch_size() const { return 0; }

 private:
  template <class T, class I>
  static T input(const I& i, int j) {
    return lookup<T>(x + j, i * I(dim));
  }
};

}  // namespace slowsde
