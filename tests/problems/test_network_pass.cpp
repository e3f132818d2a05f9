#include "slowsde/problems/network_pass.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "slowsde/problems/jet.hpp"
#include "tests/support/networks.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;
using Eigen::VectorXd;

namespace {

// The definitions of the layers, entry by entry, for one sample.
VectorXd plain(const Dense& layer, const Network::Step& step, const double* w, const VectorXd& a) {
  const int inputs = step.in.size();
  VectorXd z(layer.outputs);
  for (int o = 0; o < layer.outputs; ++o) {
    z[o] = w[layer.outputs * inputs + o];
    for (int j = 0; j < inputs; ++j) z[o] += w[o * inputs + j] * a[j];
  }
  return z;
}
VectorXd plain(const Convolution& layer, const Network::Step& step, const double* w, const VectorXd& a) {
  const ImageShape &in = step.in, &out = step.out;
  const int k = layer.kernel;
  VectorXd z(out.size());
  for (int c = 0; c < out.channels; ++c)
    for (int y = 0; y < out.height; ++y)
      for (int x = 0; x < out.width; ++x) {
        double sum = layer.bias ? w[out.channels * in.channels * k * k + c] : 0.0;
        for (int q = 0; q < in.channels; ++q)
          for (int i = 0; i < k; ++i)
            for (int j = 0; j < k; ++j) {
              const int row = layer.stride * y + i - layer.padding,
                        column = layer.stride * x + j - layer.padding;
              if (row < 0 || row >= in.height || column < 0 || column >= in.width) continue;
              sum +=
                  w[((c * in.channels + q) * k + i) * k + j] * a[(q * in.height + row) * in.width + column];
            }
        z[(c * out.height + y) * out.width + x] = sum;
      }
  return z;
}
VectorXd plain(const GroupNorm& layer, const Network::Step& step, const double* w, const VectorXd& a) {
  const int size = step.in.size() / layer.groups, positions = step.in.positions(),
            channels = step.in.channels;
  VectorXd y(a.size());
  for (int g = 0; g < layer.groups; ++g) {
    const auto z = a.segment(g * size, size);
    const double mean = z.mean(), variance = (z.array() - mean).square().mean();
    for (int f = g * size; f < (g + 1) * size; ++f)
      y[f] = w[f / positions] * (a[f] - mean) / std::sqrt(variance + layer.eps) + w[channels + f / positions];
  }
  return y;
}
VectorXd plain(const Activation& kind, const Network::Step&, const double*, const VectorXd& a) {
  return a.unaryExpr([&](double z) {
    if (kind == Activation::tanh) return std::tanh(z);
    return kind == Activation::silu ? z / (1 + std::exp(-z)) : std::max(z, 0.0);
  });
}
VectorXd plain(const AveragePool& layer, const Network::Step& step, const double*, const VectorXd& a) {
  const ImageShape &in = step.in, &out = step.out;
  VectorXd y = VectorXd::Zero(out.size());
  for (int c = 0; c < in.channels; ++c)
    for (int row = 0; row < in.height; ++row)
      for (int column = 0; column < in.width; ++column)
        y[(c * out.height + row / layer.size) * out.width + column / layer.size] +=
            a[(c * in.height + row) * in.width + column] / (layer.size * layer.size);
  return y;
}
VectorXd plain_outputs(const Network& network, const VectorXd& theta, VectorXd a) {
  for (const Network::Step& step : network.steps())
    a = std::visit([&](const auto& layer) { return plain(layer, step, theta.data() + step.offset, a); },
                   step.layer);
  return a;
}

// A pass of order N with lanes along the samples, over 11 of them (two packs, five lanes empty).
template <int N>
struct Lanes {
  using V = Pack<double>;
  static constexpr int samples = 11, columns = 2;
  const Network& network;
  VectorXd theta, direction;
  std::vector<V> x, memory, scratch;
  PassPlan plan;

  explicit Lanes(const Network& n)
      : network(n),
        theta(test::general_parameters(n, 21)),
        direction(test::normals(n.dim(), 31)),
        x(static_cast<std::size_t>(n.inputs()) * columns, V(0.0)),
        plan(n, columns, N) {
    memory.assign(plan.size(), V(std::nan("")));
    scratch.resize(GradientSum<N, V, double>::scratch_size(n, columns));
    for (int b = 0; b < samples; ++b)
      for (int j = 0; j < n.inputs(); ++j) x[j * columns + b / 8].set(b % 8, sample(b)[j]);
  }
  VectorXd sample(int b) const { return test::normals(network.inputs(), 100 + b); }
  // An adjoint in general position, zero where there is no sample; its coefficients as if it were f itself.
  template <class Pass>
  void seed(const Pass& pass) const {
    for (int k = 0; k <= N; ++k)
      for (int o = 0; o < network.outputs(); ++o)
        for (int b = 0; b < columns * 8; ++b)
          pass.output_adjoint(k)[o * columns + b / 8].set(
              b % 8, b < samples ? pass.output(k)[o * columns + b / 8][b % 8] : 0.0);
  }
  typename NetworkPass<V, N, double>::Parameters parameters() const {
    typename NetworkPass<V, N, double>::Parameters p(theta.data());
    if constexpr (N > 0) p.direction[0] = {direction.data()};
    return p;
  }
  NetworkPass<V, N, double> pass() { return {network, plan, memory.data()}; }
  VectorXd gradient(const NetworkPass<V, N, double>& done) {
    NetworkPass<V, N, double> p = done;
    VectorXd g = VectorXd::Constant(network.dim(), std::nan(""));
    p.reverse(parameters(), GradientSum<N, V, double>(columns, scratch.data(), g.data(), false));
    return g;
  }
};

// Coefficient N of Σ_b J_bᵀ f_b along θ + s u, by a pass over one number at a time whose scalar is a jet.
template <int N>
VectorXd by_jets(const Lanes<N>& lanes) {
  using Jet = Taylor<double, 2>;
  const Network& network = lanes.network;
  const PassPlan plan(network, 1, 0);
  std::vector<Jet> theta(network.dim()), x(network.inputs()), memory(plan.size()), g(network.dim(), Jet(0.0));
  for (int k = 0; k < network.dim(); ++k) theta[k] = Jet::line(lanes.theta[k], lanes.direction[k]);
  for (int b = 0; b < lanes.samples; ++b) {
    const VectorXd sample = lanes.sample(b);
    for (int j = 0; j < network.inputs(); ++j) x[j] = Jet(sample[j]);
    NetworkPass<Jet> pass(network, plan, memory.data());
    pass.forward(theta.data(), x.data());
    std::copy(pass.output(0), pass.output(0) + network.outputs(), pass.output_adjoint(0));
    pass.reverse(theta.data(), GradientSum<0, Jet, Jet>(1, nullptr, g.data()));
  }
  VectorXd result(network.dim());
  for (int k = 0; k < network.dim(); ++k) result[k] = g[k].c[N];
  return result;
}

}  // namespace

TEST_CASE("a pass computes what the layers' definitions say") {
  test::over_networks([](const Network& network) {
    Lanes<0> lanes(network);
    auto pass = lanes.pass();
    pass.forward(lanes.parameters(), lanes.x.data());
    for (int b = 0; b < lanes.samples; ++b) {
      const VectorXd f = plain_outputs(network, lanes.theta, lanes.sample(b));
      for (int o = 0; o < network.outputs(); ++o)
        CHECK(test::near(pass.output(0)[o * lanes.columns + b / 8][b % 8], f[o], 1e-13));
    }
  });
}

TEST_CASE("the reverse pass is the derivative of ½ Σ |f|² by the layers' definitions") {
  test::over_networks([](const Network& network) {
    Lanes<0> lanes(network);
    auto pass = lanes.pass();
    pass.forward(lanes.parameters(), lanes.x.data());
    lanes.seed(pass);
    const VectorXd g = lanes.gradient(pass);
    const auto loss = [&](const VectorXd& theta) {
      double sum = 0;
      for (int b = 0; b < lanes.samples; ++b)
        sum += 0.5 * plain_outputs(network, theta, lanes.sample(b)).squaredNorm();
      return sum;
    };
    const double h = 1e-5;  // central differences: h²·L''' and rounding/h
    VectorXd theta = lanes.theta;
    for (int k = 0; k < network.dim(); k += 1 + network.dim() / 100) {
      theta[k] = lanes.theta[k] + h;
      const double up = loss(theta);
      theta[k] = lanes.theta[k] - h;
      const double down = loss(theta);
      theta[k] = lanes.theta[k];
      CHECK(std::abs(g[k] - (up - down) / (2 * h)) <= 1e-7 * std::max(1.0, g.norm()));
    }
  });
}

TEST_CASE("coefficients of the gradient along a line are those that jets through the pass carry") {
  test::over_networks([](const Network& network) {
    const auto check = [&](auto lanes, const VectorXd& expected) {
      auto pass = lanes.pass();
      pass.forward(lanes.parameters(), lanes.x.data());
      lanes.seed(pass);
      CHECK(test::relative(lanes.gradient(pass), expected) < 1e-12);
    };
    check(Lanes<0>(network), by_jets(Lanes<0>(network)));
    check(Lanes<1>(network), by_jets(Lanes<1>(network)));
    check(Lanes<2>(network), by_jets(Lanes<2>(network)));
  });
}

TEST_CASE("a pass continued at order one gives what it gives at once") {
  test::over_networks([](const Network& network) {
    Lanes<1> lanes(network);
    auto pass = lanes.pass();
    pass.forward(lanes.parameters(), lanes.x.data());
    lanes.seed(pass);
    const VectorXd expected = lanes.gradient(pass);

    // Order 0 in the memory of order 1, and the higher coefficients in another place.
    using V = Pack<double>;
    std::vector<V> base(lanes.plan.base_size(), V(std::nan(""))),
        higher(lanes.plan.higher_size(), V(std::nan("")));
    NetworkPass<V, 0, double> zeroth(network, lanes.plan, base.data(), nullptr);
    zeroth.forward(lanes.theta.data(), lanes.x.data());
    const auto seed = [&](const auto& p, int k) {
      for (int o = 0; o < network.outputs(); ++o)
        for (int b = 0; b < lanes.columns * 8; ++b)
          p.output_adjoint(k)[o * lanes.columns + b / 8].set(
              b % 8, b < lanes.samples ? p.output(k)[o * lanes.columns + b / 8][b % 8] : 0.0);
    };
    seed(zeroth, 0);
    zeroth.reverse(lanes.theta.data(), [](const auto&) {});
    NetworkPass<V, 1, double> first(network, lanes.plan, base.data(), higher.data());
    for (int repeat = 0; repeat < 2; ++repeat) {  // what is continued is not spoiled
      first.forward<1>(lanes.parameters(), lanes.x.data());
      seed(first, 1);
      VectorXd g = VectorXd::Zero(network.dim());
      first.reverse<1>(lanes.parameters(),
                       GradientSum<1, V, double>(lanes.columns, lanes.scratch.data(), g.data()));
      CHECK(test::relative(g, expected) < 1e-13);
    }
  });
}

TEST_CASE("every lane may move in a direction of its own") {
  test::over_networks([](const Network& network) {
    using V = Pack<double>;
    const Lanes<1> lanes(network);
    const int d = network.dim();
    const PassPlan plan(network, lanes.columns, 1);
    std::vector<V> memory(plan.size()), directions(static_cast<std::size_t>(lanes.columns) * d);
    for (int b = 0; b < lanes.columns * 8; ++b) {
      const VectorXd u = test::normals(d, 400 + b);
      for (int k = 0; k < d; ++k) directions[b / 8 * d + k].set(b % 8, u[k]);
    }
    using Pass = NetworkPass<V, 1, double, true>;
    Pass pass(network, plan, memory.data());
    pass.forward(typename Pass::Parameters(lanes.theta.data(), {directions.data(), d}), lanes.x.data());
    for (int b = 0; b < lanes.samples; ++b) {
      const VectorXd u = test::normals(d, 400 + b);
      const double h = 1e-5;
      const VectorXd difference = (plain_outputs(network, lanes.theta + h * u, lanes.sample(b)) -
                                   plain_outputs(network, lanes.theta - h * u, lanes.sample(b))) /
                                  (2 * h);
      for (int o = 0; o < network.outputs(); ++o)
        CHECK(std::abs(pass.output(1)[o * lanes.columns + b / 8][b % 8] - difference[o]) <=
              1e-7 * std::max(1.0, difference.norm()));
    }
  });
}
