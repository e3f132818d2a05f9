// What claims measure with: ensembles of iterates brought to Γ by Φ, ensembles of the slow SDE, and
// means from which the part of the scatter that known noise explains is taken out.
#pragma once

#include <Eigen/Dense>
#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <stdexcept>
#include <vector>

#include "slowsde/experiments/claim.hpp"
#include "slowsde/optim/local_sgd.hpp"
#include "slowsde/optim/round_plan.hpp"
#include "slowsde/sde/brownian.hpp"
#include "slowsde/sde/gradient_flow.hpp"
#include "slowsde/sde/parallel.hpp"
#include "slowsde/sde/sde_ensemble.hpp"
#include "slowsde/sde/slow_sde.hpp"
#include "slowsde/sde/statistics.hpp"

namespace slowsde {

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
  double sigma = 1;         ///< of label noise
  bool replacement = true;  ///< of minibatches
  bool project = true;      ///< observe Φ of the iterates, not the iterates
  int threads = 2;
};

/// What the iterates of an ensemble draw their gradients from. Throws std::invalid_argument when the
/// algorithm is impossible or the replicas leave a pack incomplete.
inline GradientSource gradient_source(NoiseKind kind, const LocalSgd& algorithm,
                                      const IterateOptions& options) {
  if (options.replicas % native_width<double> != 0)
    throw std::invalid_argument("replicas must fill whole packs");
  algorithm.check();
  GradientSource source;
  source.seed = options.seed;
  source.noise = {.kind = kind, .label_sigma = options.sigma, .replacement = options.replacement};
  source.local_batch = algorithm.local_batch;
  source.svag = algorithm.svag;
  return source;
}

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

/// Brings a pack of states (d per lane) to Γ by Φ; a lane in which that has not converged becomes NaN.
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
      const bool found = report.converged[static_cast<std::size_t>(l)];
      for (int j = 0; j < D; ++j)
        states[l * D + j] = found ? x[j][l] : std::numeric_limits<double>::quiet_NaN();
    }
  }
}

/// Simulates replicas of `algorithm` from `start`; observe(const double* ζ, double* values).
template <NoiseKind Kind, Problem P, class Observe>
IterateMoments iterate_moments(const P& problem, const LocalSgd& algorithm,
                               const std::array<double, P::dim>& start, const std::vector<double>& times,
                               const IterateOptions& options, std::size_t observables, Observe observe) {
  constexpr std::size_t D = P::dim, W = native_width<double>;
  const GradientSource source = gradient_source(Kind, algorithm, options);
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

/// Means over rounds of constant length, from round number `warm_rounds` on, of what observe(const
/// Pack<double>* θ_w, Pack<double>* values) says of a worker before each of its local steps. A replica is one
/// value: nothing is assumed of the correlations inside it.
template <NoiseKind Kind, Problem P, class Observe>
std::vector<Measured> means_inside_rounds(const P& problem, const LocalSgd& algorithm,
                                          const std::array<double, P::dim>& start, std::int64_t warm_rounds,
                                          const IterateOptions& options, std::size_t observables,
                                          Observe observe) {
  constexpr std::size_t W = native_width<double>;
  using T = Pack<double>;
  const GradientSource source = gradient_source(Kind, algorithm, options);
  const std::int64_t N = algorithm.total_steps, H = algorithm.rule->local_steps(0, algorithm.lr(0), N),
                     first = warm_rounds * H;
  std::vector<RecordPoint> round_starts;
  for (std::int64_t k = first; k <= N; k += H) round_starts.push_back({k, 0});
  const std::size_t packs = options.replicas / W;
  std::vector<Moments> parts(observables * packs);  // (observables × packs)
  parallel_for(options.threads, packs, [&](std::size_t pack) {
    LocalSgdPack<P, double, Kind> simulation(problem, algorithm, source, pack * W);
    std::vector<T> sums(observables, T(0.0)), values(observables);
    const auto add = [&](const T* theta, double weight) {
      observe(theta, values.data());
      for (std::size_t q = 0; q < observables; ++q) sums[q] = sums[q] + weight * values[q];
    };
    simulation.run(
        start.data(), round_starts,
        [&](int round, const T* theta) {  // all workers start a round from the same point
          if (static_cast<std::size_t>(round) + 1 < round_starts.size()) add(theta, algorithm.workers);
        },
        [&](std::int64_t k, int, const T* theta) {
          if (k > first && k % H != 0) add(theta, 1);
        });
    const double visits = static_cast<double>(N - first) * algorithm.workers;
    for (std::size_t q = 0; q < observables; ++q)
      for (std::size_t l = 0; l < W; ++l) parts[q * packs + pack].add(sums[q][static_cast<int>(l)] / visits);
  });
  std::vector<Measured> means;
  for (std::size_t q = 0; q < observables; ++q)
    means.push_back(Measured::of(merge_in_order(std::span<const Moments>(parts).subspan(q * packs, packs))));
  return means;
}

struct SlowOptions {
  std::size_t trajectories = 1024;
  std::uint64_t seed = 1;
  double dt = 0.05;
  Retraction retraction = Retraction::newton;
  int threads = 2;
};

/// observe(ζ) of each trajectory at slow time t; NaN where a step was not brought back to Γ.
template <class Scheme = PlatenWeak2, Problem P, class Observe>
std::vector<double> slow_sample(const SlowSde<P>& sde, const std::array<double, P::dim>& start, double t,
                                const SlowOptions& options, Observe observe) {
  const GradientFlow<P> flow(sde.geometry());
  const auto retract = [&](double* x) {
    RetractionReport report;
    if (options.retraction != Retraction::none) retract_to_manifold(flow, options.retraction, x, report);
    if (!report.converged) x[0] = std::numeric_limits<double>::quiet_NaN();
  };
  EnsembleOptions ensemble;
  ensemble.trajectories = options.trajectories;
  ensemble.seed = options.seed;
  ensemble.output_times = {t};
  ensemble.max_step = options.dt;
  ensemble.threads = options.threads;
  std::vector<double> sample(options.trajectories);
  run_ensemble<double>(
      Retracted{Scheme{}, retract}, sde, ensemble,
      [&](std::size_t, double* x) { std::copy(start.begin(), start.end(), x); },
      [&](std::size_t, std::size_t trajectory, const double* x) { sample[trajectory] = observe(x); });
  return sample;
}

/// Mean of f over a sample.
template <class F>
Measured mean_of(const std::vector<double>& sample, F f) {
  Moments moments;
  for (double x : sample) moments.add(f(x));
  return Measured::of(moments);
}

/// Two standard normals of each replica: the components of its total noise.
using TotalNoise = std::vector<std::array<double, 2>>;

/// Means of several quantities of the same replicas.
struct JointMeans {
  std::vector<Measured> mean;
  std::vector<double> correlation;  ///< (quantities × quantities), row-major, of the errors of the means
};

/// E y of each sample y from its regression on the Hermite polynomials of degree 1 to 3 of w ~ N(0, I), all
/// of mean 0: the intercepts, with the covariance of the residuals.
inline JointMeans means_without_noise(const std::vector<std::vector<double>>& samples, const TotalNoise& w) {
  const auto n = static_cast<Eigen::Index>(w.size()), count = static_cast<Eigen::Index>(samples.size());
  Eigen::MatrixXd X(n, 10);
  for (Eigen::Index i = 0; i < n; ++i) {
    const auto [a, b] = w[static_cast<std::size_t>(i)];
    X.row(i) << 1, a, b, a * a - 1, a * b, b * b - 1, a * (a * a - 3), (a * a - 1) * b, a * (b * b - 1),
        b * (b * b - 3);
  }
  Eigen::MatrixXd values(n, count);
  for (Eigen::Index q = 0; q < count; ++q)
    values.col(q) = Eigen::Map<const Eigen::VectorXd>(samples[static_cast<std::size_t>(q)].data(), n);
  const Eigen::MatrixXd gram = X.transpose() * X;
  const Eigen::LDLT<Eigen::MatrixXd> solver(gram);
  const Eigen::MatrixXd coefficients = solver.solve(X.transpose() * values);
  const Eigen::MatrixXd residuals = values - X * coefficients;
  const Eigen::VectorXd e0 = Eigen::VectorXd::Unit(X.cols(), 0);
  const Eigen::MatrixXd covariance =
      solver.solve(e0)[0] / static_cast<double>(n - X.cols()) * (residuals.transpose() * residuals);
  JointMeans result;
  for (Eigen::Index q = 0; q < count; ++q) {
    const bool known = values.col(q).allFinite();
    const double nan = std::numeric_limits<double>::quiet_NaN();
    result.mean.push_back({known ? coefficients(0, q) : nan, known ? std::sqrt(covariance(q, q)) : nan,
                           static_cast<std::uint64_t>(n)});
    for (Eigen::Index p = 0; p < count; ++p)
      result.correlation.push_back(
          p == q ? 1 : covariance(q, p) / std::sqrt(covariance(q, q) * covariance(p, p)));
  }
  return result;
}
/// The same of one sample.
inline Measured mean_without_noise(const std::vector<double>& y, const TotalNoise& w) {
  return means_without_noise({y}, w).mean[0];
}

/// Σ passed(k)·ξ over all steps k and workers of iterates with Gaussian noise of two components, divided by
/// its standard deviation.
template <class Passed>
TotalNoise total_noise(const LocalSgd& algorithm, const IterateOptions& options, Passed passed) {
  constexpr int W = native_width<double>;
  TotalNoise result(options.replicas);
  double squares = 0;
  for (std::int64_t k = 0; k < algorithm.total_steps; ++k) squares += passed(k) * passed(k);
  const double scale = 1 / std::sqrt(squares * algorithm.workers);
  parallel_for(options.threads, options.replicas / W, [&](std::size_t pack) {
    const RandomPack<double> random(options.seed, Stream::gradient, pack * W);
    Pack<double> sum[2] = {Pack<double>(0.0), Pack<double>(0.0)}, xi[1][2];
    for (int worker = 0; worker < algorithm.workers; ++worker)
      for (std::int64_t k = 0; k < algorithm.total_steps; ++k) {
        random.normals<1>(static_cast<std::uint32_t>(worker), static_cast<std::uint64_t>(k), xi);
        for (int c = 0; c < 2; ++c) sum[c] = sum[c] + passed(k) * xi[0][c];
      }
    for (int l = 0; l < W; ++l)
      for (std::size_t c = 0; c < 2; ++c)
        result[pack * W + static_cast<std::size_t>(l)][c] = scale * sum[c][l];
  });
  return result;
}
inline TotalNoise total_noise(const LocalSgd& algorithm, const IterateOptions& options) {
  return total_noise(algorithm, options, [](std::int64_t) { return 1.0; });
}

/// The mean of one observable of Φ at the end of a run with Gaussian noise of two components, without the
/// part of the scatter that their sums explain.
template <Problem P, class Observe>
Measured mean_at_end_without_noise(const P& problem, const LocalSgd& algorithm,
                                   const std::array<double, P::dim>& start, double t,
                                   const IterateOptions& options, Observe observe) {
  const auto moments = iterate_moments<NoiseKind::gaussian>(
      problem, algorithm, start, {t}, options, 1,
      [&](const double* zeta, double* value) { *value = observe(zeta); });
  return mean_without_noise(moments.sample, total_noise(algorithm, options));
}

/// The same of an SDE's two Brownian components over `steps` equal steps, summed over the workers of a path.
inline TotalNoise total_noise(std::uint64_t seed, std::size_t trajectories, int workers,
                              std::uint64_t steps) {
  TotalNoise result(trajectories);
  const double scale = 1 / std::sqrt(static_cast<double>(steps) * workers);
  for (std::size_t trajectory = 0; trajectory < trajectories; ++trajectory) {
    BrownianPath<double> path(seed, trajectory, 2, workers);
    for (int worker = 0; worker < workers; ++worker)
      for (std::uint64_t k = 0; k < steps; ++k) {
        double dW[2];
        path.increments_of(worker, k, 1, dW);
        for (std::size_t c = 0; c < 2; ++c) result[trajectory][c] += scale * dW[c];
      }
  }
  return result;
}

}  // namespace slowsde
