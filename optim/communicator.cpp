#include "slowsde/optim/communicator.hpp"

#include <algorithm>
#include <barrier>
#include <condition_variable>
#include <mutex>

#include "slowsde/problems/requirement.hpp"

namespace slowsde {
namespace {

/// What the ranks of one process share.
class Group {
 public:
  explicit Group(int size) : size_(size), everyone_(size) {}

  int size() const { return size_; }
  void meet() { everyone_.arrive_and_wait(); }

  /// Calls f on one rank after the other.
  template <class Function>
  void in_turn(int rank, Function&& f) {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return turn_ == rank; });
    }
    f();
    {
      const std::lock_guard lock(mutex_);
      turn_ = (rank + 1) % size_;
    }
    changed_.notify_all();
    meet();
  }

  std::vector<double> sum;
  std::vector<std::byte> bytes;

 private:
  int size_, turn_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::barrier<> everyone_;
};

class InProcessCommunicator final : public Communicator {
 public:
  InProcessCommunicator(std::shared_ptr<Group> group, int rank) : group_(std::move(group)), rank_(rank) {}

  int rank() const override { return rank_; }
  int size() const override { return group_->size(); }
  void barrier() override { group_->meet(); }

  void ordered_sum(std::span<double> sum, const Terms& add) override {
    if (size() == 1) {
      add(0, sum.size());
      return;
    }
    group_->in_turn(rank_, [&] {
      if (rank_ > 0) std::copy(group_->sum.begin(), group_->sum.end(), sum.begin());
      add(0, sum.size());
      group_->sum.assign(sum.begin(), sum.end());
    });
    std::copy(group_->sum.begin(), group_->sum.end(), sum.begin());
    group_->meet();  // nobody writes the next sum before all have read this one
  }

  void all_gather(std::span<const std::byte> own, std::span<std::byte> all) override {
    group_->in_turn(rank_, [&] {
      if (rank_ == 0) group_->bytes.clear();
      group_->bytes.insert(group_->bytes.end(), own.begin(), own.end());
    });
    std::copy(group_->bytes.begin(), group_->bytes.end(), all.begin());
    group_->meet();
  }

 private:
  std::shared_ptr<Group> group_;
  int rank_;
};

}  // namespace

template <class Real>
void Communicator::all_reduce_mean(std::span<Real> values) {
  std::vector<double> sum(values.size());
  ordered_sum(sum, [&](std::size_t begin, std::size_t end) {
    for (std::size_t j = begin; j < end; ++j)
      sum[j] = (rank() == 0 ? 0.0 : sum[j]) + static_cast<double>(values[j]);
  });
  for (std::size_t j = 0; j < values.size(); ++j) values[j] = static_cast<Real>(sum[j] / size());
}

template void Communicator::all_reduce_mean(std::span<double>);
template void Communicator::all_reduce_mean(std::span<float>);

std::vector<std::unique_ptr<Communicator>> in_process_communicators(int size) {
  detail::require(size >= 1, "communicator", "size >= 1", size);
  const auto group = std::make_shared<Group>(size);
  std::vector<std::unique_ptr<Communicator>> all;
  for (int rank = 0; rank < size; ++rank) all.push_back(std::make_unique<InProcessCommunicator>(group, rank));
  return all;
}

}  // namespace slowsde
