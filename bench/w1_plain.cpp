// W1 as one would write it first: Local SGD on the valley with label noise, workers innermost,
// std::mt19937_64 with std::normal_distribution, one generator per thread. The yardstick of `slowsde bench`,
// built with the same flags.
#include <chrono>
#include <cmath>
#include <random>
#include <thread>
#include <vector>

#include "slowsde/experiments/benchmarks.hpp"

namespace slowsde {
namespace {

struct Sums {
  double sum = 0, sum_squares = 0;
};

template <class Real>
Sums simulate_plain(int replicas, int workers, int local_steps, int rounds, Real eta, Real sigma, Real x0,
                    unsigned long seed) {
  std::mt19937_64 generator(seed);
  std::normal_distribution<Real> normal;
  Sums moments;
  std::vector<Real> x(static_cast<std::size_t>(workers)), y(static_cast<std::size_t>(workers));
  for (int replica = 0; replica < replicas; ++replica) {
    Real mean_x = x0, mean_y = 0;
    for (int round = 0; round < rounds; ++round) {
      for (auto& v : x) v = mean_x;
      for (auto& v : y) v = mean_y;
      for (int h = 0; h < local_steps; ++h)
        for (std::size_t w = 0; w < x.size(); ++w) {
          const Real root = std::sqrt(1 + x[w] * x[w]);
          const Real residual = root * y[w] - sigma * normal(generator);
          const Real gx = residual * x[w] * y[w] / root;
          const Real gy = residual * root;
          x[w] -= eta * gx;
          y[w] -= eta * gy;
        }
      mean_x = mean_y = 0;
      for (const auto v : x) mean_x += v;
      for (const auto v : y) mean_y += v;
      mean_x /= static_cast<Real>(workers);
      mean_y /= static_cast<Real>(workers);
    }
    moments.sum += mean_x;
    moments.sum_squares += static_cast<double>(mean_x) * mean_x;
  }
  return moments;
}

template <class Real>
W1Measurement run(int replicas, int threads) {
  const auto begin = std::chrono::steady_clock::now();
  std::vector<Sums> parts(static_cast<std::size_t>(threads));
  std::vector<std::thread> pool;
  for (int t = 0; t < threads; ++t)
    pool.emplace_back([&, t] {
      const int share = replicas * (t + 1) / threads - replicas * t / threads;
      parts[static_cast<std::size_t>(t)] = simulate_plain<Real>(
          share, 8, 100, 20, Real(0.01), Real(1), Real(1.5), 1000u + static_cast<unsigned long>(t));
    });
  for (auto& thread : pool) thread.join();
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  double sum = 0, squares = 0;
  for (const auto& part : parts) {
    sum += part.sum;
    squares += part.sum_squares;
  }
  const double mean = sum / replicas,
               variance = (squares / replicas - mean * mean) * replicas / (replicas - 1.0);
  return {seconds, mean, std::sqrt(variance / replicas)};
}

}  // namespace

W1Measurement w1_plain(bool single_precision, int replicas, int threads) {
  return single_precision ? run<float>(replicas, threads) : run<double>(replicas, threads);
}

}  // namespace slowsde
