// Ensembles of trajectories: packs of trajectories side by side, threads over chunks of them, results that
// are the same bits for every number of threads and every chunk size.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

#include "slowsde/sde/parallel.hpp"
#include "slowsde/sde/statistics.hpp"
#include "slowsde/sde/steppers.hpp"

namespace slowsde {

/// Trajectories come in blocks of this many, counted from the ensemble's first; moments are accumulated
/// within a block and merged over blocks, so that scheduling cannot reach the order of a sum.
inline constexpr std::size_t trajectory_block = 64;

struct EnsembleOptions {
  std::size_t trajectories = 1;
  std::uint64_t seed = 1;
  std::uint64_t first_trajectory = 0;     ///< address of the first trajectory's noise, a multiple of 64
  double t0 = 0;                          ///< time of the start
  std::vector<double> output_times = {};  ///< non-decreasing, from t0 on
  double max_step = 0.01;        ///< each output interval is cut into the fewest equal steps ≤ max_step
  int workers = 1;               ///< independent copies of the noise per trajectory (LocalRounds)
  std::uint64_t refinement = 1;  ///< fine Brownian increments per step; see BrownianPath
  int threads = 1;
  std::size_t chunk = 1024;  ///< trajectories a thread takes at a time, rounded up to blocks

  /// Throws std::invalid_argument naming the violated inequality.
  void check() const;
};

/// The steps of one output interval: step numbers first_step … first_step + steps − 1, each of length dt, and
/// the last ends at the output time.
struct OutputInterval {
  double start = 0, dt = 0;
  std::uint64_t first_step = 0, steps = 0;
};

/// One interval per output time; none of zero length has steps.
std::vector<OutputInterval> output_intervals(const EnsembleOptions& options);

namespace detail {

/// Lane of x, for packs and doubles alike.
template <class T>
double lane_of(const T& x, int lane) {
  if constexpr (std::is_same_v<T, double>)
    return x;
  else
    return static_cast<double>(x[lane]);
}
template <class T>
void set_lane(T& x, int lane, double value) {
  if constexpr (std::is_same_v<T, double>)
    x = value;
  else
    x.set(lane, static_cast<typename T::Scalar>(value));
}
template <class T>
constexpr int lanes() {
  if constexpr (std::is_same_v<T, double>)
    return 1;
  else
    return T::width;
}

}  // namespace detail

/// Integrates options.trajectories solutions of `sde` by `scheme` and hands every recorded state on.
///   start(trajectory, double* x)                          writes the initial state (d)
///   record(output, trajectory, const double* x)           sees the state at output_times[output]
/// Both are called from the threads: for the trajectories of one block of 64 by one thread in ascending order
/// at each output, for different blocks at the same time. T is double or a pack (of trajectories); the last
/// pack is padded with copies of the last start, which are not recorded. Path<T> supplies the noise.
/// Throws what check() throws; a trajectory that diverges is recorded as it is.
template <class T = Pack<double>, template <class> class Path = BrownianPath, class Scheme, class S,
          class Start, class Record>
requires Steppable<Scheme, S, T>
void run_ensemble(const Scheme& scheme, const S& sde, const EnsembleOptions& options, Start&& start,
                  Record&& record) {
  options.check();
  constexpr std::size_t width = static_cast<std::size_t>(detail::lanes<T>());
  // Several packs advance side by side: each step is a chain of dependent operations, and the processor fills
  // the waits of one with the others.
  constexpr std::size_t side_by_side = std::is_same_v<T, double> ? 1 : 4;
  constexpr std::size_t group = width * side_by_side;
  static_assert(trajectory_block % group == 0);

  const auto intervals = output_intervals(options);
  const auto d = static_cast<std::size_t>(sde.dim());
  const std::size_t n = options.trajectories;
  const std::size_t chunk = (options.chunk + trajectory_block - 1) / trajectory_block * trajectory_block;

  parallel_for(options.threads, (n + chunk - 1) / chunk, [&](std::size_t which) {
    Stepper<Scheme, S, T> stepper(scheme, sde);
    std::vector<T> x(side_by_side * d);
    std::vector<double> state(d);
    std::vector<Path<T>> paths;
    paths.reserve(side_by_side);
    const std::size_t end = std::min(n, (which + 1) * chunk);
    for (std::size_t first = which * chunk; first < end; first += group) {
      const std::size_t packs = std::min(side_by_side, (end - first + width - 1) / width);
      paths.clear();
      for (std::size_t p = 0; p < packs; ++p) {
        paths.emplace_back(options.seed, options.first_trajectory + first + p * width, noise_dimension(sde),
                           options.workers, options.refinement);
        for (std::size_t l = 0; l < width; ++l) {
          start(std::min(first + p * width + l, n - 1), state.data());
          for (std::size_t i = 0; i < d; ++i) detail::set_lane(x[p * d + i], static_cast<int>(l), state[i]);
        }
      }
      for (std::size_t output = 0; output < intervals.size(); ++output) {
        const OutputInterval& interval = intervals[output];
        stepper.restart(interval.start, interval.first_step);
        for (std::uint64_t k = interval.first_step; k < interval.first_step + interval.steps; ++k)
          for (std::size_t p = 0; p < packs; ++p)
            stepper.do_step(sde, x.data() + p * d, k, interval.dt, paths[p]);
        const std::size_t members = std::min(group, end - first);
        for (std::size_t member = 0; member < members; ++member) {
          const int lane = static_cast<int>(member % width);
          for (std::size_t i = 0; i < d; ++i) state[i] = detail::lane_of(x[member / width * d + i], lane);
          record(output, first + member, static_cast<const double*>(state.data()));
        }
      }
    }
  });
}

/// Moments of several observables at several output times.
class EnsembleMoments {
 public:
  EnsembleMoments(std::size_t outputs, std::size_t observables)
      : observables_(observables), moments_(outputs * observables) {}
  const Moments& at(std::size_t output, std::size_t observable = 0) const {
    return moments_[output * observables_ + observable];
  }
  Moments& at(std::size_t output, std::size_t observable = 0) {
    return moments_[output * observables_ + observable];
  }

 private:
  std::size_t observables_;
  std::vector<Moments> moments_;
};

/// Accumulates moments from many threads: one row per block of 64 trajectories, merged in order at the end.
class BlockMoments {
 public:
  BlockMoments(std::size_t trajectories, std::size_t outputs, std::size_t observables);

  /// Called for a trajectory in the order `run_ensemble` records in.
  void add(std::size_t output, std::size_t trajectory, std::span<const double> values) {
    Moments* row = blocks_.data() + (output * observables_) * count_ + trajectory / trajectory_block;
    for (std::size_t q = 0; q < observables_; ++q) row[q * count_].add(values[q]);
  }
  EnsembleMoments merged() const;

 private:
  std::size_t count_, outputs_, observables_;
  std::vector<Moments> blocks_;  // (outputs × observables × blocks)
};

/// Moments of the observables that observe(const double* x, double* values) writes, at each output time.
template <class T = Pack<double>, template <class> class Path = BrownianPath, class Scheme, class S,
          class Start, class Observe>
EnsembleMoments ensemble_moments(const Scheme& scheme, const S& sde, const EnsembleOptions& options,
                                 Start&& start, std::size_t observables, Observe&& observe) {
  options.check();
  BlockMoments moments(options.trajectories, options.output_times.size(), observables);
  run_ensemble<T, Path>(scheme, sde, options, start,
                        [&](std::size_t output, std::size_t trajectory, const double* x) {
                          std::vector<double> values(observables);
                          observe(x, values.data());
                          moments.add(output, trajectory, values);
                        });
  return moments.merged();
}

}  // namespace slowsde
