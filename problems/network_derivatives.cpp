#include "slowsde/problems/network_derivatives.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "slowsde/problems/label_flip.hpp"
#include "slowsde/problems/network_loss.hpp"
#include "slowsde/problems/network_pass.hpp"
#include "slowsde/problems/requirement.hpp"

namespace slowsde {
namespace {

template <class Value>
void require(bool holds, const char* inequality, const Value& value) {
  detail::require(holds, "network derivatives", inequality, value);
}

// A chunk is one block of columns of the kernels, small enough for a layer to stay in the first-level cache.
// A group of chunks adds up into one gradient and shares the memory of what is not kept.
constexpr int columns = 4;
constexpr std::size_t most_groups = 8;

}  // namespace

template <class Real>
struct NetworkDerivatives<Real>::State {
  using V = Pack<Real>;
  static constexpr int lanes = V::width, chunk_samples = columns * lanes;

  struct Chunk {
    std::vector<V> x, y, labels, weights;  // weights: 1/n where a lane holds a sample, else 0
  };
  struct Group {
    std::vector<V> base, higher, scratch;
    std::vector<Real> g;
    bool started = false;  // whether g holds a chunk's gradient
    double loss = 0;
    std::int64_t correct = 0;
  };

  Network network;
  LossKind loss;
  ParallelLoop loop;
  double label_flip;
  int samples;
  std::vector<Chunk> chunks;
  std::vector<Group> groups;
  std::vector<V> kept;  // coefficients 0 of all chunks at the point
  PassPlan plans[3];    // by order
  std::vector<Real> theta;

  State(const Network& given, LossKind kind, const Batch<Real>& batch, ParallelLoop run, double flip)
      : network(given),
        loss(kind),
        loop(std::move(run)),
        label_flip(flip),
        samples(batch.size),
        plans{{network, columns, 0}, {network, columns, 1}, {network, columns, 2}} {
    require(samples >= 1, "samples >= 1", samples);
    LabelFlip{label_flip}.check(network.outputs());
    require(batch.stride >= samples, "stride >= samples", batch.stride);
    require(batch.x != nullptr, "there are inputs", "none");
    if (loss == LossKind::squared)
      require(batch.y != nullptr, "the squared loss has targets", "none");
    else
      require(batch.labels != nullptr, "the cross-entropy has labels", "none");
    chunks.resize((samples + chunk_samples - 1) / chunk_samples);
    for (std::size_t q = 0; q < chunks.size(); ++q)
      fill(chunks[q], batch, static_cast<int>(q) * chunk_samples);
    groups.resize(std::min(most_groups, chunks.size()));
    for (Group& group : groups) {
      group.scratch.resize(GradientSum<0, V, Real>::scratch_size(network, columns));
      group.g.resize(network.dim());
    }
  }

  void fill(Chunk& chunk, const Batch<Real>& batch, int first) const {
    const int count = std::min(chunk_samples, samples - first);
    const auto gather = [&](std::vector<V>& to, int rows, auto&& value) {
      to.assign(static_cast<std::size_t>(rows) * columns, V(0.0));
      for (int r = 0; r < rows; ++r)
        for (int b = 0; b < count; ++b) to[r * columns + b / lanes].set(b % lanes, value(r, first + b));
    };
    gather(chunk.x, network.inputs(),
           [&](int j, int b) { return batch.x[static_cast<std::ptrdiff_t>(j) * batch.stride + b]; });
    gather(chunk.weights, 1, [&](int, int) { return static_cast<Real>(1.0 / samples); });
    if (loss == LossKind::squared)
      gather(chunk.y, network.outputs(),
             [&](int j, int b) { return batch.y[static_cast<std::ptrdiff_t>(j) * batch.stride + b]; });
    if (batch.labels) gather(chunk.labels, 1, [&](int, int b) { return static_cast<Real>(batch.labels[b]); });
  }

  /// visit(group, chunk) for all chunks, group by group.
  template <class Visit>
  void over_chunks(Visit&& visit) {
    const auto body = [&](std::size_t index) {
      Group& group = groups[index];
      group.started = false;
      group.loss = 0;
      group.correct = 0;
      for (std::size_t q = index * chunks.size() / groups.size();
           q < (index + 1) * chunks.size() / groups.size(); ++q)
        visit(group, q);
    };
    if (loop) {
      loop(groups.size(), body);
    } else {
      for (std::size_t index = 0; index < groups.size(); ++index) body(index);
    }
  }

  /// Where a chunk's gradient goes: the first of a group begins the sum.
  template <int N>
  GradientSum<N, V, Real> sum_into(Group& group) const {
    const bool add = std::exchange(group.started, true);
    return {columns, group.scratch.data(), group.g.data(), add};
  }

  template <int N>
  double apply_loss(const Chunk& chunk, const NetworkPass<V, N, Real>& pass) const {
    const auto weight = [&](int c) { return chunk.weights[c]; };
    const int outputs = network.outputs();
    const V value = loss == LossKind::squared
                        ? squared_loss<N, V>(outputs, columns, pass.outputs(), chunk.y.data(), weight,
                                             pass.output_adjoints())
                        : cross_entropy_loss<N, V>(
                              outputs, columns, pass.outputs(), [&](int c) { return chunk.labels[c]; },
                              weight, pass.output_adjoints(), label_flip);
    double sum = 0;
    for (int l = 0; l < lanes; ++l) sum += static_cast<double>(value[l]);
    return sum;
  }

  /// Coefficient N of ∇L(θ + s u), times `factor`; returns L(θ).
  template <int N>
  double coefficient(const Real* at, const Real* u, Real factor, Real* out) {
    using Pass = NetworkPass<V, N, Real>;
    const PassPlan& plan = plans[N];
    over_chunks([&](Group& group, std::size_t q) {
      group.base.resize(plan.base_size());
      group.higher.resize(plan.higher_size());
      Pass pass(network, plan, group.base.data(), group.higher.data());
      typename Pass::Parameters parameters(at);
      if constexpr (N > 0) parameters.direction[0] = {u};
      pass.forward(parameters, chunks[q].x.data());
      group.loss += apply_loss(chunks[q], pass);
      if (out) pass.reverse(parameters, sum_into<N>(group));
    });
    if (out) add_groups(factor, out);
    double sum = 0;
    for (const Group& group : groups) sum += group.loss;
    return sum;
  }

  std::int64_t correct(const Real* at) {
    over_chunks([&](Group& group, std::size_t q) {
      const Chunk& chunk = chunks[q];
      if (chunk.labels.empty()) return;
      group.base.resize(plans[0].base_size());
      NetworkPass<V, 0, Real> pass(network, plans[0], group.base.data());
      pass.forward(at, chunk.x.data());
      group.correct += count_correct(network.outputs(), columns, pass.output(0), chunk.labels.data(),
                                     std::min(chunk_samples, samples - static_cast<int>(q) * chunk_samples));
    });
    std::int64_t sum = 0;
    for (const Group& group : groups) sum += group.correct;
    return sum;
  }

  void add_groups(Real factor, Real* out) const {
    std::copy(groups[0].g.begin(), groups[0].g.end(), out);
    for (std::size_t k = 1; k < groups.size(); ++k) {
      const Real* g = groups[k].g.data();
      for (int j = 0; j < network.dim(); ++j) out[j] += g[j];
    }
    if (factor != 1)
      for (int j = 0; j < network.dim(); ++j) out[j] *= factor;
  }

  template <int N>
  NetworkPass<V, N, Real> kept_pass(Group& group, std::size_t q) {
    return {network, plans[1], kept.data() + q * plans[1].base_size(), group.higher.data()};
  }

  void set_point(const Real* at) {
    theta.assign(at, at + network.dim());
    kept.resize(chunks.size() * plans[1].base_size());
    over_chunks([&](Group& group, std::size_t q) {
      auto pass = kept_pass<0>(group, q);
      pass.forward(theta.data(), chunks[q].x.data());
      apply_loss(chunks[q], pass);
      pass.reverse(theta.data(), [](const auto&) {});
    });
  }

  void hessian_vector_product(const Real* u, Real* out) {
    require(!theta.empty(), "set_point comes first", "no point");
    over_chunks([&](Group& group, std::size_t q) {
      group.higher.resize(plans[1].higher_size());
      auto pass = kept_pass<1>(group, q);
      const typename NetworkPass<V, 1, Real>::Parameters parameters(theta.data(), {u});
      pass.template forward<1>(parameters, chunks[q].x.data());
      apply_loss(chunks[q], pass);
      pass.template reverse<1>(parameters, sum_into<1>(group));
    });
    add_groups(Real{1}, out);
  }
};

template <class Real>
NetworkDerivatives<Real>::NetworkDerivatives(const Network& network, LossKind loss,
                                             const Batch<Real>& samples, ParallelLoop loop, double label_flip)
    : state_(std::make_unique<State>(network, loss, samples, std::move(loop), label_flip)) {}
template <class Real>
NetworkDerivatives<Real>::~NetworkDerivatives() = default;
template <class Real>
NetworkDerivatives<Real>::NetworkDerivatives(NetworkDerivatives&&) noexcept = default;
template <class Real>
NetworkDerivatives<Real>& NetworkDerivatives<Real>::operator=(NetworkDerivatives&&) noexcept = default;

template <class Real>
const Network& NetworkDerivatives<Real>::network() const {
  return state_->network;
}
template <class Real>
int NetworkDerivatives<Real>::samples() const {
  return state_->samples;
}
template <class Real>
double NetworkDerivatives<Real>::loss(const Real* theta) {
  return state_->template coefficient<0>(theta, nullptr, Real{1}, nullptr);
}
template <class Real>
double NetworkDerivatives<Real>::gradient(const Real* theta, Real* g) {
  return state_->template coefficient<0>(theta, nullptr, Real{1}, g);
}
template <class Real>
std::int64_t NetworkDerivatives<Real>::correct(const Real* theta) {
  return state_->correct(theta);
}
template <class Real>
void NetworkDerivatives<Real>::set_point(const Real* theta) {
  state_->set_point(theta);
}
template <class Real>
void NetworkDerivatives<Real>::hessian_vector_product(const Real* u, Real* out) {
  state_->hessian_vector_product(u, out);
}
// ∇L(θ + su) = … + ½s² ∇³L[u uᵀ]
template <class Real>
void NetworkDerivatives<Real>::third_contraction(const Real* theta, const Real* u, Real* out) {
  state_->template coefficient<2>(theta, u, Real{2}, out);
}

template class NetworkDerivatives<float>;
template class NetworkDerivatives<double>;

}  // namespace slowsde
