#include "slowsde/problems/series_kernels.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "slowsde/problems/jet.hpp"
#include "tests/support/networks.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;
using namespace slowsde::detail;

namespace {

using Jet = Taylor<double, 3>;
using Series = Coefficients<double, 2>;

// Coefficients 0 … 2 of `count` elements in three matrices.
struct Matrices {
  std::vector<double> of[3];
  explicit Matrices(int count, double value = std::nan("")) {
    for (auto& m : of) m.assign(count, value);
  }
  Coefficients<double*, 2> at() { return {of[0].data(), of[1].data(), of[2].data()}; }
};
Matrices random_matrices(int count, std::uint64_t seed) {
  Matrices m(count);
  for (int k = 0; k < 3; ++k) {
    const Eigen::VectorXd v = test::normals(count, seed + k);
    m.of[k].assign(v.begin(), v.end());
  }
  return m;
}

// φ and φ' of a jet with one coefficient more, from the exponential alone.
Jet sigmoid(const Jet& z) { return Jet(1.0) / (Jet(1.0) + exp(-z)); }
Jet value(Activation kind, const Jet& z) {
  switch (kind) {
    case Activation::tanh:
      return Jet(2.0) * sigmoid(Jet(2.0) * z) - Jet(1.0);
    case Activation::silu:
      return z * sigmoid(z);
    default:
      return z.c[0] > 0 ? z : Jet(0.0);
  }
}
Jet slope(Activation kind, const Jet& z) {
  const Jet p = sigmoid(z), q = sigmoid(Jet(2.0) * z);
  switch (kind) {
    case Activation::tanh:
      return Jet(4.0) * q * (Jet(1.0) - q);
    case Activation::silu:
      return p + z * p * (Jet(1.0) - p);
    default:
      return z.c[0] > 0 ? Jet(1.0) : Jet(0.0);
  }
}
Jet jet_of(Matrices& m, int i) {
  Jet j(0.0);
  for (int k = 0; k < 3; ++k) j.c[k] = m.of[k][i];
  return j;
}

template <class Check>
void over_activations(Check check) {
  for (const Activation kind : {Activation::tanh, Activation::silu, Activation::relu}) {
    CAPTURE(static_cast<int>(kind));
    check(kind);
  }
}

}  // namespace

TEST_CASE("activations of a series and their adjoints are those of jets") {
  over_activations([](Activation kind) {
    constexpr int count = 30;
    Matrices z = random_matrices(count, 1), d = random_matrices(count, 5), a(count), p(count), dz(count);
    activate<0, double, 2>(kind, count, z.at(), a.at(), p.at());
    activate_reverse<0, double, 2>(kind, count, a.at(), p.at(), d.at(), dz.at());
    for (int i = 0; i < count; ++i) {
      const Jet x = jet_of(z, i), y = value(kind, x), back = jet_of(d, i) * slope(kind, x);
      for (int k = 0; k < 3; ++k) {
        CHECK(test::near(a.of[k][i], y.c[k], 1e-13));
        CHECK(test::near(dz.of[k][i], back.c[k], 1e-13));
      }
    }
  });
}

TEST_CASE("a series continued from its coefficient 0 is the series computed at once, in place too") {
  over_activations([](Activation kind) {
    constexpr int count = 10;
    Matrices z = random_matrices(count, 1), d = random_matrices(count, 5), a(count), p(count), dz(count),
             q(count);
    activate<0, double, 2>(kind, count, z.at(), a.at(), p.at());
    activate_reverse<0, double, 2>(kind, count, a.at(), p.at(), d.at(), dz.at());
    Matrices in_place = z;
    activate<0, double, 0>(kind, count, {in_place.of[0].data()}, {in_place.of[0].data()}, {q.of[0].data()});
    activate<1, double, 2>(kind, count, in_place.at(), in_place.at(), q.at());
    for (int k = 0; k < 3; ++k) CHECK(in_place.of[k] == a.of[k]);
    Matrices back = d;
    activate_reverse<1, double, 2>(kind, count, in_place.at(), q.at(), d.at(), back.at());
    CHECK(back.of[0] == d.of[0]);
    CHECK(back.of[1] == dz.of[1]);
    CHECK(back.of[2] == dz.of[2]);
  });
}

TEST_CASE("activations do not overflow") {
  over_activations([](Activation kind) {
    for (const double z0 : {-1000.0, 1000.0}) {
      Matrices z(1, z0), a(1), p(1);
      activate<0, double, 2>(kind, 1, z.at(), a.at(), p.at());
      const double limit = kind == Activation::tanh ? std::copysign(1.0, z0) : std::max(z0, 0.0);
      CHECK(a.of[0][0] == limit);
      for (int k = 1; k < 3; ++k) CHECK(std::isfinite(a.of[k][0]));
    }
  });
}

TEST_CASE("group norm and its adjoint along a series are those of jets over the formula") {
  constexpr int features = 6, columns = 2;
  constexpr double eps = 0.01;
  const auto scale = [](int f) { return Series{1.0 + 0.2 * f, 0.3 * f, -0.1}; };
  const auto shift = [](int f) { return Series{0.5 * f, 0.1, 0.2 * f}; };
  const auto jet = [](const Series& s) {
    Jet j(0.0);
    for (int k = 0; k < 3; ++k) j.c[k] = s[k];
    return j;
  };
  // The second of two columns: the first must stay untouched.
  Matrices z = random_matrices(features * columns, 1), dy = random_matrices(features * columns, 9);
  Matrices unit(features * columns), root(columns), y(features * columns), dz(features * columns);
  const auto second = [](Matrices& m) {
    return Coefficients<double*, 2>{m.of[0].data() + 1, m.of[1].data() + 1, m.of[2].data() + 1};
  };
  group_norm<0, double, 2>(features, columns, eps, second(z), second(unit), second(root), second(y), scale,
                           shift);
  group_norm_reverse<0, double, 2>(features, columns, second(unit), second(root), second(dy), second(dz),
                                   scale);
  // L = Σ_f dy_f·y_f with the adjoints held fixed; ∂L/∂z_f by carrying a dual per feature through the
  // formula.
  using Dualed = Dual<Jet, features>;
  Dualed x[features], mean(Jet(0.0)), variance{Jet(0.0)}, total(Jet(0.0));
  for (int f = 0; f < features; ++f) x[f] = Dualed::variable(jet_of(z, f * columns + 1), f);
  for (const Dualed& e : x) mean += e * Dualed(Jet(1.0 / features));
  for (const Dualed& e : x) variance += (e - mean) * (e - mean) * Dualed(Jet(1.0 / features));
  const Dualed deviation = sqrt(variance + Dualed(Jet(eps)));
  for (int f = 0; f < features; ++f) {
    const Dualed out = Dualed(jet(scale(f))) * (x[f] - mean) / deviation + Dualed(jet(shift(f)));
    for (int k = 0; k < 3; ++k) CHECK(test::near(y.of[k][f * columns + 1], out.v.c[k], 1e-13));
    total += Dualed(jet_of(dy, f * columns + 1)) * out;
  }
  for (int f = 0; f < features; ++f)
    for (int k = 0; k < 3; ++k) CHECK(test::near(dz.of[k][f * columns + 1], total.d[f].c[k], 1e-12));
  for (int f = 0; f < features; ++f) CHECK(std::isnan(y.of[0][f * columns]));

  // Continued at higher order, in place.
  Matrices again = z, unit_again(features * columns), root_again(columns), back = dy;
  group_norm<0, double, 0>(
      features, columns, eps, {again.of[0].data() + 1}, {unit_again.of[0].data() + 1},
      {root_again.of[0].data() + 1}, {again.of[0].data() + 1},
      [&](int f) { return Coefficients<double, 0>{scale(f)[0]}; },
      [&](int f) { return Coefficients<double, 0>{shift(f)[0]}; });
  group_norm<1, double, 2>(features, columns, eps, second(again), second(unit_again), second(root_again),
                           second(again), scale, shift);
  group_norm_reverse<1, double, 2>(features, columns, second(unit_again), second(root_again), second(dy),
                                   second(back), scale);
  for (int f = 0; f < features; ++f)
    for (int k = 0; k < 3; ++k) {
      CHECK(test::near(again.of[k][f * columns + 1], y.of[k][f * columns + 1], 1e-13));
      if (k > 0) CHECK(test::near(back.of[k][f * columns + 1], dz.of[k][f * columns + 1], 1e-12));
    }
}

TEST_CASE("group norm does not see the scale nor the shift of its input where eps is negligible") {
  constexpr int features = 8;
  const Eigen::VectorXd input = test::normals(features, 3);
  const auto normed = [&](double factor, double offset) {
    std::vector<double> z(features), unit(features), root(1), y(features);
    for (int f = 0; f < features; ++f) z[f] = factor * input[f] + offset;
    const auto one = [](int) { return Coefficients<double, 0>{1.0}; };
    const auto none = [](int) { return Coefficients<double, 0>{0.0}; };
    group_norm<0, double, 0>(features, 1, 1e-14, {z.data()}, {unit.data()}, {root.data()}, {y.data()}, one,
                             none);
    return y;
  };
  const std::vector<double> y = normed(1, 0), scaled = normed(7, 0), shifted = normed(1, 3);
  double sum = 0, squares = 0;
  for (int f = 0; f < features; ++f) {
    CHECK(test::near(scaled[f], y[f], 1e-12));
    CHECK(test::near(shifted[f], y[f], 1e-12));
    sum += y[f];
    squares += y[f] * y[f];
  }
  CHECK(std::abs(sum) <= 1e-13);
  CHECK(test::near_relative(squares / features, 1, 1e-12));
}
