// How `slowsde bench` takes time: windows of equal length in turn, the best of each counting, so that what
// disturbs the machine hits all loops alike.
#pragma once

#include <chrono>

namespace slowsde {

inline double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

/// Items per second of run(), which does `items` of them, repeated until the window is full.
template <class Run>
double window_rate(double seconds, double items, Run&& run) {
  const auto begin = std::chrono::steady_clock::now();
  double done = 0, spent = 0;
  while (spent < seconds) {
    run();
    done += items;
    spent = seconds_since(begin);
  }
  return done / spent;
}

}  // namespace slowsde
