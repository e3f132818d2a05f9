// The layered step, with loops in place of cuBLAS and kernels, against the CPU's trainer.
#include "slowsde/gpu/layered_steps.hpp"

#include <doctest/doctest.h>

#include <optional>
#include <vector>

#include "slowsde/gpu/with_formula.hpp"
#include "tests/gpu/loop_machine.hpp"
#include "tests/gpu/loop_trainer.hpp"

using namespace slowsde;
using test::LoopMachine;
using test::NetworkCase;
using test::NetworkSetting;

namespace {

template <class Real>
struct LayeredLoops {
  LoopMachine machine = {};

  void prepare(const NetworkLayout& layout, const TrainerParams& params) {
    plan.emplace(layout, 0, params.workers);
    formula = params.update->formula();
    chosen.resize(static_cast<std::size_t>(plan->chosen()));
    memory.resize(static_cast<std::size_t>(plan->numbers));
    losses.resize(static_cast<std::size_t>(params.workers));
  }
  double take(const test::LoopRange<Real>& range, Real* rows, Real* state) {
    begin(range);
    const std::int64_t d = plan->shape.dim;
    machine.for_each(plan->workers * d, detail::CopyToRows<Real>{range.start, d, rows});
    for (std::size_t h = 0; h < range.numbers.size(); ++h)
      with_formula(formula, [&]<class Formula>(Formula) {
        layered_step<Formula, Real>(machine, *plan, at(), one_by_one(range), rows, state);
      });
    CHECK(inputs.step == range.step + range.numbers.size());
    return sum();
  }
  double gradients(const test::LoopRange<Real>& range, Real* rows) {
    begin(range);
    layered_gradients<Real>(machine, *plan, at(), one_by_one(range), range.start, 0, rows);
    machine.for_each(plan->workers, detail::FinishStep<Real>{&inputs, memory.data() + plan->losses,
                                                             plan->shape.batch, losses.data()});
    return sum();
  }

  std::optional<LayeredPlan> plan = {};
  UpdateFormula formula = UpdateFormula::sgd;
  StepInputs<Real> inputs = {};
  std::vector<int> chosen = {};
  std::vector<Real> memory = {};
  std::vector<double> losses = {};

 private:
  static bool one_by_one(const test::LoopRange<Real>& range) {
    return range.source.table == nullptr && !range.source.replacement;
  }
  LayeredMemory<Real> at() { return {&inputs, chosen.data(), memory.data(), losses.data()}; }
  void begin(const test::LoopRange<Real>& range) {
    inputs = {range.source, range.step, range.step, range.numbers.data()};
    losses.assign(losses.size(), 0);
  }
  double sum() const {
    double total = 0;
    for (const double x : losses) total += x;
    return total;
  }
};

}  // namespace

TEST_CASE(
    "layer by layer all workers train as the CPU's trainer does, after 1, 10 and 100 steps, in both "
    "precisions") {
  test::check_against_cpu<LayeredLoops>(test::network_cases());
  test::check_against_cpu<LayeredLoops>(test::image_cases());
}

TEST_CASE("the bits do not depend on the order of the indices") {
  for (const auto& cases : {test::network_cases(), test::image_cases()})
    for (const NetworkCase& what : cases) {
      CAPTURE(what.name);
      const NetworkSetting setting(what, 10);
      CHECK(test::by_loops<float>(setting, LayeredLoops<float>{.machine = {.backwards = true}}) ==
            test::by_loops<float>(setting, LayeredLoops<float>{}));
    }
}

TEST_CASE("wrong layered steps are rejected") {
  for (const auto& cases : {test::network_cases(), test::image_cases()}) {
    for (const auto& mutation : test::common_mutations())
      test::check_rejected(cases, LayeredLoops<float>{}, mutation);
    test::check_rejected(cases, LayeredLoops<float>{.machine = {.left_out = 1}},
                         {.name = "a term left out of each product"});
  }
  for (const auto& mutation : test::image_mutations())
    test::check_rejected(test::image_cases(), LayeredLoops<float>{}, mutation);
}
