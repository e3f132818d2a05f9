#include "slowsde/experiments/flat_valley.hpp"

#include <Eigen/Dense>
#include <cmath>
#include <complex>
#include <numbers>
#include <stdexcept>

#include "slowsde/optim/sgd_moment.hpp"

namespace slowsde {
namespace {

constexpr int N = 32;
using Complex = std::complex<double>;
using Values = Eigen::VectorXcd;    // (N)
using Operator = Eigen::MatrixXcd;  // (N × N)

double node(int j) { return 2 * std::numbers::pi * j / N; }
/// Wave number of mode m.
double wave(int m) { return m <= N / 2 ? m : m - N; }
double curvature(double x) { return 2 + std::sin(x); }

/// Values of the modes e^{ikx} at the nodes: modes to values; its inverse is its adjoint over N.
Operator modes() {
  Operator result(N, N);
  for (int j = 0; j < N; ++j)
    for (int m = 0; m < N; ++m) result(j, m) = std::polar(1.0, wave(m) * node(j));
  return result;
}

/// v/2·u'' + f·u' on functions e^{iqx}u(x), u periodic, divided by e^{iqx}.
Operator generator(const Values& f, double v, double q) {
  const Operator to_values = modes();
  Operator first = to_values, second = to_values;
  for (int m = 0; m < N; ++m) {
    // The highest mode has no derivative of its own among the nodes.
    first.col(m) *= Complex(0, (m == N / 2 ? 0 : wave(m)) + q);
    second.col(m) *= -(wave(m) + q) * (wave(m) + q);
  }
  const Operator applied = f.asDiagonal() * first + 0.5 * v * second;
  return applied * to_values.adjoint() / N;
}

/// e^{tA}u by Taylor's series over short times.
Values evolve(const Operator& A, Values u, double t) {
  const double norm = A.cwiseAbs().rowwise().sum().maxCoeff() * t;
  if (!std::isfinite(norm)) return Values::Constant(N, std::nan(""));
  const int steps = static_cast<int>(std::ceil(norm)) + 1;
  for (int s = 0; s < steps; ++s) {
    Values term = u;
    for (int n = 1; n <= 18; ++n) {
      term = (A * term * (t / steps / n)).eval();
      u += term;
    }
  }
  return u;
}

Values values_of(const FlatValley::Observable& f) {
  Values u(N);
  for (int j = 0; j < N; ++j) u[j] = f(node(j));
  return u;
}

/// The trigonometric polynomial through the values.
double at(const Values& u, double x) {
  const Values coefficients = modes().adjoint() * u / N;
  Complex sum = 0;
  for (int m = 0; m < N; ++m) sum += coefficients[m] * std::polar(1.0, wave(m) * x);
  return sum.real();
}

Values drift(const FlatValley& valley, const SecondMoment& moment, const Round& round) {
  Values f(N);
  for (int j = 0; j < N; ++j) {
    const double lambda = curvature(node(j));
    f[j] = -0.5 * std::cos(node(j)) * moment.coefficient(lambda, lambda, round) * valley.across /
           round.global_batch();
  }
  return f;
}

}  // namespace

double FlatValley::trace(double x) { return curvature(x); }

double FlatValley::slow_mean(const SecondMoment& moment, const Round& round, double x0, double t,
                             const Observable& f, const Strengths& strengths) const {
  const Values force = strengths.drift * drift(*this, moment, round);
  const Operator A = generator(force, strengths.diffusion * along / round.global_batch(), 0);
  return at(evolve(A, values_of(f), t), x0);
}

double FlatValley::quasi_static_mean(const Round& round, double alpha2, double x0, double t,
                                     const Observable& f) const {
  const double rounds = t / alpha2;
  if (!(std::abs(rounds - std::round(rounds)) <= 1e-9 * rounds))
    throw std::invalid_argument("quasi-static process: t must be a multiple of alpha2");
  Round worker = round;
  worker.workers = 1;
  worker.local_steps = 1;
  const Values force = drift(*this, SgdMoment(), worker);
  const Operator to_values = modes();
  Operator map(N, N);  // a round, from modes to values
  for (int m = 0; m < N; ++m) {
    const Values h = evolve(generator(force, along / worker.global_batch(), wave(m) / round.workers),
                            Values::Ones(N), alpha2);
    for (int j = 0; j < N; ++j) map(j, m) = to_values(j, m) * std::pow(h[j], round.workers);
  }
  map = (map * to_values.adjoint() / N).eval();
  Values u = values_of(f);
  for (double s = 0; s < std::round(rounds); ++s) u = (map * u).eval();
  return at(u, x0);
}

}  // namespace slowsde
