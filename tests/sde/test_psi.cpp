#include "slowsde/sde/psi.hpp"

#include <doctest/doctest.h>

#include <boost/multiprecision/cpp_bin_float.hpp>
#include <cmath>
#include <cstdint>
#include <limits>

#include "tests/support/tolerance.hpp"

using slowsde::psi;
using slowsde::psi_finite;
using slowsde::psi_finite_of_gap;
using slowsde::psi_integral;
namespace mp = boost::multiprecision;
using Big = mp::number<mp::cpp_bin_float<700>>;  // ψ(1e-300) by its defining formula loses 300 digits

namespace {

Big psi_exact(double x) { return (exp(-Big(x)) - 1 + Big(x)) / Big(x); }

Big psi_finite_exact(Big delta, std::int64_t H) {
  return 1 - (1 - mp::pow(Big(1) - delta, static_cast<int>(H))) / (Big(H) * delta);
}

double relative_error(double value, const Big& exact) {
  return static_cast<double>(abs((Big(value) - exact) / exact));
}

}  // namespace

TEST_CASE("ψ agrees with its definition in 700 digits to 1e-15 from 1e-300 to 1e300") {
  double worst = 0;
  for (double exponent = -300; exponent <= 300; exponent += exponent > -4 && exponent < 3 ? 0.01 : 3.7) {
    const double x = std::pow(10.0, exponent), error = relative_error(psi(x), psi_exact(x));
    REQUIRE(std::isfinite(error));
    worst = std::fmax(worst, error);
  }
  MESSAGE("worst relative error of psi: ", worst);
  CHECK(worst <= 1e-15);
}

TEST_CASE_TEMPLATE("ψ of a pack agrees with its definition to 4 ulp, in lanes on both sides of 1 at once",
                   Real, double, float) {
  using P = slowsde::Pack<Real>;
  const double ulp = std::numeric_limits<Real>::epsilon();
  double worst = 0;
  for (double exponent = -6; exponent <= 6; exponent += 0.25) {
    P x(0.0);
    for (int l = 0; l < P::width; ++l)
      x.set(l, static_cast<Real>(std::pow(10.0, exponent + (l % 2 ? 1.3 : 0.01 * l))));
    const P y = psi(x);
    for (int l = 0; l < P::width; ++l)
      worst =
          std::fmax(worst, relative_error(static_cast<double>(y[l]), psi_exact(static_cast<double>(x[l]))));
  }
  MESSAGE("worst relative error in ulp: ", worst / ulp);
  CHECK(worst <= 4 * ulp);
  P special(0.0);
  special.set(1, std::numeric_limits<Real>::infinity());
  special.set(2, std::numeric_limits<Real>::quiet_NaN());
  const P y = psi(special);
  CHECK(y[0] == 0);
  CHECK(y[1] == 1);
  CHECK(std::isnan(y[2]));
}

TEST_CASE("ψ(0) = 0, ψ(∞) = 1 and NaN stays NaN") {
  CHECK(psi(0) == 0);
  CHECK(psi(5e-324) >= 0);
  CHECK(psi(std::numeric_limits<double>::infinity()) == 1);
  CHECK(std::isnan(psi(std::nan(""))));
}

TEST_CASE("ψ increases, lies below x/2 and below 1") {
  double last = 0;
  for (double x = 1e-3; x < 50; x *= 1.01) {
    CHECK(psi(x) > last);
    CHECK(psi(x) < std::fmin(x / 2, 1));
    last = psi(x);
  }
}

TEST_CASE("ψ_H agrees with its definition in 700 digits to 3e-15, for ρ of both signs and ρ → ±1") {
  double worst = 0;
  const auto test = [&](double delta, std::int64_t H) {
    const double error = relative_error(psi_finite_of_gap(delta, H), psi_finite_exact(Big(delta), H));
    CAPTURE(delta);
    CAPTURE(H);
    CHECK(error <= 3e-15);
    worst = std::fmax(worst, error);
  };
  for (std::int64_t H :
       {2, 3, 4, 5, 7, 10, 15, 16, 31, 100, 127, 384, 1000, 4095, 65535, 1000003, 2147483647}) {
    for (double delta : {1e-300, 1e-30, 1e-15, 3e-10, 1e-5, 7e-4, 0.01, 0.1, 0.3, 0.5, 0.75, 0.9, 0.99})
      test(delta, H);
    for (double delta : {1.0, 1.01, 1.1, 1.5, 1.9, 1.99, 1.999999, 2 - 1e-12}) test(delta, H);
  }
  MESSAGE("worst relative error of psi_finite: ", worst);
}

TEST_CASE("ψ_1 = 0 exactly, ψ_H(1) = 0 exactly and ψ_2(ρ) = (1−ρ)/2") {
  for (double rho : {-1.0, -0.3, 0.0, 0.5, 1 - 1e-16, 1.0}) {
    CHECK(psi_finite(rho, 1) == 0);
    CHECK(psi_finite(rho, 2) == (1 - rho) / 2);
  }
  for (std::int64_t H : {1, 2, 1000, 2147483647}) CHECK(psi_finite(1, H) == 0);
}

TEST_CASE("ψ_H(ρ) is the mean of 1 − ρ^h over a round's local steps") {
  for (double rho : {-0.97, -0.5, 0.0, 0.4, 0.99})
    for (int H : {1, 2, 3, 6, 11, 50}) {
      double sum = 0, power = 1;
      for (int h = 0; h < H; ++h, power *= rho) sum += 1 - power;
      CHECK(slowsde::test::near(psi_finite(rho, H), sum / H, 1e-14));
    }
}

TEST_CASE("ψ_H(e^{−x/H}) tends to ψ(x) as 1/H") {
  for (double x : {0.1, 1.0, 10.0}) {
    double last = 0;
    for (std::int64_t H : {64, 128, 256, 512, 1024, 2048}) {
      const double error = std::abs(psi_finite_of_gap(-std::expm1(-x / static_cast<double>(H)), H) - psi(x));
      if (last > 0) CHECK(slowsde::test::order(std::log2(last / error), 1, 0.1));
      last = error;
    }
  }
  CHECK(slowsde::test::near(psi_finite_of_gap(1e-15, std::int64_t{1} << 60), psi(std::ldexp(1e-15, 60)),
                            1e-14));
}

TEST_CASE("F is the integral of ψ to 2e-15") {
  // F(x) = Σ_{k≥2} (−1)^k x^k/(k·k!), summed in 700 digits
  double worst = 0;
  for (double x :
       {1e-150, 1e-8, 0.01, 0.3, 1.0, 1.7, 2.5, 2.999, 3.0, 3.1, 4.0, 6.0, 10.0, 25.0, 60.0, 200.0}) {
    Big power = 1, sum = 0;
    for (int k = 1; k < 1200; ++k) {
      power *= -Big(x) / k;
      if (k >= 2) sum += power / k;
    }
    CAPTURE(x);
    const double error = relative_error(psi_integral(x), sum);
    CHECK(error <= 2e-15);
    worst = std::fmax(worst, error);
  }
  MESSAGE("worst relative error of psi_integral: ", worst);
  CHECK(psi_integral(0) == 0);
}
