// ctest-labels: theory
#include "slowsde/experiments/qsr_error.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <numbers>
#include <stdexcept>
#include <string>
#include <vector>

#include "slowsde/experiments/flat_valley.hpp"
#include "slowsde/experiments/problem_entry.hpp"
#include "slowsde/experiments/qsr_coupling.hpp"
#include "slowsde/optim/qsr_moment.hpp"
#include "slowsde/optim/sgd_moment.hpp"
#include "tests/support/replaced.hpp"
#include "tests/support/run_config.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;

namespace {

constexpr double x0 = -std::numbers::pi / 4;
constexpr FlatValley valley;
constexpr Round round_of(int workers) { return {.eta = 0.1, .local_steps = 10, .workers = workers}; }

const std::string base = R"(kind = "qsr-error"
[problem]
name = "curved-valley"
curvature = 0.0
covariance = [1.0, 0.0, 0.0, 4.0]
[start]
point = [-0.7853981633974483, 0.0]
[run]
workers = 4
slow_time = 1.0
alpha2 = [1.0, 0.5, 0.25, 0.125]
dt = 0.03125
trajectories = 400
)";

std::unique_ptr<ExperimentProblem> straight_valley() {
  const Registry registry = builtin_registry();
  ConfigTable table = ConfigTable::parse(
      "name = \"curved-valley\"\ncurvature = 0.0\ncovariance = [1.0, 0.0, 0.0, 4.0]\n", "problem.toml");
  return choose(table, "name", registry.problems)->make(table);
}

QsrCoupling coupling_of(int workers) {
  return {.workers = workers,
          .noise = {.kind = NoiseKind::gaussian, .label_sigma = 0},
          .start = {x0, 0},
          .dt = 1.0 / 16,
          .trajectories = 300,
          .seed = 5,
          .threads = 2};
}

Moments of_difference(const std::vector<double>& a, const std::vector<double>& b) {
  Moments moments;
  for (std::size_t j = 0; j < a.size(); ++j) moments.add(a[j] - b[j]);
  return moments;
}

}  // namespace

// 12 comparisons, |z| <= 4.5 in each: a false alarm in 12,000 seeds at the most
TEST_CASE("on the straight valley error and exponents are those of Kolmogorov's equation") {
  const Result result = test::run_config(base, 2);
  CHECK(result.replicas == 400);
  CHECK(result.diverged == 0);
  CHECK(result.variable("count").data[0] == 400);
  const auto &alpha2 = result.variable("alpha2").data, &error = result.variable("error").data,
             &se = result.variable("error_se").data, &mean = result.variable("quasi_static").data,
             &mean_se = result.variable("quasi_static_se").data, &p = result.variable("exponent").data,
             &p_se = result.variable("exponent_se").data;
  const auto exact = [&](double a, int workers) {
    return valley.quasi_static_mean(round_of(workers), a, x0, 1) -
           valley.slow_mean(QsrMoment(), round_of(workers), x0, 1);
  };
  const double qsr_se = result.variable("qsr_se").data[0];
  for (std::size_t i = 0; i < 4; ++i) {
    CAPTURE(alpha2[i]);
    CHECK(test::zscore(error[i], exact(alpha2[i], 4), se[i]) <= 4.5);
    CHECK(test::zscore(error[i], 0, se[i]) >= 5);                    // wrong: QSR's slow SDE at any α
    CHECK(test::zscore(error[i], exact(alpha2[i], 2), se[i]) >= 5);  // wrong: two workers
    CHECK(test::near(mean[i] - result.variable("qsr").data[0], error[i], 1e-12));
    // Of independent runs the error would have the errors of both.
    CHECK(se[i] < 0.5 * std::hypot(mean_se[i], qsr_se));
  }
  CHECK(se[3] < 0.1 * std::hypot(mean_se[3], qsr_se));
  for (std::size_t i = 0; i < 3; ++i) {
    CAPTURE(alpha2[i]);
    CHECK(test::zscore(p[i], std::log2(exact(alpha2[i], 4) / exact(alpha2[i + 1], 4)), p_se[i]) <= 4.5);
    CHECK(test::zscore(p[i], 0.5, p_se[i]) >= 5);  // wrong: order α
    CHECK(test::zscore(p[i], 1.5, p_se[i]) >= 5);  // wrong: order α³
  }
  CHECK(test::zscore(error[3], error[0] * std::sqrt(alpha2[3]), se[3]) >= 5);  // wrong: order α
  const double of_qsr = valley.slow_mean(QsrMoment(), round_of(4), x0, 1),
               of_sgd = valley.slow_mean(SgdMoment(), round_of(4), x0, 1),
               sgd_se = result.variable("sgd_se").data[0];
  CHECK(test::zscore(result.variable("qsr").data[0], of_qsr, qsr_se) <= 4.5);
  CHECK(test::zscore(result.variable("qsr").data[0], of_sgd, qsr_se) >= 5);
  CHECK(test::zscore(result.variable("sgd").data[0], of_sgd, sgd_se) <= 4.5);
  CHECK(test::zscore(result.variable("sgd").data[0], of_qsr, sgd_se) >= 5);
  CHECK(test::zscore(result.variable("extra").data[0], of_qsr - of_sgd,
                     result.variable("extra_se").data[0]) <= 4.5);
}

TEST_CASE("the noise of one worker in place of the workers' mean loses the coupling") {
  const auto problem = straight_valley();
  const QsrCoupling coupling = coupling_of(4);
  const std::vector<double> process = coupling.sample(*problem, coupling.quasi_static(0.125));
  SlowRun slow = coupling.slow_sde(std::make_shared<QsrMoment>());
  CHECK(slow.noise_workers == 4);
  const double coupled = of_difference(process, coupling.sample(*problem, slow)).variance();
  slow.noise_workers = 1;
  const double one_worker = of_difference(process, coupling.sample(*problem, slow)).variance();
  slow.noise_workers = 3;
  const double three_workers = of_difference(process, coupling.sample(*problem, slow)).variance();
  slow.noise_workers = 4;
  slow.seed += 1;
  const double independent = of_difference(process, coupling.sample(*problem, slow)).variance();
  CHECK(coupled < 0.02 * independent);
  CHECK(one_worker > 10 * coupled);
  CHECK(one_worker > 0.2 * independent);
  CHECK(three_workers > 10 * coupled);
}

TEST_CASE("of a single worker the quasi-static process is the slow SDE, trajectory by trajectory") {
  const auto problem = straight_valley();
  const QsrCoupling coupling = coupling_of(1);
  std::vector<double> of_scheme[2];
  for (const SlowScheme scheme : {SlowScheme::platen_weak_2, SlowScheme::euler_maruyama}) {
    SlowRun slow = coupling.slow_sde(std::make_shared<QsrMoment>()), process = coupling.quasi_static(0.25);
    slow.scheme = process.scheme = scheme;
    const std::vector<double> a = coupling.sample(*problem, slow), b = coupling.sample(*problem, process);
    for (std::size_t j = 0; j < a.size(); ++j) CHECK(test::near(a[j], b[j], 1e-12));
    of_scheme[scheme == SlowScheme::euler_maruyama] = b;
  }
  CHECK(of_difference(of_scheme[0], of_scheme[1]).variance() > 1e-8);  // the process has the scheme asked for
}

TEST_CASE("the local exponent of powers of α² is the power, whatever the ratio") {
  std::vector<double> coarse, fine;
  for (int j = 0; j < 50; ++j) {
    coarse.push_back(-0.2 * (1 + 0.3 * std::sin(j)));
    fine.push_back(coarse.back() * std::pow(1.0 / 3, 0.7));
  }
  Measured p = local_exponent(coarse, fine, 3);
  CHECK(test::near(p.mean, 0.7, 1e-12));
  CHECK(p.se < 1e-12);  // the same relative values
  for (double& x : fine) x = -x;
  CHECK(std::isnan(local_exponent(coarse, fine, 3).mean));
  fine[7] = std::nan("");
  CHECK(std::isnan(local_exponent(coarse, fine, 3).se));
  // The delta method against the spread over independent repetitions: means 1 and ½ with relative errors.
  Moments exponents, reported;
  for (int repetition = 0; repetition < 400; ++repetition) {
    std::vector<double> a, b;
    for (std::uint64_t j = 0; j < 100; ++j) {
      const auto z = [&](std::uint32_t stream) {
        return normal_at(9, Stream::auxiliary, static_cast<std::uint64_t>(repetition), stream, j);
      };
      const double common = z(0);
      a.push_back(1 + 0.5 * common + 0.1 * z(1));
      b.push_back(0.5 + 0.25 * common + 0.1 * z(2));
    }
    p = local_exponent(a, b);
    exponents.add(p.mean);
    reported.add(p.se);
  }
  const double spread = std::sqrt(exponents.variance());
  CHECK(std::abs(reported.mean / spread - 1) < 0.15);  // the spread of 400 is known to 3.5 %
  CHECK(test::zscore(exponents.mean, 1, exponents.standard_error()) <= 4.5);
  // wrong: errors of both means as if independent, √(0.26 + 0.29)/10 ln 2 in place of √(0.05)/10 ln 2
  CHECK(std::hypot(0.51, 0.54) / (10 * std::numbers::ln2) > 3 * spread);
}

TEST_CASE("the results do not depend on the number of threads") {
  const std::string text = test::replaced(base, "trajectories = 400", "trajectories = 9");
  const Result one = test::run_config(text, 1), three = test::run_config(text, 3);
  for (const Variable& v : one.variables) {
    CAPTURE(v.name);
    const std::vector<double>& other = three.variable(v.name).data;
    REQUIRE(v.data.size() == other.size());
    for (std::size_t i = 0; i < other.size(); ++i) CHECK(test::exact(v.data[i], other[i]));
  }
}

TEST_CASE("trajectories without a finite value are counted and in no mean") {
  // On the straight valley log|y| is -∞ throughout.
  const Result result = test::run_config(
      test::replaced(base, "trajectories = 400", "trajectories = 9\nobservable = \"log_x1\""));
  CHECK(result.diverged == 9);
  CHECK(result.diverged_series == std::vector<std::string>{"qsr-error"});
  CHECK(result.warnings.size() == 1);
  CHECK(result.variable("count").data[0] == 0);
  for (const char* name : {"error", "error_se", "exponent", "qsr", "sgd", "extra_se"}) {
    CAPTURE(std::string(name));
    for (const double x : result.variable(name).data) CHECK(std::isnan(x));
  }
}

TEST_CASE("what can not be coupled is refused with the key's name") {
  const auto message_of = [](const std::string& text) {
    try {
      test::run_config(text);
    } catch (const std::exception& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  for (const auto& [from, to, words] : std::vector<std::array<std::string, 3>>{
           {"dt = 0.03125", "dt = 0.1",
            "run.alpha2 = [1.0, 0.5, 0.25, 0.125] is refused: coupled slow SDEs: "
            "alpha2 = 0.25 must be a multiple of dt = 0.1"},
           {"dt = 0.03125", "dt = 0.3",
            "run.dt = 0.3 is refused: coupled slow SDEs: slow_time = 1 must be a "
            "multiple of dt = 0.3"},
           {"dt = 0.03125", "dt = 0.25", "alpha2 = 0.125 must be a multiple of dt = 0.25"},
           {"dt = 0.03125", "dt = 0", "run.dt = 0 must be > 0"},
           {"0.5, 0.25", "0.75, 0.25", "slow_time = 1 must be a multiple of alpha2 = 0.75"},
           {"[1.0, 0.5", "[2.0, 0.5", "slow_time = 1 must be a multiple of alpha2 = 2"},
           {"0.25, 0.125", "0.125, 0.25", "must decrease"},
           {"0.25, 0.125", "0.25, -0.125", "must be > 0"},
           {"[1.0, 0.5, 0.25, 0.125]", "[1.0]", "must hold at least two"},
           {"workers = 4", "workers = 1", "run.workers = 1 must be >= 2"},
           {"trajectories = 400", "trajectories = 1", "must be >= 2"},
           {"slow_time = 1.0", "slow_time = -1", "slow_time = -1 must be > 0"},
           {"slow_time = 1.0", "", "slow_time"},
           {"workers = 4", "workers = 4\nobservable = \"trac\"", "did you mean 'trace'?"},
           {"workers = 4", "wrokers = 4", "unknown key 'run.wrokers'; did you mean 'run.workers'?"},
           {"curvature = 0.0", "curvature = \"no\"", "problem.curvature"},
           {"0.0]\n[run]", "0.0, 1.0]\n[run]", "must have 2 components"},
           {base.substr(base.find("[problem]"), base.find("[run]") - base.find("[problem]")),
            "[problem]\nname = \"valley\"\n", "the process is an ordinary differential equation"},
           {base.substr(base.find("[problem]"), base.find("[run]") - base.find("[problem]")),
            "[problem]\nname = \"mlp-teacher\"\n", "know the theory slow-sde only"}}) {
    CAPTURE(to);
    const std::string message = message_of(test::replaced(base, from, to));
    CAPTURE(message);
    CHECK(message.find(words) != std::string::npos);
    CHECK(message.find('\n') == std::string::npos);
  }
  CHECK_THROWS_AS(coupling_of(0).check(), std::invalid_argument);
  CHECK_THROWS_AS((void)coupling_of(4).quasi_static(0.3), std::invalid_argument);
  CHECK_THROWS_AS(coupling_of(4).check_round_time(std::nan("")), std::invalid_argument);
}
