// An update rule applied to one parameter where its gradient appears.
#pragma once

#include <cstdint>

#include "slowsde/optim/update_formula.hpp"
#include "slowsde/problems/host_device.hpp"

namespace slowsde {

/// state: (vectors × stride), of one worker.
template <class Formula, class Real>
struct UpdateSink {
  typename Formula::template Coefficients<Real> c;
  Real* state;
  std::int64_t stride;

  SLOWSDE_HD static UpdateSink of(const UpdateNumbers<Real>& numbers, Real* state, std::int64_t stride) {
    UpdateSink sink{{}, state, stride};
    static_assert(sizeof sink.c <= sizeof numbers.value);
    __builtin_memcpy(&sink.c, numbers.value, sizeof sink.c);
    return sink;
  }

  SLOWSDE_HD void operator()(Real& parameter, Real g, int j) const {
    constexpr int V = Formula::vectors;
    Real s[V > 0 ? V : 1] = {};
    SLOWSDE_UNROLL(8)
    for (int v = 0; v < V; ++v) s[v] = state[v * stride + j];
    Formula::template advance<Real>(parameter, g, s, c);
    SLOWSDE_UNROLL(8)
    for (int v = 0; v < V; ++v) state[v * stride + j] = s[v];
  }
};

}  // namespace slowsde
