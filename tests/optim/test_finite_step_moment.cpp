// ctest-labels: theory
#include "slowsde/optim/finite_step_moment.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <stdexcept>
#include <vector>

#include "slowsde/optim/psi_moment.hpp"
#include "slowsde/optim/qsr_moment.hpp"
#include "slowsde/optim/sgd_moment.hpp"
#include "slowsde/sde/psi.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;
using test::near_relative;

namespace {

// B·mean_h C_h/(ηΣ) by iterating rounds to the fixed point: C_h of one worker, D_h of two.
double by_recursion(double lambda_i, double lambda_j, const Round& round) {
  const double rho = (1 - round.eta * lambda_i) * (1 - round.eta * lambda_j);
  const double K = round.workers, noise = round.eta * round.eta / round.local_batch;
  double start = 0, last = -1, mean = 0;
  while (std::abs(start - last) > 1e-15 * std::abs(start)) {
    last = start;
    double C = start, D = start;
    mean = 0;
    for (std::int64_t h = 0; h < round.local_steps; ++h) {
      mean += C / static_cast<double>(round.local_steps);
      C = rho * C + noise;
      D = rho * D;
    }
    start = C / K + (1 - 1 / K) * D;
  }
  return round.global_batch() * mean / round.eta;
}

const std::vector<std::pair<double, double>> pairs = {{1, 1}, {0.3, 2.1}, {0, 1.5}, {8, 17}, {5, 17}};

}  // namespace

TEST_CASE("the finite-step moment is the fixed point of the workers' moments over a round") {
  for (const auto& [i, j] : pairs)
    for (std::int64_t H : {1, 2, 3, 10, 101})
      for (int K : {1, 2, 7}) {
        const Round round{.eta = 0.1, .local_steps = H, .workers = K, .local_batch = 3};
        CAPTURE(i);
        CAPTURE(j);
        CAPTURE(H);
        CAPTURE(K);
        const double exact = by_recursion(i, j, round), c = FiniteStepMoment().coefficient(i, j, round);
        CHECK(near_relative(c, exact, 1e-12));
      }
}

TEST_CASE("wrong finite-step theories are off by more than 1 percent") {
  const Round round{.eta = 0.1, .local_steps = 10, .workers = 8};
  const double exact = by_recursion(1, 1, round), sum = 2 - 0.1, rho = 0.81;
  const auto off = [&](double theory) { return std::abs(theory / exact - 1); };
  CHECK(off((1 + 7 * psi_finite(rho, 10)) / sum) <= 1e-12);
  CHECK(off((1 + 8 * psi_finite(rho, 10)) / sum) > 0.01);             // K for K−1
  CHECK(off((1 + 7 * psi_finite(rho, 11)) / sum) > 0.01);             // H off by one
  CHECK(off((1 + 7 * psi_finite(rho, 9)) / sum) > 0.01);              // and on the other side
  CHECK(off((1 + 7 * psi_finite(std::sqrt(rho), 10)) / sum) > 0.01);  // ηHλ for 2ηHλ
  CHECK(off((1 + 7 * psi_finite(rho, 10)) / 2) > 0.01);               // no ηλ_iλ_j
  CHECK(off((1 + 7 * psi(2.0)) / sum) > 0.01);                        // ψ for ψ_H
  CHECK(off(8 / sum) > 0.01);                                         // ψ ≡ 1
  CHECK(off(1 / sum) > 0.01);                                         // ψ ≡ 0
}

TEST_CASE("at H = 1 the finite-step moment is SGD's for any K, bit for bit") {
  for (const auto& [i, j] : pairs) {
    const Round sgd{.eta = 0.1, .local_steps = 1, .workers = 1};
    const double c = FiniteStepMoment().coefficient(i, j, sgd);
    CHECK(near_relative(c, 1 / (i + j - 0.1 * i * j), 1e-14));
    for (int K : {1, 2, 32})
      CHECK(FiniteStepMoment().coefficient(i, j, {.eta = 0.1, .local_steps = 1, .workers = K}) == c);
    for (std::int64_t H : {1, 2, 77})
      CHECK(FiniteStepMoment().coefficient(i, j, {.eta = 0.1, .local_steps = H, .workers = 1}) == c);
  }
}

TEST_CASE("K = 1 gives the SGD slow SDE") {
  for (const auto& [i, j] : pairs)
    for (std::int64_t H : {1, 10, 1000}) {
      const Round round{.eta = 0.1, .local_steps = H, .workers = 1};
      const double sgd = SgdMoment().coefficient(i, j, round);
      CHECK(sgd == 1 / (i + j));
      CHECK(PsiMoment().coefficient(i, j, round) == sgd);
      CHECK(QsrMoment().coefficient(i, j, round) == sgd);
    }
}

TEST_CASE("as η → 0 at fixed ηH the finite-step moment tends to ψ's, with error of order η") {
  for (const auto& [i, j] : pairs) {
    double last = 0;
    for (int k = 4; k <= 10; ++k) {
      const double eta = std::ldexp(0.1, -k);
      const Round round{.eta = eta, .local_steps = std::int64_t{8} << k, .workers = 5};
      const double limit = PsiMoment().coefficient(i, j, round);
      const double error = std::abs(FiniteStepMoment().coefficient(i, j, round) - limit);
      if (last > 0) CHECK(test::order(std::log2(last / error), 1, 0.12));
      last = error;
    }
    const Round tiny{.eta = 1e-13, .local_steps = 8000000000000, .workers = 5};
    CHECK(near_relative(FiniteStepMoment().coefficient(i, j, tiny), PsiMoment().coefficient(i, j, tiny),
                        1e-11));
  }
}

TEST_CASE("as H → ∞ the drift multiplier tends to K") {
  const Round round{.eta = 1e-7, .local_steps = std::int64_t{1} << 60, .workers = 6};
  for (const auto& [i, j] : pairs) {
    CHECK(near_relative(FiniteStepMoment().coefficient(i, j, round), QsrMoment().coefficient(i, j, round),
                        1e-5));
    CHECK(near_relative(PsiMoment().coefficient(i, j, round), QsrMoment().coefficient(i, j, round), 1e-9));
  }
  CHECK(QsrMoment().coefficient(1, 3, round) == 1.5);
}

TEST_CASE("the coefficient does not lose digits as both ηλ tend to 2") {
  // both at 2 − μ/η: 1 − (1−2+μ)² = μ(2 − μ)
  const double mu = std::ldexp(1.0, -40), lambda = 2 - mu;
  const double c = FiniteStepMoment().coefficient(lambda, lambda, {.eta = 1});
  CHECK(near_relative(c, 1 / (mu * (2 - mu)), 1e-13));
}

TEST_CASE("where ηλ ≥ 2 there is no stationary moment") {
  const Round round{.eta = 0.5, .local_steps = 4, .workers = 2};
  CHECK_THROWS_WITH_AS(FiniteStepMoment().coefficient(1, 4, round),
                       "no stationary second moment: eta*lambda < 2 is violated by 2", std::domain_error);
  CHECK_THROWS_AS(FiniteStepMoment().coefficient(std::nan(""), 1, round), std::domain_error);
  CHECK_NOTHROW(FiniteStepMoment().coefficient(1, 3.999, round));
}
