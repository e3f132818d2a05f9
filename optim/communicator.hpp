// What the processes of one training say to each other: sums in a fixed order, so that the bits of a run do
// not depend on how its workers are split over processes.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace slowsde {

/// A rank has not answered in time or its connection broke; the message names it.
class LostRank : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// One rank's end of a group of `size` ranks. All ranks make the same calls in the same order, each from one
/// thread at a time. Every call but rank() and size() may throw LostRank.
class Communicator {
 public:
  /// Adds this rank's terms to the sums with indices in [begin, end). Rank 0 finds them unset and writes.
  using Terms = std::function<void(std::size_t begin, std::size_t end)>;

  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  virtual void barrier() = 0;

  /// sum_j ← Σ over all terms of all ranks: `add` is called on one rank after the other in the order of the
  /// ranks, on each for consecutive parts of the indices, and every rank ends with the total. A sum over rows
  /// that are dealt to the ranks in order is therefore the sum of one process, bit for bit.
  virtual void ordered_sum(std::span<double> sum, const Terms& add) = 0;

  /// all = the ranks' `own`, one after the other; their lengths may differ.
  virtual void all_gather(std::span<const std::byte> own, std::span<std::byte> all) = 0;

  /// For ranks of which something other than these calls failed: asks all whether they are there, for
  /// `seconds`, and answers those that ask. The names of the ranks that did not answer; where no rank can be
  /// lost, none.
  virtual std::string absent_from_roll(double /*seconds*/) { return {}; }
  /// Whether another rank asks so. It is not answered yet.
  virtual bool roll_called() { return false; }

  /// values ← their mean over the ranks, summed in double precision in the order of the ranks.
  template <class Real>
  void all_reduce_mean(std::span<Real> values);
};

extern template void Communicator::all_reduce_mean(std::span<double>);
extern template void Communicator::all_reduce_mean(std::span<float>);

/// A group of ranks within this process; each is to be used by a thread of its own. Throws
/// std::invalid_argument for size < 1. A call waits for the other ranks however long they take.
std::vector<std::unique_ptr<Communicator>> in_process_communicators(int size);

}  // namespace slowsde
