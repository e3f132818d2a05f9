// Ensembles of iterates for the tests that hold them against predictions: replicas of Local SGD, their Φ, and
// the moments of what is observed there.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <stdexcept>
#include <vector>

#include "slowsde/optim/local_sgd.hpp"
#include "slowsde/optim/round_plan.hpp"
#include "slowsde/sde/gradient_flow.hpp"
#include "slowsde/sde/parallel.hpp"
#include "slowsde/sde/statistics.hpp"
#include "tests/support/tolerance.hpp"

namespace slowsde::test {

/// A measured mean, or a combination of independent ones, with its standard error.
struct Measured {
  double mean = 0, se = 0;

  static Measured of(const Moments& moments) {
    // One replica that diverged would bias the mean of the others.
    if (moments.diverged > 0) throw std::runtime_error("replicas diverged");
    return {moments.mean, moments.standard_error()};
  }
  friend Measured operator+(Measured a, Measured b) { return {a.mean + b.mean, std::hypot(a.se, b.se)}; }
  friend Measured operator-(Measured a, Measured b) { return {a.mean - b.mean, std::hypot(a.se, b.se)}; }
  friend Measured operator*(double c, Measured a) { return {c * a.mean, std::abs(c) * a.se}; }
  friend Measured operator-(Measured a, double exact) { return {a.mean - exact, a.se}; }
};

/// |difference|/SE; infinite when it is not a number.
inline double z_of(const Measured& difference) { return zscore(difference.mean, 0, difference.se); }
/// The same for a wrong theory, which counts as rejected only with a finite prediction: 0 when it is not.
inline double z_of_wrong(const Measured& difference) {
  return std::isfinite(difference.mean) && std::isfinite(difference.se) ? z_of(difference) : 0;
}

/// Without the term of first order in a parameter h, from values at h and h/2.
inline Measured extrapolate(Measured at_h, Measured at_half) { return 2 * at_half - at_h; }
/// Without the terms of first and second order, from values at h, h/2 and h/4.
inline Measured extrapolate(Measured at_h, Measured at_half, Measured at_quarter) {
  return (1.0 / 3) * (8 * at_quarter - 6 * at_half + at_h);
}

/// Local SGD with constant η and H for the least number of steps that reaches slow time t.
inline LocalSgd local_sgd(const Round& round, double t) {
  LocalSgd algorithm;
  algorithm.workers = round.workers;
  algorithm.local_batch = round.local_batch;
  algorithm.lr = LearningRate::constant(round.eta);
  algorithm.rule = std::make_shared<ConstantRule>(round.local_steps);
  algorithm.total_steps = steps_to_slow_time({.peak = round.eta}, t);
  return algorithm;
}

struct IterateOptions {
  std::size_t replicas = 1024;  ///< a multiple of the lanes of a pack
  std::uint64_t seed = 1;
  double sigma = 1;     ///< of label noise
  bool project = true;  ///< observe Φ of the iterates, not the iterates
  int threads = 2;
};

/// Moments of the observables at the requested slow times (end of the round at which each is reached), and
/// the values of the first one at the last of them.
struct IterateMoments {
  std::vector<RecordPoint> points;
  std::size_t observables = 0;
  std::vector<Moments> moments;  ///< (points × observables)
  std::vector<double> sample;    ///< (replicas)

  Measured at(std::size_t point, std::size_t observable = 0) const {
    return Measured::of(moments[point * observables + observable]);
  }
  Measured last(std::size_t observable = 0) const { return at(points.size() - 1, observable); }
};

/// Brings a pack of states (d per lane) to Γ by Φ; throws where that has not converged.
template <Problem P, std::size_t N>
void project_lanes(const GradientFlow<P>& flow, std::array<double, N>& states) {
  constexpr int D = static_dimension<P>(), W = static_cast<int>(N) / D;
  if constexpr (HasClosedPhi<P>) {
    for (int l = 0; l < W; ++l) {
      const std::array<double, D> x = [&] {
        std::array<double, D> copy;
        for (int j = 0; j < D; ++j) copy[j] = states[l * D + j];
        return copy;
      }();
      flow.geometry().problem().phi(x.data(), states.data() + l * D);
    }
  } else {
    Pack<double> x[D];
    for (int l = 0; l < W; ++l)
      for (int j = 0; j < D; ++j) x[j].set(l, states[l * D + j]);
    const auto report = flow.lanes(x);
    for (int l = 0; l < W; ++l) {
      if (!report.converged[static_cast<std::size_t>(l)]) throw std::runtime_error("Φ has not converged");
      for (int j = 0; j < D; ++j) states[l * D + j] = x[j][l];
    }
  }
}

/// Simulates replicas of `algorithm` from `start`; observe(const double* ζ, double* values).
template <NoiseKind Kind, Problem P, class Observe>
IterateMoments iterate_moments(const P& problem, const LocalSgd& algorithm,
                               const std::array<double, P::dim>& start, const std::vector<double>& times,
                               const IterateOptions& options, std::size_t observables, Observe observe) {
  constexpr std::size_t D = P::dim, W = native_width<double>;
  if (options.replicas % W != 0) throw std::invalid_argument("replicas must fill whole packs");
  algorithm.check();
  GradientSource source;
  source.seed = options.seed;
  source.noise.kind = Kind;
  source.noise.label_sigma = options.sigma;
  source.local_batch = algorithm.local_batch;
  source.svag = algorithm.svag;
  // A rank that is fixed by the start splits points a little off Γ as those on it.
  const GradientFlow<P> flow(DenseGeometry<P>(problem).with_rank_at(
      Eigen::Map<const typename DenseGeometry<P>::Vector>(start.data())));

  IterateMoments result;
  result.observables = observables;
  result.points = record_points(algorithm, times, 1);
  result.sample.resize(options.replicas);
  const std::size_t cells = result.points.size() * observables, packs = options.replicas / W;
  std::vector<Moments> parts(cells * packs);  // (cells × packs)
  parallel_for(options.threads, packs, [&](std::size_t pack) {
    LocalSgdPack<P, double, Kind> simulation(problem, algorithm, source, pack * W);
    std::vector<double> values(observables);
    simulation.run(start.data(), result.points, [&](int point, const Pack<double>* theta) {
      std::array<double, D * W> states;
      for (std::size_t l = 0; l < W; ++l)
        for (std::size_t j = 0; j < D; ++j) states[l * D + j] = theta[j][static_cast<int>(l)];
      if (options.project) project_lanes<P>(flow, states);
      for (std::size_t l = 0; l < W; ++l) {
        observe(states.data() + l * D, values.data());
        for (std::size_t q = 0; q < observables; ++q)
          parts[(static_cast<std::size_t>(point) * observables + q) * packs + pack].add(values[q]);
        result.sample[pack * W + l] = values[0];
      }
    });
  });
  for (std::size_t cell = 0; cell < cells; ++cell)
    result.moments.push_back(merge_in_order(std::span<const Moments>(parts).subspan(cell * packs, packs)));
  return result;
}

/// The mean of one observable of Φ at the end of the run.
template <NoiseKind Kind, Problem P, class Observe>
Measured mean_at_end(const P& problem, const LocalSgd& algorithm, const std::array<double, P::dim>& start,
                     double t, const IterateOptions& options, Observe observe) {
  return iterate_moments<Kind>(problem, algorithm, start, {t}, options, 1,
                               [&](const double* zeta, double* value) { *value = observe(zeta); })
      .last();
}

}  // namespace slowsde::test
