// What every training with several workers has, wherever its arithmetic is done: parameters, the plan of its
// rounds, and the state between two of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "slowsde/optim/buffer_policy.hpp"
#include "slowsde/optim/communicator.hpp"
#include "slowsde/optim/learning_rate.hpp"
#include "slowsde/optim/round_plan.hpp"
#include "slowsde/optim/sync_rule.hpp"
#include "slowsde/optim/update_rule.hpp"

namespace slowsde {

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

/// All that changes in a training, between two rounds: a copy is a checkpoint (where the workers are split
/// over processes, of this process's part). The workers' own parameters are not among it, for after an
/// average all of them are θ.
template <class Real>
struct TrainerState {
  std::vector<Real> theta;    ///< (d) the average
  std::vector<Real> buffers;  ///< (holders × state vectors × d); holders = this rank's workers, or 1 where
                              ///< gradients are averaged
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

/// The workers of one rank: [first, first + count) of K, dealt in order, the counts differing by at most one.
struct WorkerShare {
  int first = 0, count = 1;
  /// Throws std::invalid_argument unless ranks <= K, so that every rank has a worker.
  static WorkerShare of(int workers, int rank, int ranks);
};

/// K workers and the average of their parameters. All that can be had of a training is the average, except in
/// the hook of round(), which sees the workers just before it. The last round is shortened, so that it ends
/// in an average as any other.
///
/// With a communicator the workers are split over its ranks, and every rank has the same average. All ranks
/// construct, call round() with or without a hook, and restore at the same time.
template <class Real>
class Trainer {
 public:
  /// Called with the K workers of all ranks.
  using Hook = std::function<void(WorkersView<Real>)>;

  virtual ~Trainer() = default;

  bool finished() const { return state_.step >= params_.total_steps; }
  std::int64_t steps_taken() const { return state_.step; }
  /// The steps of the next round, 0 when there is none.
  std::int64_t next_steps() const;

  /// Trains for one round, up to and including the average. Throws std::logic_error when finished.
  TrainedRound round(const Hook& before_average = {});

  const std::vector<Real>& parameters() const { return state_.theta; }  ///< the average: (d)
  const TrainerParams& params() const { return params_; }
  /// Of this rank.
  virtual const TrainerState<Real>& state() const { return state_; }
  /// Continues from a state of a training with the same parameters; throws std::invalid_argument if its sizes
  /// are others.
  virtual void restore(TrainerState<Real> state);

 protected:
  /// Throws what params.check() throws, and std::invalid_argument for an empty start or fewer workers than
  /// ranks. Without a communicator all workers are this process's.
  Trainer(const TrainerParams& params, const std::vector<double>& start,
          std::shared_ptr<Communicator> communicator);

  /// H steps from state_.step and the average, which it leaves in state_.theta; the sum of the batches'
  /// losses over the steps and all K workers.
  virtual double train(std::int64_t H, const Hook& before_average) = 0;

  /// Σ of the ranks' own[k] in the order of the workers, on every rank.
  double sum_over_workers(std::span<const double> own);
  /// Calls the hook with all workers; own: this rank's, not read where gradients are averaged.
  void show(const Hook& hook, WorkersView<Real> own);

  TrainerParams params_;
  std::size_t d_, vectors_;
  std::shared_ptr<Communicator> communicator_;
  WorkerShare share_;
  TrainerState<Real> state_;
};

extern template class Trainer<double>;
extern template class Trainer<float>;

}  // namespace slowsde
