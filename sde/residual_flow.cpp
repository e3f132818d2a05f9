#include "slowsde/sde/residual_flow.hpp"

#include <Eigen/Cholesky>
#include <Eigen/Eigenvalues>
#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <vector>

#include "slowsde/problems/requirement.hpp"

namespace slowsde {
namespace {

using Eigen::MatrixXd;
using Eigen::VectorXd;

template <class T>
void require(bool holds, const char* inequality, T value) {
  detail::require(holds, "residual flow", inequality, value);
}

double max_abs(const VectorXd& r) { return r.lpNorm<Eigen::Infinity>(); }

// (nG)^† r; Cholesky where G is far from singular, eigenpairs above the threshold otherwise.
VectorXd solve_gram(const MatrixXd& G, const VectorXd& r, int n, double rank_tolerance) {
  const Eigen::LLT<MatrixXd> cholesky(G);
  if (cholesky.info() == Eigen::Success && cholesky.rcond() > rank_tolerance) {
    return cholesky.solve(r) / n;
  }
  const Eigen::SelfAdjointEigenSolver<MatrixXd> eigen(G);
  const VectorXd& lambda = eigen.eigenvalues();
  const double threshold = rank_tolerance * lambda[lambda.size() - 1];
  VectorXd y = eigen.eigenvectors().transpose() * r;
  for (int i = 0; i < y.size(); ++i) y[i] = lambda[i] > threshold ? y[i] / (n * lambda[i]) : 0.0;
  return eigen.eigenvectors() * y;
}

// One second-order Runge–Kutta–Chebyshev step of dx/dτ = −∇L with s stages.
class ChebyshevStep {
 public:
  explicit ChebyshevStep(const LeastSquaresModel& model) : model_(model) {}

  void operator()(const VectorXd& x, const VectorXd& g, double h, int s, VectorXd& out) {
    // T_j, T_j', T_j'' at w0 = 1 + ε/s² by their three-term recurrences
    const double w0 = 1 + (2.0 / 13) / (static_cast<double>(s) * s);
    t_.resize(s + 1);
    b_.resize(s + 1);
    std::vector<double>& d = d_;
    std::vector<double>& dd = dd_;
    d.assign(s + 1, 0);
    dd.assign(s + 1, 0);
    t_[0] = 1;
    t_[1] = w0;
    d[1] = 1;
    for (int j = 2; j <= s; ++j) {
      t_[j] = 2 * w0 * t_[j - 1] - t_[j - 2];
      d[j] = 2 * t_[j - 1] + 2 * w0 * d[j - 1] - d[j - 2];
      dd[j] = 4 * d[j - 1] + 2 * w0 * dd[j - 1] - dd[j - 2];
    }
    for (int j = 2; j <= s; ++j) b_[j] = dd[j] / (d[j] * d[j]);
    b_[0] = b_[1] = b_[2];
    const double w1 = d[s] / dd[s];
    // Y_1 = Y_0 + b_1 w1 h F_0
    // Y_j = (1 − μ − ν) Y_0 + μ Y_{j−1} + ν Y_{j−2} + μ̃ h F_{j−1} + γ̃ h F_0,  F = −∇L
    before_ = x;
    last_ = x - (b_[1] * w1 * h) * g;
    for (int j = 2; j <= s; ++j) {
      const double mu = 2 * b_[j] * w0 / b_[j - 1], nu = -b_[j] / b_[j - 2];
      const double mu_h = 2 * b_[j] * w1 / b_[j - 1] * h;
      const double gamma_h = -(1 - b_[j - 1] * t_[j - 1]) * mu_h;
      model_.gradient(last_, gradient_);
      out.noalias() = (1 - mu - nu) * x + mu * last_ + nu * before_ - mu_h * gradient_ - gamma_h * g;
      before_.swap(last_);
      last_ = out;
    }
  }

 private:
  const LeastSquaresModel& model_;
  std::vector<double> t_, d_, dd_, b_;
  VectorXd before_, last_, gradient_;
};

// Gauss–Newton from x; gives up as soon as the residual stops falling.
FlowResult gauss_newton(const LeastSquaresModel& model, const VectorXd& x, const FlowOptions& options,
                        int max_steps) {
  FlowResult result;
  result.point = x;
  VectorXd r, step, trial, trial_r;
  MatrixXd G;
  model.residual(x, r);
  result.residual = max_abs(r);
  while (!(result.residual <= options.residual_tolerance) && result.steps < max_steps) {
    model.gram(result.point, G);
    ++result.factorizations;
    model.pull_back(result.point, solve_gram(G, r, model.samples(), options.rank_tolerance), step);
    trial = result.point - step;
    model.residual(trial, trial_r);
    if (!(trial_r.norm() < r.norm())) {
      ++result.rejected;
      break;
    }
    ++result.steps;
    result.point.swap(trial);
    r.swap(trial_r);
    result.residual = max_abs(r);
  }
  result.jump = (result.point - x).norm();
  result.converged = result.residual <= options.residual_tolerance;
  return result;
}

FlowResult chebyshev_flow(const LeastSquaresModel& model, const VectorXd& theta, const FlowOptions& options) {
  FlowResult result;
  VectorXd x = theta, g, next, next_g, eigenvector = VectorXd::Zero(model.dim());
  ChebyshevStep step(model);
  model.gradient(x, g);
  ++result.gradients;
  // A lower estimate of λ_max, raised by the usual margin of Runge–Kutta–Chebyshev codes.
  const auto bound = [&](double tolerance) {
    return 1.2 * hessian_norm(model, x, eigenvector, tolerance, result.gradients);
  };
  double rho = bound(0.01), h = 0.5 / rho, try_at = 10 / rho;
  int since_bound = 0;
  VectorXd candidate, doubled = x;  // the last retraction's end; the point when τ last doubled
  while (result.steps + result.rejected < options.max_steps) {
    int s = 1 + static_cast<int>(std::sqrt(1 + 1.54 * h * rho));
    if (s > options.max_stages) {
      s = options.max_stages;
      h = (static_cast<double>(s - 1) * (s - 1) - 1) / (1.54 * rho);
    }
    s = std::max(s, 2);
    step(x, g, h, s, next);
    model.gradient(next, next_g);
    result.gradients += s;
    const double error = (0.8 * (x - next) - 0.4 * h * (g + next_g)).norm();
    const double factor = std::clamp(0.8 * std::cbrt(options.tolerance / std::max(error, 1e-300)), 0.1, 5.0);
    if (!(error <= options.tolerance)) {
      ++result.rejected;
      h *= std::isfinite(error) ? factor : 0.1;
      rho = bound(0.01);
      since_bound = 0;
      continue;
    }
    ++result.steps;
    result.flow_time += h;
    x.swap(next);
    g.swap(next_g);
    h *= factor;
    if (++since_bound == 10) {
      rho = bound(0.02);
      since_bound = 0;
    }
    if (result.flow_time < try_at) continue;
    try_at = 2 * result.flow_time;
    // A jump's error falls with the square of its length; while the flow still covers much more than that
    // allows, a retraction would be spent in vain.
    const double covered = (x - doubled).norm();
    doubled = x;
    if (covered > 10 * std::sqrt(options.tolerance)) continue;
    FlowResult end = gauss_newton(model, x, options, 8);
    result.factorizations += end.factorizations;
    if (!end.converged) {
      candidate.resize(0);
      continue;
    }
    const bool comparable = candidate.size() > 0;
    result.error_estimate = comparable ? (end.point - candidate).norm() : end.jump;
    candidate = end.point;
    if (!(result.error_estimate <= options.tolerance)) continue;
    result.point = end.point;
    result.residual = end.residual;
    result.jump = end.jump;
    result.converged = true;
    return result;
  }
  VectorXd r;
  model.residual(x, r);
  result.residual = max_abs(r);
  result.point = x;
  return result;
}

// The frozen-J solution from one point, for any τ.
class FrozenFlow {
 public:
  FrozenFlow(const LeastSquaresModel& model, const VectorXd& x, double rank_tolerance, FlowResult& count)
      : model_(&model), x_(x) {
    VectorXd r;
    MatrixXd G;
    model.residual(x, r);
    model.gram(x, G);
    eigen_.compute(G);
    ++count.factorizations;
    projected_ = eigen_.eigenvectors().transpose() * r;
    threshold_ = rank_tolerance * lambda_max();
    residual_ = max_abs(r);
  }
  double lambda_max() const { return eigen_.eigenvalues()[projected_.size() - 1]; }
  double residual() const { return residual_; }

  /// x − Jᵀ (nG)^{-1} (I − e^{−Gτ}) r; τ = ∞ leaves the eigenvalues below the threshold alone.
  VectorXd at(double tau) const {
    VectorXd y(projected_.size()), move;
    for (int i = 0; i < y.size(); ++i) {
      const double lambda = eigen_.eigenvalues()[i];
      const double time = lambda > threshold_ ? -std::expm1(-lambda * tau) / lambda
                          : std::isinf(tau)   ? 0.0
                                              : tau;
      y[i] = projected_[i] * time / model_->samples();
    }
    model_->pull_back(x_, eigen_.eigenvectors() * y, move);
    return x_ - move;
  }

  /// Time after which half of the way to τ = ∞ is left, measured in |θ|: |θ_∞ − θ|² = Σ_i ρ_i²
  /// e^{−2λ_iτ}/(nλ_i).
  double half_time() const {
    const auto left = [&](double tau) {
      double sum = 0;
      for (int i = 0; i < projected_.size(); ++i) {
        const double lambda = eigen_.eigenvalues()[i];
        if (lambda > threshold_) sum += projected_[i] * projected_[i] / lambda * std::exp(-2 * lambda * tau);
      }
      return sum;
    };
    const double half = 0.25 * left(0);
    double low = 0, high = 1 / lambda_max();
    while (left(high) > half && high < 1e300) high *= 2;
    for (int k = 0; k < 30; ++k) {
      const double middle = 0.5 * (low + high);
      (left(middle) > half ? low : high) = middle;
    }
    return high;
  }

 private:
  const LeastSquaresModel* model_;
  VectorXd x_;
  Eigen::SelfAdjointEigenSolver<MatrixXd> eigen_;
  VectorXd projected_;
  double threshold_ = 0;
  double residual_ = 0;
};

FlowResult exponential_flow(const LeastSquaresModel& model, const VectorXd& theta,
                            const FlowOptions& options) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  FlowResult result;
  FrozenFlow here(model, theta, options.rank_tolerance, result);
  VectorXd x = theta;
  double tau = 1 / here.lambda_max(), last_jump = 0, last_error = 0;
  while (result.steps + result.rejected < options.max_steps) {
    // The jump: at once, and in two parts. Its error falls with the square of its length.
    const VectorXd jumped = here.at(infinity);
    const double jump = (jumped - x).norm();
    const bool promising =
        last_jump == 0 || last_error * (jump / last_jump) * (jump / last_jump) <= 2 * options.tolerance;
    if (here.residual() <= options.residual_tolerance || promising) {
      const FrozenFlow middle(model, here.at(here.half_time()), options.rank_tolerance, result);
      const VectorXd split = middle.at(infinity);
      last_jump = jump;
      last_error = result.error_estimate = (split - jumped).norm();
      if (last_error <= options.tolerance) {
        const FlowResult end = gauss_newton(model, split, options, 8);
        result.factorizations += end.factorizations;
        result.point = end.point;
        result.residual = end.residual;
        result.jump = (end.point - x).norm();
        result.converged = end.converged;
        return result;
      }
    }
    const VectorXd whole = here.at(tau);
    const FrozenFlow middle(model, here.at(0.5 * tau), options.rank_tolerance, result);
    const VectorXd halves = middle.at(0.5 * tau);
    const double error = (halves - whole).norm();
    const double factor = std::clamp(0.9 * std::sqrt(options.tolerance / std::max(error, 1e-300)), 0.2, 4.0);
    if (!(error <= options.tolerance)) {
      ++result.rejected;
      tau *= std::isfinite(error) ? factor : 0.2;
      continue;
    }
    ++result.steps;
    result.flow_time += tau;
    x = 2 * halves - whole;
    here = FrozenFlow(model, x, options.rank_tolerance, result);
    tau *= factor;
  }
  result.point = x;
  result.residual = here.residual();
  return result;
}

}  // namespace

void FlowOptions::check() const {
  require(tolerance > 0, "tolerance > 0", tolerance);
  require(residual_tolerance > 0, "residual_tolerance > 0", residual_tolerance);
  require(max_steps >= 1, "max_steps >= 1", max_steps);
  require(max_stages >= 2, "max_stages >= 2", max_stages);
  require(rank_tolerance > 0, "rank_tolerance > 0", rank_tolerance);
  require(rank_tolerance < 1, "rank_tolerance < 1", rank_tolerance);
}

double hessian_norm(const LeastSquaresModel& model, const VectorXd& theta, VectorXd& v, double tolerance,
                    std::int64_t& gradients) {
  VectorXd base, moved;
  model.gradient(theta, base);
  ++gradients;
  if (v.size() != theta.size() || !(v.norm() > 0)) v = base;
  if (!(v.norm() > 0)) v.setOnes(theta.size());
  const double step = 1e-6 * (1 + theta.norm());
  double norm = 0;
  for (int k = 0; k < 100; ++k) {
    v /= v.norm();
    model.gradient(theta + step * v, moved);
    ++gradients;
    v = (moved - base) / step;
    const double previous = norm;
    norm = v.norm();
    if (!(norm > 0)) return 0;
    if (std::abs(norm - previous) <= tolerance * norm) break;
  }
  return norm;
}

FlowResult gradient_flow_limit(const LeastSquaresModel& model, const VectorXd& theta,
                               const FlowOptions& options) {
  options.check();
  switch (options.route) {
    case FlowRoute::chebyshev:
      return chebyshev_flow(model, theta, options);
    case FlowRoute::exponential:
      return exponential_flow(model, theta, options);
    case FlowRoute::gauss_newton:
      break;
  }
  return gauss_newton(model, theta, options, options.max_steps);
}

FlowResult retract(const LeastSquaresModel& model, const VectorXd& theta, const FlowOptions& options) {
  options.check();
  return gauss_newton(model, theta, options, options.max_steps);
}

FlowResult train_to_manifold(const LeastSquaresModel& model, const VectorXd& initial,
                             const FlowOptions& options) {
  return gradient_flow_limit(model, initial, options);
}

}  // namespace slowsde
