#include "slowsde/problems/network_loss.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "slowsde/problems/pack.hpp"
#include "tests/support/networks.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;

namespace {

// Both losses on plain numbers: outputs × columns, weight w_c per column, label c mod C.
struct Problem {
  int outputs = 4, columns = 5;
  std::vector<double> f[3], y, weights;
  Problem() {
    for (int k = 0; k < 3; ++k) {
      const Eigen::VectorXd v = test::normals(outputs * columns, 10 + k);
      f[k].assign(v.begin(), v.end());
    }
    const Eigen::VectorXd targets = test::normals(outputs * columns, 20);
    y.assign(targets.begin(), targets.end());
    for (int c = 0; c < columns; ++c) weights.push_back(0.1 * (c + 1));
  }

  template <int N>
  double evaluate(LossKind kind, std::vector<double> (&values)[3], std::vector<double> (&adjoint)[3]) const {
    detail::Coefficients<double*, N> in, out;
    for (int k = 0; k <= N; ++k) {
      adjoint[k].assign(values[k].size(), std::nan(""));
      in[k] = values[k].data();
      out[k] = adjoint[k].data();
    }
    const auto weight = [&](int c) { return weights[c]; };
    if (kind == LossKind::squared)
      return squared_loss<N, double>(outputs, columns, in, y.data(), weight, out);
    return cross_entropy_loss<N, double>(
        outputs, columns, in, [&](int c) { return static_cast<double>(c % outputs); }, weight, out);
  }
  double value(LossKind kind, double s) const {
    std::vector<double> at[3] = {f[0], {}, {}}, adjoint[3];
    for (std::size_t i = 0; i < at[0].size(); ++i) at[0][i] += s * f[1][i] + s * s * f[2][i];
    return evaluate<0>(kind, at, adjoint);
  }
};

template <class Check>
void over_losses(Check check) {
  for (const LossKind kind : {LossKind::squared, LossKind::cross_entropy}) {
    CAPTURE(static_cast<int>(kind));
    check(kind);
  }
}

}  // namespace

TEST_CASE("the adjoints of a loss are its derivatives, and their series those of the adjoints") {
  over_losses([](LossKind kind) {
    Problem p;
    std::vector<double> adjoint[3], plus[3], minus[3];
    p.evaluate<2>(kind, p.f, adjoint);
    const double h = 1e-4;
    for (int i = 0; i < p.outputs * p.columns; ++i) {
      Problem up, down;
      up.f[0][i] += h;
      down.f[0][i] -= h;
      CHECK(test::near(adjoint[0][i], (up.value(kind, 0) - down.value(kind, 0)) / (2 * h), 1e-8));
    }
    std::vector<double> ahead[3] = {p.f[0], {}, {}}, behind[3] = {p.f[0], {}, {}};
    for (std::size_t i = 0; i < p.f[0].size(); ++i) {
      ahead[0][i] += h * p.f[1][i] + h * h * p.f[2][i];
      behind[0][i] += -h * p.f[1][i] + h * h * p.f[2][i];
    }
    p.evaluate<0>(kind, ahead, plus);
    p.evaluate<0>(kind, behind, minus);
    for (std::size_t i = 0; i < p.f[0].size(); ++i) {
      CHECK(test::near(adjoint[1][i], (plus[0][i] - minus[0][i]) / (2 * h), 1e-7));
      CHECK(test::near(adjoint[2][i], (plus[0][i] + minus[0][i] - 2 * adjoint[0][i]) / (2 * h * h), 1e-6));
    }
  });
}

TEST_CASE("the squared loss is half the weighted sum of squares") {
  Problem p;
  double sum = 0;
  for (int i = 0; i < p.outputs * p.columns; ++i) {
    const double r = p.f[0][i] - p.y[i];
    sum += 0.5 * p.weights[i % p.columns] * r * r;
  }
  CHECK(test::near(p.value(LossKind::squared, 0), sum, 1e-14));
}

TEST_CASE("cross-entropy does not overflow, and a shift of all outputs changes nothing") {
  Problem p;
  const double before = p.value(LossKind::cross_entropy, 0);
  for (double& f : p.f[0]) f += 1000;
  CHECK(test::near(p.value(LossKind::cross_entropy, 0), before, 1e-11));
  Problem sure;
  for (int o = 0; o < sure.outputs; ++o)
    for (int c = 0; c < sure.columns; ++c)
      sure.f[0][o * sure.columns + c] = o == c % sure.outputs ? 800 : -800;
  CHECK(sure.value(LossKind::cross_entropy, 0) == 0);
  for (double& f : sure.f[0]) f = -f;
  CHECK(test::near_relative(sure.value(LossKind::cross_entropy, 0), 1.5 * (1600 + std::log(3.0)), 1e-14));
}

TEST_CASE("with labels flipped with probability 0.1 among 10 classes the least cross-entropy is 0.5448054") {
  // One column per label that the sample may show, weighted by its probability; the true class is 0.
  constexpr int C = 10;
  constexpr double p = 0.1;
  const auto loss = [&](const std::vector<double>& outputs, std::vector<double>& slope) {
    std::vector<double> f(C * C), adjoint(C * C);
    for (int o = 0; o < C; ++o)
      for (int c = 0; c < C; ++c) f[o * C + c] = outputs[o];
    const double value = cross_entropy_loss<0, double>(
        C, C, {f.data()}, [](int c) { return static_cast<double>(c); },
        [&](int c) { return c == 0 ? 1 - p : p / (C - 1); }, {adjoint.data()});
    slope.assign(C, 0.0);
    for (int o = 0; o < C; ++o)
      for (int c = 0; c < C; ++c) slope[o] += adjoint[o * C + c];
    return value;
  };
  std::vector<double> best(C, std::log(p / (C - 1))), slope;
  best[0] = std::log(1 - p);
  const double least = loss(best, slope);
  CHECK(std::abs(least - 0.5448054) <= 5e-8);
  for (const double s : slope) CHECK(std::abs(s) <= 1e-15);
  for (int o = 0; o < C; ++o) {
    std::vector<double> other = best;
    other[o] += 0.1;
    CHECK(loss(other, slope) > least + 1e-5);
  }
  // The same in one column of weight 1, by the labels' distribution.
  std::vector<double> slope_of_mean(C);
  const double mean = cross_entropy_loss<0, double>(
      C, 1, {best.data()}, [](int) { return 0.0; }, [](int) { return 1.0; }, {slope_of_mean.data()}, p);
  CHECK(test::near_relative(mean, least, 1e-14));
  for (const double s : slope_of_mean) CHECK(std::abs(s) <= 1e-15);
}

TEST_CASE("the mean over flipped labels is the sum over the labels by their probability, to second order") {
  constexpr int C = 4;
  constexpr double p = 0.3;
  const Eigen::VectorXd f = test::normals(3 * C, 31);
  const auto series = [&](const double* at) {
    return std::array<double*, 3>{const_cast<double*>(at), const_cast<double*>(at + C),
                                  const_cast<double*>(at + 2 * C)};  // read only
  };
  std::vector<double> sum(3 * C), adjoint(3 * C);
  double value = 0;
  for (int label = 0; label < C; ++label) {
    const double weight = label == 2 ? 1 - p : p / (C - 1);
    value += cross_entropy_loss<2, double>(
        C, 1, series(f.data()), [&](int) { return static_cast<double>(label); }, [&](int) { return weight; },
        series(adjoint.data()));
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += adjoint[i];
  }
  const double mean = cross_entropy_loss<2, double>(
      C, 1, series(f.data()), [](int) { return 2.0; }, [](int) { return 1.0; }, series(adjoint.data()), p);
  CHECK(test::near_relative(mean, value, 1e-14));
  for (std::size_t i = 0; i < sum.size(); ++i) CHECK(std::abs(adjoint[i] - sum[i]) <= 1e-14);
}

TEST_CASE("in packs the losses are those of the numbers, and columns of weight zero do not count") {
  using P = Pack<double>;
  over_losses([](LossKind kind) {
    Problem p;
    std::vector<double> expected[3];
    const double value = p.evaluate<1>(kind, p.f, expected);
    std::vector<P> f[2], adjoint[2], y(p.outputs, P(7.0));
    P weight(0.0), label(0.0);
    for (int c = 0; c < p.columns; ++c) {
      weight.set(c, p.weights[c]);
      label.set(c, c % p.outputs);
    }
    for (int k = 0; k < 2; ++k) {
      f[k].assign(p.outputs, P(3.0));
      adjoint[k].resize(p.outputs);
      for (int i = 0; i < p.outputs * p.columns; ++i) f[k][i / p.columns].set(i % p.columns, p.f[k][i]);
    }
    for (int i = 0; i < p.outputs * p.columns; ++i) y[i / p.columns].set(i % p.columns, p.y[i]);
    const detail::Coefficients<P*, 1> in{f[0].data(), f[1].data()}, out{adjoint[0].data(), adjoint[1].data()};
    const auto weights = [&](int) { return weight; };
    const P lanes = kind == LossKind::squared
                        ? squared_loss<1, P>(p.outputs, 1, in, y.data(), weights, out)
                        : cross_entropy_loss<1, P>(
                              p.outputs, 1, in, [&](int) { return label; }, weights, out);
    double sum = 0;
    for (int l = 0; l < P::width; ++l) sum += lanes[l];
    CHECK(test::near(sum, value, 1e-14));
    for (int k = 0; k < 2; ++k)
      for (int o = 0; o < p.outputs; ++o)
        for (int l = 0; l < P::width; ++l)
          CHECK(test::near(adjoint[k][o][l], l < p.columns ? expected[k][o * p.columns + l] : 0.0, 1e-14));
  });
}

TEST_CASE("hits are the samples whose largest output is their label's, the first of equals") {
  using P = Pack<double>;
  std::vector<P> f(3, P(0.0)), labels(1, P(0.0));
  const double outputs[3][4] = {{1, 2, 0, 5}, {3, 2, 0, 4}, {2, 1, 0, 6}};
  for (int o = 0; o < 3; ++o)
    for (int b = 0; b < 4; ++b) f[o].set(b, outputs[o][b]);
  const int right[4] = {1, 0, 0, 2};
  for (int b = 0; b < 4; ++b) labels[0].set(b, right[b]);
  CHECK(count_correct(3, 1, f.data(), labels.data(), 4) == 4);
  labels[0].set(3, 1);
  CHECK(count_correct(3, 1, f.data(), labels.data(), 4) == 3);
  CHECK(count_correct(3, 1, f.data(), labels.data(), 3) == 3);
}
