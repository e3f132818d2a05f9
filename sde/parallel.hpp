// Threads over an index range. What is computed for an index may depend on the index alone, so the results
// are the same for every number of threads; which thread takes which index is left to chance.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <exception>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

namespace slowsde {

/// The number of processors this process may run on, at least 1.
inline int available_threads() { return static_cast<int>(std::max(1u, std::thread::hardware_concurrency())); }

/// Calls fn(index) once for each index in [0, count), by `threads` threads that take the next free index
/// each. fn writes its result to a slot of its own index and reads no other slot; a reduction is made by the
/// caller afterwards, in the order of the indices.
///
/// If calls throw, the exception of the lowest index is rethrown, the same one for every number of threads;
/// indices above it may not have been run. Throws std::invalid_argument if threads < 1.
template <class Function>
void parallel_for(int threads, std::size_t count, Function&& fn) {
  if (threads < 1) throw std::invalid_argument("threads = " + std::to_string(threads) + " must be >= 1");
  const std::size_t team = std::min(static_cast<std::size_t>(threads), count);
  if (team <= 1) {
    for (std::size_t index = 0; index < count; ++index) fn(index);
    return;
  }

  // Indices are handed out in ascending order. When one fails, every lower one has been handed out already
  // and runs to its end, hence the lowest failing index is found whatever the order in time.
  struct Failure {
    std::size_t index;
    std::exception_ptr exception;
  };
  std::atomic<std::size_t> next{0};
  std::atomic<bool> failed{false};
  std::vector<Failure> failures(team, Failure{count, nullptr});
  const auto work = [&](std::size_t member) noexcept {
    while (!failed.load(std::memory_order_relaxed)) {
      const std::size_t index = next.fetch_add(1, std::memory_order_relaxed);
      if (index >= count) return;
      try {
        fn(index);
      } catch (...) {
        failures[member] = {index, std::current_exception()};
        failed.store(true, std::memory_order_relaxed);
        return;
      }
    }
  };
  {
    std::vector<std::jthread> members;
    members.reserve(team - 1);
    try {
      for (std::size_t member = 1; member < team; ++member) members.emplace_back(work, member);
    } catch (const std::system_error&) {
      // The system grants no further thread: those that started share the work.
    }
    work(0);
  }
  const auto first = std::min_element(failures.begin(), failures.end(),
                                      [](const Failure& a, const Failure& b) { return a.index < b.index; });
  if (first->exception) std::rethrow_exception(first->exception);
}

}  // namespace slowsde
