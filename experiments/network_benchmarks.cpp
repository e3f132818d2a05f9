#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "slowsde/experiments/benchmark_window.hpp"
#include "slowsde/experiments/benchmarks.hpp"
#include "slowsde/experiments/errors.hpp"
#include "slowsde/experiments/npy_writer.hpp"
#include "slowsde/experiments/peer.hpp"
#include "slowsde/optim/network_oracle.hpp"
#include "slowsde/problems/network_derivatives.hpp"
#include "slowsde/problems/random_address.hpp"
#include "slowsde/sde/parallel.hpp"
#include "slowsde/sde/thread_team.hpp"

namespace slowsde {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t seed = 1;
constexpr int rounds = 5;
constexpr double window = 0.3;  // seconds

/// A folder that goes away with its owner.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (fs::temp_directory_path() / "slowsde-bench-XXXXXX").string();
    if (!mkdtemp(name.data())) throw IoError("can not make a folder like " + name);
    path_ = name;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

std::vector<float> single(const Eigen::VectorXd& x) {
  std::vector<float> out;
  for (const double value : x) out.push_back(static_cast<float>(value));
  return out;
}

/// Normal inputs with the labels of a random linear teacher.
ClassificationData random_data(int n, int inputs, int classes) {
  const auto normals = [](std::uint64_t replica, std::size_t count) {
    std::vector<float> x;
    for (std::size_t i = 0; i < count; ++i)
      x.push_back(static_cast<float>(normal_at(seed, Stream::initial, replica, 0, i)));
    return x;
  };
  ClassificationData data;
  data.shape = {.channels = inputs};
  data.classes = classes;
  data.x = normals(1, static_cast<std::size_t>(n) * inputs);
  const std::vector<float> teacher = normals(2, static_cast<std::size_t>(classes) * inputs);
  for (int i = 0; i < n; ++i) {
    std::vector<double> f(classes, 0.0);
    for (int c = 0; c < classes; ++c)
      for (int j = 0; j < inputs; ++j)
        f[c] += static_cast<double>(teacher[static_cast<std::size_t>(c) * inputs + j]) * data.sample(i)[j];
    data.labels.push_back(static_cast<int>(std::max_element(f.begin(), f.end()) - f.begin()));
  }
  return data;
}

/// Fused multiply-adds of packs alone, in enough chains to hide their latency: what no matrix product can
/// exceed. Floating-point operations per second.
double multiply_adds_alone(double seconds, int threads) {
  constexpr int chains = 16, repeats = 20000;
  std::vector<double> sums(threads);
  const double items = 2.0 * chains * repeats * native_width<float> * threads;
  const double rate = window_rate(seconds, 100 * items, [&] {
    parallel_for(threads, sums.size(), [&](std::size_t t) {
      const Pack<float> factor(0.999), term(1e-3);
      Pack<float> x[chains];
      for (int g = 0; g < chains; ++g) x[g] = Pack<float>(0.1 * g);
      for (int repeat = 0; repeat < 100 * repeats; ++repeat) SLOWSDE_UNROLL(16)
      for (int g = 0; g < chains; ++g) x[g] = fma(x[g], factor, term);
      for (const Pack<float>& sum : x) sums[t] += static_cast<double>(sum[0]);
    });
  });
  for (const double sum : sums)
    if (!std::isfinite(sum)) return 0;
  return rate;
}

/// Best windows by name.
class Best {
 public:
  void add(const std::string& name, double rate) { rates_[name] = std::max(rates_[name], rate); }
  double operator[](const std::string& name) const { return rates_.at(name); }

 private:
  std::map<std::string, double> rates_;
};

/// Throws unless each form's check values are `own` to `tolerance`, relatively.
void require_agreement(const char* what, const Peer& peer, const std::vector<double>& own, double tolerance) {
  for (const Peer::Form& form : peer.forms()) {
    for (std::size_t k = 0; k < own.size(); ++k) {
      const double theirs = k < form.check.size() ? form.check[k] : std::nan("");
      if (!(std::abs(theirs - own[k]) <= tolerance * std::abs(own[k])))
        throw std::runtime_error(fmt::format("{}: PyTorch's {} has {:.9g} where slowsde has {:.9g}", what,
                                             form.name, theirs, own[k]));
    }
  }
}

/// The peer's rows, and what stands beside ours: no form that multiplies the same matrices can be more times
/// the peer than the multiply-adds alone, at rate `floor`.
std::string peer_note(const std::string& loop, const char* unit, const Peer& peer, const Best& best,
                      double own, double floor, std::vector<BenchmarkRow>& rows) {
  if (!peer.absent().empty()) return peer.absent();
  const Peer::Form* first = nullptr;
  for (const Peer::Form& form : peer.forms()) {
    const double rate = best[form.name];
    rows.push_back({loop + " " + form.name, "f32", unit, rate, 1, peer.version()});
    if (!first || rate > best[first->name]) first = &form;
  }
  for (const auto& [name, reason] : peer.failed())
    rows.push_back({loop + " " + name, "f32", unit, 0, 1, "does not run here: " + reason});
  return fmt::format("{:.1f} times PyTorch's best ({}), of at most {:.1f}", own / best[first->name],
                     first->name, floor / best[first->name]);
}

std::vector<BenchmarkRow> w3(int threads) {
  const W3Workload w = made_up_w3(W3Workload{}.workers);
  const Network network = mlp_network(w.widths);
  TemporaryFolder folder;
  write_w3(w, folder.path());
  Peer peer("w3_local_sgd.py", folder.path(), threads);

  NetworkTrainer<float> trainer(w.training(), std::vector<double>(w.start.begin(), w.start.end()),
                                NetworkOracle<float>::factory(w.task(network), 0), threads);
  const TrainerState<float> begin = trainer.state();
  const auto train = [&] {
    trainer.restore(begin);
    while (!trainer.finished()) trainer.round();
  };
  train();
  const double own_loss = w3_loss(w, trainer.parameters()), plain_loss = w3_loss(w, w3_plain(w, threads));
  constexpr double tolerance = 1e-4;  // a hundred steps in single precision, sums in another order
  require_agreement("W3, loss after 100 steps", peer, {own_loss}, tolerance);
  if (!(std::abs(plain_loss - own_loss) <= tolerance * own_loss))
    throw std::runtime_error(
        fmt::format("W3: the plain loop's loss is {:.9g}, ours {:.9g}", plain_loss, own_loss));

  const double items = static_cast<double>(w.steps) * w.workers;
  Best best;
  for (int k = 0; k < rounds; ++k) {
    best.add("slowsde", window_rate(window, items, train));
    best.add("plain", window_rate(window, items, [&] { w3_plain(w, threads); }));
    best.add("floor", multiply_adds_alone(window / 3, threads));
    for (const Peer::Form& form : peer.forms()) best.add(form.name, peer.window(form.name, window));
  }
  const double own = best["slowsde"], floor = best["floor"] / w.operations();
  const char* unit = "worker-steps";
  std::vector<BenchmarkRow> rows{{"W3 slowsde", "f32", unit, own, 1, ""}};
  const std::string note = peer_note("W3", unit, peer, best, own, floor, rows);
  rows[0].note = fmt::format("{}; {:.1f} times the plain loop; loss after 100 steps {:.6f}", note,
                             own / best["plain"], own_loss);
  rows.push_back({"W3 plain", "f32", unit, best["plain"], 1, "Eigen"});
  rows.push_back({"multiply-adds alone", "f32", unit, floor, 1,
                  fmt::format("W3 reaches {:.0f} % of this floor ({:.3g} operations/s)", 100 * own / floor,
                              best["floor"])});
  return rows;
}

std::vector<BenchmarkRow> w4(int threads) {
  const W4Workload w = made_up_w4(1);
  const Network network = mlp_network(w.widths);
  TemporaryFolder folder;
  write_w4(w, folder.path());
  Peer peer("w4_hvp.py", folder.path(), threads);

  BatchBuffer<float> buffer(network.inputs(), w.samples);
  ThreadTeam team(threads);
  NetworkDerivatives<float> derivatives(
      network, LossKind::cross_entropy, consecutive_samples(w.data, 0, w.samples, buffer),
      [&team](std::size_t count, const std::function<void(std::size_t)>& body) {
        team.for_each(count, [&](int, std::size_t index) { body(index); });
      });
  derivatives.set_point(w.theta.data());
  std::vector<float> Hv(w.v.size());
  const auto product = [&] { derivatives.hessian_vector_product(w.v.data(), Hv.data()); };
  product();
  double dot = 0, norm = 0;
  for (std::size_t i = 0; i < Hv.size(); ++i) {
    dot += static_cast<double>(w.v[i]) * Hv[i];
    norm += static_cast<double>(Hv[i]) * Hv[i];
  }
  require_agreement("W4, v.Hv and |Hv|", peer, {dot, std::sqrt(norm)}, 1e-4);

  Best best;
  for (int k = 0; k < rounds; ++k) {
    best.add("slowsde", window_rate(window, 1, product));
    best.add("floor", multiply_adds_alone(window / 3, threads));
    for (const Peer::Form& form : peer.forms()) best.add(form.name, peer.window(form.name, window));
  }
  const double own = best["slowsde"], floor = best["floor"] / w.operations();
  const char* unit = "products";
  std::vector<BenchmarkRow> rows{{"W4 slowsde", "f32", unit, own, 1, ""}};
  rows[0].note = peer_note("W4", unit, peer, best, own, floor, rows);
  rows.push_back({"multiply-adds alone", "f32", unit, floor, 1,
                  fmt::format("W4 reaches {:.0f} % of this floor ({:.3g} operations/s)", 100 * own / floor,
                              best["floor"])});
  return rows;
}

}  // namespace

W3Workload made_up_w3(int workers) {
  W3Workload w;
  w.workers = workers;
  const Network network = mlp_network(w.widths);
  w.start = single(network.initial_parameters(seed));
  w.data = random_data(w.data_samples, network.inputs(), network.outputs());
  EpochSampler sampler(w.sampling(), seed);
  for (int k = 0; k < w.steps; ++k) {
    for (int i = 0; i < w.workers; ++i) {
      const int* drawn = sampler.draw(0, static_cast<std::uint32_t>(i), static_cast<std::uint64_t>(k));
      w.samples.insert(w.samples.end(), drawn, drawn + w.batch);
    }
  }
  return w;
}

SamplingPlan W3Workload::sampling() const {
  return {.sampling = Sampling::with_replacement,
          .samples = data_samples,
          .workers = workers,
          .local_batch = batch};
}

TrainerParams W3Workload::training() const {
  TrainerParams params;
  params.workers = workers;
  params.lr = LearningRate::constant(lr);
  params.rule = std::make_shared<ConstantRule>(local_steps);
  params.total_steps = steps;
  params.update = make_update_rule("sgd", [](std::string_view, double fallback) { return fallback; });
  return params;
}

NetworkTask W3Workload::task(const Network& network) const {
  return {.network = &network, .data = &data, .sampling = sampling(), .recipe = {}, .seed = seed};
}

double W3Workload::operations() const {
  double terms = 0;
  for (std::size_t l = 0; l + 1 < widths.size(); ++l)
    terms += (l == 0 ? 2.0 : 3.0) * widths[l] * widths[l + 1];
  return 2 * terms * batch;
}

double w3_loss(const W3Workload& w, const std::vector<float>& theta) {
  const Network network = mlp_network(w.widths);
  BatchBuffer<float> all(network.inputs(), w.data_samples);
  NetworkGradient<float> gradient(network, LossKind::cross_entropy, w.data_samples);
  return gradient.evaluate(theta.data(), consecutive_samples(w.data, 0, w.data_samples, all)).loss_sum /
         w.data_samples;
}

void write_w3(const W3Workload& w, const fs::path& folder) {
  const auto size = [](int n) { return static_cast<std::size_t>(n); };
  write_npy(folder / "theta.npy", w.start, {w.start.size()});
  write_npy(folder / "x.npy", w.data.x, {size(w.data_samples), size(w.widths.front())});
  write_npy(folder / "labels.npy", w.data.labels, {size(w.data_samples)});
  write_npy(folder / "samples.npy", w.samples, {size(w.steps), size(w.workers), size(w.batch)});
}

double W4Workload::operations() const {
  double terms = 0;
  for (std::size_t l = 0; l + 1 < widths.size(); ++l)
    terms += (l == 0 ? 2.0 : 6.0) * widths[l] * widths[l + 1];
  return 2 * terms * samples;
}

W4Workload made_up_w4(int directions) {
  W4Workload w;
  w.directions = directions;
  const Network network = mlp_network(w.widths);
  w.theta = single(network.initial_parameters(seed));
  w.data = random_data(w.samples, network.inputs(), network.outputs());
  for (int k = 0; k < directions; ++k)
    for (std::size_t i = 0; i < w.theta.size(); ++i)
      w.v.push_back(static_cast<float>(normal_at(seed, Stream::probe, static_cast<std::uint64_t>(k), 0, i)));
  return w;
}

void write_w4(const W4Workload& w, const fs::path& folder) {
  const auto size = [](int n) { return static_cast<std::size_t>(n); };
  write_npy(folder / "theta.npy", w.theta, {w.theta.size()});
  write_npy(folder / "x.npy", w.data.x, {size(w.samples), size(w.widths.front())});
  write_npy(folder / "labels.npy", w.data.labels, {size(w.samples)});
  write_npy(folder / "v.npy", w.v, {size(w.directions), w.theta.size()});
}

void add_network_benchmarks(Registry& registry) {
  registry.benchmarks.add("w3", "Local SGD of 16 workers on an MLP, beside PyTorch where it is installed",
                          w3);
  registry.benchmarks.add("w4", "Hessian-vector products of an MLP, beside PyTorch where it is installed",
                          w4);
}

}  // namespace slowsde
