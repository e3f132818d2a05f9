// The kernels of ensemble_kernels.cuh as plain loops over their threads: what a machine without a GPU can
// test.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "slowsde/gpu/iterate_worker.hpp"

namespace slowsde {

/// Calls f(r) for r < count, one after the other.
struct PlainLoop {
  template <class F>
  void operator()(std::size_t count, F f) const {
    for (std::size_t r = 0; r < count; ++r) f(r);
  }
};

/// Runs the rounds first_round … last_round − 1 of `replicas` replicas. states: (dim × replicas), in and out.
/// buffers: (workers × dim × replicas) with momentum, else empty. One call is one launch of a kernel;
/// for_each(replicas, f) may call f in any order and from several threads.
template <class Worker, class ForEach = PlainLoop>
void run_rounds_on_host(const typename Worker::Setup& setup, const RoundView& table, std::int64_t first_round,
                        std::int64_t last_round, std::uint64_t first_replica, std::size_t replicas,
                        typename Worker::Scalar* states, typename Worker::Scalar* buffers,
                        ForEach for_each = {}) {
  using T = typename Worker::T;
  constexpr int dim = Worker::dim;
  const auto K = static_cast<std::size_t>(setup.workers);
  for_each(replicas, [=, &setup](std::size_t r) {
    std::vector<Worker> workers;
    for (std::size_t w = 0; w < K; ++w)
      workers.emplace_back(setup, first_replica + r, static_cast<std::uint32_t>(w));
    std::vector<T> y(K * dim), v(K * dim, T(0.0));
    const auto at = [&](std::size_t w, int j) {
      return (w * dim + static_cast<std::size_t>(j)) * replicas + r;
    };
    if (setup.momentum != 0)
      for (std::size_t w = 0; w < K; ++w)
        for (int j = 0; j < dim; ++j) v[w * dim + static_cast<std::size_t>(j)] = T(buffers[at(w, j)]);
    T x[dim];
    for (int j = 0; j < dim; ++j) x[j] = T(states[at(0, j)]);
    for (std::int64_t s = first_round; s < last_round; ++s) {
      for (std::size_t w = 0; w < K; ++w) {
        for (int j = 0; j < dim; ++j) y[w * dim + static_cast<std::size_t>(j)] = x[j];
        workers[w].run_round(table.rounds[s], table, y.data() + w * dim, v.data() + w * dim);
      }
      const auto mean = [&](const std::vector<T>& of, int j) {
        return mean_of_workers<T>(setup.workers, setup.inverse_workers,
                                  [&](int w) { return of[static_cast<std::size_t>(w * dim + j)]; });
      };
      for (int j = 0; j < dim; ++j) x[j] = mean(y, j);
      if (setup.momentum != 0 && setup.buffers != BufferPolicy::kept)
        for (int j = 0; j < dim; ++j) {
          const T met = setup.buffers == BufferPolicy::averaged ? mean(v, j) : T(0.0);
          for (std::size_t w = 0; w < K; ++w) v[w * dim + static_cast<std::size_t>(j)] = met;
        }
    }
    for (int j = 0; j < dim; ++j) states[at(0, j)] = x[j].v;
    if (setup.momentum != 0)
      for (std::size_t w = 0; w < K; ++w)
        for (int j = 0; j < dim; ++j) buffers[at(w, j)] = v[w * dim + static_cast<std::size_t>(j)].v;
  });
}

}  // namespace slowsde
