// The experiment `qsr-error`: how far the slow SDE of the Quadratic Synchronization Rule is from the
// quasi-static process that it is the limit of, against α² = η²H.
#pragma once

#include "slowsde/experiments/experiment.hpp"

namespace slowsde {

/// Reads [problem], [start], [noise] and [run]: workers, local_batch, observable, slow_time, dt, alpha2,
/// trajectories. At every α² it leaves the mean of the observable under the quasi-static process and the
/// error of the slow SDE of QSR, quasi-static minus slow, on one noise; of each two consecutive α² the local
/// exponent of the error in α²; and the means of the slow SDEs of QSR and of SGD.
class QsrErrorExperiment final : public Experiment {
 public:
  std::string_view name() const override { return "qsr-error"; }
  std::string_view summary() const override {
    return "error of the slow SDE of the Quadratic Synchronization Rule against alpha^2";
  }
  Result run(ConfigTable& config, RunContext& context) const override;
  Estimate estimate(ConfigTable& config, const RunContext& context) const override;
};

}  // namespace slowsde
