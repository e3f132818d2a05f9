#include "slowsde/sde/odeint_stepper.hpp"

#include <doctest/doctest.h>

#include <boost/numeric/odeint/integrate/integrate_adaptive.hpp>
#include <boost/numeric/odeint/integrate/integrate_const.hpp>
#include <boost/numeric/odeint/integrate/integrate_n_steps.hpp>
#include <boost/numeric/odeint/stepper/generation.hpp>
#include <boost/numeric/odeint/stepper/runge_kutta4.hpp>
#include <boost/numeric/odeint/stepper/runge_kutta_dopri5.hpp>

#include "tests/support/sde_examples.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;
using namespace slowsde::test;
namespace odeint = boost::numeric::odeint;

namespace {

using State = std::vector<double>;

struct Cubic {  // x' = −t x³: x = x0/√(1 + x0² t²)
  static constexpr NoiseClass noise = NoiseClass::none;
  static constexpr Calculus calculus = Calculus::ito;
  int dim() const { return 1; }
  template <class T>
  void drift(const T* x, double t, T* out) const {
    out[0] = x[0] * x[0] * x[0] * -t;
  }
};

template <class S>
concept HasOdeintSystem = requires(const S& s) {
  odeint_system(s);
};
static_assert(HasOdeintSystem<Cubic> && !HasOdeintSystem<NonCommuting<>>);

}  // namespace

TEST_CASE("odeint's loops and the native loop walk the same path, for every scheme") {
  const GrowingOrnsteinUhlenbeck sde;  // its noise depends on time
  const double t0 = 0.1, dt = 0.1;     // neither is exact in binary
  const std::uint64_t steps = 1000;
  const auto check = [&]<class Scheme>(Scheme scheme) {
    BrownianPath<double> noise(9, 4, 1);
    Stepper native(scheme, sde, t0, 0);
    double x = 1;
    for (std::uint64_t k = 0; k < steps; ++k) native.do_step(sde, &x, k, dt, noise);

    OdeintStepper stepper(scheme, sde, BrownianPath<double>(9, 4, 1));
    State y = {1};
    odeint::integrate_n_steps(stepper, sde, y, t0, dt, steps);
    CHECK(exact(y[0], x));

    OdeintStepper constant(scheme, sde, BrownianPath<double>(9, 4, 1));
    State z = {1};
    std::size_t seen = 0;
    odeint::integrate_const(constant, sde, z, t0, t0 + (static_cast<double>(steps) + 0.5) * dt, dt,
                            [&](const State&, double) { ++seen; });
    CHECK(seen == steps + 1);
    CHECK(exact(z[0], x));
  };
  check(EulerMaruyama{});
  check(Heun{});
  check(Milstein{});
  check(PlatenWeak2{});
}

TEST_CASE("copies of an odeint stepper never replay the noise: two calls continue one path") {
  const GeometricBrownianMotion<> sde;
  const auto run = [&](auto integrate) {
    OdeintStepper stepper(EulerMaruyama{}, sde, BrownianPath<double>(9, 4, 1));
    State x = {1};
    integrate(stepper, x);
    CHECK(stepper.next_step() == 100);
    return x[0];
  };
  const double once = run([&](auto& s, State& x) { odeint::integrate_n_steps(s, sde, x, 0.0, 0.01, 100); });
  const double twice = run([&](auto& s, State& x) {
    odeint::integrate_n_steps(s, sde, x, 0.0, 0.01, 37);
    odeint::integrate_n_steps(s, sde, x, 0.37, 0.01, 63);
  });
  CHECK(exact(once, twice));
  // Wrong: a second part that replays the first steps' noise.
  OdeintStepper replay(EulerMaruyama{}, sde, BrownianPath<double>(9, 4, 1));
  OdeintStepper again(EulerMaruyama{}, sde, BrownianPath<double>(9, 4, 1));
  State x = {1};
  odeint::integrate_n_steps(replay, sde, x, 0.0, 0.01, 37);
  odeint::integrate_n_steps(again, sde, x, 0.37, 0.01, 63);
  CHECK(!near_relative(x[0], once, 1e-3));
}

TEST_CASE("odeint's explicit steppers integrate an SDE without noise with their own order") {
  const Cubic ode;
  const double truth = 1 / std::sqrt(1 + 4.0);
  const auto error = [&](std::size_t n) {
    State x = {1};
    odeint::integrate_n_steps(odeint::runge_kutta4<State>(), odeint_system(ode), x, 0.0,
                              2.0 / static_cast<double>(n), n);
    return std::abs(x[0] - truth);
  };
  for (std::size_t n = 16; n <= 128; n *= 2) CHECK(order(std::log2(error(n) / error(2 * n)), 4, 0.25));
  State x = {1};
  odeint::integrate_adaptive(odeint::make_controlled(1e-12, 1e-12, odeint::runge_kutta_dopri5<State>()),
                             odeint_system(ode), x, 0.0, 2.0, 0.01);
  CHECK(near(x[0], truth, 1e-10));
}
