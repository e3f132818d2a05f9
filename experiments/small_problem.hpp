// Problems of static dimension up to 8 before the experiments: Φ lane by lane, the dense geometry on the
// stack, the slow and conventional SDEs.
#pragma once

#include <Eigen/Dense>
#include <algorithm>
#include <boost/numeric/odeint/integrate/integrate_adaptive.hpp>
#include <boost/numeric/odeint/stepper/controlled_runge_kutta.hpp>
#include <boost/numeric/odeint/stepper/generation.hpp>
#include <boost/numeric/odeint/stepper/runge_kutta_dopri5.hpp>
#include <cmath>
#include <functional>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "slowsde/experiments/problem_base.hpp"
#include "slowsde/experiments/residual_space_trajectory.hpp"
#include "slowsde/problems/least_squares_adaptor.hpp"
#include "slowsde/sde/conventional_sde.hpp"
#include "slowsde/sde/gradient_flow.hpp"
#include "slowsde/sde/gram_geometry.hpp"
#include "slowsde/sde/label_noise_flow.hpp"
#include "slowsde/sde/lane_slow_sde.hpp"
#include "slowsde/sde/quasi_static_qsr.hpp"
#include "slowsde/sde/slow_sde.hpp"
#include "slowsde/sde/steppers.hpp"

namespace slowsde {

template <Problem P>
class SmallProblem final : public ProblemBase<P> {
  using Base = ProblemBase<P>;
  static constexpr int D = static_dimension<P>();
  using Vector = typename DenseGeometry<P>::Vector;
  static_assert(D >= 1 && D <= 8);

 public:
  explicit SmallProblem(P problem) : Base(std::move(problem)), flow_(this->problem()) {}

  std::vector<double> start() const override {
    const std::vector<double> raw = this->raw_start();
    const auto end = flow_(Eigen::Map<const Vector>(raw.data()));
    return {end.point.begin(), end.point.end()};
  }

  void project(double* states, int count, DistanceToManifold* to) const override {
    constexpr int W = native_width<double>;
    if constexpr (HasClosedPhi<P>) {
      for (int i = 0; i < count; ++i) {
        Eigen::Map<Vector> x(states + i * D);
        if (!x.allFinite()) continue;
        const auto end = flow_(x);
        x = end.point;
        to[i] = {end.residual, end.converged};
      }
    } else {
      for (int first = 0; first < count; first += W) {
        const int lanes = std::min(W, count - first);
        // Lanes that are missing or not finite flow from a copy of a good one, so that no lane runs forever.
        int good = -1;
        const auto finite = [&](int l) {
          return Eigen::Map<const Vector>(states + (first + l) * D).allFinite();
        };
        for (int l = 0; l < lanes && good < 0; ++l)
          if (finite(l)) good = l;
        if (good < 0) continue;
        Pack<double> x[D];
        for (int l = 0; l < W; ++l) {
          const int from = first + (l < lanes && finite(l) ? l : good);
          for (int j = 0; j < D; ++j) x[j].set(l, states[from * D + j]);
        }
        const auto report = flow_.lanes(x);
        for (int l = 0; l < lanes; ++l) {
          if (!finite(l)) continue;
          for (int j = 0; j < D; ++j) states[(first + l) * D + j] = x[j][l];
          to[first + l] = {report.residual[static_cast<std::size_t>(l)],
                           report.converged[static_cast<std::size_t>(l)]};
        }
      }
    }
  }

  bool deterministic(const SlowRun& run) const override {
    return DenseGeometry<P>::noise_dim() == 0 || run.variant == SlowSdeVariant::drift_only ||
           run.geometry == GeometryRoute::gram;
  }

  DistanceToManifold slow_trajectory(const SlowRun& run, std::uint64_t trajectory,
                                     const RecordStates& record) const override {
    if (run.theory == SlowTheory::label_noise_flow) return label_noise_trajectory(run, record);
    if (run.geometry == GeometryRoute::gram) {
      if constexpr (LeastSquaresProblem<P>)
        return residual_space_trajectory(LeastSquaresModelOf<P>(this->problem()), run, record);
      else
        throw std::invalid_argument("the residual-space geometry needs a least-squares problem");
    }
    const DenseGeometry<P> geometry(this->problem(), {.label_noise = run.noise.label_sigma});
    // The flow on a problem whose rank is known from the start splits points a little off Γ as those on it.
    const GradientFlow<P> flow(geometry.with_rank_at(Eigen::Map<const Vector>(run.start.data())));
    RetractionReport report;
    Vector x = Eigen::Map<const Vector>(run.start.data());
    if (run.theory == SlowTheory::quasi_static) {
      if (run.scheme == SlowScheme::platen_weak_2)
        quasi_static_trajectory<PlatenWeak2>(run, flow, trajectory, x, report, record);
      else
        quasi_static_trajectory<EulerMaruyama>(run, flow, trajectory, x, report, record);
    } else {
      const SlowSde<P> sde(flow.geometry(), run.moment, run.round, run.variant);
      if (deterministic(run))
        ode_trajectory(run, sde, flow, x, report, record);
      else if (run.scheme == SlowScheme::platen_weak_2)
        sde_trajectory(PlatenWeak2{}, run, sde, flow, trajectory, x, report, record);
      else
        sde_trajectory(EulerMaruyama{}, run, sde, flow, trajectory, x, report, record);
    }
    return {report.worst, report.converged};
  }

  int slow_width(const SlowRun& run) const override {
    return LaneManifoldProblem<P> && !deterministic(run) && runs_in_lanes(run, LaneClosedPhi<P>)
               ? native_width<double>
               : 1;
  }

  DistanceToManifold slow_trajectories(const SlowRun& run, std::uint64_t first,
                                       const RecordStates& record) const override {
    if constexpr (LaneManifoldProblem<P> && DenseGeometry<P>::noise_dim() > 0) {
      if (slow_width(run) > 1) {
        if (run.scheme == SlowScheme::platen_weak_2)
          return lane_trajectories(PlatenWeak2{}, run, first, record);
        return lane_trajectories(EulerMaruyama{}, run, first, record);
      }
    }
    return slow_trajectory(run, first, record);
  }

  void conventional_trajectories(const ConventionalRun& run, std::uint64_t first_trajectory,
                                 const RecordStates& record) const override {
    if constexpr (GaussianNoiseProblem<P>)
      if (run.noise.kind == NoiseKind::gaussian)
        return conventional_with(GaussianNoise{}, run, first_trajectory, record);
    if constexpr (LeastSquaresProblem<P>)
      if (run.noise.kind != NoiseKind::gaussian)
        return conventional_with(LabelNoise{run.noise.label_sigma}, run, first_trajectory, record);
    throw std::invalid_argument("this problem has no noise of that kind");
  }

  void check_slow(const SlowRun& run) const override {
    if (run.geometry == GeometryRoute::gram && !LeastSquaresProblem<P>)
      throw std::invalid_argument("the residual-space geometry needs a least-squares problem");
    if (run.theory == SlowTheory::label_noise_flow && !LeastSquaresProblem<P>)
      throw std::invalid_argument("the closed form of label noise needs a least-squares problem");
  }

  void check_conventional(const ConventionalRun&) const override {}

  PointReport report(const std::vector<double>& theta) const override {
    const auto frame = flow_.geometry().frame(Eigen::Map<const Vector>(theta.data()));
    return {.trace = frame.lambda.sum(),
            .lambda_max = frame.lambda_max(),
            .lambda_min = frame.rank() > 0 ? frame.lambda[frame.tangent] : 0,
            .rank_gap = frame.rank_gap(),
            .rank = frame.rank(),
            .distance = frame.gradient_norm()};
  }

  double feedback_ratio(const std::vector<double>& theta, const SecondMoment& moment,
                        const Round& round) const override {
    if (moment.sampling_weight(round, this->samples()) == 0) return 0;
    if constexpr (LeastSquaresProblem<P>) {
      const LeastSquaresModelOf<P> model(this->problem());
      GramGeometry geometry(model);
      geometry.move_to(Eigen::Map<const Eigen::VectorXd>(theta.data(), D));
      return geometry.feedback_ratio(moment, round);
    } else {
      return std::numeric_limits<double>::quiet_NaN();
    }
  }

 private:
  double curvature(const double* theta, const std::string& name) const override {
    const auto frame = flow_.geometry().frame(Eigen::Map<const Vector>(theta));
    return name == "trace" ? frame.lambda.sum() : frame.lambda_max();
  }

  template <class Scheme>
  void sde_trajectory(Scheme scheme, const SlowRun& run, const SlowSde<P>& sde, const GradientFlow<P>& flow,
                      std::uint64_t trajectory, Vector& x, RetractionReport& report,
                      const RecordStates& record) const {
    BrownianPath<double> path(run.seed, trajectory, sde.noise_dim(), run.noise_workers, run.refinement);
    MeanNoise<double> noise(path);
    Stepper<Scheme, SlowSde<P>> stepper(scheme, sde);
    int p = 0;
    for (const OutputInterval& interval : slow_steps(run)) {
      stepper.restart(interval.start, interval.first_step);
      for (std::uint64_t k = interval.first_step; k < interval.first_step + interval.steps; ++k) {
        stepper.do_step(sde, x.data(), k, interval.dt, noise);
        retract_to_manifold(flow, run.retraction, x.data(), report);
      }
      record(p++, 1, x.data());
    }
  }

  /// The same for a pack of trajectories.
  template <class Scheme>
  DistanceToManifold lane_trajectories(Scheme scheme, const SlowRun& run, std::uint64_t first,
                                       const RecordStates& record) const {
    using T = Pack<double>;
    using Equation = LaneSlowSde<P, std::function<Round(double)>>;
    constexpr std::size_t W = native_width<double>;
    const auto start = flow_.geometry().frame(Eigen::Map<const Vector>(run.start.data()));
    const auto positive = start.lambda.tail(start.rank());
    check_moment(run, {positive.begin(), positive.end()});
    const Equation sde(LaneGeometry<P>(this->problem(), start.rank()), run.noise.label_sigma,
                       run.moment->formula(), run.round, run.variant);
    BrownianPath<T> path(run.seed, first, sde.noise_dim(), run.noise_workers, run.refinement);
    MeanNoise<T> noise(path);
    Stepper<Scheme, Equation, T> stepper(scheme, sde);
    LaneRetractionReport<T> report;
    T x[D];
    for (int j = 0; j < D; ++j) x[j] = T(run.start[static_cast<std::size_t>(j)]);
    std::vector<double> states(W * D);
    int p = 0;
    for (const OutputInterval& interval : slow_steps(run)) {
      stepper.restart(interval.start, interval.first_step);
      for (std::uint64_t k = interval.first_step; k < interval.first_step + interval.steps; ++k) {
        stepper.do_step(sde, x, k, interval.dt, noise);
        retract_lanes(sde.geometry(), run.retraction, manifold_residual, x, report);
      }
      for (std::size_t l = 0; l < W; ++l)
        for (std::size_t j = 0; j < D; ++j) states[l * D + j] = x[j][static_cast<int>(l)];
      record(p++, W, states.data());
    }
    DistanceToManifold worst;
    for (int l = 0; l < native_width<double>; ++l) {
      worst.distance = std::max(worst.distance, report.worst[l]);
      worst.converged = worst.converged && report.unconverged[l] == 0;
    }
    return worst;
  }

  template <class Noise>
  void conventional_with(Noise noise, const ConventionalRun& run, std::uint64_t first,
                         const RecordStates& record) const {
    using T = Pack<double>;
    constexpr std::size_t W = native_width<double>;
    const ConventionalSteps steps = conventional_steps(run);
    const ConventionalSde<P, Noise> sde(this->problem(), noise, run.round.eta, steps.batch);
    const LocalRounds rounds{EulerMaruyama{}, steps.copies, steps.substeps};
    BrownianPath<T> path(run.seed, first, sde.noise_dim(), rounds.workers);
    Stepper<LocalRounds<EulerMaruyama>, ConventionalSde<P, Noise>, T> stepper(rounds, sde);
    T x[D];
    for (int j = 0; j < D; ++j) x[j] = T(run.start[static_cast<std::size_t>(j)]);
    std::vector<double> states(W * D);
    for (std::size_t p = 0; p < run.times.size(); ++p) {
      const OutputInterval& interval = steps.intervals[p];
      stepper.restart(interval.start, interval.first_step);
      for (std::uint64_t k = interval.first_step; k < interval.first_step + interval.steps; ++k)
        stepper.do_step(sde, x, k, interval.dt, path);
      for (std::size_t l = 0; l < W; ++l)
        for (std::size_t j = 0; j < D; ++j) states[l * D + j] = x[j][static_cast<int>(l)];
      record(static_cast<int>(p), W, states.data());
    }
  }

  void ode_trajectory(const SlowRun& run, const SlowSde<P>& sde, const GradientFlow<P>& flow, Vector& x,
                      RetractionReport& report, const RecordStates& record) const {
    namespace odeint = boost::numeric::odeint;
    using State = std::vector<double>;
    State state(x.data(), x.data() + D);
    double t = 0;
    for (std::size_t p = 0; p < run.times.size(); ++p) {
      if (run.times[p] > t)
        odeint::integrate_adaptive(
            odeint::make_controlled<odeint::runge_kutta_dopri5<State>>(1e-9, 1e-9),
            [&](const State& y, State& rate, double time) { sde.drift(y.data(), time, rate.data()); }, state,
            t, run.times[p], std::min(run.dt, run.times[p] - t));
      t = run.times[p];
      retract_to_manifold(flow, run.retraction, state.data(), report);
      record(static_cast<int>(p), 1, state.data());
    }
  }

  /// Steps of at most dt that divide every round evenly, numbered through all rounds.
  template <class Scheme>
  void quasi_static_trajectory(const SlowRun& run, const GradientFlow<P>& flow, std::uint64_t trajectory,
                               Vector& x, RetractionReport& report, const RecordStates& record) const {
    const int workers = run.round(0).workers;
    const auto alone = [round = run.round](double t) {
      Round worker = round(t);
      worker.workers = 1;
      return worker;
    };
    const SlowSde<P> sde(flow.geometry(), run.moment, alone, run.variant);
    QuasiStaticQsr<P, Scheme> process(sde, flow, workers, run.round_time, run.dt, run.retraction);
    BrownianPath<double> path(run.seed, trajectory, sde.noise_dim(), workers);
    double t = 0;
    std::uint64_t k = 0;
    for (std::size_t p = 0; p < run.times.size(); ++p) {
      while (t < run.times[p]) process.round(x.data(), t, run.times[p], path, k, report);
      record(static_cast<int>(p), 1, x.data());
    }
  }

  DistanceToManifold label_noise_trajectory(const SlowRun& run, const RecordStates& record) const {
    if constexpr (LeastSquaresProblem<P>) {
      const LeastSquaresModelOf<P> model(this->problem());
      const LabelNoiseFlow flow(model, {.sigma = run.noise.label_sigma});
      Eigen::VectorXd zeta = Eigen::Map<const Eigen::VectorXd>(run.start.data(), D);
      double t = 0;
      DistanceToManifold worst;
      for (std::size_t p = 0; p < run.times.size(); ++p) {
        if (run.times[p] > t) {
          const Round round = run.round(t);
          const auto end =
              flow.integrate(zeta, run.times[p] - t, weight_of(*run.moment, round), round.global_batch());
          zeta = end.zeta;
          worst = {std::max(worst.distance, end.residual), worst.converged && end.converged};
        }
        t = run.times[p];
        record(static_cast<int>(p), 1, zeta.data());
      }
      return worst;
    } else {
      throw std::invalid_argument("the closed form of label noise needs a least-squares problem");
    }
  }

  GradientFlow<P> flow_;
};

}  // namespace slowsde
