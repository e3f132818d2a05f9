// One worker of an ensemble of iterates by a group of threads, for problems of run-time dimension whose
// outputs are linear in features of θ (FeatureProblem). Written for any executor of blocks: on a GPU each
// phase is run by all threads at once and ended by a barrier, in tests by a loop over the threads. Random
// numbers have the addresses of the CPU's iterates, but sums over features and samples are formed in an order
// of their own, which depends on the problem's sizes alone: the bits are neither the CPU's nor do they depend
// on the threads of a group, their order within a phase, the replicas or where the arrays lie.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <type_traits>

#include "slowsde/gpu/iterate_worker.hpp"
#include "slowsde/gpu/round_table.hpp"
#include "slowsde/problems/feature_map.hpp"

namespace slowsde {

/// Where one of a group's arrays lies: in the block's memory or in the worker's row of the work space.
struct GroupPlace {
  bool in_block = false;
  std::int64_t at = 0;

  template <class Real>
  SLOWSDE_HD Real* of(Real* block, Real* row) const {
    return (in_block ? block : row) + at;
  }
};

/// The arrays of one worker. What is touched most comes first into the block's memory, as far as it reaches.
struct GroupLayout {
  /// Terms that a thread adds, and sums of them that another one adds, one after the other.
  static constexpr int fold = 16, most_parts = 256;
  /// Most partial sums that a block holds at a time.
  static constexpr int most_partials = 4096;
  /// Samples whose sums a thread forms side by side, so that a feature is read once for all of them.
  static constexpr int side_by_side = 4;

  int dim = 1, features = 1;
  int visits = 1;  ///< samples of one step, with repetitions
  int parts = 8;   ///< threads among which the sum over the features is split: a power of two
  int tile = 1;    ///< samples whose sums are formed at a time
  GroupPlace partials, residuals, chosen, weights, theta, next, velocity;
  std::int64_t block_numbers = 0;  ///< of the block's memory
  std::int64_t row_numbers = 0;    ///< of the work space, for each worker

  /// minibatch: whether the samples of a step are drawn. moves_apart: whether the next θ needs an array of
  /// its own. block_limit: numbers that a block's memory has.
  GroupLayout(int d, int m, int samples_of_step, bool minibatch, bool moves_apart, bool momentum,
              std::int64_t block_limit)
      : dim(d), features(m), visits(samples_of_step) {
    while (parts < most_parts && parts * fold < features) parts *= 2;
    tile = std::min((visits + side_by_side - 1) / side_by_side * side_by_side, most_partials / parts);
    const auto place = [&](GroupPlace& array, std::int64_t numbers) {
      array.in_block = block_numbers + numbers <= block_limit;
      std::int64_t& used = array.in_block ? block_numbers : row_numbers;
      array.at = used;
      used += numbers;
    };
    place(partials, static_cast<std::int64_t>(tile) * parts);
    place(residuals, visits);
    if (minibatch) place(chosen, visits);
    place(weights, features);
    place(theta, dim);
    if (moves_apart) place(next, dim);
    // A buffer that has no room in the block stays in the row that holds it between launches.
    velocity.in_block = momentum && block_numbers + dim <= block_limit;
    if (velocity.in_block) place(velocity, dim);
  }
};

/// The same for all groups of a launch. Pointers are to memory that the executing side can read.
template <FeatureMap Map, class Real>
struct GroupSetup {
  Map map;
  SamplerConstants constants;
  bool minibatch;
  double label_scale, momentum, inverse_workers;
  int workers;
  BufferPolicy buffers;
  GroupLayout layout;
  const Real* measurements = nullptr;  ///< (n × m)
  const Real* targets = nullptr;       ///< (n)
};

/// Numbers that a replica takes outside of the blocks: its state, where its workers end, their buffers and
/// rows.
template <FeatureMap Map, class Real>
std::int64_t group_numbers_of_replica(const GroupSetup<Map, Real>& setup) {
  const std::int64_t d = setup.layout.dim, K = setup.workers;
  return d + K * ((K > 1 ? d : 0) + (setup.momentum != 0 ? d : 0) + setup.layout.row_numbers);
}

/// Without its pointers. block_bytes: memory of a block. Throws std::invalid_argument for noise that these
/// problems do not have.
template <class Real, FeatureProblem P>
GroupSetup<FeatureMapOf<P>, Real> make_group_setup(const P& problem, const LocalSgd& algorithm,
                                                   const GradientSource& source, std::size_t block_bytes) {
  const auto setup_of = [&]<NoiseKind Kind>(std::integral_constant<NoiseKind, Kind>) {
    const FeatureMapOf<P> map = problem.feature_map();
    const SamplerConstants constants = sampler_constants<Kind>(problem, source);
    constexpr bool minibatch = Kind == NoiseKind::minibatch;
    const int visits = minibatch ? constants.passes * constants.minibatch.batch : constants.samples;
    const GroupLayout layout(map.dim(), map.features(), visits, minibatch, !map.componentwise,
                             algorithm.momentum != 0, static_cast<std::int64_t>(block_bytes / sizeof(Real)));
    return GroupSetup<FeatureMapOf<P>, Real>{.map = map,
                                             .constants = constants,
                                             .minibatch = minibatch,
                                             .label_scale = label_scale<Kind>(constants),
                                             .momentum = algorithm.momentum,
                                             .inverse_workers = 1.0 / algorithm.workers,
                                             .workers = algorithm.workers,
                                             .buffers = algorithm.buffers,
                                             .layout = layout};
  };
  switch (source.noise.kind) {
    case NoiseKind::label:
      return setup_of(std::integral_constant<NoiseKind, NoiseKind::label>{});
    case NoiseKind::minibatch:
      return setup_of(std::integral_constant<NoiseKind, NoiseKind::minibatch>{});
    case NoiseKind::gaussian:
      break;
  }
  throw std::invalid_argument("the kernels of this problem have no noise of that kind");
}

/// The memory of one group.
template <class Real>
struct GroupMemory {
  Real* block;   ///< (block_numbers)
  Real* row;     ///< (row_numbers)
  Real* buffer;  ///< (d): the worker's momentum buffer between launches; not looked at without momentum
};

template <class Block, FeatureMap Map, class Real>
class GroupWorker {
 public:
  using Setup = GroupSetup<Map, Real>;

  SLOWSDE_HD GroupWorker(const Block& block, const Setup& setup, std::uint64_t replica, std::uint32_t worker,
                         const GroupMemory<Real>& memory)
      : block_(block),
        setup_(setup),
        layout_(setup.layout),
        replica_(replica),
        worker_(worker),
        buffer_(memory.buffer),
        partials_(layout_.partials.of(memory.block, memory.row)),
        residuals_(layout_.residuals.of(memory.block, memory.row)),
        weights_(layout_.weights.of(memory.block, memory.row)),
        theta_(layout_.theta.of(memory.block, memory.row)),
        next_(Map::componentwise ? theta_ : layout_.next.of(memory.block, memory.row)),
        velocity_(layout_.velocity.in_block ? memory.block + layout_.velocity.at : memory.buffer),
        chosen_(reinterpret_cast<int*>(layout_.chosen.of(memory.block, memory.row))),
        inverse_(static_cast<Real>(
            1.0 / (setup.minibatch ? setup.constants.minibatch.batch : setup.constants.samples))),
        label_scale_(static_cast<Real>(setup.label_scale)),
        momentum_(static_cast<Real>(setup.momentum)) {}

  /// The rounds first … last − 1 of a worker that is alone, or one round of one among many: from `start` to
  /// `end`, (d) each, which may be the same.
  SLOWSDE_HD void run(const RoundView& table, std::int64_t first, std::int64_t last, const Real* start,
                      Real* end) {
    const bool own_velocity = layout_.velocity.in_block;
    block_.run([&](int thread, int threads) {
      for (int j = thread; j < layout_.dim; j += threads) {
        theta_[j] = start[j];
        if (own_velocity) velocity_[j] = buffer_[j];
      }
    });
    for (std::int64_t s = first; s < last; ++s) {
      const TableRound& round = table.rounds[s];
      const detail::RoundRates rates = table.rates_of(round);
      for (std::int64_t h = 0; h < round.local_steps; ++h)
        step(static_cast<std::uint64_t>(round.first_step + h), static_cast<Real>(rates[h]));
      if (setup_.workers == 1 && setup_.momentum != 0 && setup_.buffers == BufferPolicy::reset)
        block_.run([&](int thread, int threads) {
          for (int j = thread; j < layout_.dim; j += threads) velocity_[j] = Real(0);
        });
    }
    block_.run([&](int thread, int threads) {
      for (int j = thread; j < layout_.dim; j += threads) {
        end[j] = theta_[j];
        if (own_velocity) buffer_[j] = velocity_[j];
      }
    });
  }

 private:
  /// θ ← θ − ηg, or v ← βv + g and θ ← θ − ηv, with the stochastic gradient of step k.
  SLOWSDE_HD void step(std::uint64_t k, Real eta) {
    block_.run([&](int thread, int threads) {
      draw(thread, threads, k);
      for (int c = thread; c < layout_.features; c += threads) weights_[c] = setup_.map.feature(theta_, c);
    });
    for (int first = 0; first < layout_.visits; first += layout_.tile) {
      const int count = layout_.visits - first < layout_.tile ? layout_.visits - first : layout_.tile;
      block_.run([&](int thread, int threads) { form_partials(thread, threads, first, count); });
      block_.run([&](int thread, int threads) { fold_partials(thread, threads, count); });
      block_.run([&](int thread, int threads) { form_residuals(thread, threads, first, count); });
    }
    block_.run([&](int thread, int threads) {  // w in place of b(θ), which no one reads any more
      for (int c = thread; c < layout_.features; c += threads) {
        Real sum(0);
        for (int s = 0; s < layout_.visits; ++s) sum = sum + residuals_[s] * row_of(s)[c];
        weights_[c] = sum;
      }
    });
    block_.run([&](int thread, int threads) {
      for (int j = thread; j < layout_.dim; j += threads) {
        Real move = setup_.map.pullback(theta_, weights_, j) * inverse_;
        if (setup_.momentum != 0) move = velocity_[j] = momentum_ * velocity_[j] + move;
        next_[j] = theta_[j] - eta * move;
      }
    });
    Real* const moved = next_;
    next_ = theta_;
    theta_ = moved;
  }

  /// The step's label noise ε into the residuals' places, and its samples. Visit number s of step k has the
  /// address k·visits + s.
  SLOWSDE_HD void draw(int thread, int threads, std::uint64_t k) {
    const SamplerConstants& constants = setup_.constants;
    const std::uint64_t count = static_cast<std::uint64_t>(layout_.visits), first = k * count;
    if (setup_.label_scale != 0)
      share_normals(RandomPack<Real, 1>(constants.seed, Stream::label, replica_), worker_, first, count,
                    thread, threads, [&](int s, Real normal) { residuals_[s] = label_scale_ * normal; });
    else
      for (int s = thread; s < layout_.visits; s += threads) residuals_[s] = Real(0);
    if (!setup_.minibatch) return;
    const MinibatchSampler& minibatch = constants.minibatch;
    const auto integer = [&](int s, int m) {
      return static_cast<int>(integer_at(constants.seed, Stream::sample, replica_, worker_,
                                         first + static_cast<std::uint64_t>(s),
                                         static_cast<std::uint32_t>(m)));
    };
    if (minibatch.replacement) {
      for (int s = thread; s < layout_.visits; s += threads) chosen_[s] = integer(s, minibatch.samples);
      return;
    }
    // Distinct samples are drawn one after the other, by one thread for each minibatch.
    for (int pass = thread; pass < constants.passes; pass += threads) {
      const int start = pass * minibatch.batch;
      detail::draw_integers(
          minibatch.samples, minibatch.batch, false, [&](int b, int m) { return integer(start + b, m); },
          chosen_ + start);
    }
  }

  SLOWSDE_HD const Real* row_of(int visit) const {
    const std::int64_t i = setup_.minibatch ? chosen_[visit] : visit;
    return setup_.measurements + i * setup_.map.features();
  }

  /// Part p of the sum of visit s: the features p, p + parts, …
  SLOWSDE_HD void form_partials(int thread, int threads, int first, int count) {
    constexpr int several = GroupLayout::side_by_side;
    const int parts = layout_.parts, items = (count + several - 1) / several * parts;
    for (int item = thread; item < items; item += threads) {
      const int part = item % parts, s = item / parts * several;
      if (s + several <= count) {
        partials_of<several>(first, s, part);
      } else {
        for (int u = s; u < count; ++u) partials_of<1>(first, u, part);
      }
    }
  }

  template <int Several>
  SLOWSDE_HD SLOWSDE_INLINE void partials_of(int first, int s, int part) {
    const Real* row[Several];
    Real sum[Several] = {};
    SLOWSDE_UNROLL(4)
    for (int u = 0; u < Several; ++u) row[u] = row_of(first + s + u);
    for (int c = part; c < layout_.features; c += layout_.parts) {
      const Real feature = weights_[c];
      SLOWSDE_UNROLL(4)
      for (int u = 0; u < Several; ++u) sum[u] = sum[u] + row[u][c] * feature;
    }
    SLOWSDE_UNROLL(4)
    for (int u = 0; u < Several; ++u) partials_[(s + u) * layout_.parts + part] = sum[u];
  }

  /// Into its first parts/fold places, or one: neighbouring threads read neighbouring numbers.
  SLOWSDE_HD void fold_partials(int thread, int threads, int count) {
    const int parts = layout_.parts, left = sums_left();
    for (int item = thread; item < count * left; item += threads) {
      const int s = item / left;
      Real* const own = partials_ + s * parts + (item - s * left);
      Real sum(0);
      for (int p = 0; p < parts; p += left) sum = sum + own[p];
      own[0] = sum;
    }
  }

  /// r = f − y − ε, times the weight of the visit's minibatch.
  SLOWSDE_HD void form_residuals(int thread, int threads, int first, int count) {
    const SamplerConstants& constants = setup_.constants;
    for (int s = thread; s < count; s += threads) {
      const Real* const sums = partials_ + s * layout_.parts;
      Real f(0);
      for (int p = 0; p < sums_left(); ++p) f = f + sums[p];
      const int visit = first + s;
      const Real y = setup_.targets[setup_.minibatch ? chosen_[visit] : visit];
      const Real residual = f - y - residuals_[visit];
      const bool weighted = setup_.minibatch && constants.passes > 1;
      residuals_[visit] =
          weighted ? static_cast<Real>(constants.weight[visit < constants.minibatch.batch ? 0 : 1]) * residual
                   : residual;
    }
  }

  SLOWSDE_HD int sums_left() const {
    return layout_.parts > GroupLayout::fold ? layout_.parts / GroupLayout::fold : 1;
  }

  const Block& block_;
  const Setup& setup_;
  const GroupLayout& layout_;
  std::uint64_t replica_;
  std::uint32_t worker_;
  Real *buffer_, *partials_, *residuals_, *weights_, *theta_, *next_, *velocity_;
  int* chosen_;
  Real inverse_, label_scale_, momentum_;
};

/// What the workers of a replica do when they meet, for one component. ends, buffers: (replicas × K × d);
/// states: (replicas × d).
template <class Real>
struct GroupMeeting {
  int workers, dim;
  double inverse_workers;
  BufferPolicy policy;
  const Real* ends;
  Real* states;
  Real* buffers;  ///< null without momentum

  SLOWSDE_HD void operator()(std::int64_t replica, int j) const {
    const auto at = [&](int w) { return (replica * workers + w) * dim + j; };
    const auto mean = [&](const Real* of) {
      return mean_of_workers<Real>(workers, inverse_workers, [&](int w) { return of[at(w)]; });
    };
    states[replica * dim + j] = mean(ends);
    if (buffers == nullptr || policy == BufferPolicy::kept) return;
    const Real met = policy == BufferPolicy::averaged ? mean(buffers) : Real(0);
    for (int w = 0; w < workers; ++w) buffers[at(w)] = met;
  }
};

/// Launches the rounds first … last − 1: run(s, t) takes rounds s … t − 1, meet() comes after each where
/// there is somebody to meet. A worker that is alone stays where it is for all of them.
template <class Run, class Meet>
void launch_group_rounds(int workers, std::int64_t first, std::int64_t last, Run run, Meet meet) {
  if (workers == 1) {
    if (first < last) run(first, last);
    return;
  }
  for (std::int64_t s = first; s < last; ++s) {
    run(s, s + 1);
    meet();
  }
}

}  // namespace slowsde
