// Second-moment models that are wrong on purpose: claims and tests run them to the end and reject them.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <utility>

#include "slowsde/optim/finite_step_moment.hpp"
#include "slowsde/optim/heavy_ball_moment.hpp"
#include "slowsde/sde/psi.hpp"
#include "slowsde/sde/second_moment.hpp"

namespace slowsde {

class WrongMoment final : public SecondMoment {
 public:
  using Coefficient = std::function<double(double, double, const Round&)>;
  explicit WrongMoment(Coefficient coefficient) : coefficient_(std::move(coefficient)) {}
  std::string_view name() const override { return "wrong"; }
  double coefficient(double lambda_i, double lambda_j, const Round& round) const override {
    return coefficient_(lambda_i, lambda_j, round);
  }

 private:
  Coefficient coefficient_;
};

/// (1 + (K − 1 + more)·ψ(factor·ηH(λ_i + λ_j)))/(λ_i + λ_j): more = 1 is K for K − 1, factor = ½ is ψ(ηHλ)
/// for ψ(2ηHλ), factor = n is 1/n dropped inside ψ.
inline WrongMoment wrong_psi(int more, double factor) {
  return WrongMoment([=](double i, double j, const Round& round) {
    const double eta_H = round.eta * static_cast<double>(round.local_steps);
    return (1 + (round.workers - 1 + more) * psi(factor * eta_H * (i + j))) / (i + j);
  });
}

/// The finite-step moment of other numbers of local steps.
inline WrongMoment finite_step_of(std::int64_t more_steps) {
  return WrongMoment([=](double i, double j, const Round& round) {
    Round other = round;
    other.local_steps += more_steps;
    return FiniteStepMoment().coefficient(i, j, other);
  });
}

/// The finite-step moment with K for K − 1 at the same B.
inline WrongMoment finite_step_with_K() {
  return WrongMoment([](double i, double j, const Round& round) {
    Round more = round;
    ++more.workers;
    return FiniteStepMoment().coefficient(i, j, more);
  });
}

/// Heavy ball's moment of other numbers of local steps and workers, at the same B.
inline WrongMoment heavy_ball_of(BufferPolicy buffers, std::int64_t more_steps, int more_workers) {
  return WrongMoment([=](double i, double j, const Round& round) {
    Round other = round;
    other.local_steps += more_steps;
    other.workers += more_workers;
    return HeavyBallMoment(buffers).coefficient(i, j, other);
  });
}

}  // namespace slowsde
