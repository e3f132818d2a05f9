// Training with several workers on the CPU: Local SGD and its relatives for any update rule, synchronization
// rule and learning-rate schedule, on gradients that come from outside.
#pragma once

#include <Eigen/Core>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "slowsde/optim/trainer.hpp"
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

/// The trainer on the threads of this process. The bits of a run depend on its parameters and oracles alone,
/// not on `threads` nor on the number of ranks. Within the steps of a round it allocates nothing and takes no
/// lock.
template <class Real>
class NetworkTrainer final : public Trainer<Real> {
 public:
  using OracleFactory = std::function<std::unique_ptr<GradientOracle<Real>>()>;
  using typename Trainer<Real>::Hook;

  /// Calls the factory once for each of min(threads, workers of this rank) threads. Throws what Trainer
  /// throws, and std::invalid_argument for threads < 1.
  NetworkTrainer(const TrainerParams& params, const std::vector<double>& start, const OracleFactory& oracle,
                 int threads = 1, std::shared_ptr<Communicator> communicator = nullptr);

 private:
  using Trainer<Real>::params_, Trainer<Real>::d_, Trainer<Real>::vectors_, Trainer<Real>::communicator_,
      Trainer<Real>::share_, Trainer<Real>::state_;
  struct Range {
    std::size_t begin, end;
  };
  /// The part of [begin, end) that is a member's: whole cache lines but at the ends.
  Range components(int member, std::size_t begin, std::size_t end) const;
  double train(std::int64_t H, const Hook& before_average) override;
  void local_steps(int member, std::size_t w, std::int64_t H);
  void average();
  void shared_step(int member);
  /// sum_ = Σ over the workers of all ranks, of which this one's are the rows.
  void sum_rows(const Real* rows, std::size_t stride);

  // Rows of whole 64-byte packs from a boundary on: a pack across two cache lines costs twice.
  using Rows = std::vector<Real, Eigen::aligned_allocator<Real>>;
  std::size_t row_;                // ≥ d, of workers_ and gradients_
  Rows workers_;                   // (this rank's workers × row): θ_k, or the gradients that are averaged
  std::vector<const Real*> view_;  // (this rank's workers)
  Rows gradients_;                 // (threads × row), or the mean gradient
  std::vector<double> sum_;        // (d)
  std::vector<double> losses_;     // (this rank's workers): Σ over the round
  std::vector<std::unique_ptr<GradientOracle<Real>>> oracles_;
  ThreadTeam team_;
};

extern template class NetworkTrainer<double>;
extern template class NetworkTrainer<float>;

}  // namespace slowsde
