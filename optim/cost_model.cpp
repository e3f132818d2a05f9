#include "slowsde/optim/cost_model.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "slowsde/problems/requirement.hpp"

namespace slowsde {
namespace {

template <class T>
void require(bool holds, const char* inequality, T value) {
  detail::require(holds, "cost model", inequality, value);
}

}  // namespace

Topology topology(std::string_view name) {
  if (name == "ring") return Topology::ring;
  if (name == "tree") return Topology::tree;
  throw std::invalid_argument("unknown topology \"" + std::string(name) + "\"; known: ring, tree");
}

int messages(Topology topology, int workers) {
  require(workers >= 1, "workers >= 1", workers);
  if (topology == Topology::ring) return 2 * (workers - 1);
  int depth = 0;
  for (int reached = 1; reached < workers; reached *= 2) ++depth;
  return 2 * depth;
}

void CostModel::check() const {
  require(step_seconds >= 0 && std::isfinite(step_seconds), "0 <= step_seconds < infinity", step_seconds);
  require(workers >= 1, "workers >= 1", workers);
  require(bytes >= 0 && std::isfinite(bytes), "0 <= bytes < infinity", bytes);
  require(latency >= 0 && std::isfinite(latency), "0 <= latency < infinity", latency);
  require(efficiency > 0 && std::isfinite(efficiency), "0 < efficiency < infinity", efficiency);
}

double CostModel::bytes_sent() const { return 2.0 * (workers - 1) / workers * bytes; }

double CostModel::average_seconds(double bits_per_second) const {
  require(bits_per_second > 0, "bits_per_second > 0", bits_per_second);
  return messages(topology, workers) * latency + 8 * bytes_sent() / (efficiency * bits_per_second);
}

double CostModel::seconds(const RunVolume& run, double bits_per_second) const {
  return static_cast<double>(run.steps) * step_seconds +
         static_cast<double>(run.rounds) * average_seconds(bits_per_second);
}

double StepAndAverage::seconds(const RunVolume& run) const {
  return static_cast<double>(run.steps) * step_seconds + static_cast<double>(run.rounds) * average_seconds;
}

double StepAndAverage::seconds_se(double steps, double rounds) const {
  const double variance = steps * steps * step_se * step_se + rounds * rounds * average_se * average_se +
                          2 * steps * rounds * covariance;
  return std::sqrt(std::max(variance, 0.0));
}

StepAndAverage calibrate(const TimedRun& first, const TimedRun& second) {
  const auto checked = [](const TimedRun& timed) {
    require(timed.run.steps >= 1, "steps >= 1", timed.run.steps);
    require(timed.run.rounds >= 1, "rounds >= 1", timed.run.rounds);
    require(timed.seconds > 0 && std::isfinite(timed.seconds), "0 < seconds < infinity", timed.seconds);
  };
  checked(first);
  checked(second);
  // N_1 R_2 − N_2 R_1: exact in long double for counts below 2^32
  const long double n1 = first.run.steps, r1 = first.run.rounds, n2 = second.run.steps,
                    r2 = second.run.rounds;
  const long double determinant = n1 * r2 - n2 * r1;
  if (determinant == 0)
    throw std::invalid_argument(
        "cost model: both runs have the same rounds per step, which leaves the times of a step and of an "
        "average undetermined");
  const long double t1 = first.seconds, t2 = second.seconds;
  StepAndAverage times;
  times.step_seconds = static_cast<double>((t1 * r2 - t2 * r1) / determinant);
  times.average_seconds = static_cast<double>((n1 * t2 - n2 * t1) / determinant);
  if (!(times.step_seconds >= 0 && times.average_seconds >= 0))
    throw std::invalid_argument("cost model: the measured times contradict it: seconds per step = " +
                                std::to_string(times.step_seconds) + " and per average = " +
                                std::to_string(times.average_seconds) + " can not be negative");
  return times;
}

LeastSquaresTimes fit_times(const std::vector<Stretch>& stretches) {
  require(stretches.size() >= 3, "number of stretches >= 3", stretches.size());
  // per step: y_i = seconds/steps = t_step + a·x_i with x_i = rounds/steps and variance ∝ 1/steps
  double weight = 0, x_mean = 0, y_mean = 0;
  for (const Stretch& s : stretches) {
    require(s.steps > 0 && std::isfinite(s.steps), "0 < steps < infinity", s.steps);
    require(s.rounds >= 0 && std::isfinite(s.rounds), "0 <= rounds < infinity", s.rounds);
    require(std::isfinite(s.seconds), "|seconds| < infinity", s.seconds);
    weight += s.steps;
    x_mean += s.rounds;
    y_mean += s.seconds;
  }
  x_mean /= weight;
  y_mean /= weight;
  double sxx = 0, sxy = 0;
  for (const Stretch& s : stretches) {
    const double dx = s.rounds / s.steps - x_mean;
    sxx += s.steps * dx * dx;
    sxy += s.steps * dx * (s.seconds / s.steps - y_mean);
  }
  LeastSquaresTimes fit;
  // 1e-6 of the mean: below that, rounds per step differ by the rounding of the log alone
  if (!(sxx > 1e-12 * weight * x_mean * x_mean)) return fit;
  fit.identifiable = true;
  fit.times.average_seconds = sxy / sxx;
  fit.times.step_seconds = y_mean - fit.times.average_seconds * x_mean;
  double squares = 0;
  std::vector<double> residuals;
  for (const Stretch& s : stretches) {
    const double residual =
        s.seconds - s.steps * fit.times.step_seconds - s.rounds * fit.times.average_seconds;
    residuals.push_back(std::abs(residual) / std::sqrt(s.steps));
    squares += residuals.back() * residuals.back();
  }
  const double variance = squares / static_cast<double>(stretches.size() - 2);  // of one step's time
  fit.times.average_se = std::sqrt(variance / sxx);
  fit.times.step_se = std::sqrt(variance * (1 / weight + x_mean * x_mean / sxx));
  fit.times.covariance = -x_mean * variance / sxx;
  fit.worst =
      static_cast<std::size_t>(std::max_element(residuals.begin(), residuals.end()) - residuals.begin());
  fit.worst_residual = variance > 0 ? residuals[fit.worst] / std::sqrt(variance) : 0;
  return fit;
}

CostModel with_latency(const StepAndAverage& times, int workers, double bytes, double bits_per_second,
                       double latency, Topology topology) {
  CostModel model{.step_seconds = times.step_seconds,
                  .workers = workers,
                  .bytes = bytes,
                  .latency = latency,
                  .topology = topology};
  model.check();
  require(bits_per_second > 0, "bits_per_second > 0", bits_per_second);
  const double left = times.average_seconds - messages(topology, workers) * latency;
  if (workers == 1 || bytes == 0) return model;
  if (!(left > 0))
    throw std::invalid_argument("cost model: " + std::to_string(messages(topology, workers)) +
                                " messages of the given latency take longer than an average, " +
                                std::to_string(times.average_seconds) + " s");
  model.efficiency = 8 * model.bytes_sent() / (left * bits_per_second);
  return model;
}

CostModel with_efficiency(const StepAndAverage& times, int workers, double bytes, double bits_per_second,
                          double efficiency, Topology topology) {
  CostModel model{.step_seconds = times.step_seconds,
                  .workers = workers,
                  .bytes = bytes,
                  .efficiency = efficiency,
                  .topology = topology};
  model.check();
  const double alone = model.average_seconds(bits_per_second);
  const int count = messages(topology, workers);
  if (alone > times.average_seconds)
    throw std::invalid_argument("cost model: the bytes alone take " + std::to_string(alone) +
                                " s at the given bandwidth and efficiency, an average takes " +
                                std::to_string(times.average_seconds) + " s");
  if (count > 0) model.latency = (times.average_seconds - alone) / count;
  return model;
}

}  // namespace slowsde
