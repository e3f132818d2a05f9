#include "slowsde/gpu/round_table.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "slowsde/gpu/ensemble_kernels.hpp"
#include "slowsde/optim/round_plan.hpp"

using namespace slowsde;

namespace {

/// H grows as the learning rate falls.
struct GrowingRule final : SyncRule {
  std::string_view name() const override { return "growing"; }
  double desired_steps(std::int64_t, double lr) const override { return 0.2 / lr; }
};

LocalSgd algorithm_of(LearningRate lr, std::int64_t steps) {
  LocalSgd algorithm;
  algorithm.lr = std::move(lr);
  algorithm.rule = std::make_shared<GrowingRule>();
  algorithm.total_steps = steps;
  return algorithm;
}

}  // namespace

TEST_CASE("the table holds the rounds and learning rates of the plan") {
  const LocalSgd algorithm = algorithm_of(
      LearningRate({.shape = LearningRateShape::cosine, .peak = 0.1, .end = 0.01, .total_steps = 100}), 100);
  const RoundTable table = round_table(algorithm, {{100, 0}});
  std::size_t s = 0;
  for_each_round(algorithm.lr, *algorithm.rule, 100, [&](const PlannedRound& round) {
    REQUIRE(s < table.rounds.size());
    const TableRound& row = table.rounds[s++];
    CHECK(row.first_step == round.first_step);
    CHECK(row.local_steps == round.local_steps);
    for (std::int64_t h = 0; h < row.local_steps; ++h)
      CHECK(table.view().rates_of(row)[h] == algorithm.lr(row.first_step + h));
  });
  CHECK(s == table.rounds.size());
  CHECK(table.rounds.front().local_steps < table.rounds[s - 2].local_steps);
}

TEST_CASE("a constant learning rate is stored once") {
  const RoundTable table = round_table(algorithm_of(LearningRate::constant(0.02), 95), {{95, 0}});
  CHECK(table.rates == std::vector<double>{0.02});
  CHECK(table.rounds.size() == 10);
  CHECK(table.rounds.back().local_steps == 5);
  for (const TableRound& round : table.rounds) CHECK(table.view().rates_of(round)[3] == 0.02);
}

TEST_CASE("a point is recorded after the rounds that reach it, and the table ends with the last point") {
  const LocalSgd algorithm = algorithm_of(LearningRate::constant(0.02), 1000);  // H = 10
  const RoundTable table = round_table(algorithm, {{0, 0}, {10, 0}, {11, 0}, {20, 0}, {45, 0}});
  CHECK(table.rounds_at == std::vector<std::size_t>{0, 1, 2, 2, 5});
  CHECK(table.rounds.size() == 5);
}

TEST_CASE("chunks are whole blocks of what the memory has room for, one at least") {
  CHECK(device_chunk(0) == reduction_block);
  CHECK(device_chunk(2 * reduction_block - 1) == reduction_block);
  CHECK(device_chunk(10 * reduction_block + 3) == 10 * reduction_block);
  CHECK(device_chunk(std::uint64_t{1} << 40) == largest_device_chunk);
  static_assert(largest_device_chunk % reduction_block == 0);
}
