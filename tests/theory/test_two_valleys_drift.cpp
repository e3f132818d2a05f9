// ctest-labels: theory
// Several eigenvalues at once. The trace of ∇²L is constant along the floor of the two valleys, so SGD and
// QSR stand still while Local SGD moves: a drift that is all (K−1)ψ.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "slowsde/optim/finite_step_moment.hpp"
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

constexpr double x0 = 0.5, t = 4, B = 4;
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

template <int Samples>
void run(std::uint64_t seed) {
  for (double eta : {0.04, 0.02, 0.01}) {
    const double eta_H = 0.2 * Samples;
    const auto H = std::llround(eta_H / eta);
    const Measured local = displacement<Samples>(eta, H, 8000, seed++);
    const Measured sgd = displacement<Samples>(eta, 1, 8000, seed++);
    const auto Hq = std::llround(0.2 / (eta * eta));
    const Measured qsr = displacement<Samples>(eta, Hq, 8000, seed++);
    MESSAGE(eta, " local ", local.mean, " +- ", local.se, " psi ", predicted<Samples>(PsiMoment(), round_of(eta, H)),
            " fs ", predicted<Samples>(FiniteStepMoment(), round_of(eta, H)), "  sgd ", sgd.mean, " +- ", sgd.se, " fs ",
            predicted<Samples>(FiniteStepMoment(), round_of(eta, 1)), " qsr ", qsr.mean, " +- ", qsr.se, " fs ",
            predicted<Samples>(FiniteStepMoment(), round_of(eta, Hq)));
    MESSAGE("nf ", predicted<Samples>(wrong_psi(0, Samples), round_of(eta, H)), " half ",
            predicted<Samples>(wrong_psi(0, .5), round_of(eta, H)), " K ",
            predicted<Samples>(wrong_psi(1, 1), round_of(eta, H)));
  }
}

}  // namespace

TEST_CASE("a") { run<1>(241); }
TEST_CASE("b") { run<2>(261); }
