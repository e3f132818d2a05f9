// A worker that is a group of threads, run by loops over them, against the iterates of the CPU: equal up to
// the order of the sums.
#include "slowsde/gpu/group_worker.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "slowsde/problems/diagonal_network.hpp"
#include "slowsde/problems/matrix_factorization.hpp"
#include "slowsde/problems/matrix_sensing.hpp"
#include "slowsde/problems/valley.hpp"
#include "tests/support/device_ensembles.hpp"

using namespace slowsde;
using test::GroupLoop;
using test::of_groups;
using test::same_bits;

namespace {

/// f_i = ⟨a_i, θ⊙θ⟩: a problem of any dimension, odd ones too.
class Squares {
 public:
  static constexpr int outputs_count = 1;
  struct Map {
    static constexpr bool componentwise = true;
    int d;
    int dim() const { return d; }
    int features() const { return d; }
    template <class T>
    T feature(const T* theta, int c) const {
      return theta[c] * theta[c];
    }
    template <class T>
    T pullback(const T* theta, const T* w, int j) const {
      return T(2.0) * w[j] * theta[j];
    }
  };

  explicit Squares(int d, int samples = 9) : data_(SparseRegression{samples, d, 1, 3}.generate()) {}
  int dim() const { return data_.features; }
  int samples() const { return data_.samples; }
  Map feature_map() const { return {dim()}; }
  const std::vector<double>& measurements() const { return data_.inputs; }
  const std::vector<double>& target_values() const { return data_.targets; }
  template <class T, class I>
  void outputs(const T* theta, const I& i, T* f) const {
    f[0] = T(0.0);
    for (int j = 0; j < dim(); ++j)
      f[0] = f[0] + lookup<T>(data_.inputs.data() + j, i * I(dim())) * theta[j] * theta[j];
  }
  template <class I, class T>
  void targets(const I& i, T* y) const {
    y[0] = lookup<T>(data_.targets.data(), i);
  }
  template <class T, class I>
  void add_sample_gradient(const T* theta, const I& i, const T* eps, T* g, T*) const {
    T f[1], y[1];
    outputs(theta, i, f);
    targets(i, y);
    for (int j = 0; j < dim(); ++j)
      g[j] =
          g[j] + 2.0 * (f[0] - y[0] - eps[0]) * lookup<T>(data_.inputs.data() + j, i * I(dim())) * theta[j];
  }
  int scratch_size() const { return 0; }

 private:
  RegressionData data_;
};

/// An ensemble from a start of mixed signs, with steps that are small for this dimension.
IterateEnsemble ensemble_on(int d, int workers, NoiseKind kind, bool single, std::int64_t steps) {
  std::vector<double> start;
  for (int j = 0; j < d; ++j) start.push_back((j % 3 == 1 ? -1 : 1) * (0.3 + 0.4 * std::cos(1.0 + j)));
  IterateEnsemble ensemble = test::ensemble_of(workers, kind, single, start, steps);
  ensemble.algorithm.lr = LearningRate::constant(std::min(0.02, 0.5 / d));
  ensemble.points = {{0, 0}, {steps, 0}};
  return ensemble;
}

/// The largest difference of two runs / the largest component.
double distance(const std::vector<double>& a, const std::vector<double>& b) {
  if (a.size() != b.size()) return std::numeric_limits<double>::infinity();
  double difference = 0, size = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (!(std::abs(a[i] - b[i]) <= difference)) difference = std::abs(a[i] - b[i]);
    if (!(std::abs(b[i]) <= size)) size = std::abs(b[i]);
  }
  return difference / size;
}

/// Sums in another order move a step by their rounding, which then adds up like a random walk: measured is at
/// most 1.5ε after one step, 2.2ε after 10 and 6.2ε after 100 (ε = 2⁻²³ in f32, 2⁻⁵² in f64).
double tolerance(bool single, std::int64_t steps) {
  const double epsilon = single ? 0x1p-23 : 0x1p-52;
  return 4 * epsilon * std::sqrt(static_cast<double>(steps));
}

template <NoiseKind Kind, class P>
double distance_to_packs(const P& problem, const IterateEnsemble& ensemble, std::size_t replicas,
                         const GroupLoop& loop = {}) {
  constexpr std::uint64_t first = 1024;
  if (ensemble.single_precision)
    return distance(of_groups<float>(problem, ensemble, first, replicas, loop),
                    test::of_packs<Kind, float>(problem, ensemble, first, replicas));
  return distance(of_groups<double>(problem, ensemble, first, replicas, loop),
                  test::of_packs<Kind, double>(problem, ensemble, first, replicas));
}

/// Calls visit(name, problem).
template <class Visit>
void each_problem(Visit visit) {
  for (const int d : {1, 7, 129}) visit("squares " + std::to_string(d), Squares(d));
  for (const int p : {1, 7, 65, 1000})
    visit("diagonal network " + std::to_string(2 * p),
          DiagonalNetwork(SparseRegression{11, p, 1, 5}.generate()));
  visit("matrix sensing 2", MatrixSensing(RandomSensing{{1, 1, 1, 3}, 2}.generate(), 1));
  visit("matrix sensing 129", MatrixSensing(RandomSensing{{19, 24, 2, 3}, 13}.generate(), 3));
}

}  // namespace

TEST_CASE("groups take the CPU's steps, after 1, 10 and 100 of them, up to the order of the sums") {
  each_problem([](const std::string& name, const auto& problem) {
    CAPTURE(name);
    for (const bool single : {false, true})
      for (const std::int64_t steps : {1, 10, 100})
        for (const int workers : {1, 3}) {
          CAPTURE(single);
          CAPTURE(steps);
          CAPTURE(workers);
          const std::size_t replicas = workers == 1 ? 1 : 5;
          const double tol = tolerance(single, steps);
          const auto label = ensemble_on(problem.dim(), workers, NoiseKind::label, single, steps);
          CHECK(distance_to_packs<NoiseKind::label>(problem, label, replicas) <= tol);
          auto minibatch = ensemble_on(problem.dim(), workers, NoiseKind::minibatch, single, steps);
          minibatch.source.local_batch = minibatch.algorithm.local_batch = 2;
          CHECK(distance_to_packs<NoiseKind::minibatch>(problem, minibatch, replicas) <= tol);
        }
  });
}

TEST_CASE("groups follow the CPU with momentum, SVAG, schedules, distinct samples and many visits") {
  const auto check = [](const auto& problem) {
    const int d = problem.dim();
    for (const bool single : {false, true}) {
      const double tol = tolerance(single, 43);
      for (const int workers : {1, 3})
        for (const BufferPolicy policy : {BufferPolicy::kept, BufferPolicy::averaged, BufferPolicy::reset}) {
          auto e = ensemble_on(d, workers, NoiseKind::label, single, 43);
          e.algorithm.lr = LearningRate::constant(std::min(0.005, 0.1 / d));
          e.algorithm.momentum = 0.9;
          e.algorithm.buffers = policy;
          CHECK(distance_to_packs<NoiseKind::label>(problem, e, 2) <= tol);
        }
      auto cosine = ensemble_on(d, 2, NoiseKind::label, single, 43);
      cosine.algorithm.lr = LearningRate({.shape = LearningRateShape::cosine,
                                          .peak = std::min(0.02, 0.5 / d),
                                          .end = 0.001,
                                          .warmup_steps = 5,
                                          .total_steps = 43});
      CHECK(distance_to_packs<NoiseKind::label>(problem, cosine, 2) <= tol);
      auto svag = ensemble_on(d, 2, NoiseKind::label, single, 43);
      svag.algorithm.svag = svag.source.svag = 3;
      CHECK(distance_to_packs<NoiseKind::label>(problem, svag, 2) <= tol);
      for (const bool replacement : {true, false})
        for (const int ell : {1, 3}) {
          auto e = ensemble_on(d, 2, NoiseKind::minibatch, single, 43);
          e.algorithm.lr = LearningRate::constant(std::min(0.005, 0.1 / d));
          e.source.local_batch = e.algorithm.local_batch = 5;
          e.source.noise.replacement = replacement;
          e.algorithm.svag = e.source.svag = ell;
          CHECK(distance_to_packs<NoiseKind::minibatch>(problem, e, 2) <= tol);
          e.source.noise.label_sigma = 0;
          CHECK(distance_to_packs<NoiseKind::minibatch>(problem, e, 2) <= tol);
        }
    }
  };
  check(Squares(7));
  check(DiagonalNetwork(SparseRegression{11, 65, 2, 5}.generate()));
  check(MatrixSensing(RandomSensing{{5, 6, 2, 3}, 13}.generate(), 3));
  // more samples than one tile of sums has room for, and a number of parts beyond the least
  check(DiagonalNetwork(SparseRegression{601, 3, 2, 5}.generate()));
}

TEST_CASE("a group's bits depend neither on its threads nor on their order nor on where its arrays lie") {
  const auto check = [](const auto& problem, NoiseKind kind) {
    auto ensemble = ensemble_on(problem.dim(), 3, kind, true, 20);
    ensemble.algorithm.momentum = 0.5;
    ensemble.source.local_batch = ensemble.algorithm.local_batch = 3;
    ensemble.source.noise.replacement = false;
    const auto reference = of_groups<float>(problem, ensemble, 5, 2);
    for (const int threads : {1, 7, 64, 1024})
      for (const bool backwards : {false, true})
        CHECK(
            same_bits(reference, of_groups<float>(problem, ensemble, 5, 2,
                                                  {.block = {.threads = threads, .backwards = backwards}})));
    const auto all = make_group_setup<float>(problem, ensemble.algorithm, ensemble.source, 1 << 20).layout;
    CHECK(all.row_numbers == 0);
    const auto whole = static_cast<std::size_t>(all.block_numbers) * sizeof(float);
    for (std::size_t bytes = 0; bytes <= whole; bytes += whole / 16)
      CHECK(same_bits(reference, of_groups<float>(problem, ensemble, 5, 2, {.block_bytes = bytes})));
    // a replica is the same alone and among others
    const auto alone = of_groups<float>(problem, ensemble, 6, 1);
    const auto d = static_cast<std::ptrdiff_t>(problem.dim());
    CHECK(same_bits(std::vector<double>(reference.end() - d, reference.end()),
                    std::vector<double>(alone.end() - d, alone.end())));
  };
  for (const NoiseKind kind : {NoiseKind::label, NoiseKind::minibatch}) {
    check(DiagonalNetwork(SparseRegression{11, 300, 2, 5}.generate()), kind);
    check(MatrixSensing(RandomSensing{{5, 6, 2, 3}, 13}.generate(), 3), kind);
  }
}

TEST_CASE("in 1e5 dimensions a group follows the CPU from memory that holds a part of its arrays") {
  const DiagonalNetwork problem(SparseRegression{3, 50000, 2, 5}.generate());
  for (const bool single : {false, true}) {
    auto ensemble = ensemble_on(problem.dim(), 2, NoiseKind::label, single, 10);
    ensemble.algorithm.momentum = 0.5;
    const GroupLoop loop{.block = {.threads = 1024}, .block_bytes = 227 * 1024};
    CHECK(distance_to_packs<NoiseKind::label>(problem, ensemble, 1, loop) <= tolerance(single, 10));
  }
}

TEST_CASE("a group's arrays lie apart, in the block's memory or in the row, and nothing lies beyond them") {
  for (const bool momentum : {false, true})
    for (const bool apart : {false, true})
      for (const int d : {1, 129, 5000})
        for (const std::int64_t limit : {0, 100, 1000, 10000, 100000}) {
          const int m = d / 2 + 1, visits = 41;
          const GroupLayout layout(d, m, visits, true, apart, momentum, limit);
          CHECK(layout.block_numbers <= limit);
          CHECK(layout.tile * layout.parts <= GroupLayout::most_partials);
          struct Used {
            GroupPlace place;
            std::int64_t numbers;
          };
          std::vector<Used> used{{layout.partials, layout.tile * layout.parts},
                                 {layout.residuals, visits},
                                 {layout.chosen, visits},
                                 {layout.weights, m},
                                 {layout.theta, d}};
          if (apart) used.push_back({layout.next, d});
          if (layout.velocity.in_block) used.push_back({layout.velocity, d});
          CHECK((momentum || !layout.velocity.in_block));
          std::vector<int> block(static_cast<std::size_t>(layout.block_numbers)),
              row(static_cast<std::size_t>(layout.row_numbers));
          for (const Used& array : used)
            for (std::int64_t i = 0; i < array.numbers; ++i)
              ++(array.place.in_block ? block : row).at(static_cast<std::size_t>(array.place.at + i));
          CHECK(std::count(block.begin(), block.end(), 1) == layout.block_numbers);
          CHECK(std::count(row.begin(), row.end(), 1) == layout.row_numbers);
        }
  // what a replica takes: its state, and of each worker its end, its buffer and its row
  auto ensemble = ensemble_on(7, 3, NoiseKind::label, false, 10);
  ensemble.algorithm.momentum = 0.5;
  const auto setup = make_group_setup<double>(Squares(7), ensemble.algorithm, ensemble.source, 0);
  CHECK(setup.layout.row_numbers == setup.layout.tile * setup.layout.parts + 9 + 7 + 7);
  CHECK(group_numbers_of_replica(setup) == 7 + 3 * (7 + 7 + setup.layout.row_numbers));
}

TEST_CASE("a wrong kernel is told from the right one") {
  const auto check = [](const auto& problem, NoiseKind kind) {
    const auto ensemble = ensemble_on(problem.dim(), 3, kind, false, 10);
    const auto distance = [&](const GroupLoop& loop) {
      return kind == NoiseKind::label ? distance_to_packs<NoiseKind::label>(problem, ensemble, 2, loop)
                                      : distance_to_packs<NoiseKind::minibatch>(problem, ensemble, 2, loop);
    };
    CHECK(distance({}) <= tolerance(false, 10));
    CHECK(!(distance({.worker_shift = 1}) <= 1e6 * tolerance(false, 10)));
    CHECK(!(distance({.hidden_features = 1}) <= 1e6 * tolerance(false, 10)));
    CHECK(!(distance({.hidden_components = 1}) <= 1e6 * tolerance(false, 10)));
  };
  for (const NoiseKind kind : {NoiseKind::label, NoiseKind::minibatch}) {
    check(Squares(129), kind);
    check(DiagonalNetwork(SparseRegression{11, 65, 2, 5}.generate()), kind);
    check(MatrixSensing(RandomSensing{{5, 6, 2, 3}, 13}.generate(), 3), kind);
  }
}

TEST_CASE("groups serve problems whose outputs are linear in features, with label and minibatch noise") {
  static_assert(FeatureProblem<Squares> && FeatureProblem<DiagonalNetwork> && FeatureProblem<MatrixSensing>);
  static_assert(!FeatureProblem<MatrixFactorization> && !FeatureProblem<Valley>);
  const auto ensemble = ensemble_on(7, 1, NoiseKind::gaussian, false, 10);
  CHECK_THROWS_AS(make_group_setup<double>(Squares(7), ensemble.algorithm, ensemble.source, 1 << 16),
                  std::invalid_argument);
}
