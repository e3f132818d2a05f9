// The iterates: SGD and Local SGD, plain or with heavy ball, for packs of replicas. The workers of a replica
// stay in registers (small problems) or in one workspace (large ones) for the whole round.
#pragma once

#include <cmath>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "slowsde/optim/buffer_policy.hpp"
#include "slowsde/optim/learning_rate.hpp"
#include "slowsde/optim/local_steps.hpp"
#include "slowsde/optim/stochastic_gradient.hpp"
#include "slowsde/optim/sync_rule.hpp"
#include "slowsde/sde/second_moment.hpp"

namespace slowsde {

/// Local SGD (Stich 2019): K workers take H steps θ ← θ − η g from the shared point, then their parameters
/// are averaged. H = 1 is data-parallel SGD with batch K·B_loc; the final round is shortened, never left
/// without an average. Heavy ball: v ← βv + g, θ ← θ − ηv, and at an average the buffers are kept, averaged
/// or reset.
struct LocalSgd {
  int workers = 1;                                ///< K
  int local_batch = 1;                            ///< B_loc
  LearningRate lr = LearningRate::constant(0.1);  ///< η(k)
  std::shared_ptr<const SyncRule> rule;           ///< H of a round
  std::int64_t total_steps = 0;                   ///< N
  double momentum = 0;                            ///< β
  BufferPolicy buffers = BufferPolicy::kept;
  int svag = 1;  ///< ℓ: η/ℓ with the noise variance × ℓ (the schedule is that of η/ℓ's steps)

  /// Throws std::invalid_argument naming the violated inequality.
  void check() const;
};

/// A round end at which the iterates are recorded: the first one at or after a requested slow time.
struct RecordPoint {
  std::int64_t steps = 0;   ///< k: steps taken
  double t = 0;             ///< exact slow time Σ η_k²·(slow time per step)
  std::int64_t rounds = 0;  ///< averages taken
};

/// For each requested slow time the first round end at or after it; the last round end where none is.
std::vector<RecordPoint> record_points(const LocalSgd& algorithm, const std::vector<double>& times,
                                       double slow_time_per_step);

/// Simulates one pack of replicas from a common start and calls record(point index, θ: d packs) at every
/// record point. An observer sees the workers inside their rounds: observe(k, w, θ_w: d packs) after local
/// step number k (from 1, over the whole run) of worker w, before the average where k ends a round. Workers
/// run their rounds one after another.
template <Problem P, class Real, NoiseKind Kind>
class LocalSgdPack {
 public:
  using T = Pack<Real>;
  static constexpr int fixed_dim = static_dimension<P>();
  static constexpr bool in_registers = fixed_dim > 0 && fixed_dim <= 8;
  /// Workers side by side: enough independent generator chains to fill the pipes, few enough for the
  /// registers.
  static constexpr int group = in_registers ? (sizeof(Real) == 8 ? 4 : 2) : 1;

  LocalSgdPack(const P& problem, const LocalSgd& algorithm, const GradientSource& source,
               std::uint64_t first_replica)
      : problem_(problem), algorithm_(algorithm), d_(dimension(problem)) {
    const auto K = static_cast<std::uint32_t>(algorithm.workers);
    std::uint32_t worker = 0;
    for (; worker + group <= K; worker += group)
      grouped_.emplace_back(problem, source, first_replica, worker);
    for (; worker < K; ++worker) single_.emplace_back(problem, source, first_replica, worker);
    const auto d = static_cast<std::size_t>(d_);
    x_.resize(d);
    sum_.resize(d);
    scratch_.resize(static_cast<std::size_t>(GradientSampler<P, Real, 1, Kind>::scratch_size(problem)));
    if (!in_registers) workspace_.resize(2 * d);
    if (algorithm.momentum != 0) buffers_.assign(d * K, T(0.0));
  }

  template <class Record, class Observe = NoObserver>
  void run(const double* start, const std::vector<RecordPoint>& points, Record record, Observe observe = {}) {
    for (int j = 0; j < d_; ++j) x_[static_cast<std::size_t>(j)] = T(start[j]);
    for (auto& v : buffers_) v = T(0.0);
    std::size_t next = 0;
    const auto record_due = [&](std::int64_t steps) {
      for (; next < points.size() && points[next].steps <= steps; ++next)
        record(static_cast<int>(next), x_.data());
    };
    record_due(0);
    for (std::int64_t k = 0; k < algorithm_.total_steps && next < points.size();) {
      const double eta = algorithm_.lr(k);
      const std::int64_t H = algorithm_.rule->local_steps(k, eta, algorithm_.total_steps - k);
      round(k, H, observe);
      k += H;
      record_due(k);
    }
  }

 private:
  template <class Observe>
  void round(std::int64_t k, std::int64_t H, Observe& observe) {
    const detail::RoundRates rates = round_rates(k, H);
    for (auto& s : sum_) s = T(0.0);
    std::size_t worker = 0;
    for (auto& sampler : grouped_) {
      advance<group>(sampler, worker, k, H, rates, observe);
      worker += group;
    }
    for (auto& sampler : single_) advance<1>(sampler, worker++, k, H, rates, observe);
    const T inverse_K(1.0 / algorithm_.workers);
    for (std::size_t j = 0; j < x_.size(); ++j) x_[j] = sum_[j] * inverse_K;
    if (algorithm_.momentum != 0) meet_buffers();
  }

  detail::RoundRates round_rates(std::int64_t k, std::int64_t H) {
    const LearningRateParams& shape = algorithm_.lr.params();
    if (shape.shape == LearningRateShape::constant && shape.warmup_steps == 0) {
      rates_.assign(1, algorithm_.lr(k));
      return {rates_.data(), 0};
    }
    rates_.resize(static_cast<std::size_t>(H));
    for (std::int64_t h = 0; h < H; ++h) rates_[static_cast<std::size_t>(h)] = algorithm_.lr(k + h);
    return {rates_.data(), 1};
  }

  /// H local steps of `Group` workers from the shared point; adds their ends to the sum in the order of the
  /// workers.
  template <int Group, class Sampler, class Observe>
  void advance(Sampler& sampler, std::size_t first_worker, std::int64_t k, std::int64_t H,
               detail::RoundRates rates, Observe& observe) {
    if constexpr (in_registers) {
      T y[Group][fixed_dim], g[Group][fixed_dim];
      T *yp[Group], *gp[Group];
      for (int w = 0; w < Group; ++w) {
        yp[w] = y[w];
        gp[w] = g[w];
      }
      take_steps<Group>(sampler, yp, gp, first_worker, k, H, rates, observe);
    } else {
      T* yp[1] = {workspace_.data()};
      T* gp[1] = {workspace_.data() + d_};
      take_steps<1>(sampler, yp, gp, first_worker, k, H, rates, observe);
    }
  }

  template <int Group, class Sampler, class Observe>
  SLOWSDE_INLINE void take_steps(Sampler& sampler, T* const (&y)[Group], T* const (&g)[Group],
                                 std::size_t first_worker, std::int64_t k, std::int64_t H,
                                 detail::RoundRates rates, Observe& observe) {
    const int d = fixed_dim > 0 ? fixed_dim : d_;
    for (int w = 0; w < Group; ++w)
      for (int j = 0; j < d; ++j) y[w][j] = x_[static_cast<std::size_t>(j)];
    const auto show = [&](std::int64_t steps) __attribute__((always_inline)) {
      if constexpr (!std::is_same_v<Observe, NoObserver>)
        for (int w = 0; w < Group; ++w)
          observe(steps, static_cast<int>(first_worker) + w, static_cast<const T*>(y[w]));
    };
    T* v = algorithm_.momentum == 0 ? nullptr : buffers_.data() + first_worker * static_cast<std::size_t>(d);
    local_steps<Group>(sampler, d, y, g, v, algorithm_.momentum, k, H, rates, scratch_.data(), show);
    for (int w = 0; w < Group; ++w)
      for (int j = 0; j < d; ++j)
        sum_[static_cast<std::size_t>(j)] = sum_[static_cast<std::size_t>(j)] + y[w][j];
  }

  void meet_buffers() {
    const auto d = static_cast<std::size_t>(d_);
    const auto K = static_cast<std::size_t>(algorithm_.workers);
    if (algorithm_.buffers == BufferPolicy::reset) {
      for (auto& v : buffers_) v = T(0.0);
    } else if (algorithm_.buffers == BufferPolicy::averaged) {
      const T inverse_K(1.0 / algorithm_.workers);
      for (std::size_t j = 0; j < d; ++j) {
        T mean(0.0);
        for (std::size_t w = 0; w < K; ++w) mean = mean + buffers_[w * d + j];
        mean = mean * inverse_K;
        for (std::size_t w = 0; w < K; ++w) buffers_[w * d + j] = mean;
      }
    }
  }

  const P& problem_;
  const LocalSgd& algorithm_;
  int d_;
  std::vector<GradientSampler<P, Real, group, Kind>> grouped_;
  std::vector<GradientSampler<P, Real, 1, Kind>> single_;
  std::vector<T> x_, sum_, workspace_, scratch_, buffers_;
  std::vector<double> rates_;
};

}  // namespace slowsde
