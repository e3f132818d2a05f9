// Boost.odeint's stepper concept for the schemes here, and its explicit steppers for SDEs without noise.
//
// odeint copies steppers, systems and observers freely, and a stepper that held a generator would replay its
// noise. Here the noise has an address and the step number comes from an integer counter, never from a
// floating time: all copies of an OdeintStepper share the counter of the one they were copied from, so that
// every do_step, through whichever copy, takes the next step's noise, and two integrate_* calls in a row
// continue one path. Copies are therefore not independent: for another path construct another stepper, and do
// not share one between threads. Never hand it to a controlled or dense-output stepper; it offers no error
// estimate, and rejected steps would bias the noise.
//
//   OdeintStepper stepper(EulerMaruyama{}, sde, BrownianPath<double>(seed, trajectory, sde.noise_dim()));
//   boost::numeric::odeint::integrate_n_steps(stepper, sde, x, t0, dt, n);          // x: std::vector<double>
//   integrate_n_steps(runge_kutta4<std::vector<double>>(), odeint_system(ode), x, t0, dt, n);
#pragma once

#include <boost/numeric/odeint/stepper/stepper_categories.hpp>
#include <memory>
#include <utility>
#include <vector>

#include "slowsde/sde/steppers.hpp"

namespace slowsde {

/// Models odeint's Stepper: do_step(system, x, t, dt), where the system is the SDE itself.
template <class Scheme, class S, class Noise = BrownianPath<double>>
requires Steppable<Scheme, S>
class OdeintStepper {
 public:
  using state_type = std::vector<double>;
  using deriv_type = state_type;
  using value_type = double;
  using time_type = double;
  using order_type = unsigned short;
  using stepper_category = boost::numeric::odeint::stepper_tag;

  /// The next do_step is step `first_step` of the noise.
  OdeintStepper(Scheme scheme, const S& sde, Noise noise, std::uint64_t first_step = 0)
      : stepper_(std::move(scheme), sde),
        noise_(std::move(noise)),
        step_(std::make_shared<std::uint64_t>(first_step)) {}

  /// odeint's concept asks for an integer; 1 is the weak order that every scheme has at least.
  order_type order() const { return 1; }
  /// The number of the step that the next do_step takes.
  std::uint64_t next_step() const { return *step_; }

  void do_step(const S& sde, state_type& x, double t, double dt) {
    stepper_.restart(t, *step_);
    stepper_.do_step(sde, x.data(), *step_, dt, noise_);
    ++*step_;
  }

 private:
  Stepper<Scheme, S> stepper_;
  Noise noise_;
  std::shared_ptr<std::uint64_t> step_;
};

/// dx/dt of an SDE without noise as odeint's steppers call it: system(x, dxdt, t).
template <Sde S>
requires(S::noise == NoiseClass::none) auto odeint_system(const S& ode) {
  return [&ode](const std::vector<double>& x, std::vector<double>& dxdt, double t) {
    ode.drift(x.data(), t, dxdt.data());
  };
}

}  // namespace slowsde
