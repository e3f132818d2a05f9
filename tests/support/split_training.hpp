// What ranks of any kind have to hold: collectives on exactly representable numbers, and a training split
// over them that is the training of one process bit for bit. Run on every rank of a group.
#pragma once

#include <cmath>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "slowsde/optim/network_trainer.hpp"
#include "tests/support/quadratic_oracle.hpp"

namespace slowsde::test {

/// The names of the properties that do not hold; empty if all do. `size`: of the vectors.
inline std::vector<std::string> broken_collectives(Communicator& ranks, std::size_t size) {
  std::vector<std::string> broken;
  const auto hold = [&](bool holds, const char* name) {
    if (!holds) broken.push_back("rank " + std::to_string(ranks.rank()) + ": " + name);
  };
  const int R = ranks.size(), r = ranks.rank();
  // The mean of R·j + r over the ranks is R·j + (R − 1)/2: all sums are integers below 2^24.
  std::vector<float> values(size);
  for (std::size_t j = 0; j < size; ++j) values[j] = static_cast<float>(R * static_cast<int>(j % 1000) + r);
  ranks.all_reduce_mean(std::span(values));
  bool exact = true;
  for (std::size_t j = 0; j < size; ++j)
    exact = exact && values[j] == static_cast<float>(R * static_cast<int>(j % 1000)) + 0.5f * (R - 1);
  hold(exact, "the mean of integers is exact");
  ranks.barrier();
  // 2^60 + 1 − 2^60 is 0 in this order and 1 in others: the ranks' terms are added in the order of the ranks.
  std::vector<double> sum(size);
  const double term = r == 0 ? 0x1p60 : r == R - 1 ? -0x1p60 : 1;
  ranks.ordered_sum(sum, [&](std::size_t begin, std::size_t end) {
    for (std::size_t j = begin; j < end; ++j) sum[j] = (r == 0 ? 0 : sum[j]) + term;
  });
  const double total = R == 1 ? 0x1p60 : 0;
  bool ordered = true;
  for (const double x : sum) ordered = ordered && x == total;
  hold(ordered, "sums are in the order of the ranks");
  // rank r gives r + 1 bytes r
  std::vector<std::byte> own(static_cast<std::size_t>(r) + 1, static_cast<std::byte>(r)),
      all(static_cast<std::size_t>(R * (R + 1) / 2), std::byte{255}), expected;
  for (int q = 0; q < R; ++q)
    expected.insert(expected.end(), static_cast<std::size_t>(q) + 1, static_cast<std::byte>(q));
  ranks.all_gather(own, all);
  hold(all == expected, "a gather has the ranks' parts in order");
  return broken;
}

/// Trains with K = 7 workers (no multiple of 2, 3 or 4) under every policy, with these ranks and alone.
inline std::vector<std::string> broken_split_trainings(const std::shared_ptr<Communicator>& ranks) {
  constexpr std::size_t d = 83;
  std::vector<std::string> broken;
  std::vector<double> start(d);
  for (std::size_t j = 0; j < d; ++j) start[j] = std::cos(static_cast<double>(j));
  struct Case {
    const char* update;
    Exchange exchange;
    BufferPolicy buffers;
  };
  const Case cases[] = {{"sgd", Exchange::parameters, BufferPolicy::kept},
                        {"heavy-ball", Exchange::parameters, BufferPolicy::reset},
                        {"nesterov", Exchange::parameters, BufferPolicy::kept},
                        {"adamw", Exchange::parameters, BufferPolicy::averaged},
                        {"adamw", Exchange::gradients, BufferPolicy::kept}};
  for (const Case& c : cases) {
    for (const int threads : {1, 2}) {
      TrainerParams params;
      params.workers = 7;
      params.lr =
          LearningRate({.shape = LearningRateShape::cosine, .peak = 0.2, .end = 0.01, .total_steps = 31});
      params.total_steps = 31;
      params.update = make_update_rule(c.update, [](std::string_view, double fallback) { return fallback; });
      params.exchange = c.exchange;
      params.buffers = c.buffers;
      if (c.exchange == Exchange::gradients)
        params.rule = std::make_shared<ParallelRule>();
      else
        params.rule = std::make_shared<PowerRule>(PowerRuleParams{.alpha = 0.2, .base_steps = 3});
      const auto oracle = QuadraticOracle<float>::factory(d, 0.7, 5);
      NetworkTrainer<float> split(params, start, oracle, threads, ranks), alone(params, start, oracle, 1);
      bool equal = true, seen = true;
      while (!alone.finished()) {
        std::vector<float> workers[2];
        const auto copy = [&](int which) {
          return [&workers, which](WorkersView<float> view) {
            for (const float* theta : view) workers[which].insert(workers[which].end(), theta, theta + d);
          };
        };
        const TrainedRound a = split.round(copy(0)), b = alone.round(copy(1));
        equal = equal && split.parameters() == alone.parameters() && a.batch_loss == b.batch_loss &&
                a.plan.local_steps == b.plan.local_steps;
        seen = seen && workers[0] == workers[1] && workers[0].size() == 7 * d;
      }
      const std::string name = std::string(c.update) + (threads > 1 ? ", two threads" : "");
      if (!equal) broken.push_back(name + ": the split training differs from that of one process");
      if (!seen) broken.push_back(name + ": the hook does not see the workers of one process");
      if (!split.finished()) broken.push_back(name + ": the split training is not finished");
    }
  }
  return broken;
}

}  // namespace slowsde::test
