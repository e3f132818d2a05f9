// The body of the fused kernel, run by plain loops over the threads of a block, against the CPU's trainer.
#include "slowsde/gpu/mlp_steps.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "slowsde/gpu/with_formula.hpp"
#include "tests/gpu/loop_trainer.hpp"

using namespace slowsde;
using test::NetworkCase;
using test::NetworkSetting;

namespace {

/// A worker for each block of looping threads.
template <class Real>
struct BlockSteps {
  LoopBlock block{.threads = 32};
  bool same_batches = false;  ///< an error: all workers draw the batches of worker 0

  void prepare(const MlpLayout& given, const TrainerParams& params) {
    layout = given;
    workers = params.workers;
    formula = params.update->formula();
    vectors = params.update->state_vectors();
    memory.resize(static_cast<std::size_t>(layout.numbers) / 4);
  }
  double take(const test::LoopRange<Real>& range, Real* rows, Real* state) {
    double loss = 0;
    const std::int64_t d = layout.dim;
    for (int w = 0; w < workers; ++w)
      with_formula(formula, [&]<class Formula>(Formula) {
        loss += mlp_local_steps<Formula, Real>(block, layout, range.source, worker(w), range.step,
                                               static_cast<std::int64_t>(range.numbers.size()),
                                               range.numbers.data(), range.start, state + w * vectors * d, d,
                                               rows + w * d, numbers());
      });
    return loss;
  }
  double gradients(const test::LoopRange<Real>& range, Real* rows) {
    double loss = 0;
    for (int w = 0; w < workers; ++w) {
      Real* const g_out = rows + w * layout.dim;
      MlpBlock<Real, LoopBlock> network(block, layout, range.source, worker(w), numbers());
      network.load(range.start);
      network.step(range.step, loss, [g_out](Real&, Real g, int j) { g_out[j] = g; });
    }
    return loss;
  }

  MlpLayout layout = {};
  int workers = 1, vectors = 0;
  UpdateFormula formula = UpdateFormula::sgd;
  std::vector<detail::Four<Real>> memory = {};

 private:
  std::uint32_t worker(int w) const { return same_batches ? 0 : static_cast<std::uint32_t>(w); }
  Real* numbers() { return reinterpret_cast<Real*>(memory.data()); }
};

}  // namespace

TEST_CASE(
    "a block of threads trains as the CPU's trainer does, after 1, 10 and 100 steps, in both precisions") {
  test::check_against_cpu<BlockSteps>();
}

TEST_CASE("the bits depend neither on the number of a block's threads nor on their order within a phase") {
  for (const NetworkCase& what : test::network_cases()) {
    CAPTURE(what.name);
    const NetworkSetting setting(what, 10);
    const auto reference = test::by_loops<float>(setting, BlockSteps<float>{});
    for (const int threads : {1, 7, 128, 1024})
      for (const bool backwards : {false, true})
        CHECK(test::by_loops<float>(
                  setting, BlockSteps<float>{.block = {.threads = threads, .backwards = backwards}}) ==
              reference);
  }
}

TEST_CASE("wrong kernels are rejected") {
  auto mutations = test::common_mutations();
  mutations.push_back({.name = "the last column of the batch is left out of the products",
                       .change = [](MlpLayout& layout, BatchSource&) { --layout.batch; }});
  for (const auto& mutation : mutations) test::check_rejected(BlockSteps<float>{}, mutation);
  test::check_rejected(BlockSteps<float>{.same_batches = true}, {.name = "the batches of worker 0"});
}

TEST_CASE("a network that no block can hold says why") {
  const auto why = [](const Network& network) {
    std::string why_not;
    make_mlp_layout(network, LossKind::cross_entropy, 4, why_not);
    return why_not;
  };
  CHECK(why(cnn_network({1, 8, 8}, {4}, 3)).find("convolutions") != std::string::npos);
  CHECK(why(mlp_network(std::vector<int>(10, 3))).find("more than 8") != std::string::npos);
  CHECK(why(mlp_network({3, 2})) == "");
}
