// The quasi-static QSR process: what Local SGD with H = (α/η)² becomes as η → 0 at a fixed α.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "slowsde/sde/brownian.hpp"
#include "slowsde/sde/quasi_static_round.hpp"
#include "slowsde/sde/slow_sde.hpp"
#include "slowsde/sde/steppers.hpp"

namespace slowsde {

/// In each round K independent copies of SGD's slow SDE with batch B_loc start at ζ and run for slow time α²;
/// then ζ ← Φ(mean of the K ends). As η → 0 a round of α²/η² local steps keeps each worker at its own
/// stationary fluctuation for all but a vanishing part of the round, so nothing but the slow SDE of a single
/// worker is left of it. The slow SDE of QSR is the limit α → 0 [G24, Theorem 3.1].
template <Problem P, class Scheme = EulerMaruyama>
class QuasiStaticQsr {
 public:
  /// `worker` is SGD's slow SDE with the local batch (K = 1); `flow` its Φ. Both must outlive the process.
  QuasiStaticQsr(const SlowSde<P>& worker, const GradientFlow<P>& flow, int workers, double round_time,
                 double dt, Retraction retraction = Retraction::newton)
      : sde_(worker),
        flow_(flow),
        workers_(workers),
        round_time_(round_time),
        dt_(dt),
        retraction_(retraction),
        stepper_(Scheme{}, worker) {}

  /// One round of length min(α², until − t) from ζ at slow time t; advances t and `step`, the address of the
  /// noise. A round that `until` cuts ends in an average like any other, so only the end of a run or
  /// multiples of α² leave the process as it is.
  void round(double* zeta, double& t, double until, BrownianPath<double>& path, std::uint64_t& step,
             RetractionReport& report) {
    const auto d = static_cast<std::size_t>(sde_.dim());
    const QuasiStaticRound round(t, until, round_time_, dt_);
    std::vector<double> mean(d, 0.0), x(d);
    stepper_.restart(t, step);
    for (int w = 0; w < workers_; ++w) {
      x.assign(zeta, zeta + d);
      WorkerNoise<BrownianPath<double>> noise{path, w};
      for (std::uint64_t k = 0; k < round.steps; ++k) {
        stepper_.do_step(sde_, x.data(), step + k, round.step_length(), noise);
        retract_to_manifold(flow_, retraction_, x.data(), report);
      }
      for (std::size_t i = 0; i < d; ++i) mean[i] += x[i] / workers_;
    }
    for (std::size_t i = 0; i < d; ++i) zeta[i] = mean[i];
    retract_to_manifold(flow_, Retraction::phi, zeta, report);
    step += round.steps;
    t = round.end;
  }

 private:
  const SlowSde<P>& sde_;
  const GradientFlow<P>& flow_;
  int workers_;
  double round_time_, dt_;
  Retraction retraction_;
  Stepper<Scheme, SlowSde<P>> stepper_;
};

}  // namespace slowsde
