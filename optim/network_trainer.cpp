#include "slowsde/optim/network_trainer.hpp"

#include <algorithm>
#include <array>
#include <stdexcept>

#include "slowsde/problems/requirement.hpp"

namespace slowsde {
namespace {

/// out_j = (1/K) Σ_k rows[k·stride + j] for j in [begin, end): summed in double in the order of the workers,
/// block by block so that each row is read along its length.
template <class Real>
void mean_of_rows(const Real* rows, int K, std::size_t stride, std::size_t begin, std::size_t end,
                  Real* out) {
  constexpr std::size_t block = 256;
  std::array<double, block> sum;
  for (std::size_t first = begin; first < end; first += block) {
    const std::size_t count = std::min(block, end - first);
    for (std::size_t j = 0; j < count; ++j) sum[j] = static_cast<double>(rows[first + j]);
    for (int k = 1; k < K; ++k) {
      const Real* row = rows + static_cast<std::size_t>(k) * stride + first;
      for (std::size_t j = 0; j < count; ++j) sum[j] += static_cast<double>(row[j]);
    }
    for (std::size_t j = 0; j < count; ++j) out[first + j] = static_cast<Real>(sum[j] / K);
  }
}

}  // namespace

void TrainerParams::check() const {
  const auto require = [](bool holds, const char* inequality, auto value) {
    detail::require(holds, "trainer", inequality, value);
  };
  require(workers >= 1, "workers >= 1", workers);
  require(total_steps >= 0, "total_steps >= 0", total_steps);
  if (!rule) throw std::invalid_argument("trainer: there is no synchronization rule");
  if (!update) throw std::invalid_argument("trainer: there is no update rule");
  lr.params().check();
  if (exchange == Exchange::gradients) {
    if (rule->name() != "parallel")
      throw std::invalid_argument(
          "trainer: gradients are averaged at every step, so the rule must be parallel");
    if (buffers != BufferPolicy::kept)
      throw std::invalid_argument("trainer: with averaged gradients there is one state, which is kept");
  }
}

double TrainerParams::bytes_averaged(std::size_t d, std::size_t size) const {
  const bool states = exchange == Exchange::parameters && buffers == BufferPolicy::averaged;
  return static_cast<double>(d) * static_cast<double>(size) * (1 + (states ? update->state_vectors() : 0));
}

template <class Real>
NetworkTrainer<Real>::NetworkTrainer(const TrainerParams& params, const std::vector<double>& start,
                                     const OracleFactory& oracle, int threads)
    : params_((params.check(), params)),
      d_(start.size()),
      vectors_(static_cast<std::size_t>(params.update->state_vectors())),
      row_((d_ + 64 / sizeof(Real) - 1) / (64 / sizeof(Real)) * (64 / sizeof(Real))),
      team_(std::min(threads, params.workers)) {
  if (start.empty()) throw std::invalid_argument("trainer: d >= 1 is violated by 0");
  const auto K = static_cast<std::size_t>(params.workers), team = static_cast<std::size_t>(team_.size());
  const bool shared = params.exchange == Exchange::gradients;
  for (const double x : start) state_.theta.push_back(static_cast<Real>(x));
  state_.buffers.assign((shared ? 1 : K) * vectors_ * d_, Real{0});
  workers_.resize(K * row_);
  gradients_.resize((shared ? 1 : team) * row_);
  losses_.resize(K);
  for (std::size_t k = 0; k < K; ++k)
    view_.push_back(shared ? state_.theta.data() : workers_.data() + k * row_);
  for (std::size_t member = 0; member < team; ++member) oracles_.push_back(oracle());
}

template <class Real>
std::int64_t NetworkTrainer<Real>::next_steps() const {
  if (finished()) return 0;
  return params_.rule->local_steps(state_.step, params_.lr(state_.step), params_.total_steps - state_.step);
}

template <class Real>
void NetworkTrainer<Real>::restore(TrainerState<Real> state) {
  if (state.theta.size() != state_.theta.size() || state.buffers.size() != state_.buffers.size())
    throw std::invalid_argument("trainer: the state is that of a training with other parameters");
  // θ keeps its place, to which the view points
  std::copy(state.theta.begin(), state.theta.end(), state_.theta.begin());
  state.theta = std::move(state_.theta);
  state_ = std::move(state);
}

template <class Real>
TrainedRound NetworkTrainer<Real>::round(const Hook& before_average) {
  if (finished()) throw std::logic_error("trainer: the training is finished");
  TrainedRound result;
  PlannedRound& plan = result.plan;
  const std::int64_t k = state_.step, H = next_steps();
  const double first = params_.lr(k);
  plan = {.index = state_.round, .first_step = k, .local_steps = H, .begin = state_.time.value()};
  double excess = 0;  // Σ (lr − first): 0 exactly where the rate is constant
  for (std::int64_t h = 0; h < H; ++h) {
    const double eta = params_.lr(k + h);
    excess += eta - first;
    state_.time.advance(eta);
  }
  plan.eta = first + excess / static_cast<double>(H);
  plan.end = state_.time.value();

  if (params_.exchange == Exchange::parameters) {
    team_.run([this, H](int member) { local_steps(member, H); });
    if (before_average) before_average(view_);
    team_.run([this](int member) { average(member); });
  } else {
    team_.run([this](int member) { shared_gradients(member); });
    team_.run([this](int member) { shared_step(member); });
    if (before_average) before_average(view_);
  }
  const bool reset = params_.exchange == Exchange::parameters && params_.buffers == BufferPolicy::reset;
  state_.buffer_steps = reset ? 0 : state_.buffer_steps + H;
  state_.step += H;
  ++state_.round;
  state_.bytes += params_.bytes_per_round(d_, sizeof(Real));
  for (const double loss : losses_) result.batch_loss += loss;
  result.batch_loss /= static_cast<double>(H) * params_.workers;
  return result;
}

/// Whole cache lines for all members but the last.
template <class Real>
typename NetworkTrainer<Real>::Range NetworkTrainer<Real>::components(int member) const {
  constexpr std::size_t line = 64 / sizeof(Real);
  const auto team = static_cast<std::size_t>(team_.size()), m = static_cast<std::size_t>(member);
  const std::size_t lines = d_ / line;
  return {lines * m / team * line, m + 1 == team ? d_ : lines * (m + 1) / team * line};
}

template <class Real>
typename NetworkTrainer<Real>::Range NetworkTrainer<Real>::workers_of(int member) const {
  const auto team = static_cast<std::size_t>(team_.size()), m = static_cast<std::size_t>(member);
  const auto K = static_cast<std::size_t>(params_.workers);
  return {K * m / team, K * (m + 1) / team};
}

template <class Real>
void NetworkTrainer<Real>::local_steps(int member, std::int64_t H) {
  GradientOracle<Real>& oracle = *oracles_[static_cast<std::size_t>(member)];
  Real* g = gradients_.data() + static_cast<std::size_t>(member) * row_;
  const Range own = workers_of(member);
  const bool plain = params_.update->plain_descent();
  for (std::size_t w = own.begin; w < own.end; ++w) {
    Real* theta = workers_.data() + w * row_;
    Real* state = state_.buffers.data() + w * vectors_ * d_;
    std::copy(state_.theta.begin(), state_.theta.end(), theta);
    double loss = 0;
    for (std::int64_t h = 0; h < H; ++h) {
      const std::int64_t k = state_.step + h;
      const double eta = params_.lr(k);
      if (plain && eta > 0) {
        if (const auto taken = oracle.descend(static_cast<int>(w), k, static_cast<Real>(eta), theta)) {
          loss += *taken;
          continue;
        }
      }
      loss += oracle.gradient(static_cast<int>(w), k, theta, g);
      params_.update->step(eta, state_.buffer_steps + h + 1, d_, g, theta, state);
    }
    losses_[w] = loss;
  }
}

template <class Real>
void NetworkTrainer<Real>::average(int member) {
  const int K = params_.workers;
  const auto [begin, end] = components(member);
  mean_of_rows(workers_.data(), K, row_, begin, end, state_.theta.data());
  const std::size_t stride = vectors_ * d_;
  Real* buffers = state_.buffers.data();
  for (std::size_t v = 0; v < vectors_; ++v) {
    if (params_.buffers == BufferPolicy::kept) break;
    Real* mean = buffers + v * d_;  // of worker 0, then of all
    if (params_.buffers == BufferPolicy::averaged)
      mean_of_rows(mean, K, stride, begin, end, mean);
    else
      std::fill(mean + begin, mean + end, Real{0});
    for (int k = 1; k < K; ++k)
      std::copy(mean + begin, mean + end, mean + static_cast<std::size_t>(k) * stride + begin);
  }
}

template <class Real>
void NetworkTrainer<Real>::shared_gradients(int member) {
  GradientOracle<Real>& oracle = *oracles_[static_cast<std::size_t>(member)];
  const Range own = workers_of(member);
  for (std::size_t w = own.begin; w < own.end; ++w)
    losses_[w] =
        oracle.gradient(static_cast<int>(w), state_.step, state_.theta.data(), workers_.data() + w * row_);
}

template <class Real>
void NetworkTrainer<Real>::shared_step(int member) {
  const auto [begin, end] = components(member);
  mean_of_rows(workers_.data(), params_.workers, row_, begin, end, gradients_.data());
  params_.update->step(params_.lr(state_.step), state_.buffer_steps + 1, end - begin,
                       gradients_.data() + begin, state_.theta.data() + begin, state_.buffers.data() + begin,
                       d_);
}

template class NetworkTrainer<double>;
template class NetworkTrainer<float>;

}  // namespace slowsde
