// ctest-labels: theory
// The law of x on the curved valley, where every term of the slow SDE is at work: its diffusion, the Itô
// term, the cross terms and the drift toward flat minima.
#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "slowsde/optim/psi_moment.hpp"
#include "slowsde/optim/sgd_moment.hpp"
#include "slowsde/problems/curved_valley.hpp"
#include "tests/support/ensemble.hpp"

using namespace slowsde;
using namespace slowsde::test;

namespace {

using Valley = CurvedValley<>;
constexpr int K = 4;
constexpr double eta_H = 0.5, t = 2, dt = 0.1;
constexpr std::array<double, 2> start{0.5, 0.125};

Round round_of(double eta) { return {.eta = eta, .local_steps = std::llround(eta_H / eta), .workers = K}; }

/// Mean and mean square distance from the start of a sample of x, and the sample.
struct Law {
  Measured mean, square;
  std::vector<double> x;

  Law(std::vector<double> sample, const TotalNoise& noise) : x(std::move(sample)) {
    mean = mean_without_noise(x, noise);
    std::vector<double> squares;
    for (double value : x) squares.push_back((value - start[0]) * (value - start[0]));
    square = mean_without_noise(squares, noise);
  }
};

Law iterates(double eta, std::size_t replicas, std::uint64_t seed) {
  const LocalSgd algorithm = local_sgd(round_of(eta), t);
  const IterateOptions options{.replicas = replicas, .seed = seed};
  const auto moments = iterate_moments<NoiseKind::gaussian>(
      Valley(), algorithm, start, {t}, options, 1, [](const double* zeta, double* x) { *x = zeta[0]; });
  return {moments.sample, total_noise(algorithm, options)};
}

Law slow_law(std::shared_ptr<const SecondMoment> moment, SlowSdeVariant variant, Retraction retraction,
             std::size_t trajectories, std::uint64_t seed) {
  const SlowSde<Valley> sde(
      DenseGeometry<Valley>(Valley(), {.rank = 1}), std::move(moment), [](double) { return round_of(0.025); },
      variant);
  return {slow_sample(sde, start, t,
                      {.trajectories = trajectories, .seed = seed, .dt = dt, .retraction = retraction},
                      [](const double* zeta) { return zeta[0]; }),
          total_noise(seed, trajectories, 1, static_cast<std::uint64_t>(std::llround(t / dt)))};
}

}  // namespace

// |z| ≤ 4 in two comparisons and a Kolmogorov–Smirnov test at 1e-4: one false alarm in 4000 runs

TEST_CASE("mean, spread and distribution of Local SGD's x are those of the slow SDE, with all of its terms") {
  const auto psi_moment = std::make_shared<PsiMoment>();
  const Law coarse = iterates(0.05, 16000, 401), fine = iterates(0.025, 16000, 402);
  const Measured mean = extrapolate(coarse.mean, fine.mean), square = extrapolate(coarse.square, fine.square);
  const Law right = slow_law(psi_moment, SlowSdeVariant::full, Retraction::newton, 16000, 403);
  MESSAGE("mean ", coarse.mean.mean, ", ", fine.mean.mean, " -> ", mean.mean, " +- ", mean.se, "; slow SDE ",
          right.mean.mean, " +- ", right.mean.se);
  MESSAGE("square ", coarse.square.mean, ", ", fine.square.mean, " -> ", square.mean, " +- ", square.se,
          "; slow SDE ", right.square.mean, " +- ", right.square.se);
  const KolmogorovSmirnov distance = kolmogorov_smirnov(fine.x, right.x);
  MESSAGE("KS ", distance.distance, ", threshold ", distance.threshold(1e-4));
  CHECK(z_of(mean - right.mean) <= 4);
  CHECK(z_of(square - right.square) <= 4);
  CHECK(distance.distance <= distance.threshold(1e-4));

  const std::size_t n = 8000;
  const std::vector<std::pair<std::string, Law>> wrong = {
      {"no cross term", slow_law(psi_moment, SlowSdeVariant::no_cross, Retraction::newton, n, 404)},
      {"cross term once", slow_law(psi_moment, SlowSdeVariant::cross_once, Retraction::newton, n, 405)},
      {"no Itô term", slow_law(psi_moment, SlowSdeVariant::no_ito, Retraction::none, n, 406)},
      {"ψ ≡ 0", slow_law(std::make_shared<SgdMoment>(), SlowSdeVariant::full, Retraction::newton, n, 407)},
      {"no drift", slow_law(psi_moment, SlowSdeVariant::diffusion_only, Retraction::newton, n, 408)}};
  for (const auto& [name, law] : wrong) {
    const KolmogorovSmirnov ks = kolmogorov_smirnov(fine.x, law.x);
    MESSAGE(name, ": mean ", law.mean.mean, ", ", z_of_wrong(mean - law.mean), " SE; square ",
            law.square.mean, ", ", z_of_wrong(square - law.square), " SE; KS ", ks.distance, ", p ",
            ks.p_value());
    CAPTURE(name);
    CHECK(z_of_wrong(square - law.square) >= 5);
    CHECK(ks.distance > ks.threshold(1e-4));
  }
}
