// Least-squares problems of run-time dimension before the experiments: Φ, sharpness and the slow flow in
// residual space, nothing of size d × d.
#pragma once

#include <Eigen/Core>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "slowsde/experiments/problem_base.hpp"
#include "slowsde/experiments/residual_space_trajectory.hpp"
#include "slowsde/problems/least_squares_adaptor.hpp"
#include "slowsde/problems/mlp.hpp"
#include "slowsde/problems/network_fit.hpp"
#include "slowsde/problems/network_model.hpp"
#include "slowsde/sde/gram_geometry.hpp"
#include "slowsde/sde/residual_flow.hpp"

namespace slowsde {

/// The model that computes a problem's double-precision quantities: a network's own matrices, jets for the
/// others.
template <LeastSquaresProblem P>
std::unique_ptr<LeastSquaresModel> least_squares_model(const P& problem) {
  if constexpr (std::is_same_v<P, MlpFit>)
    return std::make_unique<MlpModel>(problem.shape(), problem.data());
  else if constexpr (std::is_same_v<P, NetworkFit>)
    return std::make_unique<NetworkModel>(problem.network(), problem.data());
  else
    return std::make_unique<LeastSquaresModelOf<P>>(problem);
}

template <LeastSquaresProblem P>
class LargeProblem final : public ProblemBase<P> {
  using Base = ProblemBase<P>;

 public:
  /// `start` overrides the problem's own: initial weights to be trained onto Γ. `own`: observables that only
  /// this problem has.
  explicit LargeProblem(P problem, std::vector<double> start = {}, std::vector<OwnObservable> own = {})
      : Base(std::move(problem)), model_(least_squares_model(this->problem())), initial_(std::move(start)) {
    for (OwnObservable& observable : own) this->offer(std::move(observable));
  }

  std::vector<double> start() const override {
    const std::vector<double> raw = initial_.empty() ? this->raw_start() : initial_;
    const FlowResult trained =
        train_to_manifold(*model_, Eigen::Map<const Eigen::VectorXd>(raw.data(), size(raw)));
    if (!trained.converged)
      throw std::runtime_error("the start could not be trained onto the manifold: max|r| = " +
                               std::to_string(trained.residual));
    return {trained.point.begin(), trained.point.end()};
  }

  void project(double* states, int count, DistanceToManifold* to) const override {
    const int d = this->dim();
    for (int i = 0; i < count; ++i) {
      Eigen::Map<Eigen::VectorXd> theta(states + static_cast<std::ptrdiff_t>(i) * d, d);
      if (!theta.allFinite()) continue;
      const FlowResult end = gradient_flow_limit(*model_, theta);
      theta = end.point;
      to[i] = {end.residual, end.converged};
    }
  }

  bool deterministic(const SlowRun&) const override { return true; }

  DistanceToManifold slow_trajectory(const SlowRun& run, std::uint64_t,
                                     const RecordStates& record) const override {
    return residual_space_trajectory(*model_, run, record);
  }

  void conventional_trajectories(const ConventionalRun& run, std::uint64_t,
                                 const RecordStates&) const override {
    check_conventional(run);
  }

  void check_slow(const SlowRun& run) const override {
    if (run.theory != SlowTheory::slow_sde)
      throw std::invalid_argument("problems of run-time dimension know the theory slow-sde only");
    if (run.geometry == GeometryRoute::dense)
      throw std::invalid_argument("the dense geometry is for problems of static dimension");
    if (run.variant != SlowSdeVariant::full && run.variant != SlowSdeVariant::drift_only)
      throw std::invalid_argument("without noise along the manifold there are no terms to leave out");
  }

  void check_conventional(const ConventionalRun&) const override {
    throw std::invalid_argument("the conventional SDE is for problems of static dimension");
  }

  PointReport report(const std::vector<double>& theta) const override {
    GramGeometry geometry(*model_);
    geometry.move_to(Eigen::Map<const Eigen::VectorXd>(theta.data(), size(theta)));
    return {.trace = geometry.trace(),
            .lambda_max = geometry.lambda_max(),
            .lambda_min = geometry.lambda_min(),
            .rank_gap = geometry.rank_gap(),
            .rank = geometry.rank(),
            .distance = geometry.residual()};
  }

  double feedback_ratio(const std::vector<double>& theta, const SecondMoment& moment,
                        const Round& round) const override {
    if (moment.sampling_weight(round, this->samples()) == 0) return 0;
    GramGeometry geometry(*model_);
    geometry.move_to(Eigen::Map<const Eigen::VectorXd>(theta.data(), size(theta)));
    return geometry.feedback_ratio(moment, round);
  }

 private:
  static Eigen::Index size(const std::vector<double>& v) { return static_cast<Eigen::Index>(v.size()); }

  double curvature(const double* theta, const std::string& name) const override {
    const Eigen::VectorXd point = Eigen::Map<const Eigen::VectorXd>(theta, this->dim());
    if (name == "trace") {
      Eigen::MatrixXd J;
      model_->jacobian(point, J);
      return J.squaredNorm() / model_->samples();
    }
    GramGeometry geometry(*model_);
    geometry.move_to(point);
    return geometry.lambda_max();
  }

  std::unique_ptr<LeastSquaresModel> model_;
  std::vector<double> initial_;
};

}  // namespace slowsde
