#include "slowsde/experiments/ensemble_models.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <stdexcept>
#include <string>
#include <vector>

#include "slowsde/experiments/config.hpp"
#include "slowsde/experiments/experiment.hpp"
#include "slowsde/experiments/problem_entry.hpp"
#include "slowsde/experiments/progress.hpp"
#include "slowsde/experiments/registry.hpp"
#include "slowsde/experiments/result.hpp"
#include "slowsde/experiments/small_problem.hpp"
#include "slowsde/optim/second_moment_catalogue.hpp"
#include "slowsde/problems/circle.hpp"
#include "slowsde/problems/two_valleys.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;

namespace {

Result run(const std::string& text) {
  const Registry registry = builtin_registry();
  ConfigTable table = ConfigTable::parse(text, "test");
  Progress progress;
  RunContext context{registry, progress};
  context.threads = 1;
  context.seed = 5;
  return run_experiment(table, context);
}

std::string valley(const std::string& noise, const std::string& iterates, const std::string& model) {
  return "kind = \"ensemble\"\n[problem]\nname = \"valley\"\n[start]\npoint = [1.0, 0.0]\n[noise]\n" + noise +
         "\n[run]\nreplicas = 4000\nslow_time = 0.4\noutputs = 2\nobservables = [\"x1\"]\nproject = false\n"
         "[[iterates]]\nname = \"it\"\nworkers = 2\n" +
         iterates + "\n[[models]]\nname = \"model\"\n" + model + "\n";
}

double last_variance(const Result& result, std::size_t series) {
  const auto& data = result.variable("variance").data;  // (series × time × observable)
  return data[series * 2 + 1];
}

}  // namespace

TEST_CASE("SVAG is compared with the conventional SDE at η, not at η/ℓ") {
  for (const std::string rule : {"", "rule = { name = \"constant\", local_steps = 16 }\n"}) {
    CAPTURE(rule);
    const Result result = run(valley("kind = \"label\"\nsigma = 0.3", "lr = 0.1\nsvag = 8\n" + rule,
                                     "theory = \"conventional-sde\"\ndt = 0.01"));
    const double iterates = last_variance(result, 0), sde = last_variance(result, 1);
    // the variance of a Gaussian's sample variance: 2/replicas, of both
    const double se = std::sqrt(4.0 / 4000) * iterates;
    // SVAG's own distance from the SDE is of order η/ℓ
    CHECK(std::abs(iterates - sde) <= 4 * se + 0.1 / 8 * iterates);
    // the SDE at η/ℓ: a variance ℓ times smaller
    CHECK(test::zscore(iterates, sde / 8, se) >= 5);
  }
}

TEST_CASE("the geometry that a configuration names is the one that computes the model") {
  const TwoValleys<2> valleys;
  const SmallProblem<TwoValleys<2>> problem(valleys);
  SlowRun slow;
  slow.moment = make_second_moment("finite-step");
  slow.round = [](double) { return Round{.eta = 0.05, .local_steps = 10, .workers = 4, .local_batch = 1}; };
  slow.noise.label_sigma = 1;
  slow.start = {0.4, 0, 0};
  slow.times = {0, 1, 1, 2};
  const auto ends = [&](GeometryRoute geometry) {
    slow.geometry = geometry;
    CHECK(problem.deterministic(slow));
    std::vector<double> x;
    problem.slow_trajectory(slow, 0, [&](int, int, const double* state) { x.push_back(state[0]); });
    return x;
  };
  const auto dense = ends(GeometryRoute::dense), gram = ends(GeometryRoute::gram);
  REQUIRE(dense.size() == 4);
  REQUIRE(gram.size() == 4);
  for (std::size_t p = 0; p < 4; ++p) CHECK(test::near(gram[p], dense[p], 1e-5));
  CHECK(dense[1] == dense[2]);
  CHECK(std::abs(dense[3] - 0.4) > 1e-2);
  // Integrators of their own: were one geometry to stand for both names, all bits would agree.
  CHECK(gram[3] != dense[3]);
  CHECK(ends(GeometryRoute::automatic) == dense);
  slow.variant = SlowSdeVariant::no_cross;
  CHECK_THROWS_AS(ends(GeometryRoute::gram), std::invalid_argument);
}

TEST_CASE("slow trajectories side by side are those that run one by one, from any first one") {
  const SmallProblem<Circle> circle(Circle{});
  SlowRun slow;
  slow.moment = make_second_moment("psi");
  slow.round = [](double t) { return Round{.eta = t < 0.1 ? 0.05 : 0.02, .local_steps = 10, .workers = 4}; };
  slow.noise = {.kind = NoiseKind::gaussian, .label_sigma = 0};
  slow.start = {0.6, 0.8};
  slow.times = {0, 0.1, 0.25};
  const auto states = [&](std::uint64_t first, bool packs) {
    std::vector<double> all;
    const RecordStates record = [&](int, int count, const double* x) {
      all.insert(all.end(), x, x + 2 * count);
    };
    const DistanceToManifold reached =
        packs ? circle.slow_trajectories(slow, first, record) : circle.slow_trajectory(slow, first, record);
    CHECK(reached.converged);
    CHECK(reached.distance > 0);
    return all;
  };
  const int width = circle.slow_width(slow);
  REQUIRE(width == native_width<double>);
  for (const SlowScheme scheme : {SlowScheme::euler_maruyama, SlowScheme::platen_weak_2}) {
    slow.scheme = scheme;
    const auto packs = states(16, true);
    REQUIRE(packs.size() == static_cast<std::size_t>(3 * width * 2));
    for (int l = 0; l < width; ++l) {
      const auto one = states(16 + static_cast<std::uint64_t>(l), false);
      for (int p = 0; p < 3; ++p)
        for (int j = 0; j < 2; ++j)
          CHECK(test::near(packs[static_cast<std::size_t>((p * width + l) * 2 + j)],
                           one[static_cast<std::size_t>(p * 2 + j)], 1e-12));
    }
    CHECK(std::abs(packs[static_cast<std::size_t>(4 * width)] - states(24, false)[4]) > 1e-6);
  }
  // What lanes cannot say runs one by one.
  const auto alone = [&](auto change) {
    SlowRun other = slow;
    change(other);
    return circle.slow_width(other) == 1;
  };
  CHECK(alone([](SlowRun& run) { run.moment = make_second_moment("sampling"); }));
  CHECK(!alone([](SlowRun& run) { run.moment = make_second_moment("heavy-ball"); }));
  CHECK(!alone([](SlowRun& run) { run.retraction = Retraction::phi; }));  // the circle's is a formula
  CHECK(alone([](SlowRun& run) { run.theory = SlowTheory::quasi_static; }));
  CHECK(alone([](SlowRun& run) { run.variant = SlowSdeVariant::drift_only; }));  // an ODE
  // A theory that does not hold at the start is refused as it is one by one.
  slow.moment = make_second_moment("finite-step");
  slow.round = [](double) { return Round{.eta = 1.5, .local_steps = 10, .workers = 4}; };
  CHECK_THROWS_AS(states(0, true), std::domain_error);
  CHECK_THROWS_AS(states(0, false), std::domain_error);
}

TEST_CASE("a theory is refused where it would silently describe another algorithm") {
  const std::string label = "kind = \"label\"\nsigma = 0.3";
  const auto refused = [&](const std::string& noise, const std::string& iterates, const std::string& model,
                           const std::string& why) {
    CAPTURE(model);
    std::string message;
    try {
      run(valley(noise, iterates, model));
    } catch (const ConfigError& e) {
      message = e.what();
    }
    CHECK_MESSAGE(message.find(why) != std::string::npos, message);
  };
  // no samples are drawn under label noise
  refused(label, "lr = 0.1", "moment = \"sampling\"", "needs minibatch noise");
  refused("kind = \"minibatch\"\nsigma = 0.3", "lr = 0.1", "theory = \"closed-form\"\nmoment = \"sampling\"",
          "feeds sampling noise back");
  // one η and H for all rounds
  refused(label, "lr = { schedule = \"cosine\", peak = 0.1 }", "theory = \"closed-form\"", "in every round");
  refused(label, "lr = 0.1\nrule = { name = \"post-local\", local_steps = 8, switch_step = 20 }",
          "theory = \"conventional-sde\"", "in every round");
  refused(label, "lr = 0.1\nsvag = 3\nrule = { name = \"constant\", local_steps = 8 }",
          "theory = \"conventional-sde\"", "multiple of svag");
  // a last round that the end of the run cuts short is no obstacle
  CHECK_NOTHROW(run(valley(label, "lr = 0.1\nrule = { name = \"constant\", local_steps = 7 }",
                           "theory = \"closed-form\"")));
}

namespace {

constexpr int n = 11;

/// f_s = √n θ_s in n + 1 parameters: orthogonal samples, every eigenvalue of the Hessian on Γ is 1.
struct OrthogonalSamples {
  std::vector<double> x = std::vector<double>(n * (n + 1), 0.0);
  OrthogonalSamples() {
    for (std::size_t s = 0; s < n; ++s) x[s * (n + 1) + s] = std::sqrt(n);
  }
  int dim() const { return n + 1; }
  int outputs_count() const { return 1; }
  int samples() const { return n; }
  template <class T, class I>
  void outputs(const T* theta, const I& i, T* f) const {
    f[0] = T(0.0);
    for (int j = 0; j < dim(); ++j) f[0] = f[0] + lookup<T>(x.data() + j, i * I(dim())) * theta[j];
  }
  template <class I, class T>
  void targets(const I&, T* y) const {
    y[0] = T(0.0);
  }
  template <class T, class I>
  void add_sample_gradient(const T* theta, const I& i, const T* eps, T* g, T*) const {
    T r;
    outputs(theta, i, &r);
    r = r - eps[0];
    for (int j = 0; j < dim(); ++j) g[j] = g[j] + r * lookup<T>(x.data() + j, i * I(dim()));
  }
  int scratch_size() const { return 0; }
};

Result run_orthogonal(double eta, int workers, const std::string& moment) {
  Registry registry = builtin_registry();
  add_problem<OrthogonalSamples>(registry, "orthogonal");
  std::string zeros = "0.0";
  for (int j = 0; j < n; ++j) zeros += ", 0.0";
  ConfigTable table = ConfigTable::parse(
      "[problem]\nname = \"orthogonal\"\n[start]\npoint = [" + zeros +
          "]\n[noise]\nkind = \"minibatch\"\nsigma = 0.1\n[run]\nreplicas = 8\nslow_time = 0.2\noutputs = "
          "2\nproject = false\n[[iterates]]\nname = \"it\"\nlr = " +
          std::to_string(eta) + "\nworkers = " + std::to_string(workers) +
          "\n[[models]]\nname = \"model\"\nmoment = \"" + moment + "\"\n",
      "test");
  Progress progress;
  RunContext context{registry, progress};
  context.threads = 1;
  return run_experiment(table, context);
}

double reported_feedback(const Result& result) {
  const std::string key = "\"feedback_ratio\":";
  const std::size_t at = result.regime.find(key);
  return at == std::string::npos ? -1 : std::stod(result.regime.substr(at + key.size()));
}

bool warned(const Result& result) {
  for (const std::string& warning : result.warnings)
    if (warning.find("feeds back on itself") != std::string::npos) return true;
  return false;
}

}  // namespace

TEST_CASE("a model with sampling reports how near its second moment is to ceasing to exist, and warns") {
  // On orthogonal samples with λ = 1 SGD's κ is η(n−1)/(B(2−η)).
  for (const int workers : {1, 2})
    for (const double kappa : {0.2, 0.45, 0.55, 0.9}) {
      CAPTURE(workers);
      CAPTURE(kappa);
      const double eta = 2 * kappa / ((n - 1.0) / workers + kappa);
      const Result result = run_orthogonal(eta, workers, "sampling");
      CHECK(test::near_relative(reported_feedback(result), kappa, 1e-4));
      CHECK(warned(result) == (kappa > 0.5));
    }
  CHECK(reported_feedback(run_orthogonal(0.1, 1, "finite-step")) == -1);
}
