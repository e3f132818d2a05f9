// Claims about the noise along the manifold, on the circle and the sphere: all their points are equally
// sharp, so that nothing but the diffusion of the slow SDE moves the iterates.
#include <array>
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "slowsde/experiments/builtin_claims.hpp"
#include "slowsde/experiments/claim_measurements.hpp"
#include "slowsde/problems/circle.hpp"
#include "slowsde/problems/sphere.hpp"
#include "slowsde/sde/closed_forms.hpp"

namespace slowsde {
namespace {

constexpr int K = 4;
constexpr Circle circle{.correlation = 0};

/// φ² of Φ(θ), θ at slow time t, from φ = 0; a full half turn is more than 6 standard deviations away.
double squared_angle(const double* zeta) {
  const double angle = std::atan2(zeta[1], zeta[0]);
  return angle * angle;
}

// --- equal B

constexpr double eta_H = 0.5, t = 1;

/// E φ² of Local SGD and of SGD on the same gradient noise, as η → 0: the first alone, and the difference.
std::array<Measured, 2> spread(ClaimRun& run, std::size_t replicas) {
  std::array<Measured, 2> levels[2];
  for (std::size_t level = 0; level < 2; ++level) {
    const double eta = (level == 0 ? 0.05 : 0.025) * (run.full() ? 0.5 : 1);
    const IterateOptions options{.replicas = replicas, .seed = run.next_seed(), .threads = run.threads()};
    std::vector<double> local, difference;
    TotalNoise noise;
    for (const std::int64_t H : {std::llround(eta_H / eta), 1LL}) {
      const LocalSgd algorithm = local_sgd({.eta = eta, .local_steps = H, .workers = K}, t);
      const auto moments = iterate_moments<NoiseKind::gaussian>(
          circle, algorithm, {1, 0}, {t}, options, 1,
          [](const double* zeta, double* v) { *v = squared_angle(zeta); });
      if (H > 1) {
        local = difference = moments.sample;
        noise = total_noise(algorithm, options);
      } else {
        for (std::size_t r = 0; r < difference.size(); ++r) difference[r] -= moments.sample[r];
      }
    }
    levels[level] = {mean_without_noise(local, noise), mean_without_noise(difference, noise)};
  }
  return {extrapolate(levels[0][0], levels[1][0]), extrapolate(levels[0][1], levels[1][1])};
}

std::vector<Comparison> same_diffusion(ClaimRun& run) {
  const std::size_t n = run.replicas(16000);
  const auto [local, difference] = spread(run, n);
  const double right = t / K;
  return {
      {.quantity = "E φ² [rad²] on the circle, Local SGD (K = 4, ηH = 0.5) less SGD (B = 4), t = 1, η → 0",
       .prediction = "0",
       .measured = difference,
       .predicted = Measured::exact(0),
       .effect = right,
       .margin = 0.03 * right,  // a hundredth of what workers that diffuse as one would add
       .least_n = 16000,
       .rivals = {{"workers that diffuse as one: B_loc for B", Measured::exact((K - 1) * right)},
                  {"less noise in proportion to ψ", Measured::exact(-right * 0.37)}}},
      {.quantity = "E φ² [rad²] on the circle, Local SGD (K = 4, ηH = 0.5), t = 1, η → 0",
       .prediction = "t/B",
       .measured = local,
       .predicted = Measured::exact(right),
       .effect = 0.1 * right,
       .least_n = 16000,
       .rivals = {{"B_loc for B", Measured::exact(t)},
                  {"K − 1 for K", Measured::exact(t / (K - 1))},
                  {"K + 1 for K", Measured::exact(t / (K + 1))}}}};
}

// --- in proportion to 1/B

Measured spread_at(ClaimRun& run, int local_batch, std::size_t replicas) {
  const auto at = [&](double eta) {
    return mean_at_end_without_noise(
        circle,
        local_sgd(
            {.eta = eta, .local_steps = std::llround(eta_H / eta), .workers = K, .local_batch = local_batch},
            t),
        {1, 0}, t, {.replicas = replicas, .seed = run.next_seed(), .threads = run.threads()}, squared_angle);
  };
  const double eta = run.full() ? 0.05 : 0.1;
  const Measured first = at(eta);
  return extrapolate(first, at(eta / 2));
}

/// E ζ₁ of SGD on the sphere as η → 0, from ζ = (1, 0, 0).
Measured direction(ClaimRun& run, double time, std::size_t replicas) {
  const auto at = [&](double eta) {
    return mean_at_end<NoiseKind::gaussian>(
        Sphere<3>(), local_sgd({.eta = eta, .workers = K}, time), {1, 0, 0}, time,
        {.replicas = replicas, .seed = run.next_seed(), .threads = run.threads()},
        [](const double* zeta) { return zeta[0]; });
  };
  const double eta = run.full() ? 0.025 : 0.05;
  const Measured first = at(eta);
  return extrapolate(first, at(eta / 2));
}

std::vector<Comparison> diffusion(ClaimRun& run) {
  const std::size_t n = run.replicas(3200), on_sphere = run.replicas(9600);
  const Measured small = spread_at(run, 1, n), large = spread_at(run, 16, n);
  const double time = 2;
  const auto sphere = [&](int dim, int workers) {
    return Measured::exact(sphere_sgd_mean(dim, 1, {.eta = 0.1, .workers = workers}, time));
  };
  return {{.quantity = "exponent of B in E φ² on the circle, Local SGD (K = 4, ηH = 0.5), t = 1, B = 4 to 64",
           .prediction = "−1",
           .measured = exponent({K, 16 * K}, {small, large}),
           .predicted = Measured::exact(-1),
           .effect = 0.5,
           .margin = 0.05,  // a tenth of what sets 1/B apart from 1/√B
           .least_n = 3200,
           .rivals = {{"1/√B", Measured::exact(-0.5)},
                      {"independent of B", Measured::exact(0)},
                      {"1/B²", Measured::exact(-2)}}},
          {.quantity = "E ζ₁ of SGD on the sphere at t = 2, B = 4, η → 0",
           .prediction = "e^{−(d−1)t/2B}",
           .measured = direction(run, time, on_sphere),
           .predicted = sphere(3, K),
           .effect = 1 - sphere(3, K).mean,
           .least_n = 9600,
           .rivals = {{"noise of size dt for √dt: no diffusion", Measured::exact(1)},
                      {"B_loc for B", sphere(3, 1)},
                      {"d for d − 1", sphere(4, K)},
                      // ζ leaves the sphere, |ζ|² = 1 + (d−1)t/B, and its direction turns the less.
                      {"no Itô term", Measured::exact(1 / std::sqrt(1 + 2 * time / K))}}}};
}

}  // namespace

void add_diffusion_claims(Registry& registry) {
  registry.add_claim(
      "same-diffusion",
      {.statement = "at equal B Local SGD diffuses along the manifold no more and no less than SGD",
       .source = "Gu et al. 2023, Theorem 3.2 and Section 3.3",
       .comparisons = 2,
       .measure = same_diffusion});
  registry.add_claim(
      "diffusion", {.statement = "the iterates diffuse on the manifold as the slow SDE says, with a variance "
                                 "in proportion to 1/B",
                    .source = "Li, Wang & Arora 2022, Theorem 4.6; Gu et al. 2023, Theorem 3.2",
                    .comparisons = 2,
                    .measure = diffusion});
}

}  // namespace slowsde
