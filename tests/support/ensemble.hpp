// Judging what claim_measurements.hpp measures, in the tests' terms.
#pragma once

#include <cmath>

#include "slowsde/experiments/claim_measurements.hpp"
#include "tests/support/tolerance.hpp"

namespace slowsde::test {

/// |difference|/SE; infinite when it is not a number.
inline double z_of(const Measured& difference) { return zscore(difference.mean, 0, difference.se); }
/// The same for a wrong theory, which counts as rejected only with a finite prediction: 0 when it is not.
inline double z_of_wrong(const Measured& difference) {
  return std::isfinite(difference.mean) && std::isfinite(difference.se) ? z_of(difference) : 0;
}

}  // namespace slowsde::test
