// A user's problem: a valley along x whose walls steepen with x.
#pragma once

#include <cmath>

#include "slowsde/problems/host_device.hpp"

struct TiltedValley {
  static constexpr int dim = 2, outputs_count = 1;
  int samples() const { return 1; }
  template <class T, class I>
  SLOWSDE_HD void outputs(const T* theta, const I&, T* f) const {
    using std::exp;
    f[0] = exp(0.5 * theta[0]) * theta[1];
  }
  template <class I, class T>
  SLOWSDE_HD void targets(const I&, T* y) const {
    y[0] = T(0.0);
  }
};
