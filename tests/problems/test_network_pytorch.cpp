// Derivatives of networks against an independent automatic differentiation: PyTorch's, where it is installed
// (the Python that SLOWSDE_PYTHON names, or /usr/bin/python3). Without it the test is skipped: status 77.
#include <doctest/doctest.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <variant>
#include <vector>

#include "slowsde/problems/network.hpp"
#include "slowsde/problems/network_derivatives.hpp"
#include "slowsde/problems/network_gradient.hpp"
#include "slowsde/problems/network_model.hpp"
#include "slowsde/problems/random_address.hpp"

using namespace slowsde;
namespace fs = std::filesystem;

namespace {

constexpr int not_here = 77, samples = 21;  // no multiple of a pack

struct Case {
  std::string name;
  Network network;
  LossKind loss;
  double decay;
};

std::vector<Case> cases() {
  std::vector<Case> all;
  const auto add = [&](std::string name, const Network& network) {
    all.push_back({name + "_squared", network, LossKind::squared, 0});
    all.push_back({name + "_cross_entropy", network, LossKind::cross_entropy, 0.03});
  };
  add("mlp_tanh", mlp_network({7, 9, 6, 4}, Activation::tanh));
  add("mlp_silu", mlp_network({7, 9, 4}, Activation::silu));
  add("mlp_relu", mlp_network({7, 9, 8, 4}, Activation::relu));
  add("cnn_silu", cnn_network({1, 8, 8}, {4, 6}, 3, Activation::silu, 2));
  add("cnn_tanh", cnn_network({3, 4, 4}, {4}, 3, Activation::tanh, 0));
  add("cnn_relu", cnn_network({2, 4, 4}, {6}, 3, Activation::relu, 3));
  add("strided", Network({2, 7, 6}, {Convolution{.channels = 4, .kernel = 3, .padding = 2, .stride = 2},
                                     Activation::tanh, GroupNorm{.groups = 1, .eps = 1e-3},
                                     Convolution{.channels = 3, .kernel = 2, .padding = 0, .bias = false},
                                     Activation::silu, Dense{5}, Activation::tanh, Dense{3}}));
  return all;
}

Eigen::VectorXd normals(Stream stream, std::uint64_t replica, Eigen::Index count) {
  Eigen::VectorXd x(count);
  for (Eigen::Index i = 0; i < count; ++i)
    x[i] = normal_at(3, stream, replica, 0, static_cast<std::uint64_t>(i));
  return x;
}

struct Setting {
  Eigen::VectorXd theta, u, x, y;  // x: (samples × inputs); y: (samples × outputs)
  std::vector<int> labels;
};

Setting setting_of(const Case& c) {
  Setting s;
  // Every parameter off its start, or biases of zero and scales of one would hide what they do.
  s.theta = c.network.initial_parameters(5) + 0.1 * normals(Stream::initial, 1, c.network.dim());
  s.u = normals(Stream::probe, 0, c.network.dim());
  s.x = normals(Stream::initial, 2, samples * c.network.inputs());
  s.y = normals(Stream::initial, 3, samples * c.network.outputs());
  for (int i = 0; i < samples; ++i) s.labels.push_back(i * 7 % c.network.outputs());
  return s;
}

std::string description(const Case& c) {
  const ImageShape& in = c.network.input();
  std::string text = "input " + std::to_string(in.channels) + " " + std::to_string(in.height) + " " +
                     std::to_string(in.width) + "\n";
  const auto words = [&](const char* name, auto... values) {
    text += name;
    (text.append(" ").append(std::to_string(values)), ...);
    text += "\n";
  };
  for (const Network::Step& step : c.network.steps()) {
    if (const auto* dense = std::get_if<Dense>(&step.layer)) words("dense", dense->outputs);
    if (const auto* z = std::get_if<Convolution>(&step.layer))
      words("convolution", z->channels, z->kernel, z->padding, z->stride, static_cast<int>(z->bias));
    if (const auto* norm = std::get_if<GroupNorm>(&step.layer)) words("norm", norm->groups, norm->eps);
    if (const auto* pool = std::get_if<AveragePool>(&step.layer)) words("pool", pool->size);
    if (const auto* phi = std::get_if<Activation>(&step.layer))
      words(*phi == Activation::tanh ? "tanh" : *phi == Activation::silu ? "silu" : "relu");
  }
  words(c.loss == LossKind::squared ? "loss squared" : "loss cross_entropy");
  words("decay", c.decay);
  return text;
}

void write(const fs::path& file, const Eigen::VectorXd& x) {
  std::ofstream(file, std::ios::binary)
      .write(reinterpret_cast<const char*>(x.data()),
             static_cast<std::streamsize>(x.size() * sizeof(double)));
}

struct Derivatives {
  double loss = 0;
  Eigen::VectorXd gradient, product, third;
};

/// The batch in the layout of the passes: feature-major, padded to whole packs.
struct Columns {
  std::vector<Pack<double>> x, y;
  Batch<double> batch;

  Columns(const Case& c, const Setting& s) {
    const int stride = batch_stride<double>(samples);
    const auto lay_out = [&](const Eigen::VectorXd& from, int rows, std::vector<Pack<double>>& to) {
      constexpr int lanes = Pack<double>::width;
      to.assign(static_cast<std::size_t>(rows) * stride / lanes, Pack<double>(0.0));
      for (int j = 0; j < rows; ++j)
        for (int b = 0; b < samples; ++b)
          to[(static_cast<std::size_t>(j) * stride + b) / lanes].set(b % lanes, from[b * rows + j]);
    };
    lay_out(s.x, c.network.inputs(), x);
    lay_out(s.y, c.network.outputs(), y);
    batch = {.size = samples,
             .stride = stride,
             .x = reinterpret_cast<const double*>(x.data()),
             .labels = s.labels.data(),
             .y = reinterpret_cast<const double*>(y.data())};
  }
};

/// Ours; `network` may be another one than the case's, of the same parameters.
Derivatives own(const Case& c, const Setting& s, const Network& network, double decay) {
  const Eigen::Index d = network.dim();
  Derivatives r{0, Eigen::VectorXd(d), Eigen::VectorXd(d), Eigen::VectorXd(d)};
  if (c.loss == LossKind::squared) {
    const Columns columns(c, s);
    NetworkDerivatives<double> derivatives(network, c.loss, columns.batch);
    r.loss = derivatives.gradient(s.theta.data(), r.gradient.data());
    derivatives.set_point(s.theta.data());
    derivatives.hessian_vector_product(s.u.data(), r.product.data());
    derivatives.third_contraction(s.theta.data(), s.u.data(), r.third.data());
  } else {
    const ClassificationModel model(network, std::vector<double>(s.x.begin(), s.x.end()), s.labels, decay);
    r.loss = model.loss(s.theta);
    model.gradient(s.theta, r.gradient);
    model.hessian_vector_product(s.theta, s.u, r.product);
    model.third_contraction(s.theta, s.u, r.third);
  }
  return r;
}

double distance(const Eigen::VectorXd& a, const Eigen::VectorXd& b) { return (a - b).norm() / b.norm(); }

/// PyTorch's, in one process for all cases.
std::vector<Derivatives> theirs(const std::vector<Case>& all) {
  std::string name = (fs::temp_directory_path() / "slowsde-pytorch-XXXXXX").string();
  REQUIRE(mkdtemp(name.data()) != nullptr);
  const fs::path folder = name;
  const char* named = std::getenv("SLOWSDE_PYTHON");
  const fs::path script = fs::path(__FILE__).parent_path() / "network_pytorch.py";
  std::string command = std::string("'") + (named ? named : "/usr/bin/python3") + "' '" + script.string() +
                        "' '" + folder.string() + "'";
  for (const Case& c : all) {
    const Setting s = setting_of(c);
    std::ofstream(folder / (c.name + ".txt")) << description(c);
    write(folder / (c.name + ".theta"), s.theta);
    write(folder / (c.name + ".u"), s.u);
    write(folder / (c.name + ".x"), s.x);
    Eigen::VectorXd y = s.y;
    if (c.loss == LossKind::cross_entropy) {
      y.resize(samples);
      for (int i = 0; i < samples; ++i) y[i] = s.labels[static_cast<std::size_t>(i)];
    }
    write(folder / (c.name + ".y"), y);
    command += " " + c.name;
  }
  const int status = std::system(command.c_str());
  std::vector<Derivatives> results;
  for (const Case& c : all) {
    std::ifstream file(folder / (c.name + ".out"), std::ios::binary);
    Eigen::VectorXd out(1 + 3 * c.network.dim());
    file.read(reinterpret_cast<char*>(out.data()), static_cast<std::streamsize>(out.size() * sizeof(double)));
    if (!file) continue;
    const Eigen::Index d = c.network.dim();
    results.push_back({out[0], out.segment(1, d), out.segment(1 + d, d), out.segment(1 + 2 * d, d)});
  }
  fs::remove_all(folder);
  if (WIFEXITED(status) && (WEXITSTATUS(status) == not_here || WEXITSTATUS(status) == 127)) {
    std::puts("skipped: there is no PyTorch here");
    std::fflush(stdout);
    std::_Exit(not_here);
  }
  REQUIRE(status == 0);
  REQUIRE(results.size() == all.size());
  return results;
}

}  // namespace

TEST_CASE("loss, gradient, Hessian-vector product and third contraction are those of PyTorch's autograd") {
  const std::vector<Case> all = cases();
  const std::vector<Derivatives> reference = theirs(all);
  constexpr double tolerance = 1e-6;
  double worst = 0;
  for (std::size_t k = 0; k < all.size(); ++k) {
    CAPTURE(all[k].name);
    const Setting s = setting_of(all[k]);
    const Derivatives r = own(all[k], s, all[k].network, all[k].decay);
    const Derivatives& t = reference[k];
    CHECK(std::abs(r.loss - t.loss) <= tolerance * t.loss);
    CHECK(distance(r.gradient, t.gradient) <= tolerance);
    CHECK(distance(r.product, t.product) <= tolerance);
    CHECK(distance(r.third, t.third) <= tolerance);
    CHECK(t.third.norm() > 0);
    worst = std::max({worst, distance(r.gradient, t.gradient), distance(r.product, t.product),
                      distance(r.third, t.third)});

    // The batch's gradient in the training loop is another path through the same passes.
    if (all[k].decay == 0) {
      const Columns columns(all[k], s);
      NetworkGradient<double> gradient(all[k].network, all[k].loss, samples);
      Eigen::VectorXd g(all[k].network.dim());
      CHECK(std::abs(gradient.value_and_gradient(s.theta.data(), columns.batch, g.data()) - t.loss) <=
            tolerance * t.loss);
      CHECK(distance(g, t.gradient) <= tolerance);
    } else {
      // Mutants: without the decay here, with another first activation below.
      CHECK(distance(own(all[k], s, all[k].network, 0).gradient, t.gradient) > 1e3 * tolerance);
    }
    std::vector<Layer> layers;
    bool changed = false;
    for (const Network::Step& step : all[k].network.steps()) {
      layers.push_back(step.layer);
      if (auto* phi = std::get_if<Activation>(&layers.back())) {
        if (!changed) *phi = *phi == Activation::tanh ? Activation::silu : Activation::tanh;
        changed = true;
      }
    }
    const Derivatives mutant = own(all[k], s, Network(all[k].network.input(), layers), all[k].decay);
    CHECK(distance(mutant.gradient, t.gradient) > 1e3 * tolerance);
    CHECK(distance(mutant.product, t.product) > 1e3 * tolerance);
    CHECK(distance(mutant.third, t.third) > 1e3 * tolerance);
  }
  MESSAGE("worst relative difference: ", worst);
}
