#include "slowsde/sde/closed_forms.hpp"

#include <boost/math/special_functions/lambert_w.hpp>
#include <boost/numeric/odeint.hpp>
#include <cmath>

#include "slowsde/sde/psi.hpp"

namespace slowsde {
namespace {

template <class Slope>
double integrate_ode(Slope slope, double x0, double t) {
  namespace odeint = boost::numeric::odeint;
  if (t == 0) return x0;
  double x = x0;
  const auto system = [&](double value, double& derivative, double) { derivative = slope(value); };
  using Stepper = odeint::runge_kutta_dopri5<double, double, double, double, odeint::vector_space_algebra>;
  odeint::integrate_adaptive(odeint::make_controlled<Stepper>(1e-12, 1e-12), system, x, 0.0, t, t / 64);
  return x;
}

double eta_H(const Round& round) { return round.eta * static_cast<double>(round.local_steps); }

}  // namespace

double valley_sgd(double x0, double sigma, const Round& round, double t) {
  return x0 * std::exp(-sigma * sigma * t / (2 * round.global_batch()));
}

double valley_qsr(double x0, double sigma, const Round& round, double t) {
  return x0 * std::exp(-sigma * sigma * t / (2.0 * round.local_batch));
}

double valley_local_sgd(double x0, double sigma, const Round& round, double t) {
  const double rate = sigma * sigma / (2 * round.global_batch());
  return integrate_ode(
      [&](double x) { return -rate * x * (1 + (round.workers - 1) * psi(2 * eta_H(round) * (1 + x * x))); },
      x0, t);
}

double valley_flow_end(double x, double y) {
  if (x == 0) return 0;
  const double x2 = x * x, exponent = x2 - y * y;
  return std::copysign(std::sqrt(boost::math::lambert_w0(x2 * std::exp(exponent))), x);
}

std::vector<CurvatureAlong> valley_curvature() {
  return {[](double x) { return Curvature{1 + x * x, 2 * x}; }};
}

std::vector<CurvatureAlong> two_valleys_curvature(int samples) {
  const double n = samples;
  return {[n](double x) {
            return Curvature{(1.5 + std::sin(x)) / n, std::cos(x) / n};
          },
          [n](double x) {
            return Curvature{(6.5 - std::sin(x)) / n, -std::cos(x) / n};
          }};
}

double valley_ode(const std::vector<CurvatureAlong>& curvatures, const SecondMoment& moment, double sigma,
                  const Round& round, double x0, double t) {
  const double rate = sigma * sigma / (2 * round.global_batch());
  return integrate_ode(
      [&](double x) {
        double sum = 0;
        for (const CurvatureAlong& along : curvatures) {
          const auto [lambda, slope] = along(x);
          sum += moment.coefficient(lambda, lambda, round) * lambda * slope;
        }
        return -rate * sum;
      },
      x0, t);
}

double circle_mean_angle(double correlation, const Round& round, double t) {
  return -correlation * t / round.global_batch() * (1 + (round.workers - 1) * psi(2 * eta_H(round)));
}

double sphere_sgd_mean(int dim, double nu, const Round& round, double t) {
  return std::exp(-(dim - 1) * nu * nu * t / (2 * round.global_batch()));
}

}  // namespace slowsde
