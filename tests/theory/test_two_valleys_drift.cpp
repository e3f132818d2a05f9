// ctest-labels: theory
// Several eigenvalues at once. The trace of ∇²L is constant along the floor of the two valleys, so SGD and
// QSR stand still while Local SGD moves: a drift that is all (K−1)ψ.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "slowsde/optim/psi_moment.hpp"
#include "slowsde/optim/qsr_moment.hpp"
#include "slowsde/optim/sgd_moment.hpp"
#include "slowsde/problems/two_valleys.hpp"
#include "slowsde/sde/closed_forms.hpp"
#include "tests/support/ensemble.hpp"
#include "tests/support/wrong_moments.hpp"

using namespace slowsde;
using namespace slowsde::test;

namespace {

constexpr double x0 = 0.5, t = 4;
constexpr int K = 4;

Round round_of(double eta, std::int64_t H) { return {.eta = eta, .local_steps = H, .workers = K}; }

template <int Samples>
Measured displacement(double eta, std::int64_t H, std::size_t replicas, std::uint64_t seed) {
  return mean_at_end<NoiseKind::label>(TwoValleys<Samples>(), local_sgd(round_of(eta, H), t), {x0, 0, 0}, t,
                                       {.replicas = replicas, .seed = seed},
                                       [](const double* zeta) { return zeta[0] - x0; });
}

template <int Samples>
double predicted(const SecondMoment& moment, const Round& round) {
  return valley_ode(two_valleys_curvature(Samples), moment, 1, round, x0, t) - x0;
}

constexpr double etas[] = {0.08, 0.04, 0.02};

/// The displacement as η → 0, free of the terms in η and η², with H(η) local steps.
template <int Samples, class Steps>
Measured limit(Steps steps, std::size_t replicas, std::uint64_t seed) {
  std::vector<Measured> x;
  for (double eta : etas) x.push_back(displacement<Samples>(eta, std::llround(steps(eta)), replicas, seed++));
  return extrapolate(x[0], x[1], x[2]);
}

template <int Samples>
void check_drift(std::uint64_t seed) {
  const double eta_H = 0.24 * Samples, alpha2 = 0.1024;
  const Round round = round_of(etas[2], std::llround(eta_H / etas[2]));
  const Measured local = limit<Samples>([&](double eta) { return eta_H / eta; }, 4800, seed);
  const Measured sgd = limit<Samples>([](double) { return 1.0; }, 2400, seed + 3);
  const Measured qsr = limit<Samples>([&](double eta) { return alpha2 / (eta * eta); }, 1200, seed + 6);
  const double moved = predicted<Samples>(PsiMoment(), round);
  MESSAGE("Local SGD ", local.mean, " +- ", local.se, ", ψ ", moved, "; SGD ", sgd.mean, " +- ", sgd.se,
          "; QSR ", qsr.mean, " +- ", qsr.se);

  CHECK(std::abs(predicted<Samples>(SgdMoment(), round)) <= 1e-12);
  CHECK(std::abs(predicted<Samples>(QsrMoment(), round)) <= 1e-12);
  CHECK(z_of(local - moved) <= 4);
  CHECK(z_of(sgd) <= 4);
  CHECK(z_of(qsr) <= 4);

  CHECK(z_of_wrong(local) >= 5);        // ψ ≡ 0 and ψ ≡ 1: it would stand still
  CHECK(z_of_wrong(sgd - moved) >= 5);  // the rule makes no difference
  CHECK(z_of_wrong(qsr - moved) >= 5);
  std::vector<std::pair<std::string, double>> wrong = {
      {"ψ(ηHλ) for ψ(2ηHλ)", predicted<Samples>(wrong_psi(0, 0.5), round)},
      {"K for K − 1", predicted<Samples>(wrong_psi(1, 1), round)}};
  if (Samples > 1)
    wrong.emplace_back("1/n dropped inside ψ", predicted<Samples>(wrong_psi(0, Samples), round));
  for (const auto& [name, value] : wrong) {
    MESSAGE(name, " ", value, ": ", z_of_wrong(local - value), " SE");
    CAPTURE(name);
    CHECK(z_of_wrong(local - value) >= 5);
  }
}

}  // namespace

// |z| ≤ 4 in six comparisons: one false alarm in 2600 runs

TEST_CASE("two outputs of one sample: at constant trace SGD and QSR stand still and Local SGD moves by ψ") {
  check_drift<1>(241);
}

TEST_CASE("two samples of one output: the eigenvalues in ψ carry 1/n") { check_drift<2>(261); }
