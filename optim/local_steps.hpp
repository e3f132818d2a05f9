// The local steps of a round, for packs of replicas on the CPU and for the threads of a GPU alike.
#pragma once

#include <cstdint>

#include "slowsde/problems/host_device.hpp"

namespace slowsde {

namespace detail {

/// Learning rates of one round; stride 0 where they are all the same.
struct RoundRates {
  const double* eta;
  std::int64_t stride;
  SLOWSDE_HD double operator[](std::int64_t h) const { return eta[h * stride]; }
};

}  // namespace detail

/// Nothing is to be seen inside a round: costs nothing.
struct NoObserver {
  SLOWSDE_HD void operator()(std::int64_t) const {}
};

/// H local steps of `Group` workers side by side from y, (Group × d): θ ← θ − ηg with g from
/// sampler.draw at steps k … k + H − 1. Where there are buffers v, (Group × d), heavy ball: v ← βv + g, θ ← θ
/// − ηv. g: room for (Group × d). show(k) is called after step number k, counted from 1.
template <int Group, class T, class Sampler, class Show = NoObserver>
SLOWSDE_HD SLOWSDE_INLINE void local_steps(Sampler& sampler, int d, T* const (&y)[Group],
                                           T* const (&g)[Group], T* v, double momentum, std::int64_t k,
                                           std::int64_t H, detail::RoundRates rates, T* scratch,
                                           Show show = {}) {
  const T* yc[Group];
  for (int w = 0; w < Group; ++w) yc[w] = y[w];
  T eta(rates[0]);
  if (v == nullptr) {
    for (std::int64_t h = 0; h < H; ++h) {
      if (rates.stride != 0) eta = T(rates[h]);
      sampler.draw(yc, static_cast<std::uint64_t>(k + h), g, scratch);
      for (int w = 0; w < Group; ++w)
        for (int j = 0; j < d; ++j) y[w][j] = y[w][j] - eta * g[w][j];
      show(k + h + 1);
    }
  } else {
    const T beta(momentum);
    for (std::int64_t h = 0; h < H; ++h) {
      if (rates.stride != 0) eta = T(rates[h]);
      sampler.draw(yc, static_cast<std::uint64_t>(k + h), g, scratch);
      for (int w = 0; w < Group; ++w)
        for (int j = 0; j < d; ++j) {
          v[w * d + j] = beta * v[w * d + j] + g[w][j];
          y[w][j] = y[w][j] - eta * v[w * d + j];
        }
      show(k + h + 1);
    }
  }
}

}  // namespace slowsde
