#include "slowsde/problems/pack_math.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "tests/support/tolerance.hpp"

using slowsde::Pack;

namespace {

/// Largest error of f against the long double reference, in units in the last place of the reference.
template <class Real, class F, class Reference>
double worst_ulp(F f, Reference reference, double from, double to, int points) {
  using P = Pack<Real>;
  double worst = 0;
  for (int k = 0; k < points; k += P::width) {
    P x;
    for (int l = 0; l < P::width; ++l)
      x.set(l, static_cast<Real>(from + (to - from) * (k + l + 0.37) / points));
    const P y = f(x);
    for (int l = 0; l < P::width; ++l) {
      const long double exact = reference(static_cast<long double>(x[l]));
      const Real rounded = static_cast<Real>(std::abs(exact));
      const Real unit = std::nextafter(rounded, std::numeric_limits<Real>::infinity()) - rounded;
      const double error = static_cast<double>(std::abs(static_cast<long double>(y[l]) - exact) / unit);
      worst = error <= worst ? worst : error;  // NaN becomes the worst and stays
    }
  }
  return worst;
}

template <class Real>
void check_functions() {
  const auto e = [](auto x) { return exp(x); };
  const auto l = [](auto x) { return log(x); };
  const auto t = [](auto x) { return tanh(x); };
  const double range = sizeof(Real) == 8 ? 700 : 86;
  CHECK(worst_ulp<Real>(
            e, [](long double x) { return std::exp(x); }, -range, range, 200000) <= 1.5);
  CHECK(worst_ulp<Real>(
            l, [](long double x) { return std::log(x); }, 1e-6, 3, 200000) <= 2);
  CHECK(worst_ulp<Real>(
            l, [](long double x) { return std::log(x); }, 1e-3, 1e6, 200000) <= 2);
  CHECK(worst_ulp<Real>(
            t, [](long double x) { return std::tanh(x); }, -3, 3, 200000) <= 3);
  CHECK(worst_ulp<Real>(
            t, [](long double x) { return std::tanh(x); }, -1e-3, 1e-3, 20000) <= 3);
  CHECK(worst_ulp<Real>(
            t, [](long double x) { return std::tanh(x); }, -60, 60, 20000) <= 3);
}

/// sin and cos have zeros, so their error is measured against 1.
template <class Real>
double worst_absolute(bool cosine, double range) {
  using P = Pack<Real>;
  double worst = 0;
  for (int k = 0; k < 200000; k += P::width) {
    P x;
    for (int l = 0; l < P::width; ++l) x.set(l, static_cast<Real>(range * ((k + l + 0.37) / 100000 - 1)));
    const P y = cosine ? cos(x) : sin(x);
    for (int l = 0; l < P::width; ++l) {
      const long double xl = x[l];
      const long double exact = cosine ? std::cos(xl) : std::sin(xl);
      const double error = static_cast<double>(std::abs(y[l] - exact) / std::numeric_limits<Real>::epsilon());
      worst = error <= worst ? worst : error;
    }
  }
  return worst;
}

}  // namespace

TEST_CASE("double packs: exp, log and tanh keep their stated ulp") { check_functions<double>(); }
TEST_CASE("float packs: exp, log and tanh keep their stated ulp") { check_functions<float>(); }

TEST_CASE("sin and cos keep their stated absolute error") {
  for (const bool cosine : {false, true}) {
    CHECK(worst_absolute<double>(cosine, 10) <= 1.5);
    CHECK(worst_absolute<double>(cosine, 1e5) <= 1.5);
    CHECK(worst_absolute<float>(cosine, 10) <= 1.5);
  }
}

TEST_CASE("special values") {
  using P = Pack<double>;
  const double infinity = std::numeric_limits<double>::infinity();
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(exp(P(infinity))[0] == infinity);
  CHECK(exp(P(-infinity))[3] == 0);
  CHECK(exp(P(0.0))[1] == 1);
  CHECK(std::isnan(exp(P(nan))[0]));
  CHECK((P(0.0) * rsqrt(P(0.0)))[0] == 0);
  CHECK(log(P(0.0))[0] == -infinity);
  CHECK(std::isnan(log(P(-1.0))[0]));
  CHECK(log(P(infinity))[0] == infinity);
  CHECK(std::isnan(log(P(nan))[5]));
  CHECK(tanh(P(infinity))[0] == 1);
  CHECK(std::signbit(tanh(P(-0.0))[0]));
  CHECK(tanh(P(-infinity))[0] == -1);
  CHECK(std::isnan(tanh(P(nan))[0]));
  CHECK(std::isnan(sin(P(nan))[0]));
  CHECK(pow(P(-2.0), 3)[0] == -8);
  CHECK(pow(P(2.0), -2)[0] == 0.25);
}

TEST_CASE("a lane does not feel its neighbours") {
  using P = Pack<double>;
  P mixed(0.3);
  mixed.set(0, std::numeric_limits<double>::quiet_NaN());
  mixed.set(1, 1e300);
  CHECK(tanh(mixed)[7] == tanh(P(0.3))[7]);
  CHECK(exp(mixed)[7] == exp(P(0.3))[7]);
  CHECK(sqrt(mixed)[7] == std::sqrt(0.3));
}

TEST_CASE("fma rounds once") {
  const double a = 1 + 0x1p-30;
  CHECK(fma(Pack<double>(a), Pack<double>(a), Pack<double>(-1 - 0x1p-29))[2] == 0x1p-60);
}
