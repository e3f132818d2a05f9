// The simplest gradients with noise: a stand-in for a network where only the trainer is in question.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "slowsde/optim/network_trainer.hpp"
#include "slowsde/problems/random_address.hpp"

namespace slowsde::test {

/// L = ½ Σ_j h_j (θ_j − σ ξ_j)², h_j = 0.2 + 0.05 (j mod 11), ξ fresh for each worker and step: g_j = h_j
/// (θ_j − σ ξ_j).
template <class Real>
class QuadraticOracle final : public GradientOracle<Real> {
 public:
  QuadraticOracle(std::size_t d, double sigma, std::uint64_t seed, double quartic = 0.2)
      : d_(d), sigma_(sigma), quartic_(quartic), seed_(seed) {}

  double noise(int worker, std::int64_t step, std::size_t j) const {
    const std::uint64_t index = static_cast<std::uint64_t>(step) * d_ + j;
    return sigma_ * normal_at(seed_, Stream::gradient, 0, static_cast<std::uint32_t>(worker), index);
  }
  static double curvature(std::size_t j) { return 0.2 + 0.05 * static_cast<double>(j % 11); }
  Real slope(std::size_t j, Real r) const {
    return static_cast<Real>(curvature(j)) * r + static_cast<Real>(quartic_) * r * r * r;
  }

  double gradient(int worker, std::int64_t step, const Real* theta, Real* g) override {
    double loss = 0;
    for (std::size_t j = 0; j < d_; ++j) {
      const Real r = theta[j] - static_cast<Real>(noise(worker, step, j));
      g[j] = slope(j, r);
      loss +=
          0.25 * static_cast<double>(r) * (static_cast<double>(g[j]) + curvature(j) * static_cast<double>(r));
    }
    return loss;
  }

  static typename NetworkTrainer<Real>::OracleFactory factory(std::size_t d, double sigma, std::uint64_t seed,
                                                              double quartic = 0.2) {
    return [=] { return std::make_unique<QuadraticOracle>(d, sigma, seed, quartic); };
  }

 private:
  std::size_t d_;
  double sigma_, quartic_;
  std::uint64_t seed_;
};

}  // namespace slowsde::test
