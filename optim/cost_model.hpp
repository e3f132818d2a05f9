// The wall clock of a run from its rounds: computation in every step, an all-reduce in every round.
// Calibrated from measured times, asked about other rules and other networks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace slowsde {

/// How an all-reduce travels; what it sends per worker is 2(K−1)/K of the buffer either way.
enum class Topology {
  ring,  ///< 2(K−1) messages one after the other
  tree,  ///< 2⌈log₂ K⌉
};
Topology topology(std::string_view name);  ///< "ring", "tree"; throws std::invalid_argument
int messages(Topology topology, int workers);

/// What a run does, as far as its wall clock is concerned.
struct RunVolume {
  std::int64_t steps = 0, rounds = 0;
};

/// T = N·t_step + R·a,  a(b) = messages(K)·latency + 8·V/(efficiency·b),  V = 2(K−1)/K·bytes
///
/// for N steps and R averages of `bytes` over K workers at b bits per second: the latency–bandwidth model of
/// a collective (Thakur, Rabenseifner & Gropp 2005). `efficiency` is the part of the nominal bandwidth that
/// is attained; it exceeds 1 where part of the time is hidden behind computation or less is sent than
/// thought. Data loading and evaluation are part of t_step; waiting for the slowest worker is part of both.
struct CostModel {
  double step_seconds = 0;  ///< t_step
  int workers = 1;          ///< K
  double bytes = 0;         ///< of one copy of what is averaged
  double latency = 0;       ///< seconds of a message
  double efficiency = 1;
  Topology topology = Topology::ring;

  /// Throws std::invalid_argument naming the violated inequality.
  void check() const;
  /// V: bytes that a worker sends (and receives) in an average.
  double bytes_sent() const;
  /// a(b).
  double average_seconds(double bits_per_second) const;
  /// T.
  double seconds(const RunVolume& run, double bits_per_second) const;
};

/// t_step and a, the two times that wall clocks tell apart, with their standard errors where they are known.
struct StepAndAverage {
  double step_seconds = 0, average_seconds = 0;
  double step_se = 0, average_se = 0, covariance = 0;  ///< covariance: of the two
  /// T = N·t_step + R·a.
  double seconds(const RunVolume& run) const;
  /// Standard error of N·t_step + R·a, R not necessarily a count.
  double seconds_se(double steps, double rounds) const;
};

struct TimedRun {
  RunVolume run;
  double seconds = 0;
};

/// Solves T_i = N_i·t_step + R_i·a for two runs. Throws std::invalid_argument where the two have the same
/// rounds per step, which leaves t_step and a undetermined, and where a or t_step comes out negative: the
/// times then contradict the model.
StepAndAverage calibrate(const TimedRun& first, const TimedRun& second);

/// Least squares over stretches of one run or several, with weights 1/N_i (independent noise in every step)
/// and the standard errors of the fit.
struct LeastSquaresTimes {
  StepAndAverage times;
  bool identifiable = false;  ///< false: rounds per step never change, and nothing else is set
  double worst_residual = 0;  ///< largest |residual| over its standard deviation
  std::size_t worst = 0;      ///< its stretch
};
/// `rounds` may be a fraction where a stretch does not end with a round. Throws std::invalid_argument for
/// fewer than three stretches, N ≤ 0 or times that are not finite.
struct Stretch {
  double steps = 0, rounds = 0, seconds = 0;
};
LeastSquaresTimes fit_times(const std::vector<Stretch>& stretches);

/// The model that takes a seconds per average at this bandwidth: with a given latency the efficiency follows,
/// with a given efficiency the latency. Throws std::invalid_argument where that is impossible (the latency
/// alone takes longer than a; the bytes alone do).
CostModel with_latency(const StepAndAverage& times, int workers, double bytes, double bits_per_second,
                       double latency, Topology topology = Topology::ring);
CostModel with_efficiency(const StepAndAverage& times, int workers, double bytes, double bits_per_second,
                          double efficiency, Topology topology = Topology::ring);

}  // namespace slowsde
