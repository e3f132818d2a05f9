// The functions that the kernels run, in plain loops, against the iterates of the CPU: equal bit for bit.
#include "slowsde/gpu/host_executor.hpp"

#include <doctest/doctest.h>

#if defined(SLOWSDE_TEST_THRUST)  // Thrust's OpenMP system stands for the device
#include <thrust/execution_policy.h>
#include <thrust/for_each.h>
#include <thrust/iterator/counting_iterator.h>
#endif

#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

#include "slowsde/optim/local_sgd.hpp"
#include "slowsde/problems/circle.hpp"
#include "slowsde/problems/curved_valley.hpp"
#include "slowsde/problems/ellipsoid.hpp"
#include "slowsde/problems/sphere.hpp"
#include "slowsde/problems/two_valleys.hpp"
#include "slowsde/problems/user_valley.hpp"
#include "slowsde/problems/valley.hpp"
#include "slowsde/sde/parallel.hpp"
#include "tests/support/device_ensembles.hpp"

using namespace slowsde;
using slowsde::test::same_bits;

namespace {

constexpr std::size_t replicas = 19;           // not a multiple of any width
constexpr std::uint64_t first_replica = 1024;  // a multiple of all

struct Run {
  LocalSgd algorithm;
  GradientSource source;
  std::vector<RecordPoint> points;
};

Run run_of(int workers, NoiseKind kind, std::shared_ptr<const SyncRule> rule, LearningRate lr) {
  Run run;
  run.algorithm.workers = workers;
  run.algorithm.lr = std::move(lr);
  run.algorithm.rule = std::move(rule);
  run.algorithm.total_steps = 43;
  run.source.seed = 0x1234567890abcdef;
  run.source.noise.kind = kind;
  run.source.noise.label_sigma = 0.7;
  run.points = {{0, 0}, {11, 0}, {11, 0}, {30, 0}, {43, 0}};
  return run;
}

Run constant_run(int workers, NoiseKind kind, std::int64_t H = 7) {
  return run_of(workers, kind, std::make_shared<ConstantRule>(H), LearningRate::constant(0.03));
}

/// (points × replicas × d) of the CPU's packs.
template <class P, class Real, NoiseKind Kind>
std::vector<double> of_packs(const P& problem, const Run& run, const std::vector<double>& start) {
  return test::of_packs<Kind, Real>(problem, {run.algorithm, run.source, run.points, start}, first_replica,
                                    replicas);
}

/// The same from the kernels' functions, a "launch" from output to output.
template <class Worker, class P>
std::vector<double> of_threads(const P& problem, const Run& run, const std::vector<double>& start,
                               std::uint64_t shift = 0) {
  const IterateEnsemble ensemble{run.algorithm, run.source, run.points, start};
  return test::on_host<Worker>(problem, ensemble, first_replica + shift, replicas);
}

template <NoiseKind Kind, class P>
void check_both_precisions(const P& problem, const Run& run, std::vector<double> start) {
  for (double& x : start) x += 0.05;  // off the manifold, so that every term of the gradient counts
  CHECK(same_bits(of_packs<P, double, Kind>(problem, run, start),
                  of_threads<IterateWorker<P, double, Kind>>(problem, run, start)));
  CHECK(same_bits(of_packs<P, float, Kind>(problem, run, start),
                  of_threads<IterateWorker<P, float, Kind>>(problem, run, start)));
}

template <class P>
void check_least_squares(const P& problem) {
  check_both_precisions<NoiseKind::label>(problem, constant_run(5, NoiseKind::label),
                                          problem.default_start());
  for (const bool replacement : {true, false})
    for (const int batch : {1, problem.samples()}) {
      Run run = constant_run(3, NoiseKind::minibatch);
      run.source.noise.replacement = replacement;
      run.algorithm.local_batch = run.source.local_batch = batch;
      CAPTURE(replacement);
      CAPTURE(batch);
      check_both_precisions<NoiseKind::minibatch>(problem, run, problem.default_start());
    }
}

template <class P>
void check_gaussian(const P& problem) {
  check_both_precisions<NoiseKind::gaussian>(problem, constant_run(5, NoiseKind::gaussian),
                                             problem.default_start());
}

/// A kernel that is wrong on purpose: the workers draw each other's noise.
template <class P, class Real, NoiseKind Kind>
struct SwappedWorker : IterateWorker<P, Real, Kind> {
  using Right = IterateWorker<P, Real, Kind>;
  SwappedWorker(const typename Right::Setup& setup, std::uint64_t replica, std::uint32_t worker)
      : Right(setup, replica, worker ^ 1u) {}
};

/// A kernel that takes one step too many in each round.
template <class P, class Real, NoiseKind Kind>
struct LongWorker : IterateWorker<P, Real, Kind> {
  using Right = IterateWorker<P, Real, Kind>;
  using Right::Right;
  void run_round(const TableRound& round, const RoundView& table, typename Right::T* y,
                 typename Right::T* v) {
    TableRound longer = round;
    ++longer.local_steps;
    Right::run_round(longer, table, y, v);
  }
};

}  // namespace

TEST_CASE("a thread's iterates have the bits of a pack's lane on every small problem and noise") {
  check_least_squares(Valley{});
  check_least_squares(UserValley<SineSteepness>{});
  check_least_squares(UserValley<QuadraticSteepness>{});
  check_least_squares(UserValley<ExponentialSteepness>{});
  check_least_squares(TwoValleys<1>{});
  check_least_squares(TwoValleys<2>{});
  check_gaussian(Circle{});
  check_gaussian(CurvedValley<>{});
  check_gaussian(Ellipsoid<2>{});
  check_gaussian(Ellipsoid<5>{});
  check_gaussian(Sphere<3>{});
}

TEST_CASE("a thread's iterates have the bits of a pack's lane for any number of workers") {
  for (const int workers : {1, 2, 3, 8, 17, 32, 33, 100}) {
    CAPTURE(workers);
    check_both_precisions<NoiseKind::label>(Valley{}, constant_run(workers, NoiseKind::label), {1.5, 0});
    check_both_precisions<NoiseKind::label>(Valley{}, constant_run(workers, NoiseKind::label, 1), {1.5, 0});
  }
}

TEST_CASE("a thread's iterates have the bits of a pack's lane with momentum, SVAG, schedules and rules") {
  for (const BufferPolicy policy : {BufferPolicy::kept, BufferPolicy::averaged, BufferPolicy::reset}) {
    Run run = constant_run(3, NoiseKind::label);
    run.algorithm.momentum = 0.9;
    run.algorithm.buffers = policy;
    check_both_precisions<NoiseKind::label>(Valley{}, run, {1.5, 0});
  }
  for (const NoiseKind kind : {NoiseKind::label, NoiseKind::minibatch}) {
    Run run = constant_run(2, kind);
    run.algorithm.svag = run.source.svag = 3;
    if (kind == NoiseKind::label)
      check_both_precisions<NoiseKind::label>(Valley{}, run, {1.5, 0});
    else
      check_both_precisions<NoiseKind::minibatch>(TwoValleys<2>{}, run, {0.5, 0, 0});
  }
  const LearningRate cosine(
      {.shape = LearningRateShape::cosine, .peak = 0.05, .end = 0.005, .warmup_steps = 5, .total_steps = 43});
  check_both_precisions<NoiseKind::label>(
      Valley{}, run_of(4, NoiseKind::label, std::make_shared<ConstantRule>(6), cosine), {1.5, 0});
}

TEST_CASE("replicas may run in any order and in several threads") {
  const IterateEnsemble ensemble{constant_run(5, NoiseKind::label).algorithm,
                                 constant_run(5, NoiseKind::label).source,
                                 {{43, 0}},
                                 {1.5, 0.05}};
  using Worker = IterateWorker<Valley, double, NoiseKind::label>;
  const auto plain = test::on_host<Worker>(Valley{}, ensemble, first_replica, 101);
  const auto backwards = [](std::size_t count, auto f) {
    for (std::size_t r = count; r-- > 0;) f(r);
  };
  CHECK(same_bits(plain, test::on_host<Worker>(Valley{}, ensemble, first_replica, 101, backwards)));
  const auto threads = [](std::size_t count, auto f) { parallel_for(3, count, f); };
  CHECK(same_bits(plain, test::on_host<Worker>(Valley{}, ensemble, first_replica, 101, threads)));
#if defined(SLOWSDE_TEST_THRUST)
  const auto thrust_host = [](std::size_t count, auto f) {
    thrust::for_each(thrust::device, thrust::counting_iterator<std::size_t>(0),
                     thrust::counting_iterator<std::size_t>(count), f);
  };
  CHECK(same_bits(plain, test::on_host<Worker>(Valley{}, ensemble, first_replica, 101, thrust_host)));
#endif
}

TEST_CASE("a wrong kernel is told from the right one") {
  const std::vector<double> start = {1.5, 0.05};
  const Run run = constant_run(4, NoiseKind::label);
  const Valley problem;
  const auto right = of_packs<Valley, double, NoiseKind::label>(problem, run, start);
  using Worker = IterateWorker<Valley, double, NoiseKind::label>;
  CHECK(same_bits(right, of_threads<Worker>(problem, run, start)));
  CHECK(!same_bits(right, of_threads<Worker>(problem, run, start, 1)));  // the next replica's noise
  CHECK(!same_bits(right, of_threads<SwappedWorker<Valley, double, NoiseKind::label>>(problem, run, start)));
  CHECK(!same_bits(right, of_threads<LongWorker<Valley, double, NoiseKind::label>>(problem, run, start)));
}

TEST_CASE("what only fits on the heap is refused") {
  using Worker = IterateWorker<TwoValleys<2>, double, NoiseKind::minibatch>;
  Run run = constant_run(2, NoiseKind::minibatch);
  run.source.local_batch = largest_lane_minibatch + 1;
  CHECK_NOTHROW(Worker::Setup(TwoValleys<2>{}, run.algorithm, run.source));
  run.source.noise.replacement = false;
  CHECK_THROWS_AS(Worker::Setup(TwoValleys<2>{}, run.algorithm, run.source), std::invalid_argument);
}
