#include "slowsde/sde/label_noise_flow.hpp"

#include <Eigen/Eigenvalues>
#include <boost/numeric/odeint.hpp>
#include <cmath>
#include <stdexcept>
#include <vector>

#include "slowsde/problems/requirement.hpp"
#include "slowsde/sde/psi.hpp"

namespace slowsde {
namespace {

void require(bool holds, const char* inequality, double value) {
  detail::require(holds, "label-noise flow", inequality, value);
}

double twice_eta_H(const Round& round) { return 2 * round.eta * static_cast<double>(round.local_steps); }

}  // namespace

SpectralWeight sgd_weight() {
  return [](double) { return 1.0; };
}

SpectralWeight local_sgd_weight(const Round& round) {
  round.check();
  const double s = twice_eta_H(round), K = round.workers;
  return [s, K](double lambda) { return 1 + (K - 1) * psi(s * lambda); };
}

SpectralWeight qsr_weight(const Round& round) {
  const double K = round.workers;
  return [K](double) { return K; };
}

SpectralWeight weight_of(const SecondMoment& moment, const Round& round) {
  return [&moment, round](double lambda) { return 2 * lambda * moment.coefficient(lambda, lambda, round); };
}

double local_sgd_potential(const Eigen::VectorXd& eigenvalues, const Round& round) {
  const double s = twice_eta_H(round);
  double sum = 0;
  for (const double lambda : eigenvalues) sum += lambda + (round.workers - 1) * psi_integral(s * lambda) / s;
  return sum;
}

void LabelNoiseFlow::Params::check() const {
  require(sigma >= 0, "sigma >= 0", sigma);
  require(rank_threshold > 0 && rank_threshold < 1, "0 < rank_threshold < 1", rank_threshold);
  require(difference_step > 0, "difference_step > 0", difference_step);
  require(tolerance > 0, "tolerance > 0", tolerance);
}

LabelNoiseFlow::LabelNoiseFlow(const LeastSquaresModel& model, const Params& params)
    : model_(model), params_(params) {
  params_.check();
}

void LabelNoiseFlow::drift(const Eigen::VectorXd& zeta, const SpectralWeight& weight, double global_batch,
                           Eigen::VectorXd& out) const {
  const double n = model_.samples();
  Eigen::MatrixXd J;
  model_.jacobian(zeta, J);
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> G(J * J.transpose() / n);
  const Eigen::VectorXd& lambda = G.eigenvalues();
  const Eigen::MatrixXd& U = G.eigenvectors();
  const double threshold = params_.rank_threshold * lambda(lambda.size() - 1);

  // w(G)J and, for the projection, the orthonormal basis Jᵀu_a/√(nλ_a) of the normal space
  const Eigen::MatrixXd UJ = U.transpose() * J;
  Eigen::MatrixXd weighted = Eigen::MatrixXd::Zero(J.rows(), J.cols()), normal = weighted;
  for (Eigen::Index a = 0; a < lambda.size(); ++a) {
    if (!(lambda(a) > threshold)) continue;
    weighted.noalias() += U.col(a) * (weight(lambda(a)) * UJ.row(a));
    normal.row(a) = UJ.row(a) / std::sqrt(n * lambda(a));
  }

  out.resize(zeta.size());
  Eigen::VectorXd theta = zeta;
  Eigen::MatrixXd above, below;
  const auto slope = [&](Eigen::Index k, double h) {  // ⟨w(G)J, (J(θ+he_k) − J(θ−he_k))/2h⟩
    theta(k) = zeta(k) + h;
    model_.jacobian(theta, above);
    theta(k) = zeta(k) - h;
    model_.jacobian(theta, below);
    theta(k) = zeta(k);
    return weighted.cwiseProduct(above - below).sum() / (2 * h);
  };
  for (Eigen::Index k = 0; k < zeta.size(); ++k) {
    const double h = params_.difference_step * std::fmax(1, std::abs(zeta(k)));
    out(k) = (2 / n) * (4 * slope(k, h / 2) - slope(k, h)) / 3;
  }
  out -= normal.transpose() * (normal * out).eval();
  out *= -params_.sigma * params_.sigma / (4 * global_batch);
}

LabelNoiseFlow::Result LabelNoiseFlow::integrate(const Eigen::VectorXd& zeta, double t,
                                                 const SpectralWeight& weight, double global_batch) const {
  namespace odeint = boost::numeric::odeint;
  using State = std::vector<double>;
  Result result;
  State x(zeta.data(), zeta.data() + zeta.size());
  const auto as_vector = [](const State& state) {
    return Eigen::Map<const Eigen::VectorXd>(state.data(), static_cast<Eigen::Index>(state.size()));
  };
  Eigen::VectorXd point, velocity;
  const auto system = [&](const State& state, State& derivative, double) {
    ++result.evaluations;
    point = as_vector(state);
    drift(point, weight, global_batch, velocity);
    derivative.assign(velocity.data(), velocity.data() + velocity.size());
  };
  auto stepper =
      odeint::make_controlled<odeint::runge_kutta_dopri5<State>>(params_.tolerance, params_.tolerance);
  double now = 0, dt = t / 16;
  result.converged = true;
  while (now < t) {
    // the last step ends at t itself; a rejected step leaves x and now alone and shrinks dt
    const bool last = now + dt >= t;
    if (last) dt = t - now;
    if (!(dt > 1e-14 * t)) {
      result.converged = last;
      break;
    }
    if (stepper.try_step(system, x, now, dt) == odeint::success && last) break;
    if (!as_vector(x).allFinite()) {
      result.converged = false;
      break;
    }
  }
  result.zeta = as_vector(x);
  Eigen::VectorXd r;
  model_.residual(result.zeta, r);
  result.residual = r.norm();
  return result;
}

}  // namespace slowsde
