#include "slowsde/problems/jet.hpp"

#include <doctest/doctest.h>

#include <boost/math/differentiation/autodiff.hpp>
#include <cmath>

#include "slowsde/problems/pack_math.hpp"
#include "tests/support/tolerance.hpp"

using slowsde::Dual;
using slowsde::Taylor;

namespace {

struct Composite {  // touches every function a jet knows
  template <class T>
  static T of(const T& x) {
    using std::cos;
    using std::exp;
    using std::log;
    using std::sin;
    using std::sqrt;
    using std::tanh;
    return exp(0.3 * x) * sin(x) / sqrt(1.0 + x * x) + log(2.0 + cos(x)) * tanh(x) - x * x * x / 7.0;
  }
};

}  // namespace

TEST_CASE("Taylor coefficients are those of Boost's autodiff") {
  for (const double x : {-1.7, -1e-8, 0.0, 0.4, 2.5}) {
    const auto oracle = Composite::of(boost::math::differentiation::make_fvar<double, 4>(x));
    const auto series = Composite::of(Taylor<double, 4>::line(x, 1.0));
    for (int k = 0; k <= 4; ++k)
      CHECK(slowsde::test::near(series.derivative(k), oracle.derivative(static_cast<std::size_t>(k)), 1e-13));
  }
}

TEST_CASE("a nested jet holds the gradient of a second directional derivative") {
  // F(x, y) = sin(x)·e^y along (1, 2): d²/ds² F = (−sin x + 4 cos x + 4 sin x)e^y.
  using S = Taylor<double, 2>;
  using D = Dual<S, 2>;
  const double x = 0.7, y = -0.4;
  D a = D::variable(S::line(x, 1.0), 0), b = D::variable(S::line(y, 2.0), 1);
  const D f = sin(a) * exp(b);
  CHECK(slowsde::test::near(f.v.derivative(2), (3 * std::sin(x) + 4 * std::cos(x)) * std::exp(y), 1e-14));
  CHECK(slowsde::test::near(f.d[0].derivative(2), (3 * std::cos(x) - 4 * std::sin(x)) * std::exp(y), 1e-14));
  CHECK(slowsde::test::near(f.d[1].derivative(2), (3 * std::sin(x) + 4 * std::cos(x)) * std::exp(y), 1e-14));
}

TEST_CASE("a jet of packs is a jet in each lane") {
  using P = slowsde::Pack<double>;
  using S = Taylor<P, 2>;
  P x(0.0);
  for (int l = 0; l < P::width; ++l) x.set(l, 0.3 * l - 1);
  const S f = Composite::of(S::line(x, P(1.0)));
  for (int l = 0; l < P::width; ++l) {
    const auto alone = Composite::of(Taylor<double, 2>::line(x[l], 1.0));
    for (std::size_t k = 0; k <= 2; ++k) CHECK(slowsde::test::near(f.c[k][l], alone.c[k], 1e-14));
  }
}

TEST_CASE("integer powers, negative ones too") {
  const auto p = pow(Taylor<double, 3>::line(2.0, 1.0), -2);
  CHECK(slowsde::test::near(p.derivative(0), 0.25, 1e-15));
  CHECK(slowsde::test::near(p.derivative(3), -24.0 / 32, 1e-15));
  CHECK(pow(Dual<double, 1>::variable(3.0, 0), 3).d[0] == 27);
}
