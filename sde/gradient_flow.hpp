// Φ, the end of the gradient flow dx/dτ = −∇L(x), for small d. Three routes: a reference by odeint's
// controlled Dormand–Prince stepper, a route of our own for one point or a pack of replicas with a step size
// per lane, and the problem's closed form. All but the last follow the flow until it is close to Γ and end
// with the expansion of Φ about the nearest point, whose error is of third order in the remaining distance.
#pragma once

#include <boost/numeric/odeint/stepper/controlled_runge_kutta.hpp>
#include <boost/numeric/odeint/stepper/generation.hpp>
#include <boost/numeric/odeint/stepper/runge_kutta_dopri5.hpp>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <utility>
#include <vector>

#include "slowsde/problems/pack_math.hpp"
#include "slowsde/problems/requirement.hpp"
#include "slowsde/sde/dense_geometry.hpp"

namespace slowsde {

struct GradientFlowOptions {
  double tolerance = 1e-10;       ///< error per step of the embedded pair, relative to 1 + |x_i|
  double switch_distance = 1e-4;  ///< distance to Γ at which the expansion takes over; its error is O(cube)
  double residual = 1e-10;        ///< largest |∇L| of a converged point, relative to λ_max
  int max_steps = 100000;         ///< accepted and rejected steps of the flow

  /// Throws std::invalid_argument naming the violated inequality.
  void check() const {
    detail::require(tolerance > 0, "gradient flow", "tolerance > 0", tolerance);
    detail::require(switch_distance > 0, "gradient flow", "switch_distance > 0", switch_distance);
    detail::require(residual > 0, "gradient flow", "residual > 0", residual);
    detail::require(max_steps >= 1, "gradient flow", "max_steps >= 1", max_steps);
  }
};

/// A point of Γ and how it was reached.
template <int D>
struct ManifoldPoint {
  Eigen::Matrix<double, D, 1> point;
  double residual = std::numeric_limits<double>::quiet_NaN();  ///< |∇L| at the point
  double distance = std::numeric_limits<double>::quiet_NaN();  ///< how far from Γ the flow was left
  int steps = 0;                                               ///< steps of the flow, rejected ones included
  bool converged = false;
};

/// What happened to a pack of points.
template <int W>
struct LaneReport {
  std::array<double, static_cast<std::size_t>(W)> residual;
  std::array<bool, static_cast<std::size_t>(W)> converged;
};

namespace detail {

/// The embedded pair 5(4) of Dormand & Prince (1980): stages, weights, weights minus those of order 4.
struct DormandPrince {
  static constexpr int stages = 7;
  static constexpr double a[7][6] = {
      {},
      {1.0 / 5},
      {3.0 / 40, 9.0 / 40},
      {44.0 / 45, -56.0 / 15, 32.0 / 9},
      {19372.0 / 6561, -25360.0 / 2187, 64448.0 / 6561, -212.0 / 729},
      {9017.0 / 3168, -355.0 / 33, 46732.0 / 5247, 49.0 / 176, -5103.0 / 18656},
      {35.0 / 384, 0, 500.0 / 1113, 125.0 / 192, -2187.0 / 6784, 11.0 / 84}};
  static constexpr double e[7] = {71.0 / 57600,      0,          -71.0 / 16695, 71.0 / 1920,
                                  -17253.0 / 339200, 22.0 / 525, -1.0 / 40};
};

/// Follows dx/dτ = −∇L(x) until |∇L| ≤ bound, in each lane with its own steps: what a lane does depends on no
/// other lane. A lane whose step size has vanished or that has taken max_steps stops where it is. `taken`
/// counts the steps.
template <class P, class T>
void follow_flow(const P& problem, T* x, const T& bound, const GradientFlowOptions& options, T& taken) {
  using std::abs;
  using std::exp;
  using std::log;
  using std::sqrt;
  using DP = DormandPrince;
  const int d = dimension(problem);
  std::vector<T> work(static_cast<std::size_t>((DP::stages + 1) * d));
  T* k[DP::stages];
  for (int s = 0; s < DP::stages; ++s) k[s] = work.data() + s * d;
  T* stage = work.data() + DP::stages * d;
  const auto norm = [&](const T* g) {
    T sum(0.0);
    for (int i = 0; i < d; ++i) sum = sum + g[i] * g[i];
    return sqrt(sum);
  };
  const T shortest(1e-14), one(1.0);
  T h(1e-2);
  slowsde::gradient(problem, x, k[0]);
  while (true) {
    const auto active = (norm(k[0]) > bound) & (h > shortest) & (taken < T(options.max_steps));
    if (!any(active)) return;
    taken = select(active, taken + one, taken);
    for (int s = 1; s < DP::stages; ++s) {
      for (int i = 0; i < d; ++i) {
        T sum(0.0);
        for (int r = 0; r < s; ++r)
          if (DP::a[s][r] != 0) sum = sum + T(DP::a[s][r]) * k[r][i];
        stage[i] = x[i] - h * sum;
      }
      slowsde::gradient(problem, stage, k[s]);
    }
    T error(0.0);  // largest component over what is allowed
    for (int i = 0; i < d; ++i) {
      T sum(0.0);
      for (int s = 0; s < DP::stages; ++s)
        if (DP::e[s] != 0) sum = sum + T(DP::e[s]) * k[s][i];
      const T ratio = abs(h * sum) / (T(options.tolerance) * (one + abs(x[i])));
      error = select(ratio <= error, error, ratio);  // NaN stays
    }
    const auto accepted = active & (error <= one);
    for (int i = 0; i < d; ++i) {
      x[i] = select(accepted, stage[i], x[i]);
      k[0][i] = select(accepted, k[DP::stages - 1][i], k[0][i]);
    }
    // h ← h·min(5, max(0.2, 0.9·error^{−1/5}))
    const T clipped = select(error > T(1e-8), error, T(1e-8));
    const T wanted = T(0.9) * exp(T(-0.2) * log(clipped));
    const T growth = select(wanted > T(5.0), T(5.0), wanted);
    const T factor = select(growth > T(0.2), growth, T(0.2));
    h = select(active, h * select(error <= T(1e100), factor, T(0.2)), h);
  }
}

}  // namespace detail

/// The nearest way to Γ: Newton's iteration x ← x − 𝓗^†∇L(x) from a point that is already close. It moves
/// along the normal space, so it differs from Φ by O(distance²) along Γ.
template <class Geometry>
ManifoldPoint<Geometry::D> project_to_manifold(const Geometry& geometry, const typename Geometry::Vector& x,
                                               double residual = 1e-10) {
  ManifoldPoint<Geometry::D> result;
  result.point = x;
  double last = std::numeric_limits<double>::infinity();
  for (int iteration = 0; iteration < 50; ++iteration) {
    const auto p = geometry.frame(result.point);
    result.residual = p.gradient_norm();
    const typename Geometry::Vector step = p.pseudo_inverse(p.gradient);
    const double length = step.norm();
    // Stop at roundoff: quadratic convergence has ended when a step is tiny and no shorter than the last.
    if (!(length < 0.5 * last) || length == 0) {
      result.converged = result.residual <= residual * p.lambda_max();
      break;
    }
    result.point -= step;
    last = length;
    if (length <= 1e-9 * (1 + result.point.norm())) {  // the next residual is the square of this one
      typename Geometry::Vector g(geometry.dim());
      slowsde::gradient(geometry.problem(), result.point.data(), g.data());
      result.residual = g.norm();
      result.converged = result.residual <= residual * p.lambda_max();
      break;
    }
  }
  result.distance = (x - result.point).norm();
  return result;
}

/// Φ of a problem.
template <Problem P>
class GradientFlow {
 public:
  using Geometry = DenseGeometry<P>;
  static constexpr int D = Geometry::D;
  using Vector = typename Geometry::Vector;
  using Result = ManifoldPoint<D>;

  explicit GradientFlow(P problem = P(), const GradientFlowOptions& options = {},
                        const DenseGeometryOptions& geometry = {})
      : GradientFlow(Geometry(std::move(problem), geometry), options) {}
  explicit GradientFlow(Geometry geometry, const GradientFlowOptions& options = {})
      : geometry_(std::move(geometry)), options_(options) {
    options_.check();
  }

  const Geometry& geometry() const { return geometry_; }
  const GradientFlowOptions& options() const { return options_; }

  /// Φ(x) by the closed form where the problem has one, by our own stepper otherwise.
  Result operator()(const Vector& x) const {
    if constexpr (HasClosedPhi<P>)
      return closed_form(x);
    else
      return stepped(x);
  }

  /// Φ(x) by our own stepper.
  Result stepped(const Vector& x) const {
    Result result;
    Vector point = x;
    std::array<Result, 1> one;
    follow<double>(point.data(), one);
    return one[0];
  }

  /// Φ of a pack of points in place, x: (d). Lanes that have not converged hold where they ended.
  template <int W>
  LaneReport<W> lanes(Pack<double, W>* x) const {
    std::array<Result, static_cast<std::size_t>(W)> results;
    follow(x, results);
    LaneReport<W> report;
    for (int l = 0; l < W; ++l) {
      for (int i = 0; i < geometry_.dim(); ++i) x[i].set(l, results[l].point[i]);
      report.residual[l] = results[l].residual;
      report.converged[l] = results[l].converged;
    }
    return report;
  }

  /// Φ(x) by the problem's closed form.
  Result closed_form(const Vector& x) const requires HasClosedPhi<P> {
    Result result;
    result.point.resize(geometry_.dim());
    geometry_.problem().phi(x.data(), result.point.data());
    Vector g(geometry_.dim());
    slowsde::gradient(geometry_.problem(), result.point.data(), g.data());
    result.residual = g.norm();
    result.distance = 0;
    result.converged = std::isfinite(result.residual) && result.point.allFinite();
    return result;
  }

  /// Φ(x) by odeint's controlled Dormand–Prince stepper.
  Result reference(const Vector& x) const {
    namespace odeint = boost::numeric::odeint;
    using State = std::vector<double>;
    const auto flow = [this](const State& y, State& rate, double) {
      slowsde::gradient(geometry_.problem(), y.data(), rate.data());
      for (double& r : rate) r = -r;
    };
    auto stepper =
        odeint::make_controlled<odeint::runge_kutta_dopri5<State>>(options_.tolerance, options_.tolerance);
    State y(x.data(), x.data() + x.size());
    Vector g(geometry_.dim()), point(geometry_.dim());
    double tau = 0, h = 1e-2, bound = options_.switch_distance;
    Result result;
    result.point = x;
    while (result.steps < options_.max_steps) {
      slowsde::gradient(geometry_.problem(), y.data(), g.data());
      if (g.norm() <= bound) {
        for (int i = 0; i < geometry_.dim(); ++i) point[i] = y[i];
        if (finish(point, bound, result)) return result;
      }
      if (!(h > 1e-14)) break;
      stepper.try_step(flow, y, tau, h);
      ++result.steps;
    }
    return result;
  }

 private:
  /// From a point close to Γ to Φ of it: with ζ the nearest point and u = x − ζ,
  ///   Φ(x) = ζ + P_∥u + ½∂²Φ[uuᵀ] + O(|u|³).
  /// Returns false, with the bound on |∇L| lowered, when x is not close enough.
  bool finish(const Vector& x, double& bound, Result& result) const {
    const Result foot = project_to_manifold(geometry_, x, options_.residual);
    if (!foot.converged || !(foot.distance <= options_.switch_distance)) {
      const double ratio = options_.switch_distance / foot.distance;
      bound *= foot.converged && ratio > 1e-6 ? std::min(0.1, 0.5 * ratio) : 0.1;
      result.point = x;
      return !(bound > 1e-16);
    }
    const Vector u = x - foot.point;
    const auto p = geometry_.at(foot.point);
    const Vector expanded =
        foot.point + p.project(u) + 0.5 * geometry_.phi_second_derivative(p, u * u.transpose());
    const Result end = project_to_manifold(geometry_, expanded, options_.residual);
    result.point = end.point;
    result.residual = end.residual;
    result.distance = foot.distance;
    result.converged = end.converged;
    return true;
  }

  /// Follows the flow of the lanes of x to Γ.
  template <class T, std::size_t W>
  void follow(T* x, std::array<Result, W>& results) const {
    static_assert(lane_count<T> == static_cast<int>(W));
    std::array<bool, W> done{};
    T bound(options_.switch_distance);
    T taken(0.0);
    while (true) {
      detail::follow_flow(geometry_.problem(), x, bound, options_, taken);
      bool all_done = true;
      for (int l = 0; l < static_cast<int>(W); ++l) {
        if (done[l]) continue;
        Vector point(geometry_.dim()), g(geometry_.dim());
        for (int i = 0; i < geometry_.dim(); ++i) point[i] = lane_of(x[i], l);
        slowsde::gradient(geometry_.problem(), point.data(), g.data());
        double b = lane_of(bound, l);
        results[l].steps = static_cast<int>(lane_of(taken, l));
        results[l].point = point;
        // A lane that the flow could not bring down, because it diverged or ran out of steps, ends here (2:
        // a pack rounds its gradient differently).
        const bool ended = !(g.norm() <= 2 * b);
        done[l] = ended || finish(point, b, results[l]);
        set_lane(bound, l, done[l] ? std::numeric_limits<double>::infinity() : b);
        all_done = all_done && done[l];
      }
      if (all_done) return;
    }
  }

  Geometry geometry_;
  GradientFlowOptions options_;
};
template <Problem P>
GradientFlow(DenseGeometry<P>) -> GradientFlow<P>;
template <Problem P>
GradientFlow(DenseGeometry<P>, GradientFlowOptions) -> GradientFlow<P>;

}  // namespace slowsde
