#include "slowsde/optim/predicted_spread.hpp"

#include <algorithm>
#include <functional>
#include <limits>

#include "slowsde/problems/requirement.hpp"
#include "slowsde/sde/statistics.hpp"

namespace slowsde {
namespace {

void require(bool holds, const char* inequality, double value) {
  detail::require(holds, "predicted spread", inequality, value);
}

bool linear(const UpdateRule& rule) {
  return rule.formula() == UpdateFormula::sgd || rule.formula() == UpdateFormula::heavy_ball ||
         rule.formula() == UpdateFormula::nesterov;
}

bool keeps_buffers(const TrainerParams& params) {
  return params.update->state_vectors() > 0 && params.buffers == BufferPolicy::kept;
}

}  // namespace

bool SpreadResponse::offered(const TrainerParams& params) {
  return params.exchange == Exchange::parameters && linear(*params.update);
}

SpreadResponse::SpreadResponse(const TrainerParams& params, std::int64_t first_step, std::int64_t local_steps)
    : kept_(keeps_buffers(params) && first_step > 0), lanczos_steps_(lanczos_steps(params, local_steps)) {
  detail::require(offered(params), "predicted spread", "parameters averaged under a linear update rule",
                  params.update->name());
  require(first_step >= 0, "first_step >= 0", static_cast<double>(first_step));
  require(local_steps >= 1, "H >= 1", static_cast<double>(local_steps));
  for (std::int64_t h = 0; h < local_steps; ++h) {
    double theta[3] = {1, 0, 0}, v[3] = {0, 1, 0};
    const double g[3] = {0, 0, 1};
    params.update->step(params.lr(first_step + h), 1, 3, g, theta, v);
    if (params.update->state_vectors() == 0) v[1] = 0;  // what is no state is not carried on
    steps_.push_back({theta[0], theta[1], theta[2], v[0], v[1], v[2]});
  }
}

double SpreadResponse::operator()(double lambda) const {
  double C = 0, S = 0, V = 0;  // E δ_θ², E δ_θδ_v, E δ_v²
  double x = 0, v = 1;         // what a unit buffer at the start has become
  for (const Step& step : steps_) {
    const double a = step.theta_theta + lambda * step.theta_g, b = step.theta_v;
    const double c = step.v_theta + lambda * step.v_g, d = step.v_v;
    // (C S; S V) <- T (C S; S V) Tᵀ + b bᵀ,  T = (a b; c d)
    const double next_C = a * a * C + 2 * a * b * S + b * b * V + step.theta_g * step.theta_g;
    const double next_S = a * c * C + (a * d + b * c) * S + b * d * V + step.theta_g * step.v_g;
    V = c * c * C + 2 * c * d * S + d * d * V + step.v_g * step.v_g;
    C = next_C;
    S = next_S;
    const double next_x = a * x + b * v;
    v = c * x + d * v;
    x = next_x;
  }
  if (!kept_) return C;
  // V_0 = v²V_0 + V: a round of fresh noise adds V to what is left of the buffers' variance
  const double start = V / (1 - v * v);
  return v * v < 1 ? C + x * x * start : std::numeric_limits<double>::infinity();
}

int SpreadResponse::lanczos_steps(const TrainerParams& params, std::int64_t local_steps) {
  const double H = static_cast<double>(local_steps);
  const double m = std::min(H, std::ceil((1 + std::sqrt(4 * H * std::log(2e6))) / 2));
  return static_cast<int>(m) + (keeps_buffers(params) ? 4 : 0);
}

TraceEstimate predicted_spread(const SymmetricOperator& hessian, const SpreadResponse& response,
                               std::span<const Eigen::VectorXd> noise) {
  require(noise.size() >= 2, "noise vectors >= 2", static_cast<double>(noise.size()));
  TraceEstimate estimate;
  Moments moments;
  for (const Eigen::VectorXd& z : noise) {
    const auto rule = lanczos_quadrature(hessian, z, response.lanczos_steps());
    estimate.products += static_cast<int>(rule.nodes.size());
    moments.add(z.squaredNorm() * rule.mean_of(std::cref(response)));
  }
  if (moments.diverged > 0) return {std::nan(""), std::nan(""), estimate.products};
  estimate.value = moments.mean;
  estimate.standard_error = moments.standard_error();
  return estimate;
}

TraceEstimate predicted_variance_along(const Eigen::VectorXd& v, double lambda,
                                       const SpreadResponse& response,
                                       std::span<const Eigen::VectorXd> noise) {
  require(noise.size() >= 2, "noise vectors >= 2", static_cast<double>(noise.size()));
  const double f = response(lambda);
  Moments moments;
  for (const Eigen::VectorXd& z : noise) moments.add(f * std::pow(v.dot(z), 2));
  if (moments.diverged > 0) return {std::nan(""), std::nan("")};
  return {moments.mean, moments.standard_error()};
}

}  // namespace slowsde
