#include "slowsde/sde/convergence_order.hpp"

namespace slowsde {

void OrderRun::check() const {
  const auto require = [](bool holds, const std::string& inequality, const std::string& value) {
    if (!holds)
      throw std::invalid_argument("order of convergence: " + inequality + " is violated by " + value);
  };
  require(trajectories >= 100, "trajectories >= 100", std::to_string(trajectories));
  require(end_time > 0 && std::isfinite(end_time), "0 < end_time < infinity", std::to_string(end_time));
  require(first >= 0, "first >= 0", std::to_string(first));
  require(halvings >= 4, "halvings >= 4", std::to_string(halvings));
  require(first + halvings <= 30, "first + halvings <= 30", std::to_string(first + halvings));
  require(threads >= 1, "threads >= 1", std::to_string(threads));
}

double LevelErrors::worst_relative_error() const {
  double worst = 0;
  for (std::size_t l = 0; l < mean.size(); ++l) {
    const double relative = se(l) / std::abs(mean[l]);
    if (!(relative <= worst))
      worst = std::isnan(relative) ? std::numeric_limits<double>::infinity() : relative;
  }
  return worst;
}

OrderFit fit_order(const LevelErrors& errors) {
  const auto n = static_cast<Eigen::Index>(errors.mean.size());
  if (n < 5) throw std::invalid_argument("order of convergence: a fit needs five levels");
  constexpr double spread = 0.5;  // of a and b
  Eigen::MatrixXd V(n, n), X(n, 2);
  Eigen::VectorXd y(n);
  for (Eigen::Index i = 0; i < n; ++i) {
    const double m_i = errors.mean[static_cast<std::size_t>(i)];
    y[i] = errors.power * std::log2(std::abs(m_i));
    X.row(i) << 1, -static_cast<double>(i);
    for (Eigen::Index j = 0; j < n; ++j) {
      const double m_j = errors.mean[static_cast<std::size_t>(j)], log2_e = 1 / std::log(2.0);
      V(i, j) = std::pow(errors.power * log2_e, 2) * errors.covariance(i, j) / (m_i * m_j);
      V(i, j) += spread * spread * (std::exp2(-(i + j)) + std::exp2(-2 * (i + j)));
    }
    V(i, i) += 1e-10;  // rounding: a noiseless V has rank 2
  }
  OrderFit fit;
  fit.resolved = errors.worst_relative_error() <= 1.0 / 3;
  const Eigen::LLT<Eigen::MatrixXd> factor(V);
  if (!V.allFinite() || factor.info() != Eigen::Success) {
    fit.order = fit.se = std::numeric_limits<double>::quiet_NaN();
    fit.resolved = false;
    return fit;
  }
  const Eigen::MatrixXd information = X.transpose() * factor.solve(X);
  const Eigen::Matrix2d covariance = information.inverse();
  const Eigen::Vector2d coefficients = covariance * (X.transpose() * factor.solve(y));
  fit.order = coefficients[1];
  fit.se = std::sqrt(covariance(1, 1));
  return fit;
}

OrderVerdict judge_order(const OrderFit& fit, double expected) {
  if (!fit.resolved) return OrderVerdict::inconclusive;
  const double distance = std::abs(fit.order - expected);
  if (distance + fit.half_width() <= order_margin) return OrderVerdict::confirmed;
  return distance - fit.half_width() > order_margin ? OrderVerdict::refuted : OrderVerdict::inconclusive;
}

const char* name_of(OrderVerdict verdict) {
  switch (verdict) {
    case OrderVerdict::confirmed:
      return "confirmed";
    case OrderVerdict::refuted:
      return "refuted";
    case OrderVerdict::inconclusive:
      return "inconclusive";
  }
  return "";
}

double LimitEstimate::z(double exact) const {
  const double beyond = std::max(0.0, std::abs(mean - exact) - 0.5 * std::abs(correction)) / se;
  return std::isnan(beyond) ? std::numeric_limits<double>::infinity() : beyond;
}

}  // namespace slowsde
