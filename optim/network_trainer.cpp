#include "slowsde/optim/network_trainer.hpp"

#include <algorithm>

namespace slowsde {
namespace {

/// sum_j += Σ_k rows[k·stride + j] for j in [begin, end), or the same from 0 on: in the order of the rows,
/// block by block so that each row is read along its length.
template <class Real>
void add_rows(const Real* rows, int count, std::size_t stride, std::size_t begin, std::size_t end, bool unset,
              double* sum) {
  constexpr std::size_t block = 256;
  for (std::size_t first = begin; first < end; first += block) {
    const std::size_t last = std::min(first + block, end);
    if (unset)
      for (std::size_t j = first; j < last; ++j) sum[j] = static_cast<double>(rows[j]);
    for (int k = unset; k < count; ++k) {
      const Real* row = rows + static_cast<std::size_t>(k) * stride;
      for (std::size_t j = first; j < last; ++j) sum[j] += static_cast<double>(row[j]);
    }
  }
}

}  // namespace

template <class Real>
NetworkTrainer<Real>::NetworkTrainer(const TrainerParams& params, const std::vector<double>& start,
                                     const OracleFactory& oracle, int threads,
                                     std::shared_ptr<Communicator> communicator)
    : Trainer<Real>(params, start, std::move(communicator)),
      row_((d_ + 64 / sizeof(Real) - 1) / (64 / sizeof(Real)) * (64 / sizeof(Real))),
      sum_(d_),
      team_(std::min(threads, share_.count)) {
  const auto own = static_cast<std::size_t>(share_.count), team = static_cast<std::size_t>(team_.size());
  const bool shared = params.exchange == Exchange::gradients;
  workers_.resize(own * row_);
  gradients_.resize((shared ? 1 : team) * row_);
  losses_.resize(own);
  for (std::size_t k = 0; k < own; ++k) view_.push_back(workers_.data() + k * row_);
  for (std::size_t member = 0; member < team; ++member) oracles_.push_back(oracle());
}

template <class Real>
double NetworkTrainer<Real>::train(std::int64_t H, const Hook& before_average) {
  if (params_.exchange == Exchange::parameters) {
    team_.for_each(view_.size(), [this, H](int member, std::size_t w) { local_steps(member, w, H); });
    this->show(before_average, view_);
    average();
  } else {
    team_.for_each(view_.size(), [this](int member, std::size_t w) {
      losses_[w] = oracles_[static_cast<std::size_t>(member)]->gradient(
          share_.first + static_cast<int>(w), state_.step, state_.theta.data(), workers_.data() + w * row_);
    });
    sum_rows(workers_.data(), row_);
    team_.run([this](int member) { shared_step(member); });
    this->show(before_average, {});
  }
  return this->sum_over_workers(losses_);
}

template <class Real>
typename NetworkTrainer<Real>::Range NetworkTrainer<Real>::components(int member, std::size_t begin,
                                                                      std::size_t end) const {
  constexpr std::size_t line = 64 / sizeof(Real);
  const auto team = static_cast<std::size_t>(team_.size()), m = static_cast<std::size_t>(member);
  const std::size_t lines = (end - begin) / line;
  return {begin + lines * m / team * line, m + 1 == team ? end : begin + lines * (m + 1) / team * line};
}

template <class Real>
void NetworkTrainer<Real>::local_steps(int member, std::size_t w, std::int64_t H) {
  GradientOracle<Real>& oracle = *oracles_[static_cast<std::size_t>(member)];
  Real* g = gradients_.data() + static_cast<std::size_t>(member) * row_;
  const bool plain = params_.update->plain_descent();
  const int worker = share_.first + static_cast<int>(w);
  Real* theta = workers_.data() + w * row_;
  Real* state = state_.buffers.data() + w * vectors_ * d_;
  std::copy(state_.theta.begin(), state_.theta.end(), theta);
  double loss = 0;
  for (std::int64_t h = 0; h < H; ++h) {
    const std::int64_t k = state_.step + h;
    const double eta = params_.lr(k);
    if (plain && eta > 0) {
      if (const auto taken = oracle.descend(worker, k, static_cast<Real>(eta), theta)) {
        loss += *taken;
        continue;
      }
    }
    loss += oracle.gradient(worker, k, theta, g);
    params_.update->step(eta, state_.buffer_steps + h + 1, d_, g, theta, state);
  }
  losses_[w] = loss;
}

template <class Real>
void NetworkTrainer<Real>::sum_rows(const Real* rows, std::size_t stride) {
  const auto add = [&](std::size_t begin, std::size_t end) {
    team_.run([&](int member) {
      const Range part = components(member, begin, end);
      add_rows(rows, share_.count, stride, part.begin, part.end, communicator_->rank() == 0, sum_.data());
    });
  };
  communicator_->ordered_sum(sum_, std::ref(add));
}

template <class Real>
void NetworkTrainer<Real>::average() {
  const auto mean_to = [this](int member, Real* out) {
    const auto [begin, end] = components(member, 0, d_);
    for (std::size_t j = begin; j < end; ++j) out[j] = static_cast<Real>(sum_[j] / params_.workers);
    return Range{begin, end};
  };
  sum_rows(workers_.data(), row_);
  team_.run([&](int member) { mean_to(member, state_.theta.data()); });
  if (params_.buffers == BufferPolicy::reset)
    std::fill(state_.buffers.begin(), state_.buffers.end(), Real{0});
  if (params_.buffers != BufferPolicy::averaged) return;
  const std::size_t stride = vectors_ * d_;
  for (std::size_t v = 0; v < vectors_; ++v) {
    Real* mean = state_.buffers.data() + v * d_;  // of this rank's first worker, then of all
    sum_rows(mean, stride);
    team_.run([&](int member) {
      const auto [begin, end] = mean_to(member, mean);
      for (int k = 1; k < share_.count; ++k)
        std::copy(mean + begin, mean + end, mean + static_cast<std::size_t>(k) * stride + begin);
    });
  }
}

template <class Real>
void NetworkTrainer<Real>::shared_step(int member) {
  const auto [begin, end] = components(member, 0, d_);
  for (std::size_t j = begin; j < end; ++j) gradients_[j] = static_cast<Real>(sum_[j] / params_.workers);
  params_.update->step(params_.lr(state_.step), state_.buffer_steps + 1, end - begin,
                       gradients_.data() + begin, state_.theta.data() + begin, state_.buffers.data() + begin,
                       d_);
}

template class NetworkTrainer<double>;
template class NetworkTrainer<float>;

}  // namespace slowsde
