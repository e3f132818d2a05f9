#include "slowsde/optim/communicator.hpp"

#include <doctest/doctest.h>

#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/split_training.hpp"

using namespace slowsde;

namespace {

/// What `check` returns on each of `size` ranks, each a thread of its own.
template <class Check>
std::vector<std::string> on_ranks(int size, Check&& check) {
  auto ranks = in_process_communicators(size);
  std::vector<std::vector<std::string>> broken(ranks.size());
  {
    std::vector<std::jthread> threads;
    for (std::size_t r = 0; r < ranks.size(); ++r)
      threads.emplace_back([&, r] { broken[r] = check(std::shared_ptr<Communicator>(std::move(ranks[r]))); });
  }
  std::vector<std::string> all;
  for (const auto& part : broken) all.insert(all.end(), part.begin(), part.end());
  return all;
}

/// Ranks that add in the opposite order.
class Reversed final : public Communicator {
 public:
  explicit Reversed(std::shared_ptr<Communicator> to) : to_(std::move(to)) {}
  int rank() const override { return to_->size() - 1 - to_->rank(); }
  int size() const override { return to_->size(); }
  void barrier() override { to_->barrier(); }
  void ordered_sum(std::span<double> sum, const Terms& add) override {
    std::vector<double> own(sum.size());
    add(0, sum.size());
    own.assign(sum.begin(), sum.end());
    to_->ordered_sum(sum, [&](std::size_t begin, std::size_t end) {
      for (std::size_t j = begin; j < end; ++j) sum[j] = (to_->rank() == 0 ? 0 : sum[j]) + own[j];
    });
  }
  void all_gather(std::span<const std::byte> own, std::span<std::byte> all) override {
    to_->all_gather(own, all);
  }

 private:
  std::shared_ptr<Communicator> to_;
};

std::string joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  return text;
}

}  // namespace

TEST_CASE("sums over ranks are in the order of the ranks, gathers too, and means of integers exact") {
  for (const int size : {1, 2, 3, 4})
    CHECK(joined(on_ranks(size, [](auto ranks) { return test::broken_collectives(*ranks, 1001); })) == "");
}

TEST_CASE("ranks that add in another order are seen") {
  const auto broken = on_ranks(3, [](auto ranks) {
    Reversed reversed(ranks);
    return test::broken_collectives(reversed, 5);
  });
  CHECK(joined(broken).find("in order") != std::string::npos);
}

TEST_CASE("a training split over ranks is that of one process, bit for bit") {
  for (const int size : {1, 2, 3, 4, 7})
    CHECK(joined(on_ranks(size, [](auto ranks) { return test::broken_split_trainings(ranks); })) == "");
}

TEST_CASE("every rank needs a worker, and a group a rank") {
  CHECK_THROWS_AS(in_process_communicators(0), std::invalid_argument);
  CHECK_THROWS_AS(WorkerShare::of(3, 0, 4), std::invalid_argument);
  int next = 0;
  for (int r = 0; r < 4; ++r) {
    const WorkerShare share = WorkerShare::of(10, r, 4);
    CHECK(share.first == next);
    CHECK((share.count == 2 || share.count == 3));
    next += share.count;
  }
  CHECK(next == 10);
}
