#include "slowsde/optim/round_moments.hpp"

#include <algorithm>
#include <cmath>

#include "slowsde/problems/requirement.hpp"

namespace slowsde {
namespace {

using Eigen::MatrixXd;

template <class T>
void require(bool holds, const char* inequality, const T& value) {
  detail::require(holds, "round moments", inequality, value);
}

/// Σ_{k<h} ρ^k for ρ = 1 − gap.
double geometric_sum(double gap, std::int64_t h) {
  if (h == 0) return 0;
  if (gap == 0) return static_cast<double>(h);
  // 1 − ρ^h without cancellation where ρ is near 1
  const double rho = 1 - gap, steps = static_cast<double>(h);
  return (rho > 0 ? -std::expm1(steps * std::log1p(-gap)) : 1 - std::pow(rho, steps)) / gap;
}

/// One round at σ = 1, with or without its label noise.
class RoundMap {
 public:
  RoundMap(const GramGeometry& geometry, const FiniteStepMoment& moment, const Round& round)
      : geometry_(geometry), round_(round), lambda_(geometry.eigenvalues()) {
    const double unit = round.eta * round.eta / round.local_batch;
    feedback_ = unit * moment.sampling_weight(round, geometry.model().samples());
    noise_ = unit * lambda_;
    const Eigen::VectorXd factor = 1 - round.eta * lambda_.array();
    rho_ = factor * factor.transpose();
    const double H = static_cast<double>(round.local_steps);
    rho_H_ = rho_.unaryExpr([H](double rho) { return std::pow(rho, H); });
  }

  /// 1 − ρ^H: the map's distance from the identity without feedback.
  MatrixXd contraction() const {
    MatrixXd gap(rho_.rows(), rho_.cols());
    for (Eigen::Index j = 0; j < gap.cols(); ++j)
      for (Eigen::Index i = 0; i < gap.rows(); ++i) {
        const double a = round_.eta * lambda_[i], b = round_.eta * lambda_[j], g = a + b - a * b;
        gap(i, j) = g * geometric_sum(g, round_.local_steps);
      }
    return gap;
  }

  /// C_{h+1} from C_h.
  void step(MatrixXd& C, double noise) const {
    if (feedback_ == 0) {
      C.array() *= rho_.array();
    } else {
      C = rho_.cwiseProduct(C) + feedback_ * geometry_.sampling_covariance(C);
    }
    C.diagonal() += noise * noise_;
  }

  /// The start of the next round from that of this one. visit(h, C_h) sees the steps 0 … H.
  template <class Visit>
  MatrixXd next(const MatrixXd& start, double noise, Visit visit) const {
    MatrixXd C = start;
    for (std::int64_t h = 0; h < round_.local_steps; ++h) {
      visit(h, C);
      step(C, noise);
    }
    visit(round_.local_steps, C);
    const double K = round_.workers;
    return C / K + (1 - 1 / K) * rho_H_.cwiseProduct(start);
  }

  MatrixXd cross(const MatrixXd& start, std::int64_t h) const {
    return start.cwiseProduct(
        rho_.unaryExpr([h](double rho) { return std::pow(rho, static_cast<double>(h)); }));
  }

 private:
  const GramGeometry& geometry_;
  Round round_;
  Eigen::VectorXd lambda_, noise_;
  double feedback_ = 0;
  MatrixXd rho_, rho_H_;
};

double inner(const MatrixXd& a, const MatrixXd& b) { return a.cwiseProduct(b).sum(); }

}  // namespace

void RoundMomentsOptions::check() const {
  require(tolerance > 0, "tolerance > 0", tolerance);
  require(max_iterations >= 1, "max_iterations >= 1", max_iterations);
}

RoundMoments round_moments(const GramGeometry& geometry, const FiniteStepMoment& moment, const Round& round,
                           double sigma, const std::vector<std::int64_t>& steps,
                           const RoundMomentsOptions& options) {
  round.check();
  options.check();
  require(sigma >= 0, "sigma >= 0", sigma);
  require(round.momentum == 0, "momentum = 0", round.momentum);
  for (const std::int64_t h : steps) require(h >= 0 && h <= round.local_steps, "0 <= h <= H", h);
  RoundMoments result;
  const int rank = geometry.rank();
  if (rank == 0 || !(round.eta * geometry.lambda_max() < 2)) return result;
  const RoundMap map(geometry, moment, round);
  const auto unseen = [](std::int64_t, const MatrixXd&) {};
  const MatrixXd inverse = map.contraction().cwiseInverse();

  // (I − M)X = b, b the moment that one round's label noise leaves
  const MatrixXd b = map.next(MatrixXd::Zero(rank, rank), 1, unseen);
  MatrixXd X = inverse.cwiseProduct(b);
  MatrixXd rest = map.next(X, 1, unseen) - X;
  const double source = std::sqrt(inner(b, inverse.cwiseProduct(b)));
  MatrixXd scaled = inverse.cwiseProduct(rest), search = scaled;
  double square = inner(rest, scaled);
  result.last_residual = std::sqrt(square) / source;
  while (result.last_residual > options.tolerance && result.iterations < options.max_iterations) {
    ++result.iterations;
    const MatrixXd image = search - map.next(search, 0, unseen);
    const double curvature = inner(search, image);
    if (!(curvature > 0)) break;
    X += (square / curvature) * search;
    rest -= (square / curvature) * image;
    scaled = inverse.cwiseProduct(rest);
    const double next = inner(rest, scaled);
    search = scaled + (next / square) * search;
    square = next;
    result.last_residual = std::sqrt(square) / source;
  }
  result.converged = result.last_residual <= options.tolerance;
  if (!result.converged) return result;

  const double variance = sigma * sigma, H = static_cast<double>(round.local_steps);
  result.mean_own.setZero(rank, rank);
  result.steps.resize(steps.size());
  map.next(X, 1, [&](std::int64_t h, const MatrixXd& C) {
    if (h < round.local_steps) result.mean_own += variance / H * C;
    for (std::size_t j = 0; j < steps.size(); ++j)
      if (steps[j] == h) result.steps[j] = {h, variance * C, variance * map.cross(X, h)};
  });
  return result;
}

double spread_per_noise(double lambda, const Round& round, std::int64_t h) {
  round.check();
  require(h >= 0, "h >= 0", h);
  const double a = round.eta * lambda;
  return round.eta * round.eta / round.local_batch * geometric_sum(a * (2 - a), h);
}

}  // namespace slowsde
