// The body of the fused kernel, run by plain loops over the threads of a block, against the CPU's trainer.
#include "slowsde/gpu/network_steps.hpp"

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
template <class Real, bool only_dense>
struct BlockSteps {
  LoopBlock block{.threads = 32};
  bool same_batches = false;  ///< an error: all workers draw the batches of worker 0

  void prepare(const NetworkLayout& given, const TrainerParams& params) {
    layout = given;
    workers = params.workers;
    formula = params.update->formula();
    vectors = params.update->state_vectors();
    parameters.resize(static_cast<std::size_t>(layout.parameter_numbers) / 4);
    work.resize(static_cast<std::size_t>(layout.work_numbers) / 4);
  }
  double take(const test::LoopRange<Real>& range, Real* rows, Real* state) {
    double loss = 0;
    const std::int64_t d = layout.dim;
    for (int w = 0; w < workers; ++w)
      with_formula(formula, [&]<class Formula>(Formula) {
        loss += network_local_steps<Formula, only_dense>(
            block, layout, range.source, worker(w), range.step,
            static_cast<std::int64_t>(range.numbers.size()), range.numbers.data(), range.start,
            state + w * vectors * d, d, rows + w * d, numbers(parameters), numbers(work));
      });
    return loss;
  }
  double gradients(const test::LoopRange<Real>& range, Real* rows) {
    double loss = 0;
    for (int w = 0; w < workers; ++w) {
      Real* const g_out = rows + w * layout.dim;
      NetworkBlock<Real, LoopBlock, only_dense> network(block, layout, range.source, worker(w),
                                                        numbers(parameters), numbers(work));
      network.load(range.start);
      network.step(range.step, loss, [g_out](Real&, Real g, int j) { g_out[j] = g; });
    }
    return loss;
  }

  NetworkLayout layout = {};
  int workers = 1, vectors = 0;
  UpdateFormula formula = UpdateFormula::sgd;
  std::vector<detail::Four<Real>> parameters = {}, work = {};

 private:
  std::uint32_t worker(int w) const { return same_batches ? 0 : static_cast<std::uint32_t>(w); }
  static Real* numbers(std::vector<detail::Four<Real>>& memory) {
    return reinterpret_cast<Real*>(memory.data());
  }
};

/// As the kernels are: with code for dense layers alone, and with code for all kinds.
template <class Real>
using DenseSteps = BlockSteps<Real, true>;
template <class Real>
using NetworkSteps = BlockSteps<Real, false>;

}  // namespace

TEST_CASE(
    "a block of threads trains as the CPU's trainer does, after 1, 10 and 100 steps, in both precisions") {
  test::check_against_cpu<DenseSteps>(test::network_cases());
  test::check_against_cpu<NetworkSteps>(test::image_cases());
}

TEST_CASE("the code for all kinds of layers has the bits of that for dense layers on dense networks") {
  for (const NetworkCase& what : test::network_cases()) {
    CAPTURE(what.name);
    const NetworkSetting setting(what, 10);
    CHECK(test::by_loops<float>(setting, NetworkSteps<float>{}) ==
          test::by_loops<float>(setting, DenseSteps<float>{}));
  }
}

TEST_CASE("the bits depend neither on the number of a block's threads nor on their order within a phase") {
  const auto check = []<class Steps>(const std::vector<NetworkCase>& cases, Steps) {
    for (const NetworkCase& what : cases) {
      CAPTURE(what.name);
      const NetworkSetting setting(what, 10);
      const auto reference = test::by_loops<float>(setting, Steps{});
      for (const int threads : {1, 7, 128, 1024})
        for (const bool backwards : {false, true})
          CHECK(test::by_loops<float>(
                    setting, Steps{.block = {.threads = threads, .backwards = backwards}}) == reference);
    }
  };
  check(test::network_cases(), DenseSteps<float>{});
  check(test::image_cases(), NetworkSteps<float>{});
}

TEST_CASE("wrong kernels are rejected") {
  const auto check = []<class Steps>(const std::vector<NetworkCase>& cases,
                                     std::vector<test::Mutation> mutations, Steps) {
    for (const auto& mutation : test::common_mutations()) mutations.push_back(mutation);
    mutations.push_back({.name = "the last column of the batch is left out of the products",
                         .change = [](NetworkLayout& layout, BatchSource&) { --layout.batch; }});
    for (const auto& mutation : mutations) test::check_rejected(cases, Steps{}, mutation);
    test::check_rejected(cases, Steps{.same_batches = true}, {.name = "the batches of worker 0"});
  };
  check(test::network_cases(), {}, DenseSteps<float>{});
  auto mutations = test::image_mutations();
  mutations.push_back(
      {.name = "images that are a row too short", .change = [](NetworkLayout& layout, BatchSource&) {
         for (auto& layer : layout.layer)
           if (layer.kind == LayerKind::convolution) --layer.height_out;
       }});
  check(test::image_cases(), mutations, NetworkSteps<float>{});
}

TEST_CASE("a network of more layers than the layout has says so") {
  const auto why = [](const Network& network) {
    std::string why_not;
    make_network_layout(network, LossKind::cross_entropy, 4, why_not);
    return why_not;
  };
  CHECK(why(mlp_network(std::vector<int>(26, 3))).find("more than 24") != std::string::npos);
  CHECK(why(mlp_network(std::vector<int>(25, 3))) == "");
  CHECK(why(cnn_network({1, 8, 8}, std::vector<int>(12, 2), 3, Activation::tanh, 2, 1)) ==
        "it has more than 24 layers (an activation counts with the layer before it)");
}

TEST_CASE(
    "a block's shared memory is given to the parameters first, then to the activations, then the state") {
  std::string why_not;
  const NetworkLayout layout =
      make_network_layout(cnn_network({1, 8, 8}, {8, 16}, 10), LossKind::cross_entropy, 16, why_not);
  REQUIRE(why_not == "");
  const auto parameters = static_cast<std::size_t>(layout.parameter_numbers) * sizeof(float),
             work = static_cast<std::size_t>(layout.work_numbers) * sizeof(float),
             state = static_cast<std::size_t>(layout.dim) * sizeof(float);
  const auto placed = [&](std::size_t most) {
    const BlockPlacement p = place_in_block(layout, 1, sizeof(float), most);
    CHECK(p.bytes == (p.parameters ? parameters : 0) + (p.work ? work : 0) + (p.state ? state : 0));
    CHECK(p.bytes <= most);
    return std::vector<bool>{p.parameters, p.work, p.state};
  };
  CHECK(placed(parameters + work + state) == std::vector<bool>{true, true, true});
  CHECK(placed(parameters + work + state - 1) == std::vector<bool>{true, true, false});
  CHECK(placed(parameters + work - 1) == std::vector<bool>{true, false, true});
  CHECK(placed(parameters) == std::vector<bool>{true, false, false});
  CHECK(placed(16) == std::vector<bool>{false, false, false});
}
