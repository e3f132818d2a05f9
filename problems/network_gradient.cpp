#include "slowsde/problems/network_gradient.hpp"

#include <cstdint>
#include <cstring>
#include <optional>
#include <vector>

#include "slowsde/problems/network_loss.hpp"
#include "slowsde/problems/network_pass.hpp"
#include "slowsde/problems/requirement.hpp"

namespace slowsde {
namespace {

template <class Value>
void require(bool holds, const char* inequality, const Value& value) {
  detail::require(holds, "network gradient", inequality, value);
}

}  // namespace

template <class Real>
struct NetworkGradient<Real>::Workspace {
  using V = Pack<Real>;
  using Pass = NetworkPass<V, 0, Real>;
  static constexpr int lanes = V::width;

  Network network;
  LossKind loss;
  int max_batch;
  std::vector<V> memory, labels, scratch, x_copy, y_copy;
  const V *x = nullptr, *y = nullptr;  // of the batch, (rows × columns)
  const V* samples = nullptr;          // x sample by sample, if the batch has it so
  std::optional<PassPlan> plan;
  std::optional<Pass> pass;
  int columns = 0;

  Workspace(const Network& given, LossKind kind, int largest)
      : network(given), loss(kind), max_batch(largest) {
    const int most = batch_stride<Real>(max_batch) / lanes;
    memory.resize(PassPlan(network, most, 0).size());
    labels.resize(most);
    scratch.resize(GradientSum<0, V, Real>::scratch_size(network, most));
    // Now, and not at the first batch: which of a team's threads has one in a round is up to chance.
    lay_out(most);
  }

  void lay_out(int of_columns) {
    columns = of_columns;
    plan.emplace(network, columns, 0);
    pass.emplace(network, *plan, memory.data());
  }

  /// The caller's rows, which are `stride` apart: where they are if that is a pass's layout, else copied.
  const V* packs_of(const Real* from, int rows, int stride, std::vector<V>& copy) const {
    if (stride == columns * lanes && reinterpret_cast<std::uintptr_t>(from) % alignof(V) == 0)
      return reinterpret_cast<const V*>(from);
    copy.resize(static_cast<std::size_t>(rows) * columns);
    for (int r = 0; r < rows; ++r) {
      std::memcpy(static_cast<void*>(copy.data() + static_cast<std::size_t>(r) * columns),
                  from + static_cast<std::ptrdiff_t>(r) * stride, columns * sizeof(V));
    }
    return copy.data();
  }

  void load(const Batch<Real>& batch) {
    require(batch.size >= 1, "batch size >= 1", batch.size);
    require(batch.size <= max_batch, "batch size <= max_batch", batch.size);
    require(batch.stride % lanes == 0 && batch.stride >= batch.size, "stride holds whole packs of the batch",
            batch.stride);
    require(batch.x != nullptr, "a batch has inputs", "none");
    if (loss == LossKind::squared)
      require(batch.y != nullptr, "a batch of the squared loss has targets", "none");
    else
      require(batch.labels != nullptr, "a batch of the cross-entropy has labels", "none");
    const int needed = batch_stride<Real>(batch.size) / lanes;
    if (needed != columns) lay_out(needed);
    x = packs_of(batch.x, network.inputs(), batch.stride, x_copy);
    if (loss == LossKind::squared) y = packs_of(batch.y, network.outputs(), batch.stride, y_copy);
    samples = reinterpret_cast<const V*>(batch.samples);
    if (batch.labels) {
      for (int b = 0; b < columns * lanes; ++b)
        labels[b / lanes].set(b % lanes, static_cast<Real>(b < batch.size ? batch.labels[b] : 0));
    }
  }

  /// `value` for the lanes that hold samples, 0 for the others.
  V masked(int column, int size, Real value) const {
    V result;
    for (int l = 0; l < lanes; ++l) result.set(l, column * lanes + l < size ? value : Real{0});
    return result;
  }

  /// Σ_samples factor·loss, with its adjoints in the pass.
  V apply_loss(int size, Real factor) {
    const auto weight = [&](int c) { return masked(c, size, factor); };
    const int outputs = network.outputs();
    if (loss == LossKind::squared)
      return squared_loss<0, V>(outputs, columns, pass->outputs(), y, weight, pass->output_adjoints());
    return cross_entropy_loss<0, V>(outputs, columns, {pass->output(0)}, [&](int c) { return labels[c]; },
                                    weight, {pass->output_adjoint(0)});
  }

  void reverse(const Real* theta, Real* g, bool add) {
    pass->reverse(theta, GradientSum<0, V, Real>(columns, scratch.data(), g, add, {x, samples}));
  }
};

template <class Real>
NetworkGradient<Real>::NetworkGradient(const Network& network, LossKind loss, int max_batch) {
  require(max_batch >= 1, "max_batch >= 1", max_batch);
  workspace_ = std::make_unique<Workspace>(network, loss, max_batch);
}
template <class Real>
NetworkGradient<Real>::~NetworkGradient() = default;
template <class Real>
NetworkGradient<Real>::NetworkGradient(NetworkGradient&&) noexcept = default;
template <class Real>
NetworkGradient<Real>& NetworkGradient<Real>::operator=(NetworkGradient&&) noexcept = default;

template <class Real>
const Network& NetworkGradient<Real>::network() const {
  return workspace_->network;
}
template <class Real>
LossKind NetworkGradient<Real>::loss() const {
  return workspace_->loss;
}

template <class Real>
Real NetworkGradient<Real>::value_and_gradient(const Real* theta, const Batch<Real>& batch, Real* g) {
  Workspace& w = *workspace_;
  w.load(batch);
  w.pass->forward(theta, w.x);
  const Pack<Real> value = w.apply_loss(batch.size, Real{1} / static_cast<Real>(batch.size));
  w.reverse(theta, g, false);
  return detail::lane_sum(value);
}

template <class Real>
Real NetworkGradient<Real>::descend(Real* theta, const Batch<Real>& batch, Real eta) {
  require(eta > 0, "eta > 0", eta);
  Workspace& w = *workspace_;
  w.load(batch);
  w.pass->forward(theta, w.x);
  // The adjoints carry −η, so that what the reverse pass adds to θ is the step.
  const Real factor = -eta / static_cast<Real>(batch.size);
  const Pack<Real> value = w.apply_loss(batch.size, factor);
  w.reverse(theta, theta, true);
  return detail::lane_sum(value) / -eta;
}

template <class Real>
typename NetworkGradient<Real>::Evaluation NetworkGradient<Real>::evaluate(const Real* theta,
                                                                           const Batch<Real>& batch) {
  Workspace& w = *workspace_;
  w.load(batch);
  w.pass->forward(theta, w.x);
  const Pack<Real> value = w.apply_loss(batch.size, Real{1});
  Evaluation result;
  for (int l = 0; l < w.lanes; ++l) result.loss_sum += static_cast<double>(value[l]);
  if (batch.labels)
    result.correct =
        count_correct(w.network.outputs(), w.columns, w.pass->output(0), w.labels.data(), batch.size);
  return result;
}

template class NetworkGradient<float>;
template class NetworkGradient<double>;

}  // namespace slowsde
