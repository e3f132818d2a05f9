// A team of threads that stays together: for work of many short phases, each of which ends before the next
// begins. parallel.hpp has the loop for work that is handed out once.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <type_traits>
#include <vector>

namespace slowsde {

/// `size` members, the calling thread among them, who wait for the next phase between calls of run(). What a
/// member computes may depend on its number alone; a reduction over members is a later phase's or the
/// caller's. Who waits looks for some microseconds before it sleeps: to be woken takes longer than many a
/// phase.
class ThreadTeam {
 public:
  /// Throws std::invalid_argument if size < 1. Where the system grants fewer threads, the caller does the
  /// share of those that are missing.
  explicit ThreadTeam(int size) : size_(size), failures_(size < 1 ? 0 : static_cast<std::size_t>(size)) {
    if (size < 1) throw std::invalid_argument("threads = " + std::to_string(size) + " must be >= 1");
    threads_.reserve(failures_.size() - 1);
    try {
      for (int member = 1; member < size; ++member) threads_.emplace_back([this, member] { serve(member); });
    } catch (const std::system_error&) {
      // the caller does the rest
    }
  }
  ~ThreadTeam() {
    stopping_.store(true, std::memory_order_relaxed);
    phase_.fetch_add(1, std::memory_order_release);
    phase_.notify_all();
  }
  ThreadTeam(const ThreadTeam&) = delete;
  ThreadTeam& operator=(const ThreadTeam&) = delete;

  int size() const { return size_; }

  /// Calls f(member) once for each member in [0, size) and returns when all are done. Allocates nothing. If
  /// calls throw, the exception of the lowest member is rethrown after all have ended.
  template <class Function>
  void run(Function&& f) {
    using F = std::remove_reference_t<Function>;
    task_ = [](void* object, int member) { (*static_cast<F*>(object))(member); };
    object_ = const_cast<void*>(static_cast<const void*>(&f));
    pending_.store(static_cast<int>(threads_.size()), std::memory_order_relaxed);
    phase_.fetch_add(1, std::memory_order_release);
    if (!threads_.empty()) phase_.notify_all();
    call(0);
    for (int member = static_cast<int>(threads_.size()) + 1; member < size_; ++member) call(member);
    for (int left; (left = pending_.load(std::memory_order_acquire)) != 0;) await_change(pending_, left);
    for (std::exception_ptr& failure : failures_) {
      if (!failure) continue;
      const std::exception_ptr first = failure;
      for (std::exception_ptr& any : failures_) any = nullptr;
      std::rethrow_exception(first);
    }
  }

  /// Calls f(member, index) once for each index in [0, count): a member that is free takes the next one. What
  /// is computed for an index may depend on the index alone. A member whose call throws takes no further
  /// index; the others do.
  template <class Function>
  void for_each(std::size_t count, Function&& f) {
    next_.store(0, std::memory_order_relaxed);
    run([&](int member) {
      for (std::size_t index; (index = next_.fetch_add(1, std::memory_order_relaxed)) < count;)
        f(member, index);
    });
  }

 private:
  template <class T>
  static void await_change(const std::atomic<T>& value, T old) {
    constexpr int looks = 1000;
    for (int look = 0; look < looks; ++look) {
      if (value.load(std::memory_order_acquire) != old) return;
#if defined(__x86_64__)
      __builtin_ia32_pause();
#endif
    }
    value.wait(old, std::memory_order_acquire);
  }

  void call(int member) noexcept {
    try {
      task_(object_, member);
    } catch (...) {
      failures_[static_cast<std::size_t>(member)] = std::current_exception();
    }
  }

  void serve(int member) {
    for (std::uint64_t seen = 0;;) {
      await_change(phase_, seen);
      // The next phase begins only after every member has finished this one, so none is ever skipped.
      seen = phase_.load(std::memory_order_acquire);
      if (stopping_.load(std::memory_order_relaxed)) return;
      call(member);
      if (pending_.fetch_sub(1, std::memory_order_acq_rel) == 1) pending_.notify_all();
    }
  }

  int size_;
  void (*task_)(void*, int) = nullptr;
  void* object_ = nullptr;
  std::vector<std::exception_ptr> failures_;
  std::atomic<std::uint64_t> phase_{0};
  std::atomic<int> pending_{0};
  std::atomic<std::size_t> next_{0};  // index of for_each
  std::atomic<bool> stopping_{false};
  std::vector<std::jthread> threads_;  // last: joined before the rest is gone
};

}  // namespace slowsde
