// The quasi-static process of K workers and slow SDEs of the same workers on one noise, so that the
// difference of their means is measured through the differences of trajectories, which are far smaller than
// the scatter of either.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "slowsde/experiments/claim.hpp"
#include "slowsde/experiments/experiment_problem.hpp"

namespace slowsde {

/// What all the processes share. A slow SDE is driven by the mean of the noises that drive the workers of the
/// quasi-static process, step by step.
struct QsrCoupling {
  int workers = 4;      ///< K
  int local_batch = 1;  ///< B_loc
  GradientNoise noise;
  std::vector<double> start;  ///< on Γ
  double slow_time = 1;       ///< when the observable is taken
  double dt = 1.0 / 32;       ///< the step of all processes
  std::string observable = "trace";
  std::size_t trajectories = 1000;
  std::uint64_t seed = 1;
  int threads = 1;

  /// Throws std::invalid_argument unless K ≥ 1, B_loc ≥ 1, slow_time > 0 and slow_time is a multiple of dt >
  /// 0.
  void check() const;
  /// Throws std::invalid_argument unless α² > 0 is a multiple of dt that divides slow_time: otherwise the
  /// steps of a round are not those of the slow SDE, and the two see different noise.
  void check_round_time(double alpha2) const;

  /// The slow SDE of K workers with the second moment: of QSR or of SGD, which do not depend on η or H.
  SlowRun slow_sde(std::shared_ptr<const SecondMoment> moment) const;
  /// The quasi-static process with rounds of slow time α². Throws as check_round_time.
  SlowRun quasi_static(double alpha2) const;

  /// The observable at slow_time of each trajectory; NaN where a step was not brought back to Γ.
  std::vector<double> sample(const ExperimentProblem& problem, const SlowRun& run) const;
};

/// The exponent p of means that behave like (α²)^p, from samples at two values of α² over the same
/// trajectories: ln(mean of `coarse`/mean of `fine`)/ln(ratio), `ratio` > 1 being that of the two α². Its
/// standard error is that of the difference of the trajectories' relative values (delta method). NaN where a
/// value is not finite or the means differ in sign.
Measured local_exponent(const std::vector<double>& coarse, const std::vector<double>& fine, double ratio = 2);

}  // namespace slowsde
