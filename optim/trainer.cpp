#include "slowsde/optim/trainer.hpp"

#include <algorithm>
#include <stdexcept>

#include "slowsde/problems/requirement.hpp"

namespace slowsde {

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

WorkerShare WorkerShare::of(int workers, int rank, int ranks) {
  detail::require(ranks <= workers, "trainer", "processes <= workers", ranks);
  const auto begin = [&](int r) { return static_cast<int>(static_cast<std::int64_t>(workers) * r / ranks); };
  return {begin(rank), begin(rank + 1) - begin(rank)};
}

template <class Real>
Trainer<Real>::Trainer(const TrainerParams& params, const std::vector<double>& start,
                       std::shared_ptr<Communicator> communicator)
    : params_((params.check(), params)),
      d_(start.size()),
      vectors_(static_cast<std::size_t>(params.update->state_vectors())),
      communicator_(communicator ? std::move(communicator)
                                 : std::shared_ptr<Communicator>(std::move(in_process_communicators(1)[0]))),
      share_(WorkerShare::of(params.workers, communicator_->rank(), communicator_->size())) {
  if (start.empty()) throw std::invalid_argument("trainer: d >= 1 is violated by 0");
  for (const double x : start) state_.theta.push_back(static_cast<Real>(x));
  const int holders = params.exchange == Exchange::gradients ? 1 : share_.count;
  state_.buffers.assign(static_cast<std::size_t>(holders) * vectors_ * d_, Real{0});
}

template <class Real>
std::int64_t Trainer<Real>::next_steps() const {
  if (finished()) return 0;
  return params_.rule->local_steps(state_.step, params_.lr(state_.step), params_.total_steps - state_.step);
}

template <class Real>
void Trainer<Real>::restore(TrainerState<Real> state) {
  if (state.theta.size() != state_.theta.size() || state.buffers.size() != state_.buffers.size())
    throw std::invalid_argument("trainer: the state is that of a training with other parameters");
  // θ keeps its place, to which the view points
  std::copy(state.theta.begin(), state.theta.end(), state_.theta.begin());
  state.theta = std::move(state_.theta);
  state_ = std::move(state);
}

template <class Real>
TrainedRound Trainer<Real>::round(const Hook& before_average) {
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

  result.batch_loss = train(H, before_average) / (static_cast<double>(H) * params_.workers);
  const bool reset = params_.exchange == Exchange::parameters && params_.buffers == BufferPolicy::reset;
  state_.buffer_steps = reset ? 0 : state_.buffer_steps + H;
  state_.step += H;
  ++state_.round;
  state_.bytes += params_.bytes_per_round(d_, sizeof(Real));
  return result;
}

template <class Real>
double Trainer<Real>::sum_over_workers(std::span<const double> own) {
  double sum = 0;
  const auto add = [&](std::size_t, std::size_t) {
    if (communicator_->rank() == 0) sum = 0;
    for (const double x : own) sum += x;
  };
  communicator_->ordered_sum({&sum, 1}, std::ref(add));
  return sum;
}

template <class Real>
void Trainer<Real>::show(const Hook& hook, WorkersView<Real> own) {
  if (!hook) return;
  const auto K = static_cast<std::size_t>(params_.workers);
  if (params_.exchange == Exchange::gradients) {
    hook(std::vector<const Real*>(K, state_.theta.data()));
    return;
  }
  if (communicator_->size() == 1) {
    hook(own);
    return;
  }
  std::vector<Real> mine, all(K * d_);
  for (const Real* theta : own) mine.insert(mine.end(), theta, theta + d_);
  communicator_->all_gather(std::as_bytes(std::span(mine)), std::as_writable_bytes(std::span(all)));
  std::vector<const Real*> view;
  for (std::size_t k = 0; k < K; ++k) view.push_back(all.data() + k * d_);
  hook(view);
}

template class Trainer<double>;
template class Trainer<float>;

}  // namespace slowsde
