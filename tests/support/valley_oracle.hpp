// Published measurements on the valley a = 1 + x², σ = B_loc = 1, K = 8, from x0 = 1.5 on Γ: the mean of Φ's
// x at slow time t over iterates, its standard error, and the ODEs' values, rounded as they were given.
#pragma once

#include <cstdint>

#include "slowsde/sde/second_moment.hpp"

namespace slowsde::test {

struct ValleyMeasurement {
  double eta;
  std::int64_t local_steps;
  double t;
  double mean, standard_error;
  double psi;          // Local SGD slow SDE
  double finite_step;  // 0: not given
  double qsr;          // 0: not given

  Round round() const { return {.eta = eta, .local_steps = local_steps, .workers = 8, .local_batch = 1}; }
};

inline constexpr double valley_oracle_start = 1.5;

inline constexpr ValleyMeasurement valley_oracle[] = {
    {0.05, 1, 4, 1.14674, 0.00007, 0, 1.1469, 0},
    {0.025, 20, 4, 0.46387, 0.00010, 0.4663, 0.4658, 0},
    {0.02, 500, 4, 0.20778, 0.00003, 0.2160, 0.2097, 0.2030},
};

/// At H = 1 the ODE that was given is SGD's.
inline constexpr double valley_oracle_sgd_ode = 1.1682;

/// ηH = 1, t = 2; standard error 6e-5 at most.
inline constexpr ValleyMeasurement valley_eta_H_one[] = {
    {0.1, 10, 2, 0.637007, 6e-5, 0.683064, 0, 0},
    {0.05, 20, 2, 0.660813, 6e-5, 0.683064, 0, 0},
    {0.025, 40, 2, 0.672163, 6e-5, 0.683064, 0, 0},
    {0.0125, 80, 2, 0.677655, 6e-5, 0.683064, 0, 0},
};

}  // namespace slowsde::test
