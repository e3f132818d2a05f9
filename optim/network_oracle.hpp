// Gradients of a network on the batches of a data set, for the trainer.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "slowsde/optim/network_trainer.hpp"
#include "slowsde/problems/batch_assembly.hpp"
#include "slowsde/problems/network_gradient.hpp"

namespace slowsde {

/// What the gradients of a training depend on beside θ; the data outlive the oracles.
struct NetworkTask {
  const Network* network = nullptr;
  LossKind loss = LossKind::cross_entropy;
  const ClassificationData* data = nullptr;
  SamplingPlan sampling;
  BatchRecipe recipe;
  std::uint64_t seed = 1;
};

/// The mean loss of the batch of (replica, worker, step) and its gradient.
template <class Real>
class NetworkOracle final : public GradientOracle<Real> {
 public:
  /// Throws what the batches' assembler and the network's gradient throw.
  NetworkOracle(const NetworkTask& task, std::uint64_t replica)
      : assembler_(*task.data, task.sampling, task.recipe, task.seed),
        gradient_(*task.network, task.loss, task.sampling.local_batch),
        replica_(replica) {}

  double gradient(int worker, std::int64_t step, const Real* theta, Real* g) override {
    const Batch<Real> batch =
        assembler_.assemble(replica_, static_cast<std::uint32_t>(worker), static_cast<std::uint64_t>(step));
    return static_cast<double>(gradient_.value_and_gradient(theta, batch, g));
  }

  std::optional<double> descend(int worker, std::int64_t step, Real eta, Real* theta) override {
    const Batch<Real> batch =
        assembler_.assemble(replica_, static_cast<std::uint32_t>(worker), static_cast<std::uint64_t>(step));
    return static_cast<double>(gradient_.descend(theta, batch, eta));
  }

  /// For NetworkTrainer: an oracle for each of its threads.
  static typename NetworkTrainer<Real>::OracleFactory factory(NetworkTask task, std::uint64_t replica) {
    return [task, replica] { return std::make_unique<NetworkOracle>(task, replica); };
  }

 private:
  BatchAssembler<Real> assembler_;
  NetworkGradient<Real> gradient_;
  std::uint64_t replica_;
};

}  // namespace slowsde
