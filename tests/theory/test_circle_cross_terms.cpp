// ctest-labels: theory
// The circle: nothing but the tangent–normal entries of the second moment turns the mean angle.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "slowsde/problems/circle.hpp"
#include "slowsde/sde/closed_forms.hpp"
#include "slowsde/sde/psi.hpp"
#include "tests/support/ensemble.hpp"

using namespace slowsde;
using namespace slowsde::test;

namespace {

constexpr double c = 0.8, t = 1;
constexpr int K = 4;

// Var φ ≈ t/B = 1/4 and |E φ| < 0.5: a full half turn is more than 5 standard deviations away
Measured angle(const Round& round, std::size_t replicas, std::uint64_t seed) {
  return mean_at_end<NoiseKind::gaussian>(Circle{.correlation = c}, local_sgd(round, t), {1, 0}, t,
                                          {.replicas = replicas, .seed = seed},
                                          [](const double* zeta) { return std::atan2(zeta[1], zeta[0]); });
}

/// −(ct/B)·multiplier
double turned(double multiplier) { return -c * t / K * multiplier; }

}  // namespace

// |z| ≤ 4 in two comparisons: one false alarm in 8000 runs

TEST_CASE(
    "Local SGD turns the mean angle 1 + (K−1)ψ(2ηH) times as fast as SGD, both orders of a pair counted") {
  const double eta_H = 0.8, p = psi(2 * eta_H);
  std::vector<Measured> at;
  std::uint64_t seed = 281;
  for (double eta : {0.1, 0.05, 0.025})
    at.push_back(angle({.eta = eta, .local_steps = std::llround(eta_H / eta), .workers = K}, 48000, seed++));
  const Measured phi = extrapolate(at[1], at[2]);
  const double right = circle_mean_angle(c, {.eta = 0.1, .local_steps = 8, .workers = K}, t);
  for (const Measured& m : at) MESSAGE("φ ", m.mean, " +- ", m.se);
  MESSAGE("limit ", phi.mean, " +- ", phi.se, ", ψ ", right);
  CHECK(near(right, turned(1 + (K - 1) * p), 1e-12));
  CHECK(z_of(phi - right) <= 4);
  const std::vector<std::pair<std::string, double>> wrong = {
      {"no cross term", 0},
      {"cross term counted once", 0.5 * right},
      {"K for K − 1", turned(1 + K * p)},
      {"ψ(2ηHλ), as if both of the pair were normal", turned(1 + (K - 1) * psi(4 * eta_H))},
      {"ψ ≡ 0", turned(1)},
      {"ψ ≡ 1", turned(K)},
      {"B_loc for B", K * right}};
  for (const auto& [name, value] : wrong) {
    MESSAGE(name, " ", value, ": ", z_of_wrong(phi - value), " SE");
    CAPTURE(name);
    CHECK(z_of_wrong(phi - value) >= 5);
  }
}

TEST_CASE("SGD turns the mean angle by −ct/B") {
  const Measured phi = extrapolate(angle({.eta = 0.1, .workers = K}, 24000, 291),
                                   angle({.eta = 0.05, .workers = K}, 24000, 292));
  MESSAGE("φ ", phi.mean, " +- ", phi.se, ", predicted ", turned(1));
  CHECK(z_of(phi - turned(1)) <= 4);
  CHECK(z_of_wrong(phi) >= 5);                // no cross term
  CHECK(z_of_wrong(phi - turned(0.5)) >= 5);  // counted once
  CHECK(z_of_wrong(phi - turned(K)) >= 5);    // B_loc for B
  CHECK(z_of_wrong(phi - turned(-1)) >= 5);   // the other way round
}
