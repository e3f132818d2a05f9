#include "slowsde/experiments/flat_valley.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <stdexcept>

#include "slowsde/optim/psi_moment.hpp"
#include "slowsde/optim/qsr_moment.hpp"
#include "slowsde/optim/sgd_moment.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;

namespace {

constexpr double x0 = -0.8, t = 1;
constexpr Round round_of_four{.eta = 0.05, .local_steps = 10, .workers = 4};
const auto sine = [](double x) { return std::sin(x); };

}  // namespace

TEST_CASE("without drift x diffuses: E sin x = sin x0·e^{−Σ_xx t/2B}") {
  const FlatValley valley{.along = 0.7};
  const double diffused = valley.slow_mean(SgdMoment(), round_of_four, x0, t, sine, {1, 0});
  CHECK(test::near(diffused, std::sin(x0) * std::exp(-0.7 * t / 8), 1e-12));
  // and averaging independent copies is averaging their noise, however rarely
  const FlatValley level{.along = 0.7, .across = 0};
  CHECK(test::near(level.quasi_static_mean(round_of_four, 0.5, x0, t, sine), diffused, 1e-12));
}

TEST_CASE("without diffusion x follows the ODE of the drift") {
  // ẋ = −(Σ_yy/4B) cos x/(2 + sin x): ln(1 + sin x) − 3 ln(1 − sin x) changes by −(Σ_yy/2B)t.
  const double small = 0.1;
  const auto conserved = [](double s) { return std::log1p(s) - 3 * std::log1p(-s); };
  const FlatValley valley;
  const double s = valley.slow_mean(SgdMoment(), round_of_four, x0, small, sine, {0, 1});
  CHECK(test::near(conserved(s) - conserved(std::sin(x0)), -4.0 / 8 * small, 1e-6));
  const double faster = valley.slow_mean(QsrMoment(), round_of_four, x0, small, sine, {0, 1});
  CHECK(test::near(conserved(faster) - conserved(std::sin(x0)), -4.0 / 2 * small, 1e-6));
  const double between = valley.slow_mean(PsiMoment(), round_of_four, x0, small, sine, {0, 1});
  CHECK(between < s);
  CHECK(between > faster);
}

TEST_CASE("one worker's quasi-static process is the slow SDE of SGD, whatever the length of a round") {
  const FlatValley valley;
  const Round alone{.eta = 0.05, .local_steps = 10, .workers = 1, .local_batch = 2};
  const double slow = valley.slow_mean(SgdMoment(), alone, x0, t);
  for (const double alpha2 : {1.0, 0.25})
    CHECK(test::near(valley.quasi_static_mean(alone, alpha2, x0, t), slow, 1e-9));
  CHECK(std::abs(slow - FlatValley::trace(x0)) > 1e-3);
}

TEST_CASE("the quasi-static process tends to the slow SDE of QSR with an error of order α²") {
  const FlatValley valley;
  const double qsr = valley.slow_mean(QsrMoment(), round_of_four, x0, t);
  const auto error = [&](double alpha2) {
    return valley.quasi_static_mean(round_of_four, alpha2, x0, t) - qsr;
  };
  const double coarse = error(1.0 / 64), fine = error(1.0 / 128);
  CHECK(test::order(std::log2(coarse / fine), 1, 0.01));
  CHECK(std::abs(2 * fine - coarse) < 0.02 * std::abs(coarse));
  CHECK(std::abs(error(1)) > 0.02);
}

TEST_CASE("a time that is no multiple of a round is refused") {
  CHECK_THROWS_AS((FlatValley{}.quasi_static_mean(round_of_four, 0.3, x0, t)), std::invalid_argument);
}
