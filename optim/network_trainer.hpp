// Training with several workers: Local SGD and its relatives for any update rule, synchronization rule and
// learning-rate schedule, on gradients that come from outside.
#pragma once

#include <Eigen/Core>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "slowsde/optim/buffer_policy.hpp"
#include "slowsde/optim/learning_rate.hpp"
#include "slowsde/optim/round_plan.hpp"
#include "slowsde/optim/sync_rule.hpp"
#include "slowsde/optim/update_rule.hpp"
#include "slowsde/sde/thread_team.hpp"

namespace slowsde {

/// Gradients of one replica. An object serves one thread; equal calls give equal bits whichever object serves
/// them.
template <class Real>
class GradientOracle {
 public:
  virtual ~GradientOracle() = default;
  /// g = gradient at theta of the mean loss of the batch that worker `worker` takes at step `step` (0-based);
  /// returns that loss. theta, g: (d).
  virtual double gradient(int worker, std::int64_t step, const Real* theta, Real* g) = 0;
  /// θ ← θ − ηg with that gradient g, η > 0; returns the loss at the old θ. For oracles that can do this
  /// without writing g; others return nothing and leave θ as it is.
  virtual std::optional<double> descend(int, std::int64_t, Real, Real*) { return std::nullopt; }
};

/// What the workers exchange.
enum class Exchange {
  /// After the H steps of a round, in each of which every worker applies the update rule to its own
  /// parameters with its own state, the parameters are averaged, and the states are kept, averaged or reset:
  /// Local SGD, Local AdamW.
  parameters,
  /// After every step the workers' gradients are averaged and the update rule is applied once, with one
  /// state: data-parallel SGD, "parallel AdamW". (H = 1 above is the same for rules that are linear in the
  /// gradient, but not for AdamW, whose second moment would be that of a worker's own gradient.)
  gradients,
};

struct TrainerParams {
  int workers = 1;                                ///< K
  LearningRate lr = LearningRate::constant(0.1);  ///< η(k), of every optimizer step k
  std::shared_ptr<const SyncRule> rule;           ///< H, in optimizer steps
  std::int64_t total_steps = 0;                   ///< N
  std::shared_ptr<const UpdateRule> update;
  BufferPolicy buffers = BufferPolicy::kept;  ///< the update rule's state at an average of parameters
  Exchange exchange = Exchange::parameters;

  /// Throws std::invalid_argument naming what is violated; `gradients` needs the rule "parallel", and has no
  /// choice of buffers.
  void check() const;

  /// Bytes of what is averaged: d numbers of `size` bytes each, and with averaged buffers d more for each
  /// state vector.
  double bytes_averaged(std::size_t d, std::size_t size) const;
  /// What each worker sends (and receives) for one average by a ring all-reduce: 2(K−1)/K of that.
  double bytes_per_round(std::size_t d, std::size_t size) const {
    return 2.0 * (workers - 1) / workers * bytes_averaged(d, size);
  }
};

/// All that changes in a training, between two rounds: a copy is a checkpoint. The workers' own parameters
/// are not among it, for after an average all of them are θ.
template <class Real>
struct TrainerState {
  std::vector<Real> theta;  ///< (d) the average
  std::vector<Real>
      buffers;  ///< (holders × state vectors × d); holders = K, or 1 where gradients are averaged
  std::int64_t buffer_steps = 0;  ///< steps since the buffers were zero
  std::int64_t step = 0;          ///< k: steps taken
  std::int64_t round = 0;         ///< s: averages taken
  double bytes = 0;               ///< sent by each worker so far
  SlowTime time;                  ///< Σ η²
};

/// The workers at the end of a round, before the average: one pointer for each of the K to its d parameters,
/// equal pointers where gradients are averaged. worker_spread.hpp measures how far they are from each other.
template <class Real>
using WorkersView = std::span<const Real* const>;

/// One round as it was: the plan's part, and the mean of the batches' losses over its steps and workers, each
/// taken before its step.
struct TrainedRound {
  PlannedRound plan;
  double batch_loss = 0;
};

/// K workers and the average of their parameters. All that can be had of a training is the average, except in
/// the hook of round(), which sees the workers just before it. The last round is shortened, so that it ends
/// in an average as any other. The bits of a run depend on its parameters and oracles alone, not on
/// `threads`.
template <class Real>
class NetworkTrainer {
 public:
  using OracleFactory = std::function<std::unique_ptr<GradientOracle<Real>>()>;
  using Hook = std::function<void(WorkersView<Real>)>;

  /// Calls the factory once for each of min(threads, K) threads. Throws what params.check() throws, and
  /// std::invalid_argument for an empty start or threads < 1.
  NetworkTrainer(const TrainerParams& params, const std::vector<double>& start, const OracleFactory& oracle,
                 int threads = 1);

  bool finished() const { return state_.step >= params_.total_steps; }
  /// The steps of the next round, 0 when there is none.
  std::int64_t next_steps() const;

  /// Trains for one round, up to and including the average. Allocates nothing and takes no lock within the
  /// steps. Throws std::logic_error when finished.
  TrainedRound round(const Hook& before_average = {});

  const std::vector<Real>& parameters() const { return state_.theta; }  ///< the average: (d)
  const TrainerParams& params() const { return params_; }
  const TrainerState<Real>& state() const { return state_; }
  /// Continues from a state of a training with the same parameters; throws std::invalid_argument if its sizes
  /// are others.
  void restore(TrainerState<Real> state);

 private:
  struct Range {
    std::size_t begin, end;
  };
  Range components(int member) const;
  Range workers_of(int member) const;
  void local_steps(int member, std::int64_t H);
  void average(int member);
  void shared_gradients(int member);
  void shared_step(int member);

  TrainerParams params_;
  std::size_t d_, vectors_;
  TrainerState<Real> state_;
  // Rows of whole 64-byte packs from a boundary on: a pack across two cache lines costs twice.
  using Rows = std::vector<Real, Eigen::aligned_allocator<Real>>;
  std::size_t row_;                // ≥ d, of workers_ and gradients_
  Rows workers_;                   // (K × row): θ_k, or the gradients that are averaged
  std::vector<const Real*> view_;  // (K)
  Rows gradients_;                 // (threads × row), or the mean gradient
  std::vector<double> losses_;     // (K): Σ over the round
  std::vector<std::unique_ptr<GradientOracle<Real>>> oracles_;
  ThreadTeam team_;
};

extern template class NetworkTrainer<double>;
extern template class NetworkTrainer<float>;

}  // namespace slowsde
