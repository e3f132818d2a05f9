#include "slowsde/problems/network_model.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "slowsde/problems/network_data.hpp"
#include "slowsde/problems/network_loss.hpp"
#include "slowsde/problems/network_pass.hpp"
#include "slowsde/problems/requirement.hpp"

namespace slowsde {
namespace {

using Eigen::MatrixXd;
using Eigen::VectorXd;
using V = Pack<double>;
constexpr int lanes = V::width;

// Memory for one call: nothing is initialised, and several threads may use one model.
class Memory {
 public:
  explicit Memory(std::size_t size) : packs_(std::make_unique_for_overwrite<V[]>(size)) {}
  V* get() const { return packs_.get(); }

 private:
  std::unique_ptr<V[]> packs_;
};

int pack_count(int entries) { return (entries + lanes - 1) / lanes; }

// Entries of a column-major table (rows × entries) from `first` on as packs: (rows × columns), zero beyond
// the end.
template <class Value>
std::vector<V> gather(int rows, int columns, int first, int end, Value&& value) {
  std::vector<V> packs(static_cast<std::size_t>(rows) * columns, V(0.0));
  for (int r = 0; r < rows; ++r)
    for (int e = first; e < std::min(end, first + columns * lanes); ++e)
      packs[static_cast<std::size_t>(r) * columns + (e - first) / lanes].set((e - first) % lanes,
                                                                             value(r, e));
  return packs;
}

// Writes the lanes of a pack to entries first, first + 1, … below `end`.
void scatter(const V& pack, double* entries, int first, int end) {
  if (first + lanes <= end) {
    std::memcpy(entries + first, &pack, sizeof pack);
  } else {
    for (int e = first; e < end; ++e) entries[e] = pack[e - first];
  }
}

// A batch of all samples, feature-major.
NetworkDerivatives<double> make_derivatives(const Network& network, const std::vector<double>& x,
                                            const std::vector<int>& labels, double weight_decay,
                                            double label_flip, ParallelLoop loop) {
  const auto require = [](bool holds, const char* inequality, auto value) {
    detail::require(holds, "classification", inequality, value);
  };
  const int n = static_cast<int>(labels.size()), inputs = network.inputs();
  require(n >= 1, "samples >= 1", n);
  require(x.size() == static_cast<std::size_t>(n) * inputs, "x.size() = samples*inputs", x.size());
  require(weight_decay >= 0, "weight_decay >= 0", weight_decay);
  for (const int label : labels) {
    require(label >= 0, "label >= 0", label);
    require(label < network.outputs(), "label < classes", label);
  }
  MatrixXd by_feature = Eigen::Map<const MatrixXd>(x.data(), inputs, n).transpose();
  return {network, LossKind::cross_entropy,
          Batch<double>{.size = n, .stride = n, .x = by_feature.data(), .labels = labels.data()},
          std::move(loop), label_flip};
}

}  // namespace

// Samples and residuals run along the lanes in chunks whose activations fit into the second-level cache.
struct NetworkModel::Data {
  struct Chunk {
    int first = 0;           // sample or residual
    std::vector<V> x, y;     // (inputs × columns); targets, or unit vectors e_c of the residuals' outputs
    std::vector<V> weights;  // (columns): 1/n, zero in lanes that hold no sample
  };
  struct Chunks {
    int count = 0;  // samples or residuals
    PassPlan plan;
    std::vector<Chunk> chunks;
    int columns() const { return plan.columns(); }
  };

  Network network;
  int samples;
  Chunks by_sample, by_residual, by_direction;

  Data(Network given, const Dataset& data)
      : network(std::move(given)),
        samples(data.n),
        by_sample(make_chunks(data, false, sample_columns())),
        by_residual(make_chunks(data, true, sample_columns())),
        by_direction(make_chunks(data, true, direction_columns())) {}

  int outputs() const { return network.outputs(); }

  static constexpr std::size_t cache_packs = (std::size_t{1} << 19) / sizeof(V);
  int sample_columns() const {
    return std::clamp(static_cast<int>(cache_packs / PassPlan(network, 1, 0).size()), 4, 64);
  }
  // Directions weigh more than activations: d packs per column.
  int direction_columns() const {
    return std::clamp(static_cast<int>(cache_packs / static_cast<std::size_t>(network.dim())), 1, 4);
  }

  Chunks make_chunks(const Dataset& data, bool residuals, int most_columns) const {
    const int C = data.outputs, count = residuals ? data.n * C : data.n;
    const int columns = std::min(most_columns, pack_count(count));
    Chunks result{count, PassPlan(network, columns, 1), {}};
    for (int first = 0; first < count; first += columns * lanes) {
      Chunk chunk{first, {}, {}, {}};
      chunk.x = gather(data.inputs, columns, first, count, [&](int j, int e) {
        return data.x[static_cast<std::size_t>(residuals ? e / C : e) * data.inputs + j];
      });
      chunk.y = gather(C, columns, first, count, [&](int c, int e) {
        return residuals ? static_cast<double>(e % C == c) : data.y[static_cast<std::size_t>(e) * C + c];
      });
      chunk.weights = gather(1, columns, first, count, [&](int, int) { return 1.0 / data.n; });
      result.chunks.push_back(std::move(chunk));
    }
    return result;
  }

  // entries[e·C + c] of the samples of one chunk ↔ (C × columns) packs
  void read_outputs(const V* packs, const Chunk& chunk, double* entries) const {
    const int C = outputs(), columns = by_sample.columns();
    for (int e = chunk.first; e < std::min(samples, chunk.first + columns * lanes); ++e)
      for (int c = 0; c < C; ++c) {
        const int b = e - chunk.first;
        entries[static_cast<std::ptrdiff_t>(e) * C + c] = packs[c * columns + b / lanes][b % lanes];
      }
  }

  // Coefficient N of the gradient along θ + s u, summed over the samples, with the adjoints that seed(chunk,
  // pass) writes.
  template <int N, class Seed>
  void sum_gradients(const VectorXd& theta, const VectorXd* u, VectorXd& out, Seed&& seed) const {
    using Pass = NetworkPass<V, N, double>;
    const PassPlan plan(network, by_sample.columns(), N);
    const Memory memory(plan.size()),
        scratch(GradientSum<N, V, double>::scratch_size(network, plan.columns()));
    typename Pass::Parameters parameters(theta.data());
    if constexpr (N > 0) parameters.direction[0] = {u->data()};
    VectorXd sum = VectorXd::Zero(network.dim());
    for (const Chunk& chunk : by_sample.chunks) {
      Pass pass(network, plan, memory.get());
      pass.forward(parameters, chunk.x.data());
      seed(chunk, pass);
      pass.reverse(parameters, GradientSum<N, V, double>(plan.columns(), scratch.get(), sum.data()));
    }
    out = std::move(sum);
  }

  // The same for ∇L.
  template <int N>
  void gradient_coefficient(const VectorXd& theta, const VectorXd* u, VectorXd& out) const {
    sum_gradients<N>(theta, u, out, [&](const Chunk& chunk, const auto& pass) {
      squared_loss<N, V>(
          outputs(), by_sample.columns(), pass.outputs(), chunk.y.data(),
          [&](int c) { return chunk.weights[c]; }, pass.output_adjoints());
    });
  }

  // A pass over all residuals with the adjoints e_c; visit(chunk, contact) for the layers with parameters.
  template <class Visit>
  void over_residuals(const VectorXd& theta, Visit&& visit) const {
    const Memory memory(by_residual.plan.size());
    for (const Chunk& chunk : by_residual.chunks) {
      NetworkPass<V, 0, double> pass(network, by_residual.plan, memory.get());
      pass.forward(theta.data(), chunk.x.data());
      std::copy(chunk.y.begin(), chunk.y.end(), pass.output_adjoint(0));
      pass.reverse(theta.data(), [&](const auto& contact) { visit(chunk, contact); });
    }
  }
};

NetworkModel::NetworkModel(Network network, const Dataset& data) {
  detail::require_fit(network, data);
  data_ = std::make_shared<const Data>(std::move(network), data);
}

const Network& NetworkModel::network() const { return data_->network; }
int NetworkModel::dim() const { return data_->network.dim(); }
int NetworkModel::samples() const { return data_->samples; }
int NetworkModel::outputs() const { return data_->network.outputs(); }

void NetworkModel::residual(const VectorXd& theta, VectorXd& r) const {
  const Data& d = *data_;
  r.resize(residuals());
  const Memory memory(d.by_sample.plan.size());
  for (const Data::Chunk& chunk : d.by_sample.chunks) {
    NetworkPass<V, 0, double> pass(d.network, d.by_sample.plan, memory.get());
    pass.forward(theta.data(), chunk.x.data());
    V* f = pass.output(0);
    for (std::size_t i = 0; i < chunk.y.size(); ++i) f[i] -= chunk.y[i];
    d.read_outputs(f, chunk, r.data());
  }
}

void NetworkModel::gradient(const VectorXd& theta, VectorXd& g) const {
  data_->gradient_coefficient<0>(theta, nullptr, g);
}

void NetworkModel::hessian_vector_product(const VectorXd& theta, const VectorXd& u, VectorXd& out) const {
  data_->gradient_coefficient<1>(theta, &u, out);
}

// ∇L(θ + su) = … + ½s² ∇³L[u uᵀ]
void NetworkModel::third_contraction(const VectorXd& theta, const VectorXd& u, VectorXd& out) const {
  data_->gradient_coefficient<2>(theta, &u, out);
  out *= 2;
}

void NetworkModel::pull_back(const VectorXd& theta, const VectorXd& y, VectorXd& out) const {
  const Data& d = *data_;
  d.sum_gradients<0>(theta, nullptr, out, [&](const Data::Chunk& chunk, const auto& pass) {
    const std::vector<V> seed = gather(outputs(), d.by_sample.columns(), chunk.first, samples(),
                                       [&](int c, int e) { return y[e * outputs() + c]; });
    std::copy(seed.begin(), seed.end(), pass.output_adjoint(0));
  });
}

void NetworkModel::push_forward(const VectorXd& theta, const VectorXd& v, VectorXd& out) const {
  const Data& d = *data_;
  out.resize(residuals());
  const Memory memory(d.by_sample.plan.size());
  for (const Data::Chunk& chunk : d.by_sample.chunks) {
    NetworkPass<V, 1, double> pass(d.network, d.by_sample.plan, memory.get());
    pass.forward({theta.data(), {v.data()}}, chunk.x.data());
    d.read_outputs(pass.output(1), chunk, out.data());
  }
}

void NetworkModel::jacobian(const VectorXd& theta, MatrixXd& J) const {
  const Data& d = *data_;
  const int rows = residuals();
  J.resize(rows, dim());
  d.over_residuals(theta, [&](const Data::Chunk& chunk, const auto& contact) {
    double* block = J.data() + static_cast<std::ptrdiff_t>(contact.step.offset) * rows;
    detail::over_column_gradients(contact.step, contact.input[0], contact.delta[0], d.by_residual.columns(),
                                  [&](int parameter, int c, const V& value) {
                                    scatter(value, block + static_cast<std::ptrdiff_t>(parameter) * rows,
                                            chunk.first + c * lanes, rows);
                                  });
  });
}

void NetworkModel::gram(const VectorXd& theta, MatrixXd& G) const {
  const Data& d = *data_;
  const int rows = residuals(), C = outputs();
  // Per layer: δ and inputs of dense layers, the Jacobian's columns of the others, residuals along the rows.
  struct Part {
    const Network::Step* step;
    MatrixXd delta, input, jacobian;
  };
  std::vector<Part> parts;
  for (const Network::Step& step : d.network.steps()) {
    if (step.parameters == 0) continue;
    Part part{&step, {}, {}, {}};
    if (std::holds_alternative<Dense>(step.layer)) {
      part.delta.resize(rows, step.channels_out);
      part.input.resize(rows, step.channels_in);
    } else {
      part.jacobian.resize(rows, step.parameters);
    }
    parts.push_back(std::move(part));
  }
  d.over_residuals(theta, [&](const Data::Chunk& chunk, const auto& contact) {
    Part& part =
        *std::find_if(parts.begin(), parts.end(), [&](const Part& l) { return l.step == &contact.step; });
    const int columns = d.by_residual.columns();
    const auto put = [&](const V& value, MatrixXd& to, int column, int c) {
      scatter(value, to.data() + static_cast<std::ptrdiff_t>(column) * rows, chunk.first + c * lanes, rows);
    };
    if (part.jacobian.size() > 0) {
      detail::over_column_gradients(
          contact.step, contact.input[0], contact.delta[0], columns,
          [&](int parameter, int c, const V& value) { put(value, part.jacobian, parameter, c); });
      return;
    }
    for (int o = 0; o < contact.step.channels_out; ++o)
      for (int c = 0; c < columns; ++c) put(contact.delta[0][o * columns + c], part.delta, o, c);
    for (int j = 0; j < contact.step.channels_in; ++j)
      for (int c = 0; c < columns; ++c) put(contact.input[0][j * columns + c], part.input, j, c);
  });
  // Symmetric: the lower half is computed.
  G.setZero(rows, rows);
  MatrixXd deltas(rows, rows), inputs(samples(), samples());
  for (const Part& part : parts) {
    if (part.jacobian.size() > 0) {
      G.selfadjointView<Eigen::Lower>().rankUpdate(part.jacobian);
      continue;
    }
    // Dense: <δ(a), δ(b)> (<x(a), x(b)> + 1), the outer products' inner products, and the biases'.
    deltas.setZero();
    deltas.selfadjointView<Eigen::Lower>().rankUpdate(part.delta);
    const MatrixXd x = part.input(Eigen::seqN(0, samples(), C), Eigen::all);
    inputs.noalias() = x * x.transpose();
    for (int k = 0; k < samples(); ++k)
      for (int i = k; i < samples(); ++i)
        G.block(i * C, k * C, C, C) += (inputs(i, k) + 1) * deltas.block(i * C, k * C, C, C);
  }
  G /= samples();
  G.triangularView<Eigen::StrictlyUpper>() = G.transpose();
}

// ∇f_a(θ + s w_a) for all a at once, each lane along its own w_a; coefficient 1, summed over a.
void NetworkModel::curvature_contraction(const VectorXd& theta, const MatrixXd& W, VectorXd& out) const {
  const Data& d = *data_;
  const Data::Chunks& chunks = d.by_direction;
  const int columns = chunks.columns(), dimension = dim(), rows = residuals();
  using Pass = NetworkPass<V, 1, double, true>;
  out.setZero(dimension);
  const Memory memory(chunks.plan.size()), directions(static_cast<std::size_t>(columns) * dimension),
      scratch(GradientSum<1, V, double>::scratch_size(d.network, columns));
  for (const Data::Chunk& chunk : chunks.chunks) {
    for (int c = 0; c < columns; ++c) {
      V* column = directions.get() + static_cast<std::ptrdiff_t>(c) * dimension;
      const int first = chunk.first + c * lanes;
      int p = 0;
      if (first + lanes <= rows) {
        for (; p + lanes <= dimension; p += lanes) {
          V block[lanes];
          for (int l = 0; l < lanes; ++l) std::memcpy(&block[l], &W(p, first + l), sizeof(V));
          detail::transpose(block);
          for (int l = 0; l < lanes; ++l) column[p + l] = block[l];
        }
      }
      for (; p < dimension; ++p)
        for (int l = 0; l < lanes; ++l) column[p].set(l, first + l < rows ? W(p, first + l) : 0.0);
    }
    Pass pass(d.network, chunks.plan, memory.get());
    const typename Pass::Parameters parameters(theta.data(), {directions.get(), dimension});
    pass.forward(parameters, chunk.x.data());
    std::copy(chunk.y.begin(), chunk.y.end(), pass.output_adjoint(0));
    std::fill_n(pass.output_adjoint(1), chunk.y.size(), V(0.0));
    pass.reverse(parameters, GradientSum<1, V, double>(columns, scratch.get(), out.data()));
  }
}

ClassificationModel::ClassificationModel(Network network, const std::vector<double>& x,
                                         std::vector<int> labels, double weight_decay, double label_flip,
                                         ParallelLoop loop)
    : labels_(std::move(labels)),
      weight_decay_(weight_decay),
      derivatives_(make_derivatives(network, x, labels_, weight_decay, label_flip, std::move(loop))) {}

std::vector<int> ClassificationModel::class_counts() const {
  std::vector<int> counts(classes(), 0);
  for (const int label : labels_) ++counts[label];
  return counts;
}

double ClassificationModel::loss(const VectorXd& theta) const {
  return derivatives_.loss(theta.data()) + 0.5 * weight_decay_ * theta.squaredNorm();
}

void ClassificationModel::gradient(const VectorXd& theta, VectorXd& g) const {
  VectorXd sum(dim());
  derivatives_.gradient(theta.data(), sum.data());
  g = sum + weight_decay_ * theta;
}

void ClassificationModel::hessian_vector_product(const VectorXd& theta, const VectorXd& u,
                                                 VectorXd& out) const {
  if (point_.size() != theta.size() || point_ != theta) {
    derivatives_.set_point(theta.data());
    point_ = theta;
  }
  VectorXd product(dim());
  derivatives_.hessian_vector_product(u.data(), product.data());
  out = product + weight_decay_ * u;
}

// The weight decay is quadratic: it has no third derivative.
void ClassificationModel::third_contraction(const VectorXd& theta, const VectorXd& u, VectorXd& out) const {
  VectorXd contraction(dim());
  derivatives_.third_contraction(theta.data(), u.data(), contraction.data());
  out = std::move(contraction);
}

std::int64_t ClassificationModel::correct(const VectorXd& theta) const {
  return derivatives_.correct(theta.data());
}

}  // namespace slowsde
