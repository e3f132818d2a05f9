// Every scheme of steppers.hpp on every class of noise: the orders that theory gives, and those measured.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "slowsde/sde/convergence_order.hpp"

namespace slowsde {

struct StepperOrderOptions {
  std::size_t weak_trajectories = 1 << 18;
  std::size_t strong_trajectories = 1 << 13;
  std::uint64_t seed = 1;
  int threads = 1;
};

/// One scheme on one class of noise.
struct StepperOrders {
  std::string scheme, noise;  ///< names, as in `stepper_order_schemes`, `stepper_order_noises`
  std::string why_not;        ///< where the scheme does not apply: the reason; everything below is unset
  std::string equation;       ///< nonlinear SDE that the sampled orders are of (reference_equations.hpp)
  double weak_expected = 0, strong_expected = 0;
  OrderFit weak, strong;  ///< sampled on the nonlinear SDE
  LevelErrors weak_errors, strong_errors;
  double limit_z = 0;  ///< distance of the extrapolated mean from the known one, in standard errors
  /// Of second moments and in mean square on a linear SDE, without sampling; NaN under a retraction, which is
  /// not linear.
  double weak_exact = 0, strong_exact = 0;

  bool applies() const { return why_not.empty(); }
  OrderVerdict weak_verdict() const { return judge_order(weak, weak_expected); }
  OrderVerdict strong_verdict() const { return judge_order(strong, strong_expected); }
  /// Confirmed if the sampled orders are, the limit is within 4.5 standard errors and the exact orders are
  /// off by at most 0.05; refuted if any of these is refuted.
  OrderVerdict verdict() const;
};

const std::vector<std::string>& stepper_order_schemes();
const std::vector<std::string>& stepper_order_noises();

/// All pairs, scheme by scheme. `done(pairs)` is called after each pair with the number finished so far.
///
/// Expected orders (strong, weak). Kloeden & Platen 1992 §§10, 14, 15 give
///   Euler–Maruyama 1/2, 1; strong 1 for additive noise.  Heun 1, 1; strong 1/2 if the fields do not commute;
///   weak 2 for additive noise, where it is Platen's scheme.  Milstein 1, 1.
///   Platen 1, 2; strong 1/2 if the fields do not commute, for V then is no part of the path.
/// A smooth retraction is the identity on the manifold that the solution stays on, so f∘retraction is a
/// smooth functional that equals f on it: weak orders remain, and so do strong ones.
std::vector<StepperOrders> measure_stepper_orders(const StepperOrderOptions& options,
                                                  const std::function<void(int)>& done = {});

/// The table as text, a line for each pair.
std::string stepper_order_table(const std::vector<StepperOrders>& all);

}  // namespace slowsde
