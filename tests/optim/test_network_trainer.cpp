#include "slowsde/optim/network_trainer.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "slowsde/optim/worker_spread.hpp"
#include "slowsde/problems/random_address.hpp"
#include "tests/support/quadratic_oracle.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;
using test::QuadraticOracle;

namespace {

constexpr std::size_t d = 83;  // some cache lines and a rest
constexpr double sigma = 0.7;

std::shared_ptr<const UpdateRule> update(const std::string& name, double beta = 0.8) {
  return make_update_rule(name, [&](std::string_view key, double fallback) {
    return key == "momentum" ? beta : key == "beta2" ? 0.99 : fallback;
  });
}

TrainerParams params_of(const std::string& name, std::int64_t H, std::int64_t N) {
  TrainerParams params;
  params.workers = 4;
  params.lr = LearningRate({.shape = LearningRateShape::cosine, .peak = 0.2, .end = 0.01, .total_steps = N});
  params.rule = std::make_shared<ConstantRule>(H);
  params.total_steps = N;
  params.update = update(name);
  return params;
}

TrainerParams parallel(TrainerParams params) {
  params.rule = std::make_shared<ParallelRule>();
  params.exchange = Exchange::gradients;
  params.buffers = BufferPolicy::kept;
  return params;
}

std::vector<double> start() {
  std::vector<double> theta(d);
  for (std::size_t j = 0; j < d; ++j) theta[j] = std::cos(static_cast<double>(j));
  return theta;
}

template <class Real = double>
NetworkTrainer<Real> trainer(const TrainerParams& params, int threads = 1, std::uint64_t seed = 5) {
  return NetworkTrainer<Real>(params, start(), QuadraticOracle<Real>::factory(d, sigma, seed), threads);
}

template <class Real = double>
std::vector<Real> final_parameters(const TrainerParams& params, int threads = 1) {
  NetworkTrainer<Real> training(params, start(), QuadraticOracle<Real>::factory(d, sigma, 5), threads);
  while (!training.finished()) training.round();
  return training.parameters();
}

template <class A, class B>
double distance(const std::vector<A>& a, const std::vector<B>& b) {
  double worst = a.size() == b.size() ? 0 : std::numeric_limits<double>::infinity();
  for (std::size_t j = 0; j < a.size() && j < b.size(); ++j) {
    const double e = std::abs(static_cast<double>(a[j]) - static_cast<double>(b[j]));
    worst = e <= worst ? worst : e;  // NaN wins
  }
  return worst;
}

/// Local SGD with heavy ball written out: all workers as nested vectors, one component after the other.
std::vector<double> local_heavy_ball(const TrainerParams& params, double beta) {
  QuadraticOracle<double> oracle(d, sigma, 5);
  const auto K = static_cast<std::size_t>(params.workers);
  std::vector<double> mean = start();
  std::vector<std::vector<double>> theta(K), v(K, std::vector<double>(d, 0.0));
  for (std::int64_t k = 0; k < params.total_steps;) {
    const std::int64_t H = params.rule->local_steps(k, params.lr(k), params.total_steps - k);
    for (std::size_t w = 0; w < K; ++w) {
      theta[w] = mean;
      for (std::int64_t h = 0; h < H; ++h)
        for (std::size_t j = 0; j < d; ++j) {
          const double g = oracle.slope(j, theta[w][j] - oracle.noise(static_cast<int>(w), k + h, j));
          v[w][j] = beta * v[w][j] + g;
          theta[w][j] -= params.lr(k + h) * v[w][j];
        }
    }
    for (std::size_t j = 0; j < d; ++j) {
      double sum = 0, buffers = 0;
      for (std::size_t w = 0; w < K; ++w) {
        sum += theta[w][j];
        buffers += v[w][j];
      }
      mean[j] = sum / static_cast<double>(K);
      for (std::size_t w = 0; w < K && params.buffers != BufferPolicy::kept; ++w)
        v[w][j] = params.buffers == BufferPolicy::averaged ? buffers / static_cast<double>(K) : 0;
    }
    k += H;
  }
  return mean;
}

}  // namespace

TEST_CASE("H = 1 equals data parallel to rounding without momentum") {
  const TrainerParams local = params_of("sgd", 1, 60);
  CHECK(distance(final_parameters(local), final_parameters(parallel(local))) <= 1e-14);
}

TEST_CASE("H = 1 equals data parallel to rounding with heavy-ball or Nesterov buffers kept or averaged") {
  for (const char* name : {"heavy-ball", "nesterov"}) {
    TrainerParams local = params_of(name, 1, 60);
    const std::vector<double> shared = final_parameters(parallel(local));
    for (const BufferPolicy policy : {BufferPolicy::kept, BufferPolicy::averaged}) {
      local.buffers = policy;
      CHECK(distance(final_parameters(local), shared) <= 1e-13);
    }
    // and H = 2 does not, nor do buffers that restart
    local.rule = std::make_shared<ConstantRule>(2);
    CHECK(distance(final_parameters(local), shared) >= 1e-4);
    local = params_of(name, 1, 60);
    local.buffers = BufferPolicy::reset;
    CHECK(distance(final_parameters(local), shared) >= 1e-2);
  }
}

TEST_CASE("on a quadratic the average does not know H, whatever the momentum, unless buffers restart") {
  const auto trained = [](const TrainerParams& params) {
    NetworkTrainer<double> training(params, start(), QuadraticOracle<double>::factory(d, sigma, 5, 0));
    while (!training.finished()) training.round();
    return training.parameters();
  };
  for (const char* name : {"sgd", "heavy-ball", "nesterov"}) {
    TrainerParams local = params_of(name, 7, 60);
    const std::vector<double> shared = trained(parallel(local));
    for (const BufferPolicy policy : {BufferPolicy::kept, BufferPolicy::averaged}) {
      local.buffers = policy;
      CHECK(distance(trained(local), shared) <= 1e-13);
    }
    if (local.update->state_vectors() == 0) continue;
    local.buffers = BufferPolicy::reset;
    CHECK(distance(trained(local), shared) >= 1e-2);
  }
}

TEST_CASE("H = 1 with heavy-ball buffers reset is plain SGD, bit for bit") {
  TrainerParams local = params_of("heavy-ball", 1, 60);
  local.buffers = BufferPolicy::reset;
  CHECK(final_parameters(local) == final_parameters(params_of("sgd", 1, 60)));
}

TEST_CASE("AdamW at H = 1 with second moments kept by the workers is not parallel AdamW") {
  TrainerParams local = params_of("adamw", 1, 60);
  const std::vector<double> shared = final_parameters(parallel(local));
  const double kept = distance(final_parameters(local), shared);
  local.buffers = BufferPolicy::averaged;
  const double averaged = distance(final_parameters(local), shared);
  // A worker's gradient has variance K times that of the mean, so where noise dominates √v̂ is up to √K = 2
  // times larger and the steps that much smaller.
  MESSAGE("largest difference of a parameter from parallel AdamW after 60 steps: kept "
          << kept << ", averaged " << averaged);
  CHECK(kept >= 0.05);
  CHECK(averaged >= 0.05);  // an average of second moments is not the second moment of an average
  // the first step too differs by rounding alone where all workers see one gradient
  TrainerParams noiseless = params_of("adamw", 1, 60);
  NetworkTrainer<double> a(noiseless, start(), QuadraticOracle<double>::factory(d, 0, 5));
  NetworkTrainer<double> b(parallel(noiseless), start(), QuadraticOracle<double>::factory(d, 0, 5));
  while (!a.finished()) {
    a.round();
    b.round();
  }
  CHECK(distance(a.parameters(), b.parameters()) <= 1e-13);
}

TEST_CASE("Local SGD with heavy ball is the recursion written out, for each policy of the buffers") {
  for (const BufferPolicy policy : {BufferPolicy::kept, BufferPolicy::averaged, BufferPolicy::reset}) {
    TrainerParams local = params_of("heavy-ball", 7, 60);  // 60 mod 7 = 4
    local.buffers = policy;
    CHECK(distance(final_parameters(local), local_heavy_ball(local, 0.8)) <= 1e-14);
  }
}

TEST_CASE("the final parameters are an average of the workers although H does not divide N") {
  TrainerParams local = params_of("nesterov", 7, 60);
  NetworkTrainer<double> training = trainer(local);
  std::vector<std::int64_t> steps;
  while (!training.finished()) {
    std::vector<double> mean(d, 0.0);
    double spread = 0;
    const TrainedRound round = training.round([&](WorkersView<double> workers) {
      CHECK(workers.size() == 4);
      for (const double* theta : workers)
        for (std::size_t j = 0; j < d; ++j) {
          mean[j] += theta[j] / 4;
          spread = std::max(spread, std::abs(theta[j] - workers[0][j]));
        }
    });
    CHECK(distance(mean, training.parameters()) <= 1e-15);
    CHECK(spread > 1e-6);  // there was something to average
    steps.push_back(round.plan.local_steps);
  }
  CHECK(steps.size() == 9);
  CHECK(steps.back() == 4);
  CHECK(training.state().step == 60);
  CHECK(training.next_steps() == 0);
  CHECK_THROWS_AS(training.round(), std::logic_error);
}

TEST_CASE("the bits do not depend on the number of threads") {
  for (const char* name : {"heavy-ball", "adamw"}) {
    for (const bool shared : {false, true}) {
      TrainerParams params = params_of(name, 5, 33);
      params.buffers = BufferPolicy::averaged;
      if (shared) params = parallel(params);
      const std::vector<double> one = final_parameters(params);
      const std::vector<float> single = final_parameters<float>(params);
      for (const int threads : {2, 3, 7}) {
        CHECK(final_parameters(params, threads) == one);
        CHECK(final_parameters<float>(params, threads) == single);
      }
    }
  }
}

TEST_CASE("H counts optimizer steps: rounds, learning rates and slow time are those of the plan") {
  TrainerParams params = params_of("heavy-ball", 1, 200);
  params.rule = std::make_shared<PowerRule>(PowerRuleParams{.alpha = 0.3, .base_steps = 2});
  NetworkTrainer<double> training = trainer(params);
  const RoundCounts counts = count_rounds(params.lr, *params.rule, params.total_steps);
  for_each_round(params.lr, *params.rule, params.total_steps, [&](const PlannedRound& planned) {
    CHECK(training.next_steps() == planned.local_steps);
    const PlannedRound done = training.round().plan;
    CHECK(done.index == planned.index);
    CHECK(done.first_step == planned.first_step);
    CHECK(done.local_steps == planned.local_steps);
    CHECK(done.eta == planned.eta);
    CHECK(done.begin == planned.begin);
    CHECK(done.end == planned.end);
  });
  CHECK(training.finished());
  CHECK(training.state().round == counts.rounds);
  CHECK(training.state().step == counts.steps);
  CHECK(training.state().time.value() == counts.slow_time);
  CHECK(counts.rounds < counts.steps / 2);
}

TEST_CASE("a ring all-reduce of m numbers costs each worker 2 (K-1)/K m numbers, once a round") {
  TrainerParams params = params_of("adamw", 7, 60);
  const auto bytes = [&](auto real) {
    using Real = decltype(real);
    auto training = trainer<Real>(params);
    while (!training.finished()) training.round();
    return training.state().bytes;
  };
  CHECK(bytes(0.0) == 9 * 1.5 * d * 8);
  CHECK(bytes(0.0f) == 9 * 1.5 * d * 4);
  params.buffers = BufferPolicy::averaged;  // both moments travel too
  CHECK(bytes(0.0) == 9 * 1.5 * 3 * d * 8);
  params = parallel(params);
  CHECK(bytes(0.0) == 60 * 1.5 * d * 8);
  params.workers = 1;
  CHECK(bytes(0.0) == 0);
}

TEST_CASE("single precision follows double") {
  for (const char* name : {"sgd", "heavy-ball", "adamw"}) {
    const TrainerParams params = params_of(name, 5, 40);
    CHECK(distance(final_parameters<float>(params), final_parameters(params)) <= 2e-5);
  }
}

TEST_CASE("K = 1 knows no rounds: any H gives the same iterates, and nothing is sent") {
  for (const char* name : {"sgd", "adamw"}) {
    TrainerParams params = params_of(name, 1, 40);
    params.workers = 1;
    const std::vector<double> one = final_parameters(params);
    params.rule = std::make_shared<ConstantRule>(9);
    CHECK(final_parameters(params) == one);
    params.buffers = BufferPolicy::averaged;
    CHECK(final_parameters(params) == one);
    CHECK(final_parameters(parallel(params)) == one);
    CHECK(params.bytes_per_round(d, 8) == 0);
  }
}

TEST_CASE("without curvature the workers' covariance at a round's end is that of H independent steps") {
  // SGD on pure noise of variance 1: θ_k − θ has variance Hη² per component.
  constexpr int size = 2000;
  struct Flat final : GradientOracle<double> {
    double gradient(int worker, std::int64_t step, const double*, double* g) override {
      for (std::uint64_t j = 0; j < size; ++j)
        g[j] = normal_at(3, Stream::gradient, 0, static_cast<std::uint32_t>(worker),
                         static_cast<std::uint64_t>(step) * size + j);
      return 0;
    }
  };
  TrainerParams params = params_of("sgd", 10, 10);
  params.lr = LearningRate::constant(0.1);
  NetworkTrainer<double> training(params, std::vector<double>(size, 0.0),
                                  [] { return std::make_unique<Flat>(); });
  WorkerSpread measured;
  training.round([&](WorkersView<double> workers) { measured = worker_spread(workers, size); });
  // tr C/(Hη²) is χ² with 2000·(K−1) degrees of freedom over K−1: mean 2000, variance 2·2000/(K−1)
  const double scaled = measured.trace / (10 * 0.01), se = std::sqrt(2.0 * size / 3);
  CHECK(test::zscore(scaled, size, se) <= 4);
  CHECK(test::zscore(scaled * 3 / 4, size, se) >= 5);   // divided by K instead of K − 1
  CHECK(test::zscore(scaled * 10 / 9, size, se) >= 5);  // one step fewer
}

TEST_CASE("with averaged gradients the workers are one") {
  NetworkTrainer<double> shared = trainer(parallel(params_of("heavy-ball", 1, 3)));
  shared.restore(trainer(parallel(params_of("heavy-ball", 1, 3))).state());
  shared.round([&](WorkersView<double> workers) {
    CHECK(workers.size() == 4);
    for (const double* theta : workers) CHECK(theta == shared.parameters().data());
  });
}

TEST_CASE("a training continued from a copied state is the same training") {
  for (const bool shared : {false, true}) {
    TrainerParams params = params_of("adamw", 4, 30);
    params.buffers = BufferPolicy::averaged;
    if (shared) params = parallel(params);
    NetworkTrainer<double> first = trainer(params);
    for (int s = 0; s < 3; ++s) first.round();
    const TrainerState<double> checkpoint = first.state();
    NetworkTrainer<double> second = trainer(params, 2);
    second.restore(checkpoint);
    while (!first.finished()) first.round();
    while (!second.finished()) second.round();
    CHECK(first.parameters() == second.parameters());
    CHECK(first.state().bytes == second.state().bytes);
    CHECK(first.state().time.value() == second.state().time.value());
  }
  NetworkTrainer<double> other = trainer(params_of("adamw", 4, 30));
  CHECK_THROWS_AS(other.restore(trainer(params_of("sgd", 4, 30)).state()), std::invalid_argument);
}

TEST_CASE("the batch loss of a round is the mean over its steps and workers, each before its step") {
  TrainerParams params = params_of("sgd", 1, 1);
  params.rule = std::make_shared<ConstantRule>(1);
  NetworkTrainer<double> training = trainer(params);
  QuadraticOracle<double> oracle(d, sigma, 5);
  std::vector<double> g(d);
  double mean = 0;
  for (int k = 0; k < 4; ++k) mean += oracle.gradient(k, 0, start().data(), g.data()) / 4;
  CHECK(test::near_relative(training.round().batch_loss, mean, 1e-14));
}

TEST_CASE("an exception of an oracle reaches the caller, whatever the thread") {
  struct Failing final : GradientOracle<double> {
    double gradient(int worker, std::int64_t, const double*, double*) override {
      if (worker == 3) throw std::runtime_error("no batch");
      return 0;
    }
  };
  for (const int threads : {1, 2}) {
    NetworkTrainer<double> training(
        params_of("sgd", 2, 4), start(), [] { return std::make_unique<Failing>(); }, threads);
    CHECK_THROWS_WITH_AS(training.round(), "no batch", std::runtime_error);
  }
}

TEST_CASE("impossible parameters are refused by name") {
  TrainerParams params = params_of("sgd", 2, 4);
  params.workers = 0;
  CHECK_THROWS_WITH_AS(params.check(), doctest::Contains("workers >= 1"), std::invalid_argument);
  params = params_of("sgd", 2, 4);
  params.exchange = Exchange::gradients;
  CHECK_THROWS_WITH_AS(params.check(), doctest::Contains("parallel"), std::invalid_argument);
  params = parallel(params_of("heavy-ball", 2, 4));
  params.buffers = BufferPolicy::reset;
  CHECK_THROWS_WITH_AS(params.check(), doctest::Contains("one state"), std::invalid_argument);
  params = params_of("sgd", 2, 4);
  params.update = nullptr;
  CHECK_THROWS_AS(params.check(), std::invalid_argument);
  params = params_of("sgd", 2, 4);
  params.rule = nullptr;
  CHECK_THROWS_AS(params.check(), std::invalid_argument);
  CHECK_THROWS_AS(trainer(params_of("sgd", 2, 4), 0), std::invalid_argument);
}
